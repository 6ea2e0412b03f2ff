"""Files that commands write besides what they print."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put a file's new content in its place at once, or not at all.

    Args:
        path: Where; a link is replaced, not followed.
        content: All of it.
        mode: Its permission bits.

    Raises:
        OSError: As the system says; what was there stays.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".modelcar-", delete=False) as beside:
        try:
            beside.write(content)
            beside.flush()
            os.fchmod(beside.fileno(), mode)
            Path(beside.name).replace(path)
        except BaseException:
            Path(beside.name).unlink(missing_ok=True)
            raise

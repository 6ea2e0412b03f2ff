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
        OSError: As the system says, of `path`; what was there stays.
    """
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".modelcar-")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fchmod(opened.fileno(), mode)
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise

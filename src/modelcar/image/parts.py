"""Unfinished files of a pull, beside the folder's own: where they lie, and that nobody else writes to them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from itertools import count
from pathlib import Path
from types import TracebackType

from modelcar.errors import Interrupted, NetworkError, Refused
from modelcar.image.tree import ImageFile
from modelcar.oci import Descriptor

NAME = ".modelcar-pull"


class Parts:
    """The folder `.modelcar-pull` in the one that is pulled into. As a context manager it is locked.

    A part is named by its layer's digest and its offset in there, so that a later pull can only ever take up what
    belongs to the same bytes. The folder is removed in the end, but for where going on makes sense: a pull that was
    stopped or killed, or that the network gave up, leaves it to the next one.

    Args:
        folder: The folder that is pulled into.

    Attributes:
        staged: Parts that are whole, of compressed layers that proved right.
    """

    def __init__(self, folder: Path) -> None:
        self._target = folder
        self._folder = folder / NAME
        self._lock = -1
        self._twins = count()
        self.staged: set[Path] = set()

    def __enter__(self) -> Parts:
        self._folder.mkdir(exist_ok=True)
        self._lock = os.open(self._folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(f"another pull is writing to {self._target}", "wait for its end") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (NetworkError, Interrupted, KeyboardInterrupt)):
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # if nothing is in it
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def path(self, layer: Descriptor, file: ImageFile) -> Path:
        """Where the bytes of a file are gathered."""
        return self._folder / f"{layer.digest.replace(':', '-')}-{file.offset}"

    def size_of(self, layer: Descriptor, file: ImageFile) -> int:
        """Bytes of it that are there. What can't be its bytes is removed."""
        path = self.path(layer, file)
        if path.is_symlink() or (path.is_file() and path.stat().st_size > file.size):
            path.unlink()
        return path.stat().st_size if path.is_file() else 0

    def twin(self) -> Path:
        """A new name, for a second link to a file."""
        return self._folder / f"link-{next(self._twins)}"

    def is_one_name(self, one: str, other: str) -> bool:
        """Whether the file system takes two paths for the same: tried out."""
        first, second = (self._folder / "names" / path for path in (one, other))
        first.parent.mkdir(parents=True, exist_ok=True)
        try:
            first.touch()
            return second.exists()
        finally:
            shutil.rmtree(self._folder / "names", ignore_errors=True)

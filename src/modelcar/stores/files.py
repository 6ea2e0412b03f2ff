"""What the stores that are files of this machine share: errors, locks, work that was left behind, readers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from modelcar.errors import Denied, ModelcarError, Refused
from modelcar.stores.pieces import read_at

WORK = ".modelcar-"
"""How the names of unfinished files and folders begin."""


@contextlib.contextmanager
def in_our_words(name: str, done: str, kept: str) -> Iterator[None]:
    """Turn errors of the file system into ours.

    Args:
        name: Of the store.
        done: What could not be done to it: `read` or `written`.
        kept: What is left of it when the disk is full, for people.

    Raises:
        Denied, Refused, ModelcarError: As it was.
    """
    try:
        yield
    except OSError as error:
        raise _our_error(error, name, done, kept) from None


def _our_error(error: OSError, name: str, done: str, kept: str) -> ModelcarError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"{name} can't be {done}: {error.strerror}", "check the folder's permissions")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(f"{name}: the disk is full", f"free some space and run it again: {kept}")
    return ModelcarError(f"{name} can't be {done}: {error.strerror or error}")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, against other processes and other stores of this one.

    Raises:
        OSError: As opening it does.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def remove_if_dead(work: Path) -> None:
    """Remove a work folder or file that no living process holds the lock of."""
    try:
        lock = os.open(work, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if work.is_dir():
                shutil.rmtree(work, ignore_errors=True)
            else:
                work.unlink()
        finally:
            os.close(lock)
    except OSError:
        return


class FileReader:
    """A stretch of an open file: a `Reader`. The file's own position is neither used nor moved.

    Args:
        opened: The file, closed with the reader.
        offset: Where the stretch begins.
        length: Bytes; None for all to the file's end.
        name: Of the store, for errors.
    """

    def __init__(self, opened: BinaryIO, offset: int, length: int | None, name: str) -> None:
        self._opened = opened
        self._at = offset
        self._left = length
        self._name = name

    def read(self, size: int, /) -> bytes:
        """See `Reader.read`."""
        if self._left is not None:
            size = min(size, self._left)
        with in_our_words(self._name, "read", ""):
            piece = read_at(self._opened, size, self._at)
        self._at += len(piece)
        if self._left is not None:
            self._left -= len(piece)
        return piece

    def close(self) -> None:
        """See `Reader.close`."""
        self._opened.close()

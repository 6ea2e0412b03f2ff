"""A file in numbered pieces, for media that take none of its size: FILE.part001, FILE.part002, and so on."""

from __future__ import annotations

import io
import os
import re
from bisect import bisect_right
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast

from modelcar.errors import ContentMismatch
from modelcar.http import PIECE

_DIGITS = 3
MOST_PIECES = 10**_DIGITS - 1


def piece(path: Path, number: int) -> Path:
    """The name of a file's piece, counted from 1."""
    return path.with_name(f"{path.name}.part{number:0{_DIGITS}}")


def pieces_of(path: Path) -> list[Path]:
    """The pieces of a file in their order, without those that are not there."""
    form = re.compile(re.escape(path.name) + rf"\.part\d{{{_DIGITS}}}")
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(each for each in path.parent.iterdir() if form.fullmatch(each.name))
    return []


def whole_of(path: Path) -> Path | None:
    """The file that a path is a piece of, by its name; None where it is called like no piece."""
    whole, mark, number = path.name.rpartition(".part")
    return path.with_name(whole) if whole and mark and re.fullmatch(rf"\d{{{_DIGITS}}}", number) else None


class Pieces(io.RawIOBase):
    """All pieces of a file as one that is read.

    Args:
        paths: The pieces.
        path: The name of the whole, for errors.

    Raises:
        ContentMismatch: One is missing, or shorter than those before it and not the last.
        OSError: As opening them does.
    """

    def __init__(self, paths: list[Path], path: Path) -> None:
        expected = [piece(path, number) for number in range(1, len(paths) + 1)]
        if paths != expected:
            missing = next(name for name, there in zip(expected, paths, strict=True) if name != there)
            raise ContentMismatch(f"{path} is in pieces, and {missing.name} is not there", "copy it here, too")
        self._files = [each.open("rb", buffering=0) for each in paths]
        self._stats = [os.fstat(each.fileno()) for each in self._files]
        sizes = [each.st_size for each in self._stats]
        self._starts = [0, *accumulate(sizes)]
        self._at = 0
        short = next((n for n, size in enumerate(sizes[:-1]) if size != sizes[0]), None)
        if short is not None or sizes[-1] > sizes[0]:
            self.close()
            name = paths[len(paths) - 1 if short is None else short].name
            raise ContentMismatch(f"{name} has another size than the pieces before it", "copy it here again")

    @property
    def size(self) -> int:
        """Bytes of all."""
        return self._starts[-1]

    @property
    def identity(self) -> tuple[int, ...]:
        """What tells these pieces from any other file, and from themselves after a change."""
        return tuple(value for s in self._stats for value in (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns))

    def read_at(self, size: int, offset: int) -> bytes:
        """`size` bytes from `offset` on, across pieces; fewer at the end."""
        parts = []
        while size > 0 and offset < self.size:
            number = bisect_right(self._starts, offset) - 1
            part = os.pread(self._files[number].fileno(), size, offset - self._starts[number])
            if not part:
                break
            parts.append(part)
            size, offset = size - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase`: all that is asked for, or what there is."""
        found = self.read_at(self.size - self._at if size < 0 else size, self._at)
        self._at += len(found)
        return found

    def close(self) -> None:
        """See `io.RawIOBase`."""
        for each in self._files:
            each.close()
        super().close()


def open_whole(path: Path) -> BinaryIO:
    """Open a file, or its pieces where it is in pieces.

    Raises:
        FileNotFoundError: Neither is there.
        ContentMismatch: As `Pieces`.
        OSError: As opening does.
    """
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        if not (paths := pieces_of(path)):
            raise
        return cast(BinaryIO, Pieces(paths, path))


def read_at(opened: BinaryIO, size: int, offset: int) -> bytes:
    """Read from a file by position, whole or in pieces. Its own position is neither used nor moved."""
    if isinstance(opened, Pieces):
        return opened.read_at(size, offset)
    return os.pread(opened.fileno(), size, offset)


def split(path: Path, size: int) -> list[Path]:
    """Cut a file into pieces of `size` bytes, the last one smaller; a file that isn't larger stays as it is.

    It is cut from its end, so that no more than one piece is there twice.

    Raises:
        OSError: As the system says. What was cut off is not put back.
    """
    for left in pieces_of(path):
        left.unlink()
    total = path.stat().st_size
    if total <= size:
        return [path]
    count = -(-total // size)
    with path.open("r+b", buffering=0) as whole:
        for number in range(count, 1, -1):
            _move_end(whole, (number - 1) * size, piece(path, number))
    path.replace(piece(path, 1))
    return [piece(path, number) for number in range(1, count + 1)]


def _move_end(whole: BinaryIO, offset: int, target: Path) -> None:
    with target.open("wb", buffering=0) as opened:
        at = offset
        while part := os.pread(whole.fileno(), PIECE, at):
            at += opened.write(part)
        os.fsync(opened.fileno())
    whole.truncate(offset)

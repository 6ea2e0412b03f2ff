"""What a double serves: bytes at hand, a file on disk, or content of any size that exists only while it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from random import Random
from typing import Protocol

PIECE = 1 << 20
_HEAD = 8
_ZEROS = memoryview(bytes(PIECE))


class Content(Protocol):
    """Bytes of a known size, readable from any offset, the same every time."""

    @property
    def size(self) -> int: ...

    @property
    def identity(self) -> str:
        """Equal for equal content, and cheap where the size may be absurd: what a commit's id is made from."""
        ...

    @property
    def sha256(self) -> str: ...

    def pieces(self, start: int, stop: int, step: int = PIECE) -> Iterator[memoryview]:
        """The bytes from `start` to `stop`, at most `step` at a time, and never more than 1 MiB."""
        ...


@dataclass(frozen=True)
class Bytes:
    """Bytes at hand."""

    data: bytes = b""

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def identity(self) -> str:
        return self.sha256

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def pieces(self, start: int, stop: int, step: int = PIECE) -> Iterator[memoryview]:
        view = memoryview(self.data)
        for at in range(start, stop, step):
            yield view[at : min(at + step, stop)]


@dataclass(frozen=True)
class File:
    """A file on disk, read when it is served. Nobody may change it meanwhile."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def identity(self) -> str:
        return self.sha256

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def pieces(self, start: int, stop: int, step: int = PIECE) -> Iterator[memoryview]:
        with self.path.open("rb", buffering=0) as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(step, PIECE, stop - start))):
                yield memoryview(piece)
                start += len(piece)


@dataclass(frozen=True)
class Sparse:
    """Zeros.

    Attributes:
        stated: The sha256, where reading through all of it would take too long (about 1.5 GB/s).

    """

    size: int
    stated: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        return repr(self)

    @cached_property
    def sha256(self) -> str:
        return self.stated or digest(self)

    def pieces(self, start: int, stop: int, step: int = PIECE) -> Iterator[memoryview]:
        step = min(step, PIECE)
        for at in range(start, stop, step):
            yield _ZEROS[: min(step, stop - at)]


@dataclass(frozen=True)
class Generated:
    """Pseudo-random bytes made from a seed: one block repeated, each time with its number at its head.

    Attributes:
        stated: As in `Sparse`.

    """

    size: int
    seed: int = 0
    stated: str = field(default="", repr=False)

    @property
    def identity(self) -> str:
        return repr(self)

    @cached_property
    def sha256(self) -> str:
        return self.stated or digest(self)

    def pieces(self, start: int, stop: int, step: int = PIECE) -> Iterator[memoryview]:
        block = memoryview(_block(self.seed))
        while start < stop:
            number, inside = divmod(start, PIECE)
            head = memoryview(number.to_bytes(_HEAD, "little"))
            # The head is a piece of its own, so that the block is never copied.
            piece = head[inside:] if inside < _HEAD else block[inside:]
            piece = piece[: min(step, stop - start)]
            yield piece
            start += len(piece)


def as_content(value: bytes | Path | Content) -> Content:
    """The content that a test means when it writes bytes or a path."""
    if isinstance(value, bytes):
        return Bytes(value)
    return File(value) if isinstance(value, Path) else value


def read(content: Content, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes themselves, to compare with what a client received."""
    return b"".join(content.pieces(start, content.size if stop is None else stop))


def digest(content: Content, algorithm: str = "sha256", prefix: bytes = b"") -> str:
    """The hash of `prefix` and all the content."""
    total = hashlib.new(algorithm, prefix)
    for piece in content.pieces(0, content.size):
        total.update(piece)
    return total.hexdigest()


@lru_cache(maxsize=16)
def _block(seed: int) -> bytes:
    return Random(seed).randbytes(PIECE)

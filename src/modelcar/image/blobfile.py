"""A stored layer as what Python's `tarfile` walks: by range where its bytes are plain, else one stream."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol, cast

from modelcar.errors import ContentMismatch, ModelcarError
from modelcar.http import PIECE
from modelcar.image.decompress import plain_pieces
from modelcar.oci import Descriptor, media
from modelcar.stores import ReadableStore, Reader

LARGEST_HEADER = PIECE
"""Bytes of one extended header: a tar may claim any."""

_FIRST_WINDOW = 4096
_NEAR = PIECE
"""Bytes that are read along rather than left out by a new request."""


class TarInput(Protocol):
    """The bytes of an uncompressed tar, read and sought in forwards. What `tarfile` needs of a file.

    Attributes:
        last: What the last `read` returned: at the end of a tar, the block that `tarfile` took for its end.
    """

    last: bytes

    def read(self, size: int, /) -> bytes:
        """`size` bytes, fewer only at the end. Raises ValueError for more than a header may have."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to an offset from the start."""
        ...

    def tell(self) -> int:
        """The offset of the next byte."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class PlainInput:
    """An uncompressed layer of which only what is looked at is read, by ranges that grow while they follow each other.

    Args:
        store: Where it is. One without ranges is read on from the start.
        descriptor: Which, and its size.
    """

    def __init__(self, store: ReadableStore, descriptor: Descriptor) -> None:
        self._store = store
        self._descriptor = descriptor
        self.last = b""
        self._at = 0
        self._start = 0
        self._window = b""
        self._next_size = _FIRST_WINDOW

    def read(self, size: int, /) -> bytes:
        """See `TarInput`."""
        _check_header(size)
        size = min(size, self._descriptor.size - self._at)
        self.last = b""
        if size <= 0:
            return b""
        if not self._start <= self._at <= self._at + size <= self._start + len(self._window):
            self._fetch(size)
        begin = self._at - self._start
        self._at += size
        self.last = self._window[begin : begin + size]
        return self.last

    def seek(self, offset: int, /) -> int:
        """See `TarInput`."""
        self._at = offset
        return offset

    def tell(self) -> int:
        """See `TarInput`."""
        return self._at

    def close(self) -> None:
        """See `TarInput`: nothing stays open between two ranges."""

    def _fetch(self, size: int) -> None:
        follows = 0 <= self._at - (self._start + len(self._window)) <= _NEAR
        self._next_size = min(2 * self._next_size, _NEAR) if self._window and follows else _FIRST_WINDOW
        length = min(max(size, self._next_size), self._descriptor.size - self._at)
        self._window = read_exactly(self._store, self._descriptor, self._at, length)
        self._start = self._at


class StreamInput:
    """A layer that is read once, from its start to its end, decompressed as it comes.

    Args:
        reader: The layer as stored. Closed with this.
        descriptor: What is said of it.
        where: The store's name, for errors.
    """

    def __init__(self, reader: Reader, descriptor: Descriptor, where: str) -> None:
        self.last = b""
        self._reader = reader
        self._pieces = plain_pieces(reader, descriptor, where)
        self._left = memoryview(b"")
        self._at = 0
        self._wanted = 0

    def read(self, size: int, /) -> bytes:
        """See `TarInput`."""
        _check_header(size)
        self.last = b"".join(self.stream(size))
        return self.last

    def stream(self, size: int) -> Iterator[memoryview]:
        """`size` bytes in pieces, fewer only at the end."""
        gap, self._at = self._wanted - self._at, self._wanted
        if gap < 0:
            raise ValueError("a header lies before the end of its predecessor")
        if sum(map(len, self._take(gap))) < gap:
            return
        for piece in self._take(size):
            self._at += len(piece)
            self._wanted = self._at
            yield piece

    def seek(self, offset: int, /) -> int:
        """See `TarInput`."""
        self._wanted = offset
        return offset

    def tell(self) -> int:
        """See `TarInput`."""
        return self._wanted

    def end_after(self, depth: int) -> None:
        """Read no more than so many stored bytes of a layer that was opened with a larger depth: `TooDeep` then."""
        if isinstance(self._reader, _ShallowReader):
            self._reader.end_after(depth)

    def close(self) -> None:
        """See `TarInput`."""
        self._reader.close()

    def _take(self, size: int) -> Iterator[memoryview]:
        while size > 0:
            if not self._left:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._left = memoryview(piece)
                continue
            taken, self._left = self._left[:size], self._left[size:]
            size -= len(taken)
            yield taken


def open_layer(store: ReadableStore, descriptor: Descriptor, depth: int | None = None) -> TarInput:
    """A layer's tar, from its start.

    Args:
        store: Where it is.
        descriptor: Which.
        depth: Stored bytes after which reading a layer without ranges ends in `TooDeep`.

    Raises:
        TooDeep: As told; reading what is returned raises it.
        ContentMismatch: It is no layer of files.
        ModelcarError: As `open_blob`.
    """
    if media.compression(descriptor.media_type) == "" and store.has_ranges:
        opened = PlainInput(store, descriptor)
        opened.read(1)  # shows whether there are ranges
        if store.has_ranges:
            opened.seek(0)
            return opened
    return open_stream(store, descriptor, depth)


def open_stream(store: ReadableStore, descriptor: Descriptor, depth: int | None = None) -> StreamInput:
    """A layer's tar as one stream. Arguments and errors as for `open_layer`."""
    reader = SizedReader(store, descriptor)
    return StreamInput(reader if depth is None else _ShallowReader(reader, depth), descriptor, store.name)


def open_tar(opened: TarInput) -> tarfile.TarFile:
    """The tar in an input. Raises what `read_as_tar` turns into our words."""
    return tarfile.open(fileobj=cast(BinaryIO, opened), mode="r:")


@contextmanager
def read_as_tar(what: str) -> Iterator[None]:
    """Turn the errors that a damaged tar is met with into one.

    Raises:
        ContentMismatch: It can't be read; `what` says what it is.
    """
    try:
        yield
    except (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError) as error:
        raise ContentMismatch(f"{what} can't be read: {error}") from None


def read_exactly(store: ReadableStore, descriptor: Descriptor, offset: int, length: int) -> bytes:
    """A part of a blob that is small enough for memory.

    Raises:
        ContentMismatch: The blob ends before.
        ModelcarError: As `open_blob`.
    """
    reader = store.open_blob(descriptor.digest, offset, length)
    try:
        parts, left = [], length
        while left:
            piece = reader.read(left)
            if not piece:
                raise too_short(store, descriptor, offset + length - left)
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)
    finally:
        reader.close()


class SizedReader:
    """A whole blob, which must have the size that its descriptor says."""

    def __init__(self, store: ReadableStore, descriptor: Descriptor) -> None:
        self._store = store
        self._reader = store.open_blob(descriptor.digest)
        self._descriptor = descriptor
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """See `Reader`."""
        piece = self._reader.read(size)
        self.count += len(piece)
        if not piece and self.count < self._descriptor.size:
            raise too_short(self._store, self._descriptor, self.count)
        if self.count > self._descriptor.size:
            raise wrong_bytes(self._store, self._descriptor)
        return piece

    def close(self) -> None:
        """See `Reader`."""
        self._reader.close()


class TooDeep(ModelcarError):
    """No more of a layer is read: as deep as was said."""


class _ShallowReader:
    """The first bytes of a reader, then `TooDeep`."""

    def __init__(self, reader: Reader, depth: int) -> None:
        self._reader = reader
        self._depth = depth
        self._count = 0

    def read(self, size: int, /) -> bytes:
        """See `Reader`."""
        piece = self._reader.read(min(size, max(1, self._depth - self._count)))
        self._count += len(piece)
        if self._count > self._depth:
            raise TooDeep(f"only {self._depth:,} bytes of the layer were read")
        return piece

    def end_after(self, depth: int) -> None:
        self._depth = min(self._depth, depth)

    def close(self) -> None:
        """See `Reader`."""
        self._reader.close()


class CheckedReader(SizedReader):
    """A blob that is hashed as it is read, and must prove to be what its descriptor says."""

    def __init__(self, store: ReadableStore, descriptor: Descriptor) -> None:
        super().__init__(store, descriptor)
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])

    def read(self, size: int, /) -> bytes:
        """See `Reader`."""
        piece = super().read(size)
        self._hash.update(piece)
        return piece

    def finish(self) -> None:
        """Read what is left.

        Raises:
            ContentMismatch: The whole has another digest.
        """
        while self.read(PIECE):
            pass
        if self._hash.hexdigest() != self._descriptor.digest.partition(":")[2]:
            raise wrong_bytes(self._store, self._descriptor)


def wrong_bytes(store: ReadableStore, descriptor: Descriptor) -> ContentMismatch:
    """The error of a layer that isn't what its digest says."""
    return ContentMismatch(
        f"the layer {descriptor.digest} of {store.name} has other bytes than its digest says",
        "nothing of it was kept; build or push the image again",
    )


def too_short(store: ReadableStore, descriptor: Descriptor, size: int) -> ContentMismatch:
    """The error of a blob that ends before the size that its descriptor says."""
    return ContentMismatch(
        f"the blob {descriptor.digest} of {store.name} ends at {size:,} bytes, not at the {descriptor.size:,} stated"
    )


def _check_header(size: int) -> None:
    if not 0 <= size <= LARGEST_HEADER:
        raise ValueError(f"a header of {size:,} bytes")

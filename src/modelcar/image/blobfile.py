"""A stored blob as a file object: seekable by range where its bytes are plain, else one stream."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import zstandard

from modelcar.errors import ContentMismatch
from modelcar.http import PIECE
from modelcar.oci import Descriptor, media
from modelcar.stores import ReadableStore, Reader

_NEAR = PIECE
"""Bytes that are read and dropped rather than asked for by a new range."""


class PlainBlob(io.RawIOBase):
    """An uncompressed blob. A seek costs a request at the next read, a short one forward nothing.

    Args:
        store: Where it is.
        descriptor: Which, and its size.
    """

    def __init__(self, store: ReadableStore, descriptor: Descriptor) -> None:
        self._store = store
        self._descriptor = descriptor
        self._reader: Reader | None = None
        self._at = 0
        self._wanted = 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._wanted

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._wanted, io.SEEK_END: self._descriptor.size}[whence]
        if start + offset < 0:
            raise ValueError("a seek to before the beginning")
        self._wanted = start + offset
        return self._wanted

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        if self._wanted >= self._descriptor.size:
            return 0
        gap = self._wanted - self._at
        if self._reader is None or not 0 <= gap <= _NEAR:
            self._close_reader()
            self._reader = self._store.open_blob(self._descriptor.digest, self._wanted)
        else:
            while gap and (piece := self._reader.read(gap)):
                gap -= len(piece)
        piece = self._reader.read(len(buffer))
        if not piece:
            raise ContentMismatch(
                f"the blob {self._descriptor.digest} of {self._store.name} ends at {self._wanted:,} bytes, "
                f"not at the {self._descriptor.size:,} stated"
            )
        buffer[: len(piece)] = piece
        self._at = self._wanted = self._wanted + len(piece)
        return len(piece)

    def close(self) -> None:
        """See `io.RawIOBase`."""
        self._close_reader()
        super().close()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def open_layer(store: ReadableStore, descriptor: Descriptor) -> tuple[BinaryIO, bool]:
    """A layer's tar, decompressed as it is read, and whether it can be sought in.

    Raises:
        ContentMismatch: It is no layer of files.
        ModelcarError: As `open_blob`.
    """
    if media.compression(descriptor.media_type) == "":
        return cast(BinaryIO, io.BufferedReader(PlainBlob(store, descriptor), 8192)), True
    return decompressed(store.open_blob(descriptor.digest), descriptor), False


def decompressed(reader: Reader, descriptor: Descriptor) -> BinaryIO:
    """The tar of a layer that is read once from its start. Closing it closes `reader`.

    Raises:
        ContentMismatch: It is no layer of files.
    """
    kinds = {"": _plain, "gzip": _gunzip, "zstd": _unzstd}
    kind = media.compression(descriptor.media_type)
    if kind is None:
        reader.close()
        raise ContentMismatch(f"the layer {descriptor.digest} is no tar but {descriptor.media_type}")
    return cast(BinaryIO, io.BufferedReader(_Stream(kinds[kind](reader), reader), PIECE))


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


class CheckedReader:
    """A blob that is hashed as it is read, and must prove to be what its descriptor says."""

    def __init__(self, store: ReadableStore, descriptor: Descriptor) -> None:
        self._reader = store.open_blob(descriptor.digest)
        self._descriptor = descriptor
        self._hash = hashlib.new(descriptor.digest.partition(":")[0])
        self._where = store.name

    def read(self, size: int) -> bytes:
        """See `Reader`."""
        piece = self._reader.read(size)
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
            raise ContentMismatch(
                f"the layer {self._descriptor.digest} of {self._where} has other bytes than its digest says",
                "nothing of it was kept; build or push the image again",
            )

    def close(self) -> None:
        """See `io.RawIOBase`."""
        self._reader.close()


_READS_PAST_THE_END = 16
"""A tar that ends as it should is asked for more a few times; one whose last file claims to go on, for ever."""


class _Stream(io.RawIOBase):
    """Pieces as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes], reader: Reader) -> None:
        self._pieces = pieces
        self._reader = reader
        self._left = memoryview(b"")
        self._past_the_end = 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """See `io.RawIOBase`."""
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                self._past_the_end += 1
                if self._past_the_end > _READS_PAST_THE_END:
                    raise EOFError("it ends before its last file does")
                return 0
            self._left = memoryview(piece)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        """See `io.RawIOBase`."""
        self._reader.close()
        super().close()


def _plain(reader: Reader) -> Iterator[bytes]:
    return iter(lambda: reader.read(PIECE), b"")


def _gunzip(reader: Reader) -> Iterator[bytes]:
    """The content of a gzip stream, of one member or several, a bounded piece at a time."""
    try:
        inflate = zlib.decompressobj(wbits=31)
        while piece := reader.read(PIECE // 4):
            while piece:
                if inflate.eof:
                    if not piece.strip(b"\0"):
                        break
                    inflate = zlib.decompressobj(wbits=31)
                yield inflate.decompress(piece, PIECE)
                piece = inflate.unconsumed_tail or inflate.unused_data
        if not inflate.eof:
            raise ContentMismatch("a gzip layer ends before its end")
    except zlib.error as error:
        raise ContentMismatch(f"a gzip layer can't be read: {error}") from None


def _unzstd(reader: Reader) -> Iterator[bytes]:
    try:
        # The window is what memory is spent on. Decoders should take 8 MiB (RFC 8878, 3.1.1.1.2); ours takes 128.
        source = zstandard.ZstdDecompressor(max_window_size=128 * PIECE)
        with source.stream_reader(cast(BinaryIO, reader), read_across_frames=True, closefd=False) as stream:
            while piece := stream.read(PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise ContentMismatch(f"a zstd layer can't be read: {error}") from None

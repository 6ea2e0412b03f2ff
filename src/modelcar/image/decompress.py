"""The tar in a compressed layer, a bounded piece at a time: RFC 1952 (gzip) and RFC 8878 (zstd)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import zstandard

from modelcar.errors import ContentMismatch, Refused
from modelcar.http import PIECE
from modelcar.oci import Descriptor, media
from modelcar.stores import Reader

BOMB_FLOOR = 256 * PIECE
"""Bytes that any layer may grow to, however small it is."""

BOMB_RATIO = 200
"""Times its own size that a larger one may grow to. Text reaches 10, a file of zeros 1,000 (gzip) to 30,000 (zstd)."""

MOST = 16 * 1024**4
"""Bytes that a layer may grow to at the most."""

_WINDOW = 128 * PIECE
"""What memory is spent on. Decoders should take 8 MiB (RFC 8878, 3.1.1.1.2); `zstd --long` asks for 128."""


def plain_pieces(reader: Reader, descriptor: Descriptor, where: str) -> Iterator[bytes]:
    """The uncompressed bytes of a layer, in pieces of up to 1 MiB.

    Args:
        reader: The layer as stored, from its start.
        descriptor: What is said of it.
        where: The store's name, for errors.

    Raises:
        ContentMismatch: It is no layer of files, is damaged, or ends before its end.
        Refused: It grows beyond all measure.
    """
    kind = media.compression(descriptor.media_type)
    what = f"the layer {descriptor.digest} of {where}"
    if kind is None:
        raise ContentMismatch(f"{what} is no tar but {descriptor.media_type}")
    counted = _Counted(reader)
    kinds: dict[str, Callable[[_Counted, str], Iterator[bytes]]] = {"": _plain, "gzip": _gunzip, "zstd": _unzstd}
    size = 0
    for piece in kinds[kind](counted, what):
        size += len(piece)
        if size > MOST or (kind and size > BOMB_FLOOR and size > BOMB_RATIO * counted.count):
            raise Refused(
                f"{what} grows to more than {BOMB_RATIO} times its {kind} bytes ({size:,} from {counted.count:,}): "
                "it may be a decompression bomb",
                "nothing more of it was read",
            )
        yield piece


class _Counted:
    """A reader that knows how much was read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.count = 0

    def read(self, size: int) -> bytes:
        piece = self._reader.read(size)
        self.count += len(piece)
        return piece


def _plain(reader: _Counted, _what: str) -> Iterator[bytes]:
    return iter(lambda: reader.read(PIECE), b"")


def _gunzip(reader: _Counted, what: str) -> Iterator[bytes]:
    """Of one member or several."""
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
            raise ContentMismatch(f"{what}: its gzip stream ends before its end")
    except zlib.error as error:
        raise ContentMismatch(f"{what}: its gzip stream can't be read: {error}") from None


def _unzstd(reader: _Counted, what: str) -> Iterator[bytes]:
    try:
        source = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        with source.stream_reader(cast(BinaryIO, reader), read_across_frames=True) as stream:
            while piece := stream.read(PIECE):
                yield piece
    except zstandard.ZstdError as error:
        raise ContentMismatch(f"{what}: its zstd stream can't be read: {error}") from None

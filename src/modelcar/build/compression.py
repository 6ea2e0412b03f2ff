"""How layers are compressed, for those who ask: gzip (RFC 1952) or Zstandard (RFC 8878), as OCI image-spec names them.

The bytes depend on the compressor's version and level alone, so both are part of a layer's key. Memory is bounded by
the window: 32 KiB for gzip, 4 MiB for zstd, and the tables of the level.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from modelcar.errors import UsageError
from modelcar.oci import Digest, media
from modelcar.stores import HashedStream

_DEFAULT = {"gzip": 6, "zstd": 3}
_HIGHEST = {"gzip": 9, "zstd": 19}
_WINDOW_LOG = 22
"""4 MiB: levels over 15 would take up to 128 MiB, for what a reader must hold as well."""

_TABLE_LOG = 20
"""4 MiB each: levels over 12 would take up to 80 for each layer in flight, and weights have little to find by it."""

_AT_MOST_MORE = 256
"""Bytes of input that grow by a byte at the most: both store what won't shrink, and zstd's frame needs the most."""

_FASTEST_GZIP_MORE = 8
"""The same for `gzip:1`, which some builds of zlib write with a fixed code: nine bits for eight."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Compression:
    """A compressor and its level.

    Attributes:
        kind: As `oci.media.compression` says it: empty, `gzip` or `zstd`.
        level: How hard it tries; 0 without a compressor.
    """

    kind: str = ""
    level: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.level}" if self.kind else "none"

    @property
    def word(self) -> str:
        """All of it that a layer's bytes depend on, for the layer's key."""
        if self.kind == "gzip":
            return f"{self} zlib {zlib.ZLIB_RUNTIME_VERSION}"
        if self.kind == "zstd":
            version = ".".join(map(str, zstandard.ZSTD_VERSION))
            return f"{self} window {_WINDOW_LOG} tables {_TABLE_LOG} libzstd {version}"
        return "none"

    @property
    def media_type(self) -> str:
        """Of a layer (image-spec, media-types.md)."""
        return {"": media.OCI_LAYER, "gzip": media.OCI_LAYER_GZIP, "zstd": media.OCI_LAYER_ZSTD}[self.kind]

    @property
    def warning(self) -> str:
        """What the user of such an image should know; empty where there is nothing."""
        if self.kind == "zstd":
            return "KServe's fetch mode (oci+fetch://) refuses zstd layers: its modelcar and native modes take them"
        return ""

    def room(self, limit: int) -> int:
        """Bytes of the largest tar whose compressed form surely keeps to `limit` bytes."""
        if not self.kind:
            return limit
        growth = _FASTEST_GZIP_MORE if str(self) == "gzip:1" else _AT_MOST_MORE
        return max(0, (limit - 1024) * growth // (growth + 1))

    def compressor(self) -> _Compressor:
        """One for a single stream. In one thread, and without a time, a name or a size in its header."""
        if self.kind == "gzip":
            return zlib.compressobj(self.level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        usual = zstandard.ZstdCompressionParameters.from_level(self.level)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            self.level,
            window_log=_WINDOW_LOG,
            hash_log=min(usual.hash_log, _TABLE_LOG),
            chain_log=min(usual.chain_log, _TABLE_LOG),
            write_content_size=False,
            write_checksum=True,
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


PLAIN = Compression()

GZIP = Compression("gzip", _DEFAULT["gzip"])


def every_level(kind: str) -> Iterator[Compression]:
    """Each way to make a layer of a kind, as `oci.media.compression` says it: a layer doesn't tell its level."""
    yield from (Compression(kind, level) for level in range(1, _HIGHEST[kind] + 1)) if kind else (PLAIN,)


def parse_compression(text: str) -> Compression:
    """The compression that a user named: `none`, `gzip`, `zstd`, either with `:LEVEL`.

    Raises:
        UsageError: No such compressor or level.
    """
    if text == "none":
        return PLAIN
    kind, colon, level = text.partition(":")
    if kind not in _DEFAULT:
        raise UsageError(f"there is no compression {text!r}", "it is none, gzip[:1-9] or zstd[:1-19]")
    if not colon:
        return Compression(kind, _DEFAULT[kind])
    if not re.fullmatch(r"[0-9]{1,2}", level) or not 1 <= int(level) <= _HIGHEST[kind]:
        raise UsageError(
            f"{kind} has no level {level!r}", f"it has 1 to {_HIGHEST[kind]}, and {_DEFAULT[kind]} unless said"
        )
    return Compression(kind, int(level))


class CompressedStream(HashedStream):
    """A pass over a tar that compresses it: the digest is that of what comes out, the diffID that of what goes in.

    Args:
        pieces: The tar; closed with the stream when it can be.
        compression: How.
        told: Told of the number of bytes of every compressed piece that is passed on.
    """

    def __init__(
        self, pieces: Iterator[bytes], compression: Compression, told: Callable[[int], None] = lambda _: None
    ) -> None:
        self._plain = HashedStream(pieces)
        super().__init__(_compressed(iter(self._plain), compression, told))

    @property
    def diff_id(self) -> Digest:
        """Of the tar, once it has been read. Raises `NotRead` before."""
        return self._plain.digest

    def close(self) -> None:
        """See `BlobStream`."""
        super().close()
        self._plain.close()


def _compressed(
    pieces: Iterator[bytes], compression: Compression, told: Callable[[int], None]
) -> Generator[bytes, None, None]:
    compressor = compression.compressor()
    for piece in pieces:
        if out := compressor.compress(piece):
            yield out
            told(len(out))
    out = compressor.flush()
    yield out
    told(len(out))

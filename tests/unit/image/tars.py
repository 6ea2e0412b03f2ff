"""Layers as other tools write them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable

import zstandard

from modelcar.oci import media

Layer = bytes | tuple[str, bytes]


def file(name: str, content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info, b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def hard(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return link(name, target, tarfile.LNKTYPE)


def tar(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as opened:
        for info, content in entries:
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def members(content: bytes) -> bytes:
    """A gzip stream of several members, as pigz and some registries' own compressors write them."""
    middle = len(content) // 2
    return gzip.compress(content[:middle]) + gzip.compress(b"") + gzip.compress(content[middle:])


def frames(content: bytes) -> bytes:
    """A zstd stream of several frames and a skippable one, as zstd:chunked has."""
    middle = len(content) // 2
    compressor = zstandard.ZstdCompressor()
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip"
    return compressor.compress(content[:middle]) + compressor.compress(content[middle:]) + skippable


COMPRESSIONS: dict[str, Callable[[bytes], Layer]] = {
    "plain": lambda content: (media.OCI_LAYER, content),
    "plain, Docker's name": lambda content: (media.DOCKER_LAYER, content),
    "gzip": lambda content: (media.OCI_LAYER_GZIP, gzip.compress(content)),
    "gzip, Docker's name": lambda content: (media.DOCKER_LAYER_GZIP, gzip.compress(content, 1)),
    "gzip of several members": lambda content: (media.OCI_LAYER_GZIP, members(content)),
    "gzip with zeros behind": lambda content: (media.OCI_LAYER_GZIP, gzip.compress(content) + bytes(700)),
    "zstd": lambda content: (media.OCI_LAYER_ZSTD, zstandard.compress(content)),
    "zstd of several frames": lambda content: (media.OCI_LAYER_ZSTD, frames(content)),
}

"""Descriptors, manifests and indexes as values (OCI image-spec v1.1: descriptor.md, manifest.md, image-index.md)."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from modelcar.errors import ContentMismatch, Refused, UsageError
from modelcar.oci import media
from modelcar.oci.digest import Digest, digest_of, parse_digest

MAX_MANIFEST = 4 * 1024 * 1024
"""Bytes: what registries take at the least, and so what we write and read at the most (distribution-spec v1.1)."""


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an image runs, written `os/architecture[/variant]`."""

    architecture: str
    os: str
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def meets(self, wanted: Platform) -> bool:
        """Whether an image for this one is what was asked for: a wish without a variant takes any."""
        same = (self.os, self.architecture) == (wanted.os, wanted.architecture)
        return same and wanted.variant in ("", self.variant)


def parse_platform(text: str) -> Platform:
    """`os/architecture[/variant]`.

    Raises:
        UsageError: It isn't that.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"{text!r} is no platform", "write it like linux/amd64")
    os, architecture, variant = (*parts, "")[:3]
    return Platform(architecture, os, variant)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a manifest says of a blob or another manifest. `size` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    artifact_type: str = ""
    urls: tuple[str, ...] | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image for one platform, or an artifact: a signature, a list of parts. `subject` is what that is about."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: dict[str, str] | None = None
    artifact_type: str = ""
    subject: Descriptor | None = None


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The same image for several platforms: a list of manifests."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    annotations: dict[str, str] | None = None
    artifact_type: str = ""
    subject: Descriptor | None = None


class _Kind(msgspec.Struct, rename="camel"):
    """The fields by which a manifest without a stated type is told from an index."""

    schema_version: int = 0
    media_type: str = ""
    manifests: object = None


def encode(value: Manifest | Index) -> bytes:
    """The bytes of a manifest or index that we write: fields in a fixed order, annotations sorted.

    Raises:
        Refused: It is larger than registries take.
    """
    content = msgspec.json.encode(_ordered(value))
    if len(content) > MAX_MANIFEST:
        raise Refused(
            f"the image's manifest would be {len(content):,} bytes and registries take {MAX_MANIFEST:,} at the most",
            "build fewer files or fewer annotations into one image",
        )
    return content


def describe(value: Manifest | Index, platform: Platform | None = None) -> tuple[Descriptor, bytes]:
    """A manifest's bytes and the descriptor that stands for them."""
    content = encode(value)
    return Descriptor(value.media_type, digest_of(content), len(content), platform), content


def decode(content: bytes, media_type: str, where: str) -> Manifest | Index:
    """A manifest or index from the bytes of a store.

    Args:
        content: The bytes as stored.
        media_type: What the store calls them; where it says nothing useful the bytes decide.
        where: The image's name, for errors.

    Raises:
        ContentMismatch: They are neither, or hold something that is no digest.
        Refused: A manifest of Docker's schema 1, which holds no digests of a config.
    """
    refuse_schema1(content, where)
    kind = _decode(content, _Kind, where)
    stated = media_type if media_type in media.INDEXES | media.MANIFESTS else kind.media_type
    is_index = stated in media.INDEXES if stated else kind.manifests is not None
    value: Manifest | Index
    if is_index:
        value = _decode(content, Index, where)
        descriptors = value.manifests
    else:
        value = _decode(content, Manifest, where)
        descriptors = (value.config, *value.layers)
    for descriptor in (*descriptors, *((value.subject,) if value.subject else ())):
        parse_digest(descriptor.digest, where)
        if descriptor.size < 0:
            raise ContentMismatch(f"{where} states a size of {descriptor.size} bytes")
    return value


def refuse_schema1(content: bytes, where: str) -> None:
    """Stop at a manifest of Docker's schema 1, as `decode` does.

    Raises:
        Refused: It is one.
    """
    if b"schemaVersion" in content and _decode(content, _Kind, where).schema_version == 1:
        raise Refused(
            f"{where} is a Docker schema 1 manifest, the format of before 2016 that names no config and no sizes",
            "push the image again with a tool of this decade, or convert it: skopeo copy --format v2s2",
        )


_T = TypeVar("_T")


def _decode(content: bytes, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ContentMismatch(f"the manifest of {where} can't be read: {error}") from None


def _ordered(value: Manifest | Index) -> Manifest | Index:
    """The same value with every map of annotations sorted, empty ones gone."""

    def sort(annotations: dict[str, str] | None) -> dict[str, str] | None:
        return dict(sorted(annotations.items())) if annotations else None

    def each(descriptors: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        return tuple(msgspec.structs.replace(d, annotations=sort(d.annotations)) for d in descriptors)

    if isinstance(value, Index):
        return msgspec.structs.replace(value, manifests=each(value.manifests), annotations=sort(value.annotations))
    return msgspec.structs.replace(value, layers=each(value.layers), annotations=sort(value.annotations))

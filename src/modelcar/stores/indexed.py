"""What the stores with an `index.json` share: its images by their names (OCI image-spec v1.1, image-layout.md)."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod

import msgspec

from modelcar.errors import ContentMismatch, NotFound, Refused, UsageError
from modelcar.oci import Descriptor, Digest, Index, digest_of, media, parse_reference
from modelcar.oci.attached import is_attached_tag
from modelcar.oci.digest import is_digest
from modelcar.oci.manifest import MAX_MANIFEST, Manifest, decode
from modelcar.stores.contract import Ambiguous, Reader, StoredManifest
from modelcar.stores.named import like, listed

REF_NAME = "org.opencontainers.image.ref.name"
"""The tag (image-spec, annotations.md); some tools put the whole reference there."""

IMAGE_NAME = "io.containerd.image.name"
"""The whole reference, as containerd and buildkit write it and podman reads it."""

PARTIAL = "modelcar.partial"
"""The digest of the image whose blobs were left out, because whoever gets this one has that."""

LAYOUT_VERSION = b'{"imageLayoutVersion":"1.0.0"}'


class IndexedStore(ABC):
    """The reading half of such a store that goes by its index."""

    has_ranges = True
    left_out: Digest | None = None
    """Set while an image is written without the blobs of another one: that one's digest."""

    @property
    @abstractmethod
    def name(self) -> str:
        """See `ReadableStore`."""

    @abstractmethod
    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""

    @abstractmethod
    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`."""

    @abstractmethod
    def _index(self) -> Index:
        """What `index.json` says now. Raises as `resolve`."""

    def resolve(self, version: str) -> Descriptor:
        """See `ReadableStore.resolve`. An empty version means the only image that is there."""
        if is_digest(version):
            content = self.manifest(version)
            return Descriptor(content.media_type, content.digest, len(content.content))
        images = self._index().manifests
        found = _named(images, version) if version else tuple(d for d in images if not is_attached_tag(tag_of(d)))
        if not found:
            what = f"holds no image {version!r}" if version else "holds no image"
            raise NotFound(f"{self.name} {what}", _hint(images, version))
        if len(found) > 1 and not version:
            raise Ambiguous(f"{self.name} holds {len(found)} images and none was named", _hint(images, version))
        return found[-1]

    def manifest(self, version: str) -> StoredManifest:
        """See `ReadableStore.manifest`."""
        if is_digest(version):
            digest, media_type = Digest(version), ""
        else:
            descriptor = self.resolve(version)
            digest, media_type = descriptor.digest, descriptor.media_type
        with contextlib.closing(self.open_blob(digest)) as reader:
            content = reader.read(MAX_MANIFEST + 1)
        if len(content) > MAX_MANIFEST:
            raise Refused(f"the manifest {digest} in {self.name} is larger than {MAX_MANIFEST:,} bytes")
        if digest.startswith("sha256:") and digest_of(content) != digest:
            raise ContentMismatch(f"the manifest {digest} in {self.name} has other bytes than its digest says")
        return StoredManifest(content, media_type or _media_type_of(content, f"{self.name}@{digest}"), digest)

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...] | None:
        """See `ReadableStore.referrers`: image-layout.md knows no such lists."""
        return None

    def tags(self) -> list[str]:
        """See `ReadableStore.tags`."""
        return sorted({_tag_part(tag) for d in self._index().manifests if (tag := tag_of(d))})

    def since(self, version: str) -> Digest | None:
        """The image whose blobs were left out of this one, None where it is whole. Raises as `resolve`."""
        descriptor = self.resolve(version)
        marks = (each.annotations for each in self._index().manifests if each.digest == descriptor.digest)
        return next((Digest(mark[PARTIAL]) for mark in marks if mark and PARTIAL in mark), None)

    def _described(self, descriptor: Descriptor) -> Descriptor:
        """A descriptor for `index.json`, with a mark where blobs are left out."""
        if self.left_out is None:
            return descriptor
        return msgspec.structs.replace(
            descriptor, annotations={**(descriptor.annotations or {}), PARTIAL: self.left_out}
        )

    def _absent(self, digest: Digest) -> NotFound:
        """The error for a blob that is not there; of a partial image it names all that aren't."""
        for descriptor in self._index().manifests:
            since = (descriptor.annotations or {}).get(PARTIAL)
            missing = self._missing_of(descriptor) if since else []
            if digest in missing:
                return NotFound(
                    f"{self.name} is partial, made since {since}: it lacks {listed(missing)}",
                    f"copy it to where that image is: modelcar copy {self.name} HOST/REPOSITORY:TAG",
                )
        return NotFound(f"{self.name} has no blob {digest}")

    def _missing_of(self, descriptor: Descriptor) -> list[Digest]:
        """The blobs that an image names and that are not here."""
        if not self.has_blob(descriptor.digest):
            return [descriptor.digest]
        value = decode(self.manifest(descriptor.digest).content, descriptor.media_type, self.name)
        if isinstance(value, Manifest):
            return [each.digest for each in (value.config, *value.layers) if not self.has_blob(each.digest)]
        return list(dict.fromkeys(digest for each in value.manifests for digest in self._missing_of(each)))


def tag_of(descriptor: Descriptor) -> str:
    """What an image is called in its index; empty where it has no name."""
    return (descriptor.annotations or {}).get(REF_NAME, "")


def decode_index(content: bytes, name: str) -> Index:
    """The bytes of `index.json` in the store `name`.

    Raises:
        ContentMismatch: They are no index.
    """
    index = decode(content, media.OCI_INDEX, f"{name} (index.json)")
    if isinstance(index, Manifest):
        raise ContentMismatch(f"{name}: index.json is no index")
    return index


def encode_index(index: Index) -> bytes:
    """The bytes for `index.json`. What marks one of its images as partial stands at its top, too."""
    marks = [mark for each in index.manifests if (mark := (each.annotations or {}).get(PARTIAL))]
    others = {key: value for key, value in (index.annotations or {}).items() if key != PARTIAL}
    annotations = {**others, PARTIAL: marks[-1]} if marks else others
    return msgspec.json.encode(msgspec.structs.replace(index, annotations=annotations or None))


def _named(images: tuple[Descriptor, ...], version: str) -> tuple[Descriptor, ...]:
    """The images of that very name, or else of that tag in a whole reference."""
    whole = tuple(d for d in images if version in (tag_of(d), _image_name(d)))
    if whole:
        return whole
    tagged = tuple(d for d in images if version in (_tag_part(tag_of(d)), _tag_part(_image_name(d))))
    return tagged if len({d.digest for d in tagged}) == 1 else ()


def _image_name(descriptor: Descriptor) -> str:
    return (descriptor.annotations or {}).get(IMAGE_NAME, "")


def _tag_part(name: str) -> str:
    """The tag of a whole reference, and any other name as it is."""
    if "/" not in name:
        return name
    try:
        return parse_reference(name).tag or name
    except UsageError:
        return name


def _hint(images: tuple[Descriptor, ...], wanted: str) -> str:
    names = sorted({name for d in images if (name := _image_name(d) or tag_of(d))})
    if not names:
        return "name the one that is meant by @DIGEST" if images else "build one into it first"
    return like(wanted, names)


def _media_type_of(content: bytes, where: str) -> str:
    value = decode(content, "", where)
    return value.media_type or (media.OCI_INDEX if isinstance(value, Index) else media.OCI_MANIFEST)

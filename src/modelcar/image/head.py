"""What an image says of itself: the manifest and the config of one platform (OCI image-spec v1.1, image-index.md)."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from modelcar.errors import ContentMismatch, NotFound
from modelcar.http import PIECE
from modelcar.oci import Config, Descriptor, Digest, Index, Manifest, Platform, digest_of, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import MAX_MANIFEST, decode
from modelcar.stores import Location, ReadableStore, StoredManifest
from modelcar.stores.named import named_manifest


@dataclass(frozen=True, slots=True)
class ImageHead:
    """An image for one platform, without what is in its layers.

    Attributes:
        location: Where it was read.
        digest: Of what the reference names: the index, if there is one.
        platforms: All that the image is for.
        manifest: That of the platform looked at.
        config: Its config.
    """

    location: Location
    digest: Digest
    platforms: tuple[Platform, ...]
    manifest: Manifest
    config: Config

    def stated(self, key: str) -> str | None:
        """What an annotation says, or the label of that name: Docker's manifests have no annotations."""
        labels = (self.config.config.labels if self.config.config else None) or {}
        return (self.manifest.annotations or {}).get(key) or labels.get(key)


def read_head(location: Location, platform: Platform | None = None) -> ImageHead:
    """An image's manifest and config.

    Args:
        location: The image.
        platform: Which, of a multi-platform image; by default its first.

    Raises:
        NotFound: No such image, or it isn't for that platform, or a part of it is missing.
        ContentMismatch: What is there is no image of files.
        Refused: A manifest of Docker's schema 1, or one of more than 4 MiB.
        ModelcarError: As the store does.
    """
    stored = named_manifest(location)
    manifest, platforms = _manifest_for(location, stored, platform)
    config = read_config(location.store, manifest.config)
    # Where an index names platforms it is believed: configs often leave a variant out.
    if platform is not None and not platforms and not config.platform.meets(platform):
        raise NotFound(f"{location} is not for {platform}", f"it is for {config.platform}")
    return ImageHead(location, stored.digest, platforms or (config.platform,), manifest, config)


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """One of the images that a reference names.

    Attributes:
        platform: What it is for; None where neither index nor config says it.
        digest: Of its manifest.
        manifest: None where the index names it and it is not there.
    """

    platform: Platform | None
    digest: Digest
    manifest: Manifest | None

    @property
    def size(self) -> int | None:
        """Bytes of its layers as stored, each once."""
        layers = self.manifest.layers if self.manifest else None
        return None if layers is None else sum({layer.digest: layer.size for layer in layers}.values())


def read_platforms(head: ImageHead) -> tuple[PlatformImage, ...]:
    """The image for each platform that there is one for.

    Raises:
        ModelcarError: As `read_head`, but for manifests that aren't there.
    """
    location = head.location
    stored = location.store.manifest(head.digest)
    value = decode(stored.content, stored.media_type, str(location))
    if isinstance(value, Manifest):
        return (PlatformImage(head.config.platform, head.digest, value),)
    return tuple(PlatformImage(d.platform, d.digest, _manifest_if_there(location, d)) for d in _images(value))


def _images(index: Index) -> list[Descriptor]:
    """BuildKit lists attestations beside images, for the platform unknown/unknown."""
    return [d for d in index.manifests if d.platform is None or d.platform.os != "unknown"]


def _manifest_if_there(location: Location, descriptor: Descriptor) -> Manifest | None:
    try:
        stored = location.store.manifest(descriptor.digest)
    except NotFound:
        return None
    value = decode(stored.content, stored.media_type, str(location))
    return value if isinstance(value, Manifest) else None


def read_config(store: ReadableStore, descriptor: Descriptor) -> Config:
    """The config that a manifest names.

    Raises:
        ContentMismatch: It is none.
        ModelcarError: As the store does.
    """
    if descriptor.media_type not in (media.OCI_CONFIG, media.DOCKER_CONFIG):
        raise ContentMismatch(
            f"{store.name} holds an artifact of type {descriptor.media_type}, not a container image",
            "ModelPack and other artifacts can't be mounted by KServe: build an image from the model",
        )
    content = b""
    with closing(store.open_blob(descriptor.digest)) as reader:
        while len(content) <= MAX_MANIFEST and (piece := reader.read(PIECE)):
            content += piece
    if digest_of(content) != descriptor.digest:
        raise ContentMismatch(f"the config {descriptor.digest} of {store.name} has other bytes than its digest says")
    return configs.decode(content, store.name)


def _manifest_for(
    location: Location, stored: StoredManifest, platform: Platform | None
) -> tuple[Manifest, tuple[Platform, ...]]:
    """The manifest to look at, and the platforms that an index names."""
    value = decode(stored.content, stored.media_type, str(location))
    if isinstance(value, Manifest):
        return value, ()
    images = _images(value)
    platforms = tuple(d.platform for d in images if d.platform)
    chosen = next((d for d in images if platform is None or (d.platform and d.platform.meets(platform))), None)
    if chosen is None:
        raise NotFound(
            f"{location} is not for {platform}" if platform else f"{location} is an index without images",
            f"it is for {', '.join(map(str, platforms))}" if platforms else "",
        )
    try:
        inner_stored = location.store.manifest(chosen.digest)
    except NotFound:
        of = f" for {chosen.platform}" if chosen.platform else ""
        raise NotFound(
            f"{location} is an index, and the manifest {chosen.digest} that it names{of} is not there",
            "copy or push the image again with all its platforms",
        ) from None
    inner = decode(inner_stored.content, inner_stored.media_type, str(location))
    if isinstance(inner, Index):
        raise ContentMismatch(f"{location}: an index inside an index holds no image")
    return inner, platforms

"""The files of an image: what each layer holds, and what of it a container sees."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelcar.errors import ContentMismatch, NotFound
from modelcar.image.blobfile import open_layer
from modelcar.oci import Config, Descriptor, Index, Manifest, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import MAX_MANIFEST, decode
from modelcar.stores import Location, ReadableStore

_OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One entry of a layer.

    Attributes:
        path: Without a leading slash.
        kind: `file`, `folder`, `symlink`, `hardlink` or `other`.
        size: Bytes of content.
        mode: Permission bits.
        target: Of a link.
        layer: The layer's number, from 0.
        offset: Where its content begins in the uncompressed tar.
    """

    path: str
    kind: str
    size: int
    mode: int
    target: str
    layer: int
    offset: int


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """A layer and its entries in the order of the tar."""

    descriptor: Descriptor
    files: tuple[ImageFile, ...]


@dataclass(frozen=True, slots=True)
class ImageTree:
    """An image for one platform.

    Attributes:
        location: Where it was read.
        digest: Of what the reference names: the index, if there is one.
        platforms: All that the image is for.
        manifest: That of the platform looked at.
        config: Its config.
        layers: Lowest first.
    """

    location: Location
    digest: str
    platforms: tuple[str, ...]
    manifest: Manifest
    config: Config
    layers: tuple[LayerFiles, ...] = field(repr=False)

    def files(self) -> dict[str, ImageFile]:
        """What a container sees, by path: later layers replace and remove what is below (image-spec, layer.md)."""
        seen: dict[str, ImageFile] = {}
        for layer in self.layers:
            _remove_whiteouts(seen, layer)
            for file in layer.files:
                if not posixpath.basename(file.path).startswith(_WHITEOUT):
                    seen[file.path] = file
        return dict(sorted(seen.items()))


def read_tree(location: Location, platform: str | None = None) -> ImageTree:
    """An image's files, without their content.

    Args:
        location: The image.
        platform: `os/architecture[/variant]`; by default the first of the image.

    Raises:
        NotFound: No such image, or it isn't for that platform.
        ContentMismatch: What is there is no image of files.
        ModelcarError: As the store does.
    """
    stored = location.store.manifest(location.version)
    manifest, platforms = _manifest_for(location, stored.content, stored.media_type, platform)
    config = read_config(location.store, manifest.config)
    layers = tuple(read_layer(location.store, layer, number) for number, layer in enumerate(manifest.layers))
    return ImageTree(location, stored.digest, platforms or (str(config.platform),), manifest, config, layers)


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
    reader = store.open_blob(descriptor.digest)
    try:
        content = b"".join(iter(lambda: reader.read(MAX_MANIFEST), b""))
    finally:
        reader.close()
    return configs.decode(content, store.name)


def read_layer(store: ReadableStore, descriptor: Descriptor, number: int) -> LayerFiles:
    """A layer's entries. Of an uncompressed one only the headers are read.

    Raises:
        ContentMismatch: It is no tar, or a broken one.
        ModelcarError: As the store does.
    """
    opened, seekable = open_layer(store, descriptor)
    with opened:
        try:
            with tarfile.open(fileobj=opened, mode="r:" if seekable else "r|") as tar:
                return LayerFiles(descriptor, tuple(_entries(tar, number)))
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise ContentMismatch(f"the layer {descriptor.digest} of {store.name} can't be read: {error}") from None


def _entries(tar: tarfile.TarFile, layer: int) -> Iterator[ImageFile]:
    for member in tar:
        kind = (
            "file" if member.isreg() else "folder" if member.isdir() else "symlink" if member.issym()
            else "hardlink" if member.islnk() else "other"
        )  # fmt: skip
        yield ImageFile(normal(member.name), kind, member.size, member.mode, member.linkname, layer, member.offset_data)


def normal(name: str) -> str:
    """A member's name as a path from the image's root: `./models/x`, `/models/x` and `models/x` are the same file."""
    return posixpath.normpath("/" + name).lstrip("/")


def _manifest_for(
    location: Location, content: bytes, media_type: str, platform: str | None
) -> tuple[Manifest, tuple[str, ...]]:
    value = decode(content, media_type, str(location))
    if isinstance(value, Manifest):
        return value, ()
    known = {str(d.platform): d for d in value.manifests if d.platform and d.platform.os != "unknown"}
    if not known:
        known = {d.digest: d for d in value.manifests}
    chosen = known.get(platform) if platform else next(iter(known.values()), None)
    if chosen is None:
        raise NotFound(
            f"{location} is not for {platform}" if platform else f"{location} is an index without images",
            f"it is for {', '.join(known)}" if known else "",
        )
    stored = location.store.manifest(chosen.digest)
    inner = decode(stored.content, stored.media_type, str(location))
    if isinstance(inner, Index):
        raise ContentMismatch(f"{location}: an index inside an index holds no image")
    return inner, tuple(known)


def _remove_whiteouts(seen: dict[str, ImageFile], layer: LayerFiles) -> None:
    for file in layer.files:
        folder, name = posixpath.split(file.path)
        if name == _OPAQUE:
            gone = [path for path in seen if path.startswith(f"{folder}/")]
        elif name.startswith(_WHITEOUT):
            removed = posixpath.join(folder, name.removeprefix(_WHITEOUT))
            gone = [path for path in seen if path == removed or path.startswith(f"{removed}/")]
        else:
            continue
        for path in gone:
            del seen[path]

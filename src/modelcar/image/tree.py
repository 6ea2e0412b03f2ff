"""The files of an image: what each layer holds, and what of it a container sees."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from modelcar.errors import ContentMismatch, NotFound
from modelcar.http import PIECE
from modelcar.image.blobfile import open_layer, read_as_tar
from modelcar.oci import Config, Descriptor, Digest, Index, Manifest, Platform, digest_of, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import MAX_MANIFEST, decode
from modelcar.stores import Location, ReadableStore, StoredManifest

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


@dataclass(frozen=True, slots=True)
class ImageTree(ImageHead):
    """An image for one platform, with what its layers hold.

    Attributes:
        layers: Lowest first.
    """

    layers: tuple[LayerFiles, ...] = field(repr=False)

    def files(self) -> dict[str, ImageFile]:
        """What a container sees, by path: later layers replace and remove what is below (image-spec, layer.md)."""
        seen: dict[str, ImageFile] = {}
        folders: set[str] = set()
        for layer in self.layers:
            _remove_whiteouts(seen, layer)
            for file in layer.files:
                if posixpath.basename(file.path).startswith(_WHITEOUT):
                    continue
                if file.kind != "folder" and file.path in folders:
                    _remove_below(seen, file.path)
                    folders.discard(file.path)
                for folder in _folders_above(file.path):
                    folders.add(folder)
                    if folder in seen and seen[folder].kind not in ("folder", "symlink"):
                        del seen[folder]
                seen[file.path] = file
        return dict(sorted(seen.items()))

    def content_of(self, file: ImageFile) -> ImageFile | None:
        """The entry that holds a file's bytes: itself, or what a hard link is made to; None where that is nowhere.

        A hard link names an entry before it in its own layer, else a file of the layers below; whatever later layers
        put there is not meant.
        """
        found: ImageFile | None = file
        while found is not None and found.kind == "hardlink":
            link, path = found, normal(found.target)
            before = [e for e in self.layers[link.layer].files if e.path == path and e.offset < link.offset]
            found = before[-1] if before else replace(self, layers=self.layers[: link.layer]).files().get(path)
        return found


def read_tree(location: Location, platform: Platform | None = None) -> ImageTree:
    """An image's files, without their content.

    Args:
        location: The image.
        platform: Which, of a multi-platform image; by default its first.

    Raises:
        NotFound: No such image, or it isn't for that platform.
        ContentMismatch: What is there is no image of files.
        ModelcarError: As the store does.
    """
    return read_layers(read_head(location, platform))


def read_layers(head: ImageHead) -> ImageTree:
    """What the layers of an image hold. Raises as `read_tree`."""
    store = head.location.store
    layers = tuple(read_layer(store, layer, number) for number, layer in enumerate(head.manifest.layers))
    return ImageTree(head.location, head.digest, head.platforms, head.manifest, head.config, layers)


def read_head(location: Location, platform: Platform | None = None) -> ImageHead:
    """An image's manifest and config. Arguments and errors as for `read_tree`."""
    stored = location.store.manifest(location.version)
    manifest, platforms = _manifest_for(location, stored, platform)
    config = read_config(location.store, manifest.config)
    # Where an index names platforms it is believed: configs often leave a variant out.
    if platform is not None and not platforms and not config.platform.meets(platform):
        raise NotFound(f"{location} is not for {platform}", f"it is for {config.platform}")
    return ImageHead(location, stored.digest, platforms or (config.platform,), manifest, config)


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


def read_layer(store: ReadableStore, descriptor: Descriptor, number: int) -> LayerFiles:
    """A layer's entries. Of an uncompressed one only the headers are read.

    Raises:
        ContentMismatch: It is no tar, or a broken one.
        ModelcarError: As the store does.
    """
    opened, seekable = open_layer(store, descriptor)
    with (
        opened,
        read_as_tar(f"the layer {descriptor.digest} of {store.name}"),
        tarfile.open(fileobj=opened, mode="r:" if seekable else "r|") as tar,
    ):
        return LayerFiles(descriptor, tuple(_entries(tar, number)))


def _entries(tar: tarfile.TarFile, layer: int) -> Iterator[ImageFile]:
    for member in tar:
        if member.size < 0:
            # Python before 3.11.14 would go back and read the same header for ever (CVE-2025-8194).
            raise ValueError(f"{member.name!r} has a size of {member.size} bytes")
        kind = (
            "file" if member.isreg() else "folder" if member.isdir() else "symlink" if member.issym()
            else "hardlink" if member.islnk() else "other"
        )  # fmt: skip
        yield ImageFile(normal(member.name), kind, member.size, member.mode, member.linkname, layer, member.offset_data)


def normal(name: str) -> str:
    """A member's name as a path from the image's root: `./models/x`, `/models/x` and `models/x` are the same file."""
    return posixpath.normpath("/" + name).lstrip("/")


def _manifest_for(
    location: Location, stored: StoredManifest, platform: Platform | None
) -> tuple[Manifest, tuple[Platform, ...]]:
    """The manifest to look at, and the platforms that an index names."""
    value = decode(stored.content, stored.media_type, str(location))
    if isinstance(value, Manifest):
        return value, ()
    images = [d for d in value.manifests if d.platform is None or d.platform.os != "unknown"]
    platforms = tuple(d.platform for d in images if d.platform)
    chosen = next((d for d in images if platform is None or (d.platform and d.platform.meets(platform))), None)
    if chosen is None:
        raise NotFound(
            f"{location} is not for {platform}" if platform else f"{location} is an index without images",
            f"it is for {', '.join(map(str, platforms))}" if platforms else "",
        )
    inner_stored = location.store.manifest(chosen.digest)
    inner = decode(inner_stored.content, inner_stored.media_type, str(location))
    if isinstance(inner, Index):
        raise ContentMismatch(f"{location}: an index inside an index holds no image")
    return inner, platforms


def _remove_whiteouts(seen: dict[str, ImageFile], layer: LayerFiles) -> None:
    for file in layer.files:
        folder, name = posixpath.split(file.path)
        if name == _OPAQUE:
            _remove_below(seen, folder)
        elif name.startswith(_WHITEOUT):
            removed = posixpath.join(folder, name.removeprefix(_WHITEOUT))
            seen.pop(removed, None)
            _remove_below(seen, removed)


def _remove_below(seen: dict[str, ImageFile], folder: str) -> None:
    for path in [path for path in seen if not folder or path.startswith(f"{folder}/")]:
        del seen[path]


def _folders_above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path

"""The files of an image: what each layer holds, and what of it a container sees (OCI image-spec v1.1, layer.md)."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property

from modelcar.errors import ContentMismatch, Refused
from modelcar.events import Listener, Warned, ignore
from modelcar.image.blobfile import StreamInput, TarInput, TooDeep, open_layer, open_tar, read_as_tar
from modelcar.image.head import ImageHead, read_head
from modelcar.oci import Descriptor, Platform, media
from modelcar.oci.tar import BLOCK
from modelcar.parallel import side_by_side
from modelcar.retry import Patience
from modelcar.stores import Location, ReadableStore

WALKERS = 8
"""Layers looked at side by side: each costs few bytes, and a network's round trip."""

MOST_ENTRIES = 1_000_000
"""Of one layer: each costs memory here, and a compressed layer may hold any number."""

_KEY, _PATH = "modelcar.key", "modelcar.path"  # see docs/images.md
_OPAQUE = ".wh..wh..opq"
_WHITEOUT = ".wh."
_LONGEST_PATH = 4096
"""Linux's PATH_MAX: no container can have a longer one."""

_LINKS = 40
"""Symbolic links followed on the way to one file, as Linux does (path_resolution(7))."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One entry of a layer.

    Attributes:
        path: Without a leading slash. One that begins with `../` leads out of the image.
        kind: `file`, `folder`, `symlink`, `hardlink`, `sparse` (a file whose holes are left out), or `other`:
            a device, a pipe.
        size: Bytes of content.
        mode: Permission bits.
        target: Of a link.
        layer: The layer's number, from 0.
        offset: Where its content begins in the uncompressed tar.
        spelled: The name as the tar has it, where that is another than the path.
        group: Number of the group that it belongs to.
    """

    path: str
    kind: str
    size: int
    mode: int
    target: str
    layer: int
    offset: int
    spelled: str = ""
    group: int = 0


Keep = Callable[[ImageFile, StreamInput], None]


@dataclass(frozen=True, slots=True)
class LayerFiles:
    """A layer and its entries in the order of the tar.

    Attributes:
        descriptor: The layer.
        files: Its entries.
        is_whole: False where it wasn't read to its end, as `read_layer` was told.
    """

    descriptor: Descriptor
    files: tuple[ImageFile, ...]
    is_whole: bool = True

    def contents(self) -> list[ImageFile]:
        """Its entries but folders."""
        return [file for file in self.files if file.kind != "folder"]


@dataclass(frozen=True)
class ImageTree(ImageHead):
    """An image for one platform, with what its layers hold.

    Attributes:
        layers: Lowest first.
    """

    layers: tuple[LayerFiles, ...] = field(repr=False)

    def files(self) -> dict[str, ImageFile]:
        """What a container sees, by path: later layers replace and remove what is below."""
        return dict(self._view.files)

    def content_of(self, file: ImageFile) -> ImageFile | None:
        """The entry that holds a file's bytes: itself, or what a hard link is made to; None where that is nowhere.

        A hard link names an entry before it in its own layer, else a file of the layers below; whatever later layers
        put there is not meant.
        """
        return self._view.contents.get((file.layer, file.offset, file.path)) if file.kind == "hardlink" else file

    def follow(self, path: str) -> ImageFile | None:
        """The entry with the content that a path leads to, all links followed; None where it leads nowhere.

        Raises:
            ContentMismatch: It leads in a circle.
        """
        files, links = self._view.files, 0
        parts, done = deque(part for part in path.split("/") if part), ""
        while parts:
            part = parts.popleft()
            if part in (".", ".."):
                done = posixpath.dirname(done) if part == ".." else done
                continue
            here = posixpath.join(done, part)
            entry = files.get(here)
            if entry is not None and entry.kind == "hardlink":
                entry = self.content_of(entry)
            if entry is not None and entry.kind == "symlink":
                links += 1
                if links > _LINKS:
                    raise ContentMismatch(f"/{path} of {self.location} is a symbolic link that leads in a circle")
                done = "" if entry.target.startswith("/") else done
                parts.extendleft(part for part in reversed(entry.target.split("/")) if part)
                continue
            if not parts:
                return entry
            done = here
        return files.get(done)

    def has_file(self, path: str) -> bool:
        """Whether a path leads to a file, links followed, those of folders too (`bin` is one on most images)."""
        try:
            found = self.follow(path)
        except ContentMismatch:
            return False  # a circle of links
        return found is not None and found.kind == "file"

    @cached_property
    def _view(self) -> _View:
        return _View(self.layers)


class _View:
    """What a container sees of layers.

    Attributes:
        files: By path, sorted.
        contents: The entry with the bytes of each hard link, by layer, offset and path.
    """

    def __init__(self, layers: Sequence[LayerFiles]) -> None:
        self._root = _Node()
        self.contents: dict[tuple[int, int, str], ImageFile | None] = {}
        for layer in layers:
            self._resolve_hard_links(layer)
            for file in layer.files:
                self._remove_whiteout(file)
            for file in layer.files:
                self._add(file)
        self.files = dict(sorted(self._root.entries()))

    def _resolve_hard_links(self, layer: LayerFiles) -> None:
        """While only the layers below are there."""
        here: dict[str, ImageFile] = {}
        for file in layer.files:
            if file.kind == "hardlink":
                target = normal(file.target)
                found = here.get(target) or self._root.find(target)
                if found is not None and found.kind == "hardlink":
                    found = self.contents.get((found.layer, found.offset, found.path))
                self.contents[file.layer, file.offset, file.path] = found
            here[file.path] = file

    def _remove_whiteout(self, file: ImageFile) -> None:
        folder, name = posixpath.split(file.path)
        if name == _OPAQUE:
            node = self._root.node(folder)
            if node is not None:
                node.children.clear()
        elif name.startswith(_WHITEOUT):
            node = self._root.node(folder)
            if node is not None:
                node.children.pop(name.removeprefix(_WHITEOUT), None)

    def _add(self, file: ImageFile) -> None:
        if not file.path or posixpath.basename(file.path).startswith(_WHITEOUT):
            return
        node = self._root
        for part in file.path.split("/"):
            if node.entry is not None and node.entry.kind not in ("folder", "symlink"):
                node.entry = None  # a file where a folder is now
            node = node.children.setdefault(part, _Node())
        if file.kind != "folder":
            node.children.clear()
        node.entry = file


class _Node:
    """A place in the tree of files: what is there, and what is below it."""

    __slots__ = ("children", "entry")

    def __init__(self) -> None:
        self.entry: ImageFile | None = None
        self.children: dict[str, _Node] = {}

    def node(self, path: str) -> _Node | None:
        found: _Node | None = self
        for part in path.split("/") if path else ():
            found = found.children.get(part) if found is not None else None
        return found

    def find(self, path: str) -> ImageFile | None:
        node = self.node(path)
        return node.entry if node is not None else None

    def entries(self) -> Iterator[tuple[str, ImageFile]]:
        left = [self]  # no recursion: a path may have any number of parts
        while left:
            node = left.pop()
            if node.entry is not None:
                yield node.entry.path, node.entry
            left.extend(node.children.values())


def read_tree(
    location: Location,
    platform: Platform | None = None,
    *,
    patience: Patience | None = None,
    listener: Listener = ignore,
) -> ImageTree:
    """An image's files, without their content.

    Args:
        location: The image.
        platform: Which, of a multi-platform image; by default its first.
        patience: Ends the work when it is cancelled.
        listener: Is told where more than headers is read.

    Raises:
        NotFound: No such image, or it isn't for that platform.
        ContentMismatch: What is there is no image of files.
        Refused: It holds more than can be listed, or grows beyond all measure when it is decompressed.
        ModelcarError: As the store does.
    """
    return read_layers(read_head(location, platform), patience=patience, listener=listener)


def read_layers(head: ImageHead, *, patience: Patience | None = None, listener: Listener = ignore) -> ImageTree:
    """What the layers of an image hold. Arguments and errors as for `read_tree`."""
    layers = head.manifest.layers
    read = walk(head, range(len(layers)), patience or Patience(), listener)
    return with_layers(head, tuple(read[number] for number in range(len(layers))))


def with_layers(head: ImageHead, layers: tuple[LayerFiles, ...]) -> ImageTree:
    """The tree of an image of which these layers were read."""
    return ImageTree(head.location, head.digest, head.platforms, head.manifest, head.config, layers)


def walk(
    head: ImageHead,
    numbers: Sequence[int],
    patience: Patience,
    listener: Listener,
    depth: int | None = None,
    keep: Keep | None = None,
) -> dict[int, LayerFiles]:
    """What some of an image's layers hold, side by side. `listener` is told which of them were read as a whole.

    With a `depth` that is said by `LayerFiles.is_whole` instead. For `keep` see `read_layer`.
    """
    store, layers = head.location.store, head.manifest.layers
    if depth is not None:
        done = side_by_side(lambda n: read_layer(store, layers[n], n, depth, keep), numbers, WALKERS, patience)
        return dict(zip(numbers, done, strict=True))
    compressed = [layers[number] for number in numbers if media.compression(layers[number].media_type)]
    if compressed:
        kinds = " and ".join(sorted({str(media.compression(layer.media_type)) for layer in compressed}))
        listener(Warned(f"{_layers(compressed)} read from start to end: a {kinds} stream has no list of its files"))
    done = side_by_side(lambda number: read_layer(store, layers[number], number), numbers, WALKERS, patience)
    found = dict(zip(numbers, done, strict=True))
    plain = [layers[number] for number in numbers if media.compression(layers[number].media_type) == ""]
    if plain and not store.has_ranges:
        listener(Warned(f"{_layers(plain)} read from start to end: {store.name} sends no part of a blob, only all"))
    return found


def _layers(layers: Sequence[Descriptor]) -> str:
    size = sum(layer.size for layer in layers)
    return f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'} of {size:,} bytes had to be"


def read_layer(
    store: ReadableStore,
    descriptor: Descriptor,
    number: int,
    depth: int | None = None,
    keep: Keep | None = None,
) -> LayerFiles:
    """A layer's entries. Of an uncompressed one only the headers are read.

    Args:
        store: Where it is.
        descriptor: Which.
        number: From 0, for the entries.
        depth: Stored bytes of a layer without ranges after which no more is read.
        keep: Is given each file of a layer that is read as a stream, which has come to its content.

    Raises:
        ContentMismatch: It is no tar, or a broken one.
        ModelcarError: As the store does.
    """
    what = f"the layer {descriptor.digest} of {store.name}"
    files: list[ImageFile] = []
    try:
        with closing(open_layer(store, descriptor, depth)) as opened, read_as_tar(what):
            for file in entries(opened, number):
                files.append(file)
                if len(files) > MOST_ENTRIES:
                    raise Refused(f"{what} holds more than {MOST_ENTRIES:,} files, and is no model's")
                if _is_last(file, descriptor, is_sure=depth is None):
                    break
                if keep and file.kind == "file" and isinstance(opened, StreamInput):
                    keep(file, opened)
    except TooDeep:
        return LayerFiles(descriptor, tuple(files), is_whole=False)
    return LayerFiles(descriptor, tuple(files))


def _is_last(file: ImageFile, descriptor: Descriptor, *, is_sure: bool) -> bool:
    """Whether nothing but the end can follow in a plain layer: that saves a request.

    Of layers of others that is so for all practical purposes: two blocks hold the end of a tar and nothing else.
    """
    if file.kind != "file" or media.compression(descriptor.media_type):
        return False
    if is_sure and _KEY not in (descriptor.annotations or {}):
        return False
    return file.offset + -(-file.size // BLOCK) * BLOCK + 2 * BLOCK == descriptor.size


def stub(descriptor: Descriptor, number: int) -> LayerFiles | None:
    """What the annotations of a layer of one file say of it, without its size and offset; None where they don't."""
    annotations = descriptor.annotations or {}
    if _KEY not in annotations or _PATH not in annotations:
        return None
    path = normal("models/" + annotations[_PATH])
    return LayerFiles(descriptor, (ImageFile(path, "file", -1, 0o644, "", number, -1),))


def entries(opened: TarInput, layer: int) -> Iterator[ImageFile]:
    """The entries of a layer's tar. Between two of them their content may be read.

    Raises:
        ValueError, tarfile.TarError: It is damaged: see `read_as_tar`.
    """
    with open_tar(opened) as tar:
        before = -1
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]
            # A negative size would lead back to the same header for ever (CVE-2025-8194).
            if member.size < 0 or member.offset_data <= before:
                raise ValueError(f"{member.name!r} has a size of {member.size} bytes")
            if max(len(member.name), len(member.linkname)) > _LONGEST_PATH:
                raise ValueError(f"a name of {max(len(member.name), len(member.linkname)):,} characters")
            before = member.offset_data
            kind = (
                "sparse" if member.issparse() else "file" if member.isreg() else "folder" if member.isdir()
                else "symlink" if member.issym() else "hardlink" if member.islnk() else "other"
            )  # fmt: skip
            path = normal(member.name)
            spelled = "" if member.name == path else member.name
            at = member.offset_data
            yield ImageFile(path, kind, member.size, member.mode, member.linkname, layer, at, spelled, member.gid)
        if opened.last.strip(b"\0"):
            raise ValueError("where the next file should begin stands something else: a size before it is wrong")


def normal(name: str) -> str:
    """A member's name as a path from the image's root: `./models/x`, `/models/x` and `models/x` are the same file.

    A name that leads out of the root keeps its `../`, which no path inside has.
    """
    path = posixpath.normpath(name.lstrip("/"))
    return "" if path == "." else path

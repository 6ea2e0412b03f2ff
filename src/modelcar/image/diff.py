"""What changed between two sets of files, by what is known of their content. Pure: the caller does the reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modelcar.errors import ContentMismatch
from modelcar.image.tree import ImageFile, ImageTree
from modelcar.oci import Digest

LAYER = "layer"
"""The layer (by diffID) and the place in it: equal for equal bytes, but the same file may lie elsewhere."""

KEY = "layer key"
"""The key of a layer of several files, and the path: equal for equal bytes, but a neighbour may have changed it."""

TAR = "layer digest"
"""The diffID of a layer of modelcar's that is this file alone: as telling as the file's own digest."""

LONE_KEY = "key of its layer"
"""The key of a plain layer of modelcar's that is this file alone, made of the file's sha256."""

SHA256, GIT = "sha256", "git-sha1"
"""Digests of the file itself, as a source states them."""

_DECISIVE = frozenset({TAR, LONE_KEY, SHA256, GIT})
"""Marks of which two that differ show that the content does."""

_SIZE, _CONTENT = "size", "content"


@dataclass(frozen=True, slots=True)
class FileView:
    """A file, as far as its content is known without reading it.

    Attributes:
        size: Bytes.
        marks: What stands for its content, by kind: `LAYER`, `KEY`, `TAR`, `LONE_KEY`, `SHA256`, `GIT`.
    """

    size: int
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is not known to be the same on both sides.

    Attributes:
        path: Below `/models`, or in the source.
        kind: `added`, `removed`, `changed`, or `not compared`.
        old_size: Bytes; None where it was added.
        new_size: Bytes; None where it was removed.
        how: By what it was told; empty where nothing told it.
    """

    path: str
    kind: str
    old_size: int | None
    new_size: int | None
    how: str = ""


@dataclass(frozen=True, slots=True)
class FileChanges:
    """What became of the files.

    Attributes:
        changes: By path.
        same: How many files are the same, by how that was told.
    """

    changes: tuple[FileChange, ...]
    same: Mapping[str, int]

    def of_kind(self, kind: str) -> list[FileChange]:
        """Those of one kind."""
        return [change for change in self.changes if change.kind == kind]


def compare(
    old: Mapping[str, FileView],
    new: Mapping[str, FileView],
    read: Callable[[str], bool | None],
    *,
    whole: tuple[bool, bool] = (True, True),
) -> FileChanges:
    """Files added, removed, changed, or the same.

    Args:
        old: The files before, by path.
        new: The files after.
        read: Asked for a path of the same size on both sides whose marks tell nothing: whether the content is the
            same, None where it isn't read.
        whole: Whether all files of either side are known: else one that isn't there may only not have been seen.
    """
    changes: list[FileChange] = []
    same: dict[str, int] = {}
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if before is None or after is None:
            sizes = before.size if before else None, after.size if after else None
            kind = "removed" if before else "added"
            changes.append(FileChange(path, kind if whole[1 if before else 0] else "not compared", *sizes))
            continue
        verdict, how = _verdict(before, after)
        if verdict is None:
            verdict, how = read(path), _CONTENT
        if verdict:
            same[how] = same.get(how, 0) + 1
        elif verdict is None:
            changes.append(FileChange(path, "not compared", before.size, after.size))
        else:
            changes.append(FileChange(path, "changed", before.size, after.size, how))
    return FileChanges(tuple(changes), same)


def _verdict(old: FileView, new: FileView) -> tuple[bool | None, str]:
    if old.size != new.size:
        return False, _SIZE
    shared = [kind for kind in old.marks if kind in new.marks]
    for kind in shared:
        if old.marks[kind] == new.marks[kind]:
            return True, kind
    for kind in shared:
        if kind in _DECISIVE:
            return False, kind
    return None, ""


def views_of(tree: ImageTree, entries: Mapping[str, ImageFile], keys: Mapping[Digest, str]) -> dict[str, FileView]:
    """The files of an image with their marks.

    Args:
        tree: The image.
        entries: Where the content of each file is, by the path to know it by.
        keys: The keys of modelcar's layers, by the layer's digest.
    """
    diff_ids = diff_ids_of(tree)
    alone = {number for number, known in enumerate(tree.layers) if known.is_whole and len(known.contents()) == 1}
    views = {}
    for path, entry in entries.items():
        diff_id = diff_ids[entry.layer]
        marks = {LAYER: f"{diff_id}@{entry.offset}"}
        digest = tree.layers[entry.layer].descriptor.digest
        if key := keys.get(digest):
            marks[KEY] = f"{key}/{entry.path}"
            if entry.layer in alone:
                marks[TAR] = diff_id
                if digest == diff_id:
                    marks[LONE_KEY] = key
        views[path] = FileView(entry.size, marks)
    return views


def diff_ids_of(tree: ImageTree) -> tuple[Digest, ...]:
    """The diffID of each layer.

    Raises:
        ContentMismatch: Manifest and config don't agree on the number of layers.
    """
    diff_ids = tree.config.rootfs.diff_ids
    if len(diff_ids) != len(tree.layers):
        raise ContentMismatch(
            f"the manifest of {tree.location} has {len(tree.layers)} layers and its config {len(diff_ids)}"
        )
    return diff_ids


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a node that holds one image must fetch for another.

    Attributes:
        layers: How many.
        size: Their bytes as stored.
        of_layers: How many the other image has.
        of_size: Their bytes.
    """

    layers: int
    size: int
    of_layers: int
    of_size: int


def fetched(old: ImageTree, new: ImageTree) -> Fetched:
    """What a node that holds the first image must fetch for the second: the blobs that the first has not."""
    held = {layer.digest for layer in old.manifest.layers}
    all_layers = {layer.digest: layer.size for layer in new.manifest.layers}
    missing = {digest: size for digest, size in all_layers.items() if digest not in held}
    return Fetched(len(missing), sum(missing.values()), len(all_layers), sum(all_layers.values()))

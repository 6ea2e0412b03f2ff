"""Which files share a layer: pure, and the same for the same files wherever it is made.

Weights have a layer each, and so has any file of 8 MiB and more; the rest share one. Where that makes more layers than
the budget allows, small weights join the rest, and then neighbours share: cut as in content-defined chunking, but by
names and sizes, so that one changed file moves few boundaries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from posixpath import splitext
from typing import Any

from modelcar.build.select import WEIGHTS, LeftOut, Selection, check_case
from modelcar.errors import Refused
from modelcar.oci import Framing, Member, frame
from modelcar.sources import Snapshot, SourceFile

ROOT = "models"
"""The folder of the image that KServe serves, as tar members are named below it."""

BUDGET = 99
"""Layers of an image, base and all: engines stop at 127, and overlay mounts of some hosts earlier."""

HARD_BUDGET = 120
"""Layers that an image may have where a registry's limit for one blob leaves no other way."""

KEY = "modelcar.key"
"""Annotation of a layer: the hash of all that its bytes depend on."""

PATH = "modelcar.path"
"""Annotation of a layer that is one file: its path below `/models`."""

_FORMAT = 1
"""Raise it when the bytes of a layer change for the same files: it is part of every layer's key."""

_SMALL = 8 * 1024**2
_SHARED = 512 * 1024**2
_SHARED_FILES = 1000
"""Files in a shared layer: one that needed more requests than a Hub grants in a row could never be finished."""


@dataclass(frozen=True)
class PlannedLayer:
    """One layer to be: the files in it, sorted by path."""

    files: tuple[SourceFile, ...]

    @cached_property
    def framing(self) -> Framing:
        """The tar around the files."""
        return frame([Member(f"{ROOT}/{file.path}", file.size) for file in self.files])

    @property
    def size(self) -> int:
        """Bytes of the tar."""
        return self.framing.size

    @property
    def path(self) -> str | None:
        """The path of its file, where it is only one."""
        return self.files[0].path if len(self.files) == 1 else None

    @property
    def title(self) -> str:
        """A name for people."""
        return self.path or f"{self.files[0].path} … {self.files[-1].path} ({len(self.files)} files)"

    @cached_property
    def key(self) -> str:
        """What its bytes depend on, as one hash: layers of the same key are the same."""
        lines = [f"modelcar layer {_FORMAT}", "none"]
        lines += [f"{file.path}\0{file.size}\0{file.digest}" for file in self.files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """What goes where. It depends on the snapshot and the wishes alone.

    Attributes:
        snapshot: What is built.
        layers: In the order of the image.
        left_out: Files that stay behind, and why.
        warnings: What the user should know before.
    """

    snapshot: Snapshot
    layers: tuple[PlannedLayer, ...]
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> list[SourceFile]:
        """All files of the image, sorted by path."""
        return sorted((file for layer in self.layers for file in layer.files), key=lambda file: file.path)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @cached_property
    def id(self) -> str:
        """64 hex digits that tell this plan from any other."""
        return hashlib.sha256("\n".join(layer.key for layer in self.layers).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready values."""
        return {
            "source": self.snapshot.location,
            "revision": self.snapshot.revision,
            "id": self.id,
            "size": self.size,
            "layers": [
                {
                    "key": layer.key,
                    "size": layer.size,
                    "files": [{"path": f.path, "size": f.size, "digest": f.digest} for f in layer.files],
                }
                for layer in self.layers
            ],
            "left_out": [{"path": o.file.path, "size": o.file.size, "reason": o.reason} for o in self.left_out],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """What a plan has to keep to.

    Attributes:
        size: Bytes of one layer, None for no limit.
        reason: Whose limit that is.
        base_layers: Layers that the base has already.
    """

    size: int | None = None
    reason: str = ""
    base_layers: int = 0


def make_plan(snapshot: Snapshot, selection: Selection, limits: LayerLimits) -> Plan:
    """Put the selected files into layers.

    Raises:
        Refused: A file larger than the limit of a layer, or more layers than an image can have.
    """
    for file in selection.kept:
        size = PlannedLayer((file,)).size
        if limits.size is not None and size > limits.size:
            raise Refused(
                f"{file.path} makes a layer of {size:,} bytes, over the {limits.size:,} of {limits.reason}",
                "use a model with smaller shards or another registry; if the limit is wrong, --max-layer-size",
            )
    budget = BUDGET - limits.base_layers
    groups = _group(selection.kept, budget, limits.size)
    warnings = check_case(selection.kept)
    if len(groups) > budget:
        total = len(groups) + limits.base_layers
        if total > HARD_BUDGET:
            raise Refused(
                f"the model needs {total} layers to keep each under {limits.size or 0:,} bytes ({limits.reason}), "
                f"and an image can have {HARD_BUDGET}",
                "use a registry that takes larger blobs, or --max-layer-size",
            )
        warnings.append(
            f"{total} layers, more than {BUDGET}, since {limits.reason} takes {limits.size or 0:,} bytes a layer: "
            "some hosts can't mount as many"
        )
    return Plan(snapshot, tuple(map(PlannedLayer, groups)), selection.left_out, tuple(warnings))


_Group = tuple[SourceFile, ...]


def _group(files: Sequence[SourceFile], budget: int, limit: int | None) -> list[_Group]:
    """The files of each layer, layers sorted by their first path."""
    shared_limit = min(_SHARED, limit or _SHARED)
    own = [file for file in files if _stands_alone(file)]
    shared = _fill([file for file in files if not _stands_alone(file)], shared_limit)
    if len(own) + len(shared) > budget:
        own = [file for file in files if file.size >= _SMALL]
        shared = _fill([file for file in files if file.size < _SMALL], shared_limit)
    groups: list[_Group] = [(file,) for file in own]
    if len(groups) + len(shared) > budget:
        # Where small files alone would eat the budget they are few per layer only because of the limit.
        groups = _share(own, max(1, budget - len(shared)), limit)
    return sorted([*groups, *shared], key=lambda group: group[0].path)


def _stands_alone(file: SourceFile) -> bool:
    return file.size >= _SMALL or (file.size > 0 and splitext(file.path)[1].lower() in WEIGHTS)


def _share(files: Sequence[SourceFile], budget: int, limit: int | None) -> list[_Group]:
    """Neighbours together, in at most `budget` groups where the limit allows it, of about the same size."""
    ceiling = limit or 2**63
    # Targets lie on a fixed grid, so that a small change of the whole keeps the target and with it the boundaries.
    target = 1024.0
    while target < sum(file.size for file in files) / budget:
        target *= 1.05
    groups = list(_cut(files, target, ceiling))
    while len(groups) > budget and target < ceiling:
        target *= 1.05
        groups = list(_cut(files, target, ceiling))
    return groups


def _cut(files: Sequence[SourceFile], target: float, ceiling: int) -> Iterator[_Group]:
    """Groups between half and one and a half of the target. Within that a file's own name decides where one ends."""
    group: list[SourceFile] = []
    size = 0
    for file in files:
        if group and (size + file.size > 1.5 * target or _tar_size([*group, file], size + file.size) > ceiling):
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
        if size >= 0.5 * target and _chance(file.path) < file.size / target:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def _tar_size(files: Sequence[SourceFile], content: int) -> int:
    """At most the bytes of a tar of these files, without making its headers."""
    names = sum(2048 + 2 * len(file.path.encode()) + 1024 * file.path.count("/") for file in files)
    return content + 512 * len(files) + names + 4096


def _chance(path: str) -> float:
    """A number in [0, 1) that a path always has."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") / 2**64


def _fill(files: Sequence[SourceFile], limit: int) -> list[_Group]:
    """All small files in one group, or in as few as limits leave."""
    groups: list[_Group] = []
    group: list[SourceFile] = []
    size = 0
    for file in files:
        if group and (len(group) >= _SHARED_FILES or _tar_size([*group, file], size + file.size) > limit):
            groups.append(tuple(group))
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        groups.append(tuple(group))
    return groups


def layer_annotations(layer: PlannedLayer) -> dict[str, str]:
    """What a layer's descriptor says of it: its key, and its path where it is one file."""
    path = {PATH: layer.path} if layer.path else {}
    return {KEY: layer.key, **path}

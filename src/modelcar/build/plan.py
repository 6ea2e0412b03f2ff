"""Which files share a layer: pure, and the same for the same files wherever it is made.

Weights have a layer each, and so has any file of 8 MiB and more; the rest share one. Where that makes more layers than
the budget allows, small weights join the rest, and then neighbours share. The files are halved again and again, near
their middle, at a place that the names choose: so one changed file moves few boundaries.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from posixpath import splitext
from typing import Any

from modelcar.build.compression import PLAIN, Compression
from modelcar.build.select import WEIGHTS, Selection, check_case
from modelcar.errors import Refused
from modelcar.oci import Framing, Member, frame
from modelcar.sources import LeftOut, Snapshot, SourceFile

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
    """One layer to be.

    Attributes:
        files: What is in it, sorted by path.
        compression: Of its blob.
    """

    files: tuple[SourceFile, ...]
    compression: Compression = PLAIN

    @cached_property
    def framing(self) -> Framing:
        """The tar around the files."""
        return frame([Member(f"{ROOT}/{file.path}", file.size) for file in self.files])

    @cached_property
    def size(self) -> int:
        """Bytes of the tar, which are those of the blob unless it is compressed."""
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
        lines = [f"modelcar layer {_FORMAT}", self.compression.word]
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
            "left_out": [
                {"path": o.file.path, "size": None if o.is_folder else o.file.size, "reason": o.reason}
                for o in self.left_out
            ],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """What a plan has to keep to.

    Attributes:
        size: Bytes of one layer's tar, None for no limit.
        reason: Whose limit that is.
        base_layers: Layers that the base has already.
    """

    size: int | None = None
    reason: str = ""
    base_layers: int = 0


def make_plan(snapshot: Snapshot, selection: Selection, limits: LayerLimits, compression: Compression = PLAIN) -> Plan:
    """Put the selected files into layers.

    Raises:
        Refused: A file larger than the limit of a layer, or more layers than an image can have.
    """
    files = sorted(selection.kept, key=lambda file: file.path)
    sizes = {file.path: PlannedLayer((file,)).size for file in files}
    for path, size in sizes.items():
        if limits.size is not None and size > limits.size:
            raise Refused(
                f"{path} makes a layer of {size:,} bytes, over the {limits.size:,} of {limits.reason}",
                "use a model with smaller shards or another registry; if the limit is wrong, --max-layer-size",
            )
    budget = BUDGET - limits.base_layers
    groups = _group(files, sizes, budget, limits.size)
    warnings = check_case(files)
    if len(groups) > budget:
        warnings.append(_over_budget(len(groups), limits))
    if compression.warning:
        warnings.append(compression.warning)
    layers = tuple(PlannedLayer(group, compression) for group in groups)
    return Plan(snapshot, layers, selection.left_out, tuple(warnings))


def _over_budget(layers: int, limits: LayerLimits) -> str:
    """The warning for more layers than the budget.

    Raises:
        Refused: An image can't have as many.
    """
    total = layers + limits.base_layers
    why = f"to keep each under {limits.size:,} bytes ({limits.reason})" if limits.size is not None else "at the least"
    base = f", {limits.base_layers} of them of the base" if limits.base_layers else ""
    if total > HARD_BUDGET:
        raise Refused(
            f"the image needs {total} layers {why}{base}, and an image can have {HARD_BUDGET}",
            "use a registry that takes larger blobs, --max-layer-size, or a base of fewer layers",
        )
    return f"the image needs {total} layers {why}{base}: over {BUDGET}, some hosts can't mount it"


_Group = tuple[SourceFile, ...]


def _group(files: Sequence[SourceFile], sizes: Mapping[str, int], budget: int, limit: int | None) -> list[_Group]:
    """The files of each layer, layers sorted by their first path. `sizes` are those of a layer of that file alone."""

    def weights(files: Sequence[SourceFile], least: int = 0) -> list[int]:
        return [max(sizes[file.path], least) for file in files]

    ceiling = min(_SHARED, limit or _SHARED)
    own, rest = _divide(files, _stands_alone)
    shared = _share(rest, weights(rest, ceiling // _SHARED_FILES), 1, ceiling)
    if len(own) + len(shared) > budget:
        own, rest = _divide(files, lambda file: file.size >= _SMALL)
        shared = _share(rest, weights(rest, ceiling // _SHARED_FILES), 1, ceiling)
    groups: list[_Group] = [(file,) for file in own]
    if len(groups) + len(shared) > budget:
        # Large and small files stay apart, so that a new tokenizer doesn't send weights again.
        part = budget * sum(weights(rest)) // sum(sizes.values())
        shared = _share(rest, weights(rest), min(len(shared), max(budget // 2, part)), limit)
        groups = _share(own, weights(own), budget - len(shared), limit)
    if len(groups) + len(shared) > budget and limit is not None:
        groups, shared = _pack(own, weights(own), limit), _pack(rest, weights(rest), limit)
    return sorted([*groups, *shared], key=lambda group: group[0].path)


def _divide(
    files: Sequence[SourceFile], belongs: Callable[[SourceFile], bool]
) -> tuple[list[SourceFile], list[SourceFile]]:
    """The files that belong, and the others."""
    return [file for file in files if belongs(file)], [file for file in files if not belongs(file)]


def _stands_alone(file: SourceFile) -> bool:
    return file.size >= _SMALL or (file.size > 0 and splitext(file.path)[1].lower() in WEIGHTS)


def _share(files: Sequence[SourceFile], weights: Sequence[int], wanted: int, ceiling: int | None) -> list[_Group]:
    """Neighbours together: `wanted` groups of about the same weight, more where they would weigh over `ceiling`.

    The heaviest group is halved until there are enough. So another number of groups, or other weights, only join or
    halve some: all other groups stay what they were.
    """
    upto = [0, *accumulate(weights)]
    chances = [hashlib.sha256(file.path.encode()).digest() for file in files]
    queue = [(-upto[-1], 0, len(files))] if files else []
    single: list[_Group] = []
    while queue:
        weight, start, stop = queue[0]
        if len(single) + len(queue) >= wanted and (ceiling is None or -weight <= ceiling):
            break
        heapq.heappop(queue)
        if stop - start == 1:
            single.append((files[start],))
            continue
        middle = _middle(upto, chances, start, stop)
        for begin, end in ((start, middle), (middle, stop)):
            heapq.heappush(queue, (upto[begin] - upto[end], begin, end))
    return [*single, *(tuple(files[start:stop]) for _, start, stop in queue)]


def _middle(upto: Sequence[int], chances: Sequence[bytes], start: int, stop: int) -> int:
    """Where to halve `start` to `stop`: in the middle half of its weight, before the name that hashes lowest."""
    quarter = (upto[stop] - upto[start]) / 4
    low = bisect_left(upto, upto[start] + quarter, start + 1, stop)
    high = bisect_right(upto, upto[stop] - quarter, start + 1, stop)
    if low < high:
        return min(range(low, high), key=chances.__getitem__)
    around = [place for place in (low - 1, low) if start < place < stop]
    return min(around, key=lambda place: abs(2 * upto[place] - upto[start] - upto[stop]))


def _pack(files: Sequence[SourceFile], weights: Sequence[int], limit: int) -> list[_Group]:
    """Neighbours together in as few groups as the limit leaves."""
    groups: list[list[SourceFile]] = []
    room = 0
    for file, weight in zip(files, weights, strict=True):
        room -= weight
        if room < 0:
            groups.append([])
            room = limit - weight
        groups[-1].append(file)
    return [tuple(group) for group in groups]

"""What changed between two images, or an image and a source: what `modelcar diff` shows.

Files are told apart by what is known of them, and only small ones are read: digests that a source states, layers that
both images have, keys of modelcar's layers, which can be made anew from a source's digests.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelcar.build.compression import every_level
from modelcar.build.known import model_layers
from modelcar.build.memory import Memory
from modelcar.build.plan import ROOT, PlannedLayer
from modelcar.build.select import Wish, select
from modelcar.errors import ContentMismatch, Denied, ModelcarError, NetworkError
from modelcar.image import ImageTree
from modelcar.image.blobfile import TooDeep
from modelcar.image.diff import (
    GIT,
    KEY,
    LONE_KEY,
    SHA256,
    Fetched,
    FileChanges,
    FileView,
    compare,
    diff_ids_of,
    fetched,
    views_of,
)
from modelcar.inspection import DEPTH, facts_without_weights, is_indexed
from modelcar.look import ImagePlace, SourcePlace, open_place
from modelcar.model import Facts, ModelFiles, Tensor, read_facts
from modelcar.model.changes import (
    CONFIGURATION,
    KeyChange,
    TensorChanges,
    key_changes,
    metadata,
    template,
    template_changes,
    tensor_changes,
)
from modelcar.model.files import FilesIn, SomeFiles, read_object
from modelcar.oci import Digest, media
from modelcar.retry import Patience
from modelcar.settings import Access, cache_folder
from modelcar.sources import SourceFile

SMALL = 16 * 1024**2
"""Bytes of a file that is read where nothing else tells whether it changed."""

_LFS = 10 * 1024**2
"""Above this the Hub takes files by LFS only, so that it states their sha256."""


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """What to compare, and how far to go.

    Attributes:
        platform: Of multi-platform images; by default the first of each.
        wish: Which files of a source count, as for a build.
        full: Read large files too, and compressed layers to their end.
        file: Which GGUF model, where there are several.
        cache_dir: Where builds on this machine remember digests of local files; None for nowhere.
    """

    platform: str | None = None
    wish: Wish = field(default_factory=Wish)
    full: bool = False
    file: str | None = None
    cache_dir: Path | None = field(default_factory=cache_folder)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one to the other.

    Attributes:
        old: The first, pinned.
        new: The second, pinned.
        files: Added, removed, changed, not compared; and how many are the same.
        keys: Of configuration files and GGUF metadata.
        template: The lines of a unified diff of the chat templates.
        tensors: None where the headers of either couldn't be read.
        fetched: What a node that holds the first must fetch for the second; None where either is a source.
        notes: What wasn't compared, and why.
    """

    old: str
    new: str
    files: FileChanges
    keys: tuple[KeyChange, ...]
    template: tuple[str, ...]
    tensors: TensorChanges | None
    fetched: Fetched | None
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether any difference was found. What wasn't compared is none."""
        changed = any(change.kind != "not compared" for change in self.files.changes)
        return bool(changed or self.keys or self.template or self.tensors)


def diff(
    old: str,
    new: str,
    options: DiffOptions | None = None,
    *,
    access: Access | None = None,
    patience: Patience | None = None,
) -> Difference:
    """What changed from one image or source to another.

    Args:
        old: An image or a source, as for `look`.
        new: Another.
        options: What to compare, and how far to go.
        access: How registries are reached.
        patience: How requests are tried again.

    Raises:
        NotFound: One isn't there, or not for that platform.
        Refused: A source holds several GGUF models, and the wish doesn't say which.
        ModelcarError: As sources and stores do.
    """
    options = options or DiffOptions()
    depth = None if options.full else DEPTH

    def side(text: str) -> _Side:
        place = open_place(text, platform=options.platform, access=access, patience=patience, depth=depth)
        return _ImageSide(place) if isinstance(place, ImagePlace) else _SourceSide(place, options)

    return compare_sides(side(old), side(new), options)


def compare_sides(old: _Side, new: _Side, options: DiffOptions) -> Difference:
    """The same of two that are open."""
    notes = [*old.unseen("the first"), *new.unseen("the second")]
    views = old.views(new), new.views(old)
    whole = not old.unseen(""), not new.unseen("")
    files = compare(*views, lambda path: _same_content(old, new, path, options.full), whole=whole)
    before, tensors_before = _facts(old, "first", options.file, notes)
    after, tensors_after = _facts(new, "second", options.file, notes)
    tensors = None
    if tensors_before is not None and tensors_after is not None:
        tensors = tensor_changes(tensors_before, tensors_after)
    undecided = {change.path for change in files.changes if change.kind in ("changed", "not compared")}
    return Difference(
        old=old.location,
        new=new.location,
        files=files,
        keys=tuple(_keys(old, new, before, after, undecided, options.file, notes)),
        template=_templates(old, new, before, after, notes),
        tensors=tensors,
        fetched=fetched(old.tree, new.tree) if old.tree and new.tree else None,
        notes=tuple(notes),
    )


class _Side(ABC):
    """One of the two. `tree` is an image's."""

    tree: ImageTree | None = None
    location: str
    files: ModelFiles

    def unseen(self, name: str) -> list[str]:
        """What of it wasn't looked at."""
        return []

    @abstractmethod
    def views(self, other: _Side) -> Mapping[str, FileView]:
        """Its files, with marks that can be held against those of the other."""

    @abstractmethod
    def stream(self, path: str) -> Iterator[bytes]:
        """The content of a file."""

    def stated(self, path: str) -> str | None:
        """The digest that is stated of a file."""
        return None


class _ImageSide(_Side):
    def __init__(self, place: ImagePlace) -> None:
        self.location = place.location
        self.files: ModelFiles = place.files
        self._place = place
        self.tree: ImageTree = place.files.tree
        diff_ids_of(self.tree)
        self.keys: dict[Digest, str] = {
            known.descriptor.digest: known.key for known in model_layers(self.tree.manifest, self.tree.config)
        }

    def unseen(self, name: str) -> list[str]:
        numbers = [str(n) for n, known in enumerate(self.tree.layers) if not known.is_whole]
        if not numbers:
            return []
        layers = f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {', '.join(numbers)}"
        return [
            f"of {layers} of {name} only the first {DEPTH:,} bytes were looked at, files behind them weren't: --full"
        ]

    def views(self, other: _Side) -> Mapping[str, FileView]:
        return views_of(self.tree, self._place.files.entries, self.keys)

    def stream(self, path: str) -> Iterator[bytes]:
        return self._place.files.stream(path)


class _SourceSide(_Side):
    def __init__(self, place: SourcePlace, options: DiffOptions) -> None:
        self.location = place.location
        self._place = place
        chosen = select(place.source.snapshot(), options.wish).kept
        with closing(Memory(options.cache_dir)) as memory:
            self._chosen = {file.path: _with_known_digest(file, memory) for file in chosen}
        self.files = SomeFiles(place.files, self._chosen.__contains__)

    def views(self, other: _Side) -> Mapping[str, FileView]:
        views = {}
        for path, file in self._chosen.items():
            marks: dict[str, str] = {}
            if file.digest:
                marks[SHA256 if file.digest.startswith("sha256:") else GIT] = file.digest
                if file.digest.startswith("sha256:") and file.size > _LFS:
                    marks[LONE_KEY] = PlannedLayer((file,)).key
            views[path] = FileView(file.size, marks)
        if isinstance(other, _ImageSide):
            for path, mark in _keys_made_anew(self._chosen, other):
                views[path] = replace(views[path], marks={**views[path].marks, KEY: mark})
        return views

    def stream(self, path: str) -> Iterator[bytes]:
        return self._place.files.stream(path)

    def stated(self, path: str) -> str | None:
        return self._chosen[path].digest


def _with_known_digest(file: SourceFile, memory: Memory) -> SourceFile:
    """The same with the digest that a build learned of it, where its source states none and it hasn't changed since."""
    return replace(file, digest=file.digest or (file.fingerprint and memory.file_digest(file.fingerprint)) or None)


def _keys_made_anew(files: Mapping[str, SourceFile], image: _ImageSide) -> Iterator[tuple[str, str]]:
    """Each file of a source that lies in a layer whose key comes out of the source's own digests, and its mark."""
    for known in image.tree.layers:
        key = image.keys.get(known.descriptor.digest)
        paths = [file.path.removeprefix(f"{ROOT}/") for file in known.contents()]
        here = tuple(files[path] for path in sorted(paths) if path in files)
        if key is None or not known.is_whole or len(here) < len(paths) or not all(file.digest for file in here):
            continue
        kind = media.compression(known.descriptor.media_type) or ""
        if any(PlannedLayer(here, compression).key == key for compression in every_level(kind)):
            yield from ((file.path, f"{key}/{ROOT}/{file.path}") for file in here)


def _same_content(old: _Side, new: _Side, path: str, full: bool) -> bool | None:
    """Whether a file of the same size is the same, by reading it; None where it is too large, or lies too deep."""
    if old.files.sizes[path] > SMALL and not full:
        return None
    stated = old.stated(path) or new.stated(path)
    kind = (stated or "sha256:").partition(":")[0]
    try:
        return _digest(old, path, kind) == _digest(new, path, kind)
    except TooDeep:
        return None


def _digest(side: _Side, path: str, kind: str) -> str:
    stated = side.stated(path)
    if stated and stated.startswith(f"{kind}:"):
        return stated
    if kind == GIT:
        # Git hashes a blob behind a header (git-scm.com, "Git Internals - Git Objects").
        check = hashlib.sha1(b"blob %d\0" % side.files.sizes[path], usedforsecurity=False)
    else:
        check = hashlib.sha256()
    for piece in side.stream(path):
        check.update(piece)
    return f"{kind}:{check.hexdigest()}"


def _facts(
    side: _Side, name: str, gguf: str | None, notes: list[str]
) -> tuple[Facts | None, tuple[Tensor, ...] | None]:
    """What one is, and its tensors; None of what can't be read, and a note."""
    try:
        facts = read_facts(side.files, gguf)
        if not side.unseen(name) or is_indexed(side.files, facts):
            return facts, facts.tensors
        notes.append(f"tensors were not compared: not all files of the {name} were looked at")
        return facts, None
    except (Denied, NetworkError):
        raise
    except ModelcarError as error:
        notes.append(f"tensors were not compared: {error.what}, in the {name}")
    try:
        return facts_without_weights(side.files), None
    except (Denied, NetworkError):
        raise
    except ModelcarError:
        return None, None


def _templates(old: _Side, new: _Side, before: Facts | None, after: Facts | None, notes: list[str]) -> tuple[str, ...]:
    if before is None or after is None:
        return ()
    try:
        return template_changes(template(old.files, before), template(new.files, after))
    except (ContentMismatch, TooDeep) as error:
        notes.append(f"chat templates were not compared: {error.what}")
        return ()


def _keys(
    old: _Side,
    new: _Side,
    before: Facts | None,
    after: Facts | None,
    undecided: set[str],
    gguf: str | None,
    notes: list[str],
) -> Iterator[KeyChange]:
    """The keys that changed in the configuration, wherever either has it."""
    folders = before.folder if before else "", after.folder if after else ""
    for name in CONFIGURATION:
        first, second = FilesIn(old.files, folders[0]), FilesIn(new.files, folders[1])
        path = f"{folders[0]}/{name}".lstrip("/")
        if name not in first.sizes or name not in second.sizes:
            continue
        if folders[0] == folders[1] and path not in undecided:
            continue
        try:
            yield from key_changes(name, read_object(first, name), read_object(second, name))
        except (ContentMismatch, TooDeep) as error:
            notes.append(f"the keys of {name} were not compared: {error.what}")
    if before and after:
        try:
            one, other = metadata(old.files, before, gguf), metadata(new.files, after, gguf)
        except TooDeep as error:
            notes.append(f"GGUF metadata was not compared: {error.what}")
            return
        if one and other:
            yield from key_changes(other[0], one[1], other[1])

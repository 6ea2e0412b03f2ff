"""The model's files of an image, back in a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused
from modelcar.events import Listener, Warned, ignore, one_at_a_time
from modelcar.image.fetch import LayerFetch, fetch_layer
from modelcar.image.globs import is_chosen
from modelcar.image.head import ImageHead, read_head
from modelcar.image.lookup import MODELS
from modelcar.image.parts import Parts
from modelcar.image.place import Places
from modelcar.image.stage import stage_layer
from modelcar.image.tree import ImageFile, ImageTree, LayerFiles, walk, with_layers
from modelcar.oci import Platform, media
from modelcar.parallel import side_by_side
from modelcar.retry import Patience
from modelcar.stores import Location


@dataclass(frozen=True, slots=True)
class PullOptions:
    """All wishes of a pull.

    Attributes:
        include: Globs of paths below `/models`; none means all.
        exclude: Globs of paths to leave out.
        workers: Layers in flight.
        no_clobber: Refuse to replace a file that is there with other content.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    workers: int = 4
    no_clobber: bool = False


@dataclass(slots=True)
class _Wanted:
    """What is to be in the folder: files by the entry that holds their bytes, and symbolic links with their targets."""

    files: dict[ImageFile, list[str]] = field(default_factory=lambda: defaultdict(list))
    links: dict[str, str] = field(default_factory=dict)

    def paths(self) -> Iterable[str]:
        yield from self.links
        for paths in self.files.values():
            yield from paths


class _Busy:
    """Who is at work: a failed pull waits a moment for the others, so that nothing of theirs comes after its end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._count, 1.0)


def pull(
    location: Location,
    folder: Path,
    options: PullOptions | None = None,
    *,
    platform: Platform | None = None,
    patience: Patience | None = None,
    listener: Listener = ignore,
) -> list[str]:
    """Write the files below `/models` of an image into a folder, each whole or not at all.

    A layer that is read as a whole is checked against its digest, and nothing of a wrong one is kept. Files that are
    there already and make up such a layer are not fetched again; nor is what an earlier pull, however it ended, left in
    the folder. A file of other content is replaced, unless the options forbid that. Owners, modes and times are not
    taken over, and devices never made.

    Args:
        location: The image.
        folder: Where to; made if need be.
        options: All wishes.
        platform: Whose layers, of a multi-platform image.
        patience: Ends the work when it is cancelled.
        listener: Is told of each file, one call at a time.

    Returns:
        The paths that are in the folder now, relative to it, sorted.

    Raises:
        NotFound: No image, or nothing below `/models` in it that is wanted.
        ContentMismatch: A layer isn't what its digest says.
        Refused: A file that would land outside the folder; two whose names are one there; a full disk; another pull
            into the same folder; a folder where a file belongs; a file of other content that must stay.
        Denied: The folder can't be written to.
        ModelcarError: As the store does.
    """
    options, patience, listener = options or PullOptions(), patience or Patience(), one_at_a_time(listener)
    head = read_head(location, platform)
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Parts(folder) as parts:
            tree = _look(head, options, parts, patience, listener)
            wanted = _wanted(tree, options, listener)
            places = Places(folder, parts, listener, no_clobber=options.no_clobber)
            _check_names(wanted.paths(), folder, parts)
            _check_places(wanted, places)
            _check_space(wanted, folder, places, parts, tree)
            _fetch(tree, wanted, places, parts, options, patience)
            for path, target in wanted.links.items():
                places.link(path, target)
    except BaseException as error:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # if nothing came into it
        if isinstance(error, OSError):
            raise _io_error(error, folder) from None
        raise
    return sorted(path.removeprefix(MODELS) for path in wanted.paths())


def _look(head: ImageHead, options: PullOptions, parts: Parts, patience: Patience, listener: Listener) -> ImageTree:
    """What the image holds. Of compressed layers the files are kept, since finding them costs reading all of it."""
    layers = head.manifest.layers
    plain = [number for number, layer in enumerate(layers) if not media.compression(layer.media_type)]
    read = walk(head, plain, patience, listener)

    def is_wanted(file: ImageFile) -> bool:
        path = file.path.removeprefix(MODELS)
        return file.path.startswith(MODELS) and is_chosen(path, options.include, options.exclude)

    def stage(number: int) -> LayerFiles:
        return stage_layer(head.location.store, layers[number], number, parts, patience, is_wanted)

    compressed = [number for number in range(len(layers)) if number not in read]
    read |= zip(compressed, side_by_side(stage, compressed, options.workers, patience), strict=True)
    return with_layers(head, tuple(read[number] for number in range(len(layers))))


def _fetch(
    tree: ImageTree,
    wanted: _Wanted,
    places: Places,
    parts: Parts,
    options: PullOptions,
    patience: Patience,
) -> None:
    """Have the files in their places, layer by layer, some at a time."""
    busy = _Busy()

    def fetch(each: LayerFetch) -> None:
        with busy:
            for entry, fetched in fetch_layer(tree.location.store, each, parts, patience).items():
                places.put(each.paths[entry], fetched)

    try:
        for _ in side_by_side(fetch, _fetches(tree, wanted, places, options), options.workers, patience):
            pass
    except BaseException:
        busy.wait()
        raise


def _wanted(tree: ImageTree, options: PullOptions, listener: Listener) -> _Wanted:
    _refuse_names_outside(tree)
    wanted, there = _Wanted(), False
    for path, file in tree.files().items():
        if not path.startswith(MODELS):
            continue
        content = tree.content_of(file)
        if content is None:
            raise ContentMismatch(f"/{path} of {tree.location} is a hard link to {file.target}, which is not there")
        there = there or content.kind == "file"
        if is_chosen(path.removeprefix(MODELS), options.include, options.exclude):
            _want(wanted, path, content, tree, listener)
    if not there:
        raise NotFound(
            f"{tree.location} holds no files in /models", "is it a ModelCar? modelcar ls shows what it holds"
        )
    if not wanted.files and not wanted.links:
        raise NotFound(f"no file of {tree.location} is left by the globs", "modelcar ls -R shows what it holds")
    return wanted


def _want(wanted: _Wanted, path: str, content: ImageFile, tree: ImageTree, listener: Listener) -> None:
    match content.kind:
        case "file":
            wanted.files[content].append(path)
        case "symlink":
            wanted.links[path] = content.target
        case "sparse":
            # Few tools read them alike (image-spec, layer.md), and a header of one may claim any size.
            raise ContentMismatch(f"/{path} of {tree.location} is a sparse file, which images shouldn't hold")
        case "other":
            listener(Warned(f"/{path} is a device or a pipe, not a file: left out"))


def _refuse_names_outside(tree: ImageTree) -> None:
    """As container engines do."""
    for number, layer in enumerate(tree.layers):
        for file in layer.files:
            if file.path == ".." or file.path.startswith("../"):
                raise Refused(
                    f"layer {number} of {tree.location} holds {file.path!r}, which would land outside the folder",
                    "nothing was written: don't trust this image",
                )


def _fetches(tree: ImageTree, wanted: _Wanted, places: Places, options: PullOptions) -> list[LayerFetch]:
    """One a layer that something is wanted of, the largest first, so that none is left alone at the end."""
    by_layer: dict[int, dict[ImageFile, Sequence[str]]] = defaultdict(dict)
    for entry, paths in wanted.files.items():
        by_layer[entry.layer][entry] = paths
    fetches, by_range = [], bool(options.include or options.exclude)
    for number, paths_of in by_layer.items():
        firsts = {entry: places.of(paths[0]) for entry, paths in paths_of.items()}
        layer = tree.layers[number].descriptor
        fetches.append(LayerFetch(layer, paths_of, firsts, by_range, options.no_clobber))
    return sorted(fetches, key=lambda fetch: -fetch.descriptor.size)


def _check_names(paths: Iterable[str], folder: Path, parts: Parts) -> None:
    """Stop where two paths would be one file on the folder's file system."""
    seen: dict[str, str] = {}
    for path in paths:
        folded = unicodedata.normalize("NFC", path).casefold()
        other = seen.setdefault(folded, path)
        if other != path and parts.is_one_name(other, path):
            raise Refused(
                f"/{other} and /{path} are one file on the file system of {folder}, which doesn't tell case apart",
                "pull into another file system, or leave one out with --exclude",
            )


def _check_places(wanted: _Wanted, places: Places) -> None:
    """Stop before anything is fetched for a place that can't take it."""
    for entry, paths in wanted.files.items():
        for path in paths:
            places.check_file(path, entry.size)
    for path, target in wanted.links.items():
        places.check_link(path, target)


def _check_space(wanted: _Wanted, folder: Path, places: Places, parts: Parts, tree: ImageTree) -> None:
    """Stop before a disk is filled that can't hold it all."""
    needed = 0
    for entry, paths in wanted.files.items():
        place = places.of(paths[0])
        there = place.is_file() and not place.is_symlink() and place.stat().st_size == entry.size
        if not there:
            needed += entry.size - parts.size_of(tree.layers[entry.layer].descriptor, entry)
    free = os.statvfs(folder)
    left = free.f_bavail * free.f_frsize
    if needed > left:
        raise Refused(
            f"the disk under {folder} is full: {needed / 1e6:,.1f} MB are needed and {left / 1e6:,.1f} MB are free",
            "free some space and run it again, or take less with --include",
        )


def _io_error(error: OSError, folder: Path) -> ModelcarError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"the folder {folder} can't be written: {error.strerror}", "check its permissions")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(f"the disk under {folder} is full", "free some space and run it again")
    if error.errno == errno.ENAMETOOLONG:
        return Refused(f"{folder}: a file name of the image is too long for its file system")
    return ModelcarError(f"{folder}: {error.strerror or error}")

"""Where the files of an image belong in a folder, and what is there already."""

from __future__ import annotations

import filecmp
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from modelcar.errors import Refused
from modelcar.events import FilePulled, Listener, Warned
from modelcar.image.fetch import Fetched, in_the_way
from modelcar.image.lookup import MODELS
from modelcar.image.parts import Parts
from modelcar.image.tree import normal


class Places:
    """The places in a folder.

    Args:
        folder: The folder that is pulled into.
        parts: Takes what is unfinished.
        no_clobber: Whether to refuse what would replace a file of other content.
        listener: Is told of each file.
    """

    def __init__(self, folder: Path, parts: Parts, listener: Listener, *, no_clobber: bool) -> None:
        self._folder = folder
        self._parts = parts
        self._listener = listener
        self._no_clobber = no_clobber

    def of(self, path: str) -> Path:
        """Where a path of the image belongs.

        Raises:
            Refused: Not below `/models`, or a link on the way leads out of the folder.
        """
        target = self._folder / path.removeprefix(MODELS)
        if not path.startswith(MODELS) or not target.parent.resolve().is_relative_to(self._folder.resolve()):
            raise Refused(
                f"/{path} of the image would land outside the folder {self._folder}", "nothing was written there"
            )
        return target

    def check_file(self, path: str, size: int) -> None:
        """Refuse, by its kind and size alone, what is there and may not be replaced by a file of `size` bytes."""
        place = self._fitting(path)
        if self._no_clobber and os.path.lexists(place) and not (_is_file(place) and place.stat().st_size == size):
            raise in_the_way(place)

    def check_link(self, path: str, target: str) -> None:
        """Refuse what is there and may not be replaced by a symbolic link."""
        place = self._fitting(path)
        if self._no_clobber and os.path.lexists(place) and not _leads_to(place, self._origin(path, target)):
            raise in_the_way(place)

    def put(self, paths: Sequence[str], fetched: Fetched) -> None:
        """Put a file that proved right into its places, and leave alone what is the same there.

        Raises:
            Refused: A file of other content is there and may not be replaced.
        """
        places = {path: self._make(path) for path in paths}
        there = {path: _compare(place, fetched.path) for path, place in places.items()}
        if self._no_clobber and "other" in there.values():
            raise in_the_way(next(place for path, place in places.items() if there[path] == "other"))
        first = places[paths[0]]
        if there[paths[0]] != "same":
            fetched.path.replace(first)
        for path in paths[1:]:
            # As in the image, paths of one file share its bytes.
            if not (_is_file(places[path]) and places[path].samefile(first)):
                twin = self._parts.twin()
                os.link(first, twin)
                twin.replace(places[path])
        for path in paths:
            how = "unchanged" if fetched.how == "fetched" and there[path] == "same" else fetched.how
            self._listener(FilePulled(path.removeprefix(MODELS), fetched.size, how, there[path] == "other"))

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link of the image one of the folder, if it leads to something in there."""
        origin, place = self._origin(path, target), self._make(path)
        if _leads_to(place, origin):
            return
        if os.path.lexists(place):
            self._listener(Warned(f"{place} was there: it is replaced by a symbolic link"))
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.relpath(origin, place.parent))

    def _origin(self, path: str, target: str) -> Path:
        return self.of(normal(posixpath.join("/", posixpath.dirname(path), target)))

    def _make(self, path: str) -> Path:
        """The place of a path, with the folders above it made."""
        target = self.of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _fitting(self, path: str) -> Path:
        """The place of a path. Raises `Refused` where a folder lies in it, or a file in that of a folder above."""
        place, hint = self.of(path), "move it away, or pull into another folder"
        if place.is_dir() and not place.is_symlink():
            raise Refused(f"{place} is a folder, and in the image a file", hint)
        for above in place.relative_to(self._folder).parents[:-1]:
            if os.path.lexists(self._folder / above) and not (self._folder / above).is_dir():
                raise Refused(f"{self._folder / above} is no folder, and in the image one", hint)
        return place


def _is_file(place: Path) -> bool:
    return place.is_file() and not place.is_symlink()


def _leads_to(place: Path, origin: Path) -> bool:
    return place.is_symlink() and str(place.readlink()) == os.path.relpath(origin, place.parent)


def _compare(place: Path, new: Path) -> str:
    """What is in a place, beside the file that belongs there: `nothing`, the `same`, or something `other`."""
    if not os.path.lexists(place):
        return "nothing"
    is_same = place == new or (_is_file(place) and filecmp.cmp(place, new, shallow=False))
    return "same" if is_same else "other"

"""The wanted files of one layer: from the disk where their bytes are there, the rest by range or in one stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from modelcar.errors import Refused
from modelcar.http import PIECE
from modelcar.image.blobfile import too_short, wrong_bytes
from modelcar.image.parts import Parts
from modelcar.image.stage import stage_layer
from modelcar.image.tree import ImageFile
from modelcar.oci import Descriptor, media
from modelcar.retry import Patience
from modelcar.stores import ReadableStore, Reader

_ALONG = 64 * 1024
"""Bytes beside the wanted ones that are read to have the whole layer, which alone can be checked."""

_FRAME = 2048
"""Bytes of a file's header and padding, or so."""


@dataclass(frozen=True, slots=True)
class LayerFetch:
    """What is wanted of a layer.

    Attributes:
        descriptor: The layer.
        paths: The paths in the image that want an entry's bytes.
        places: Where the first of them lies or will lie.
        by_range: Whether bytes that aren't wanted may be left out, and with them the check by the layer's digest.
        no_clobber: Whether files of other content must stay in their places.
    """

    descriptor: Descriptor
    paths: Mapping[ImageFile, Sequence[str]]
    places: Mapping[ImageFile, Path]
    by_range: bool
    no_clobber: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file with the right bytes.

    Attributes:
        path: Where it is: in its place already, or beside.
        size: In bytes.
        how: See `FilePulled`.
    """

    path: Path
    size: int
    how: str


def fetch_layer(store: ReadableStore, fetch: LayerFetch, parts: Parts, patience: Patience) -> dict[ImageFile, Fetched]:
    """Have the wanted files of a layer, whole, and checked where the layer is read as a whole.

    Raises:
        ContentMismatch: The layer isn't what its digest says: nothing of it is kept.
        Refused: Its one file is in place with other content, and must stay.
        ModelcarError: As the store does; what was read of an uncompressed layer is kept for the next try.
        OSError: The disk is full, say.
    """
    work = _Work(store, fetch, parts, patience)
    if media.compression(fetch.descriptor.media_type):
        return work.from_stream()
    beside = fetch.descriptor.size - sum(entry.size for entry in fetch.paths)
    if fetch.by_range and store.has_ranges and beside > _ALONG + _FRAME * len(fetch.paths):
        return work.by_range()
    return work.as_a_whole()


def in_the_way(place: Path) -> Refused:
    """The error for a file of other content that must not be replaced."""
    hint = "move it away, leave it out with --exclude, or pull into another folder"
    return Refused(f"{place} is there and isn't the image's, and --no-clobber forbids to replace it", hint)


class _Segment(NamedTuple):
    """A stretch of an uncompressed layer: on the disk in `source`, or to be read and, with an entry, to be kept."""

    offset: int
    length: int
    entry: ImageFile | None = None
    source: Path | None = None


class _Work:
    """How one layer's files come onto the disk. The arguments are those of `fetch_layer`."""

    def __init__(self, store: ReadableStore, fetch: LayerFetch, parts: Parts, patience: Patience) -> None:
        self._store = store
        self._layer = fetch.descriptor
        self._places = fetch.places
        self._no_clobber = fetch.no_clobber
        self._entries = sorted(fetch.paths, key=lambda entry: entry.offset)
        self._parts = parts
        self._patience = patience

    def as_a_whole(self) -> dict[ImageFile, Fetched]:
        """Every byte of an uncompressed layer goes through its hash, those that are on the disk from there."""
        there: dict[ImageFile, Path] = {}
        if self._store.has_ranges:
            there = {entry: place for entry, place in self._places.items() if _is_whole(place, entry)}
        else:
            self._forget()  # what lies between the parts would cost the whole layer each time
        begun = any(self._parts.size_of(self._layer, entry) for entry in self._entries)
        if not self._has_right_digest(there):
            self._forget()
            if self._no_clobber and len(there) == len(self._entries) == 1:
                raise in_the_way(*there.values())
            # A file that was there isn't the layer's. Which one, only fetching all of them can tell.
            if not (there or begun) or not self._has_right_digest(there := {}):
                self._forget()
                raise wrong_bytes(self._store, self._layer)
        return self._fetched(there)

    def by_range(self) -> dict[ImageFile, Fetched]:
        """Only the wanted files of an uncompressed layer. There is nothing that they could be checked by."""
        for entry in self._entries:
            begun = self._parts.size_of(self._layer, entry)
            self._read_run(_Segment(entry.offset + begun, entry.size - begun, entry))
        return self._fetched({}, "unchecked")

    def from_stream(self) -> dict[ImageFile, Fetched]:
        """A compressed layer, from its start to its end where its files weren't kept when it was listed."""
        if not all(self._parts.path(self._layer, entry) in self._parts.staged for entry in self._entries):
            wanted = {entry.offset for entry in self._entries}
            stage_layer(self._store, self._layer, 0, self._parts, self._patience, lambda file: file.offset in wanted)
        return self._fetched({})

    def _has_right_digest(self, there: Mapping[ImageFile, Path]) -> bool:
        algorithm, _, expected = self._layer.digest.partition(":")
        hashed = hashlib.new(algorithm)
        network: list[_Segment] = []
        for segment in [*self._segments(there), None]:
            if network and (segment is None or segment.source):
                self._read_run(*network, hashed=hashed)
                network = []
            if segment is not None and segment.source:
                self._hash_file(segment, hashed)
            elif segment is not None:
                network.append(segment)
        return hashed.hexdigest() == expected

    def _segments(self, there: Mapping[ImageFile, Path]) -> Iterator[_Segment]:
        at = 0
        for entry in self._entries:
            yield _Segment(at, entry.offset - at)
            part = self._parts.path(self._layer, entry)
            begun = entry.size if entry in there else self._parts.size_of(self._layer, entry)
            if begun:
                yield _Segment(entry.offset, begun, entry, there.get(entry, part))
            if begun < entry.size or entry not in there:
                yield _Segment(entry.offset + begun, entry.size - begun, entry)
            at = entry.offset + entry.size
        yield _Segment(at, self._layer.size - at)

    def _read_run(self, *run: _Segment, hashed: hashlib._Hash | None = None) -> None:
        """Segments that follow each other, by one request. Those of an entry are appended to its part."""
        length = sum(segment.length for segment in run)
        opened = self._store.open_blob(self._layer.digest, run[0].offset, length) if length else None
        with closing(opened) if opened else nullcontext():
            for segment in run:
                path = self._parts.path(self._layer, segment.entry) if segment.entry else None
                with path.open("ab") if path else nullcontext() as sink:
                    self._read_segment(opened, segment, sink, hashed)

    def _read_segment(
        self, opened: Reader | None, segment: _Segment, sink: BinaryIO | None, hashed: hashlib._Hash | None
    ) -> None:
        left = segment.length
        while left and opened:
            self._patience.check()
            piece = opened.read(min(PIECE, left))
            if not piece:
                self._forget()
                end = segment.offset + segment.length - left
                raise too_short(self._store, self._layer, end)
            left -= len(piece)
            if hashed:
                hashed.update(piece)
            if sink:
                sink.write(piece)

    def _hash_file(self, segment: _Segment, hashed: hashlib._Hash) -> None:
        assert segment.source is not None
        left = segment.length
        with segment.source.open("rb") as source:
            while left and (piece := source.read(min(PIECE, left))):
                self._patience.check()
                hashed.update(piece)
                left -= len(piece)

    def _forget(self) -> None:
        for entry in self._entries:
            self._parts.path(self._layer, entry).unlink(missing_ok=True)

    def _fetched(self, there: Mapping[ImageFile, Path], how: str = "fetched") -> dict[ImageFile, Fetched]:
        return {
            entry: Fetched(there[entry], entry.size, "unchanged")
            if entry in there
            else Fetched(self._parts.path(self._layer, entry), entry.size, how)
            for entry in self._entries
        }


def _is_whole(place: Path, entry: ImageFile) -> bool:
    return place.is_file() and not place.is_symlink() and place.stat().st_size == entry.size

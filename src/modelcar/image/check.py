"""One layer, read once from its start to its end: its digest, its diffID, and the hash of each file in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

from modelcar.errors import ContentMismatch, Refused
from modelcar.http import PIECE
from modelcar.image.blobfile import StreamInput, read_as_tar
from modelcar.image.tree import MOST_ENTRIES, ImageFile, entries
from modelcar.oci import Descriptor, Digest, media
from modelcar.stores import ReadableStore

ROOT = "models/"
_REST = 1 << 62


@dataclass(slots=True)
class LayerCheck:
    """What a layer proved to be.

    Attributes:
        descriptor: What its manifest says of it.
        size: Its bytes as stored.
        digest: Of these bytes.
        diff_id: Of its tar; empty where that could not be read to its end.
        files: Its entries.
        hashes: `sha256:…` or `git-sha1:…` of the content at an offset of the tar.
        damage: Why it could not be read as a tar; empty where it could.
    """

    descriptor: Descriptor
    size: int = 0
    digest: str = ""
    diff_id: str = ""
    files: list[ImageFile] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)
    damage: str = ""

    def numbered(self, number: int) -> tuple[ImageFile, ...]:
        """Its entries as those of the layer of that number: on other platforms it may have another."""
        return tuple(replace(file, layer=number) for file in self.files)


def check_layer(
    store: ReadableStore,
    descriptor: Descriptor,
    number: int,
    kinds: Mapping[str, str],
    progress: Callable[[int], None],
) -> LayerCheck:
    """Read a layer.

    Args:
        store: Where it is.
        descriptor: What its manifest says of it.
        number: Its number in the image.
        kinds: By path in the image, how a file's content is hashed: `sha256` or `git-sha1`; others aren't.
        progress: Told of the number of bytes of every piece; may raise to end the work.

    Raises:
        NotFound: It is not there.
        ModelcarError: As the store does.
    """
    found = LayerCheck(descriptor)
    reader = _HashingReader(store, descriptor, progress)
    is_plain = media.compression(descriptor.media_type) == ""
    with closing(reader):
        if media.compression(descriptor.media_type) is not None:
            try:
                _read_tar(found, reader, store.name, number, kinds)
            except (ContentMismatch, Refused) as error:
                found.damage = error.what
        reader.drain()
    found.size, found.digest = reader.size, reader.digest
    if is_plain:
        found.diff_id = found.digest
    return found


class _HashingReader:
    """The layer as stored, hashed as it is read."""

    def __init__(self, store: ReadableStore, descriptor: Descriptor, progress: Callable[[int], None]) -> None:
        self._reader = store.open_blob(descriptor.digest)
        self._algorithm = descriptor.digest.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)
        self._progress = progress
        self.size = 0

    @property
    def digest(self) -> Digest:
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")

    def read(self, size: int, /) -> bytes:
        piece = self._reader.read(size)
        self._hash.update(piece)
        self.size += len(piece)
        self._progress(len(piece))
        return piece

    def drain(self) -> None:
        while self.read(PIECE):
            pass

    def close(self) -> None:
        self._reader.close()


class _HashedInput(StreamInput):
    """The tar of a compressed layer, hashed as it is read."""

    def __init__(self, reader: _HashingReader, descriptor: Descriptor, where: str) -> None:
        super().__init__(reader, descriptor, where)
        self.hash = hashlib.sha256()
        self._pieces = self._hashed(self._pieces)

    def _hashed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.hash.update(piece)
            yield piece


def _read_tar(found: LayerCheck, reader: _HashingReader, where: str, number: int, kinds: Mapping[str, str]) -> None:
    descriptor = found.descriptor
    # Of a plain layer the digest is the diffID, too: one hash will do.
    kind = _HashedInput if media.compression(descriptor.media_type) else StreamInput
    opened = kind(reader, descriptor, where)
    with read_as_tar(f"the layer {descriptor.digest} of {where}"):
        for file in entries(opened, number):
            found.files.append(file)
            if len(found.files) > MOST_ENTRIES:
                raise Refused(f"the layer {descriptor.digest} of {where} holds more than {MOST_ENTRIES:,} files")
            if file.kind == "file" and (algorithm := kinds.get(file.path)):
                found.hashes[file.offset] = _hash(opened, file, algorithm)
    for _ in opened.stream(_REST):
        pass
    if isinstance(opened, _HashedInput):
        found.diff_id = f"sha256:{opened.hash.hexdigest()}"


def _hash(opened: StreamInput, file: ImageFile, algorithm: str) -> str:
    # Git hashes a blob behind a header (git-scm.com, "Git Internals - Git Objects").
    digest = (
        hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False) if algorithm == "git-sha1" else hashlib.sha256()
    )
    opened.seek(file.offset)
    for piece in opened.stream(file.size):
        digest.update(piece)
    return f"{algorithm}:{digest.hexdigest()}"

"""An OCI archive as a store: one file, written as a whole and read by position."""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import BinaryIO

from modelcar.errors import ContentMismatch, ModelcarError, NotFound, Refused
from modelcar.oci import Descriptor, Digest, Index, digest_of, media, parse_reference
from modelcar.oci.attached import is_attached_tag
from modelcar.oci.digest import encoded, is_digest
from modelcar.oci.manifest import MAX_MANIFEST, Manifest, decode
from modelcar.stores.archive.members import Members, Place, check_regular, identity_of, open_file, read_members
from modelcar.stores.archive.writer import ArchiveWriter
from modelcar.stores.contract import Blob, BytesBlob, Limits, Reader
from modelcar.stores.files import FileReader, in_our_words
from modelcar.stores.indexed import IMAGE_NAME, REF_NAME, IndexedStore, decode_index, encode_index
from modelcar.stores.pieces import MOST_PIECES, pieces_of, split, whole_of

_INDEX = "index.json"


class ArchiveStore(IndexedStore):
    """An OCI archive. An image written to it replaces the whole file, at the moment when its tag is written.

    Until then `has_blob` counts both what is written and what the file holds that will be replaced: the image's blobs
    among the latter are copied into the new file.

    Args:
        path: The file. Its folder is made by the first write.
    """

    is_path = True
    has_ranges = True
    is_one_file = True
    holds_docker = False
    keeps_records = False
    limits = Limits()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: Members | None = None
        self._writer: ArchiveWriter | None = None
        self._is_lost = False
        self._attached: dict[str, tuple[Descriptor, bytes]] = {}

    @property
    def name(self) -> str:
        """See `ReadableStore`."""
        return f"oci-archive:{self._path}"

    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""
        writer = self._writer
        if writer is not None and writer.has(digest):
            return True
        try:
            return _blob_name(digest) in self._members().places
        except (NotFound, ContentMismatch):
            return False

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`."""
        with self._in_our_words("read"):
            writer = self._writer
            if writer is not None and writer.has(digest):
                opened, place = writer.open(digest)
            else:
                if _blob_name(digest) not in self._members().places:
                    raise self._absent(digest)
                opened, place = self._opened(_blob_name(digest), f"{self.name} has no blob {digest}")
        left = max(0, place.size - offset)
        return FileReader(opened, place.offset + offset, left if length is None else min(length, left), self.name)

    def prepare(self) -> None:
        """See `Store.prepare`: the file is an OCI archive, damaged or not, empty, or not there yet."""
        with self._in_our_words("written"):
            self._check_target()
            self._start()

    def write_blob(self, blob: Blob) -> Descriptor:
        """See `Store.write_blob`."""
        with self._in_our_words("written"):
            return self._start().write(blob)

    def mount_blob(self, digest: Digest, origin: str) -> bool:
        """See `Store.mount_blob`: an archive takes nothing over without bytes."""
        return False

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        """See `Store.write_manifest`. A version that is no digest ends the archive and puts it in place.

        It is the tag, a whole reference, whose tag it is then, or empty for an image without a name. A tag of what
        hangs on an image is kept for that end.
        """
        digest = digest_of(content)
        with self._in_our_words("written"):
            writer = self._start()
            if not self.has_blob(digest):
                writer.write(BytesBlob(content, f"manifest {digest[:19]}"))
            described = self._described(Descriptor(media_type, digest, len(content), annotations=_names(version)))
            if is_attached_tag(version):
                self._attached[version] = (described, content)
            elif not is_digest(version):
                self._finish(writer, described, content)
        return digest

    def _finish(self, writer: ArchiveWriter, image: Descriptor, content: bytes) -> None:
        """Put the archive in place: the image, and what hangs on it."""
        every = [(image, content), *self._attached.values()]
        blobs: dict[Digest, int] = {}
        for descriptor, bytes_ in every:
            blobs |= self._blobs_of(descriptor, bytes_)
        self._take_over(writer, blobs)
        writer.finish(encode_index(Index(2, tuple(descriptor for descriptor, _ in every), media.OCI_INDEX)))
        self._writer, self._known, self._is_lost = None, None, False
        self._attached.clear()
        for left in pieces_of(Path(os.path.realpath(self._path))):
            left.unlink(missing_ok=True)  # of what was there before

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        """See `Store.delete_tag`: an archive is replaced as a whole, and nothing else is done to it."""
        raise Refused(f"{self.name} is one file, of which no tag can be taken away", "remove the file")

    def lies_as(self, split: int | None) -> bool:
        """Whether the archive is there as one file (None), or in pieces of so many bytes."""
        with in_our_words(self.name, "read", "check its permissions"):
            path = Path(os.path.realpath(self._path))
            if path.exists():
                return split is None or path.stat().st_size <= split
            pieces = pieces_of(path)
            return split is not None and bool(pieces) and pieces[0].stat().st_size == split

    def split(self, size: int) -> list[Path]:
        """Leave the archive in pieces of at most `size` bytes: FILE.part001 and so on. Read, they are one.

        Returns the pieces, or the file where it isn't larger.

        Raises:
            Refused: There would be too many; the archive is there as a whole then. A full disk.
            Denied, ModelcarError: As the system says.
        """
        with in_our_words(self.name, "split", "copy it again"):
            path = Path(os.path.realpath(self._path))
            if not path.exists():
                return pieces_of(path)  # nothing of it had to be written
            if path.stat().st_size > MOST_PIECES * size:
                raise Refused(
                    f"{self.name} would be more than {MOST_PIECES} pieces of {size:,} bytes", "name a larger size"
                )
            self._known = None
            return split(path, size)

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            if self._writer is not None:
                self._writer.discard()
                self._writer = None

    def _start(self) -> ArchiveWriter:
        with self._lock:
            if self._writer is None:
                # The file itself is replaced, not a link that leads to it.
                self._writer = ArchiveWriter(Path(os.path.realpath(self._path)))
            return self._writer

    def _check_target(self) -> None:
        """Only what was an OCI archive once, or is empty, may be replaced."""
        try:
            check_regular(self._path)
            is_empty = self._path.stat().st_size == 0
        except NotADirectoryError:
            raise Refused(f"{self._path} lies below a file, not a folder", "name another file") from None
        except FileNotFoundError:
            if not pieces_of(self._path):
                return
            is_empty = False
        try:
            self._is_lost = is_empty
            if not is_empty:
                self._index()
        except ContentMismatch:
            self._is_lost = True
        except (NotFound, Refused) as error:
            raise Refused(error.what, "name another file: what is no OCI archive isn't replaced by one") from None

    def _members(self) -> Members:
        """The files of the archive as it is now."""
        if self._is_lost:
            raise NotFound(f"{self.name} holds nothing that can be read")
        with self._in_our_words("read"), closing(open_file(self._path)) as opened:
            known = self._known
            if known is None or known.identity != identity_of(opened):
                known = self._known = self._read_members(opened)
                _check_kind(known, self._path)
            return known

    def _read_members(self, opened: BinaryIO) -> Members:
        try:
            return read_members(opened, self._path)
        except (ContentMismatch, Refused):
            if whole := whole_of(self._path):
                what = f"{self._path} is a piece of an archive, which is read as a whole"
                raise Refused(what, f"with all its pieces in one folder write oci-archive:{whole}") from None
            raise

    def _opened(self, name: str, missing: str) -> tuple[BinaryIO, Place]:
        """The archive, open, and where one of its files lies."""
        members = self._members()
        place = members.places.get(name)
        if place is None:
            raise NotFound(missing)
        with self._in_our_words("read"):
            opened = open_file(self._path)
            if identity_of(opened) != members.identity:
                opened.close()
                raise ModelcarError(f"{self.name} was replaced while it was read", "run it again")
            return opened, place

    def _index(self) -> Index:
        opened, place = self._opened(_INDEX, f"{self._path} is no OCI archive: it has no {_INDEX}")
        with closing(FileReader(opened, place.offset, place.size, self.name)) as reader:
            if place.size > MAX_MANIFEST:
                raise Refused(f"{self.name}: {_INDEX} is larger than {MAX_MANIFEST:,} bytes")
            return decode_index(reader.read(place.size), self.name)

    def _blobs_of(self, descriptor: Descriptor, content: bytes) -> dict[Digest, int]:
        """The size of each blob that an image is made of, itself and its platforms' manifests among them."""
        found = {descriptor.digest: len(content)}
        value = decode(content, descriptor.media_type, self.name)
        if isinstance(value, Manifest):
            return found | {each.digest: each.size for each in (value.config, *value.layers)}
        for each in value.manifests:
            found |= self._blobs_of(each, self.manifest(each.digest).content)
        return found

    def _take_over(self, writer: ArchiveWriter, blobs: dict[Digest, int]) -> None:
        """Copy those of an image's blobs that only the file holds that is replaced, in its order."""
        missing = {_blob_name(digest): digest for digest in blobs if not writer.has(digest)}
        if self.left_out is not None:
            missing = {name: digest for name, digest in missing.items() if self.has_blob(digest)}
        if not missing:
            return
        members = self._members()
        for name, digest in missing.items():
            if name not in members.places:
                raise NotFound(f"{self.name} has no blob {digest}")
            if members.places[name].size != blobs[digest]:
                raise ContentMismatch(f"the blob {digest} in {self.name} has another size than its image says")
        for name in (name for name in members.places if name in missing):
            opened, place = self._opened(name, f"{self.name} has no blob {missing[name]}")
            with closing(opened):
                writer.copy(missing[name], opened, place)

    def _in_our_words(self, done: str) -> AbstractContextManager[None]:
        return in_our_words(self.name, done, "an archive starts again")


def _check_kind(members: Members, path: Path) -> None:
    """Raises `Refused` for what `docker save` writes."""
    if "manifest.json" in members.places and _INDEX not in members.places:
        hint = f"convert it: skopeo copy docker-archive:{path} oci-archive:{path.stem}-oci.tar"
        raise Refused(f"{path} is a Docker archive, not an OCI archive", hint)


def _blob_name(digest: Digest) -> str:
    return "/".join(("blobs", *encoded(digest)))


def _names(version: str) -> dict[str, str] | None:
    """The annotations that name an image: its tag, and the whole reference where that was given."""
    if "/" not in version:
        return {REF_NAME: version} if version else None
    tag = parse_reference(version).tag
    return {IMAGE_NAME: version} | ({REF_NAME: tag} if tag else {})

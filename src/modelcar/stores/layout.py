"""An OCI image layout: a folder that holds images (OCI image-spec v1.1, image-layout.md)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.oci import Descriptor, Digest, Index, digest_of, media
from modelcar.oci.digest import encoded, is_digest
from modelcar.stores.contract import Blob, Limits, Reader
from modelcar.stores.files import WORK, FileReader, in_our_words, locked, remove_if_dead
from modelcar.stores.indexed import LAYOUT_VERSION, REF_NAME, IndexedStore, decode_index, encode_index, tag_of


class LayoutStore(IndexedStore):
    """An OCI layout as a store. Writers on several processes are kept apart by a lock on `index.json`'s folder.

    Args:
        path: The folder. It is made by the first write.
    """

    holds_docker = False
    is_path = True
    is_one_file = False
    keeps_records = False
    limits = Limits()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starting = threading.Lock()
        self._work: Path | None = None
        self._work_lock: int | None = None

    @property
    def name(self) -> str:
        """See `ReadableStore`."""
        return f"oci:{self._path}"

    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""
        with self._in_our_words("read"):
            return self._blob_path(digest).is_file()

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`."""
        with self._in_our_words("read"):
            try:
                opened = self._blob_path(digest).open("rb", buffering=0)
            except FileNotFoundError:
                raise self._absent(digest) from None
        return FileReader(opened, offset, length, self.name)

    def prepare(self) -> None:
        """See `Store.prepare`: the folder is a layout, empty, or not there yet."""
        with self._in_our_words("written"):
            self._check_target()
            (self._path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            self._open_work()
            with locked(self._path):
                for file, content in (("oci-layout", LAYOUT_VERSION), ("index.json", encode_index(_EMPTY))):
                    if not (self._path / file).exists():
                        self._replace(self._path / file, content)

    def write_blob(self, blob: Blob) -> Descriptor:
        """See `Store.write_blob`: written beside and renamed, so that a blob under its name is whole."""
        stream = blob.open()
        temporary: Path | None = None
        try:
            with self._in_our_words("written"):
                with tempfile.NamedTemporaryFile(dir=self._open_work(), delete=False) as opened:
                    temporary = Path(opened.name)
                    for piece in stream:
                        opened.write(piece)
                    opened.flush()
                    os.fsync(opened.fileno())
                    os.fchmod(opened.fileno(), 0o644)
                if blob.digest is not None and stream.digest != blob.digest:
                    raise ContentMismatch(f"{blob.title}: the bytes are those of {stream.digest}, not of {blob.digest}")
                temporary.replace(self._blob_path(stream.digest))
            return Descriptor("", stream.digest, stream.size)
        finally:
            stream.close()
            if temporary is not None:
                temporary.unlink(missing_ok=True)

    def mount_blob(self, digest: Digest, origin: str) -> bool:
        """See `Store.mount_blob`: a layout takes nothing over without bytes."""
        return False

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        """See `Store.write_manifest`. A version that is no digest becomes the manifest's tag in `index.json`."""
        digest = digest_of(content)
        with self._in_our_words("written"):
            self._open_work()
            if not self.has_blob(digest):
                self._replace(self._blob_path(digest), content)
            if not is_digest(version):
                named = {REF_NAME: version} if version else None
                with locked(self._path):
                    self._tag(self._described(Descriptor(media_type, digest, len(content), annotations=named)))
        return digest

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        """See `Store.delete_tag`."""
        with self._in_our_words("written"):
            self._open_work()
            with locked(self._path):
                index = self._index()
                kept = tuple(d for d in index.manifests if tag_of(d) != tag)
                self._replace(self._path / "index.json", encode_index(msgspec.structs.replace(index, manifests=kept)))
        return True

    def close(self) -> None:
        """See `Store.close`."""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            self._work = None
        if self._work_lock is not None:
            os.close(self._work_lock)
            self._work_lock = None

    def _blob_path(self, digest: Digest) -> Path:
        algorithm, name = encoded(digest)
        return self._path / "blobs" / algorithm / name

    def _index(self) -> Index:
        with self._in_our_words("read"):
            try:
                content = (self._path / "index.json").read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                if self._path.is_dir():
                    raise NotFound(f"{self._path} is not an OCI layout: it has no index.json") from None
                raise NotFound(f"there is no OCI layout at {self._path}") from None
        return decode_index(content, self.name)

    def _tag(self, descriptor: Descriptor) -> None:
        index, tag = self._index(), tag_of(descriptor)
        kept = [d for d in index.manifests if tag_of(d) != tag]  # without a name there is one image, as with one
        new = msgspec.structs.replace(index, manifests=(*kept, descriptor))
        self._replace(self._path / "index.json", encode_index(new))

    def _check_target(self) -> None:
        nearest = next(path for path in (self._path, *self._path.parents) if path.exists())
        if not nearest.is_dir():
            raise Refused(f"{nearest} is a file, not a folder", "name another folder for the OCI layout")
        if nearest != self._path:
            return
        layout = self._path / "oci-layout"
        if layout.is_file():
            try:
                stated = json.loads(layout.read_bytes()).get("imageLayoutVersion", "")
            except (ValueError, AttributeError):
                stated = ""
            if not str(stated).startswith("1."):
                raise Refused(f"{layout} states no version 1 of the OCI layout", "name another folder")
            return
        ours = ("blobs", "index.json")
        others = sorted(p.name for p in self._path.iterdir() if p.name not in ours and not p.name.startswith(WORK))
        if others:
            raise Refused(
                f"the folder {self._path} holds something else than an OCI layout ({others[0]}, …)",
                "name an empty or a new folder",
            )

    def _open_work(self) -> Path:
        """A folder of this process beside the blobs, locked while it lives; those of dead processes are removed."""
        with self._starting:
            if self._work is None:
                with locked(self._path):  # a folder without its own lock yet would look dead to another process
                    for left in self._path.glob(f"{WORK}*"):
                        remove_if_dead(left)
                    work = Path(tempfile.mkdtemp(prefix=WORK, dir=self._path))
                    self._work_lock = os.open(work, os.O_RDONLY)
                    fcntl.flock(self._work_lock, fcntl.LOCK_EX)
                self._work = work
            return self._work

    def _replace(self, path: Path, content: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self._open_work(), delete=False) as opened:
            temporary = Path(opened.name)
            try:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
                os.fchmod(opened.fileno(), 0o644)
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def _in_our_words(self, done: str) -> AbstractContextManager[None]:
        """Errors of the file system in our words; `done` is what could not be done to the layout."""
        return in_our_words(self.name, done, "finished layers are kept")


_EMPTY = Index(2, (), media.OCI_INDEX)

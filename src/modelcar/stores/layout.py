"""An OCI image layout: a folder that holds images (OCI image-spec v1.1, image-layout.md)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused
from modelcar.oci import Descriptor, Digest, Index, digest_of, media
from modelcar.oci.digest import encoded, is_digest
from modelcar.oci.manifest import MAX_MANIFEST, Manifest, decode
from modelcar.stores.contract import Blob, Limits, Reader, StoredManifest

REF_NAME = "org.opencontainers.image.ref.name"
_WORK = ".modelcar-"


class LayoutStore:
    """An OCI layout as a store. Writers on several processes are kept apart by a lock on `index.json`'s folder.

    Args:
        path: The folder. It is made by the first write.
    """

    holds_docker = False
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

    def resolve(self, version: str) -> Descriptor:
        """See `ReadableStore.resolve`. An empty version means the only image that is there."""
        if is_digest(version):
            content = self.manifest(version)
            return Descriptor(content.media_type, content.digest, len(content.content))
        found = self._index().manifests
        if version:
            found = tuple(d for d in found if _tag_of(d) == version)
        if not found:
            raise NotFound(
                f"{self.name} holds no image {version!r}" if version else f"{self.name} holds no image", self._hint()
            )
        if len(found) > 1 and not version:
            raise NotFound(f"{self.name} holds {len(found)} images and none was named", self._hint())
        return found[-1]

    def manifest(self, version: str) -> StoredManifest:
        """See `ReadableStore.manifest`."""
        if is_digest(version):
            digest, media_type = Digest(version), ""
        else:
            descriptor = self.resolve(version)
            digest, media_type = descriptor.digest, descriptor.media_type
        with contextlib.closing(self.open_blob(digest)) as reader:
            content = reader.read(MAX_MANIFEST + 1)
        if len(content) > MAX_MANIFEST:
            raise Refused(f"the manifest {digest} in {self.name} is larger than {MAX_MANIFEST:,} bytes")
        if digest.startswith("sha256:") and digest_of(content) != digest:
            raise ContentMismatch(f"the manifest {digest} in {self.name} has other bytes than its digest says")
        return StoredManifest(content, media_type or _media_type_of(content, f"{self.name}@{digest}"), digest)

    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""
        with self._in_our_words("read"):
            return self._blob_path(digest).is_file()

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`."""
        with self._in_our_words("read"):
            try:
                opened = self._blob_path(digest).open("rb")
            except FileNotFoundError:
                raise NotFound(f"{self.name} has no blob {digest}") from None
            opened.seek(offset)
        return _Bounded(opened, length, self.name)

    def tags(self) -> list[str]:
        """See `ReadableStore.tags`."""
        return sorted({tag for d in self._index().manifests if (tag := _tag_of(d))})

    def prepare(self) -> None:
        """See `Store.prepare`: the folder is a layout, empty, or not there yet."""
        with self._in_our_words("written"):
            self._check_target()
            (self._path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            self._open_work()
            with self._locked():
                for file, content in (("oci-layout", _VERSION), ("index.json", _encode_index(_EMPTY))):
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
                with self._locked():
                    self._tag(Descriptor(media_type, digest, len(content), annotations=named))
        return digest

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        """See `Store.delete_tag`."""
        with self._in_our_words("written"):
            self._open_work()
            with self._locked():
                index = self._index()
                kept = tuple(d for d in index.manifests if _tag_of(d) != tag)
                self._replace(self._path / "index.json", _encode_index(msgspec.structs.replace(index, manifests=kept)))
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
        index = decode(content, media.OCI_INDEX, f"{self.name} (index.json)")
        if isinstance(index, Manifest):
            raise ContentMismatch(f"{self.name}: index.json is no index")
        return index

    def _tag(self, descriptor: Descriptor) -> None:
        index, tag = self._index(), _tag_of(descriptor)
        kept = [d for d in index.manifests if _tag_of(d) != tag]  # without a name there is one image, as with one
        new = msgspec.structs.replace(index, manifests=(*kept, descriptor))
        self._replace(self._path / "index.json", _encode_index(new))

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
        others = sorted(p.name for p in self._path.iterdir() if p.name not in ours and not p.name.startswith(_WORK))
        if others:
            raise Refused(
                f"the folder {self._path} holds something else than an OCI layout ({others[0]}, …)",
                "name an empty or a new folder",
            )

    def _open_work(self) -> Path:
        """A folder of this process beside the blobs, locked while it lives; those of dead processes are removed."""
        with self._starting:
            if self._work is None:
                with self._locked():  # a folder without its own lock yet would look dead to another process
                    for left in self._path.glob(f"{_WORK}*"):
                        _remove_if_dead(left)
                    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=self._path))
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

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    @contextlib.contextmanager
    def _in_our_words(self, done: str) -> Iterator[None]:
        """Errors of the file system in our words; `done` is what could not be done to the layout."""
        try:
            yield
        except OSError as error:
            raise _io_error(error, self.name, done) from None

    def _hint(self) -> str:
        tags = self.tags()
        return f"it has {', '.join(tags[:10])}{', …' if len(tags) > 10 else ''}" if tags else "build one into it first"


class _Bounded:
    """At most `length` bytes of an open file of the layout `name`."""

    def __init__(self, opened: BinaryIO, length: int | None, name: str) -> None:
        self._opened = opened
        self._left = length
        self._name = name

    def read(self, size: int) -> bytes:
        if self._left is not None:
            size = min(size, self._left)
        try:
            piece = self._opened.read(size)
        except OSError as error:
            raise _io_error(error, self._name, "read") from None
        if self._left is not None:
            self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._opened.close()


_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_EMPTY = Index(2, (), media.OCI_INDEX)


def _tag_of(descriptor: Descriptor) -> str:
    return (descriptor.annotations or {}).get(REF_NAME, "")


def _encode_index(index: Index) -> bytes:
    return msgspec.json.encode(index)


def _media_type_of(content: bytes, where: str) -> str:
    value = decode(content, "", where)
    return value.media_type or (media.OCI_INDEX if isinstance(value, Index) else media.OCI_MANIFEST)


def _remove_if_dead(work: Path) -> None:
    """Remove a work folder or file that no living process holds."""
    try:
        if not work.is_dir():
            work.unlink()
            return
        lock = os.open(work, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(work, ignore_errors=True)
        finally:
            os.close(lock)
    except OSError:
        return


def _io_error(error: OSError, name: str, done: str) -> ModelcarError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"{name} can't be {done}: {error.strerror}", "check the folder's permissions")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(f"{name}: the disk is full", "free some space and run it again: finished layers are kept")
    return ModelcarError(f"{name} can't be {done}: {error.strerror or error}")

"""Writing an OCI archive in one pass, blobs side by side, into a file beside its target.

A blob of a known size gets its place at once, so that any number are written at a time. One of an unknown size is
written at the end, which stays open for it; what comes meanwhile goes through a file without a name. A blob that
breaks, or proves to be there already, gives its place back: it is cut off, or filled by its next try, or closed up at
the end.
"""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelcar.errors import ContentMismatch, Interrupted
from modelcar.http import PIECE
from modelcar.oci import Descriptor, Digest
from modelcar.oci.digest import encoded
from modelcar.oci.tar import BLOCK, Folder, Member, header
from modelcar.stores.archive.members import Place
from modelcar.stores.contract import Blob, BlobStream
from modelcar.stores.files import WORK, locked, remove_if_dead
from modelcar.stores.indexed import LAYOUT_VERSION
from modelcar.stores.pieces import read_at

_END = bytes(2 * BLOCK)
_HEADER = BLOCK
"""Bytes of a blob's header: its name, `blobs/sha256/…`, needs no long-name entry."""


@dataclass(slots=True, eq=False)
class _Slot:
    """A stretch of the archive: a header and room for a blob. `size` is None while the end is open for it."""

    offset: int
    size: int | None
    digest: Digest | None = None
    is_free: bool = False

    @property
    def length(self) -> int:
        """Bytes with header and padding."""
        return _HEADER + -(-(self.size or 0) // BLOCK) * BLOCK


class ArchiveWriter:
    """One archive that is being written. All methods but `finish` may be called from several threads.

    Args:
        target: The file that it will replace.

    Raises:
        OSError: The file beside it can't be made.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._slots: list[_Slot] = []
        self._blobs: dict[Digest, _Slot] = {}
        self._spooled: dict[Digest, tuple[BinaryIO, int]] = {}
        self._is_end_open = False
        target.parent.mkdir(parents=True, exist_ok=True)
        begin = f"{WORK}{target.name[:100]}-"
        with locked(target.parent):  # a file without its own lock yet would look dead to another process
            for left in target.parent.glob(glob.escape(begin) + "*"):
                remove_if_dead(left)
            self._file, path = tempfile.mkstemp(prefix=begin, dir=target.parent)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self._path = Path(path)
        self._is_closed = False
        first = Member("oci-layout", len(LAYOUT_VERSION))
        prologue = _whole(first, LAYOUT_VERSION) + header(Folder("blobs")) + header(Folder("blobs/sha256"))
        self._start = self._end = len(prologue)
        try:
            _write(self._file, prologue, 0)
        except OSError:
            self.discard()
            raise

    def has(self, digest: Digest) -> bool:
        """Whether a blob has been written."""
        with self._lock:
            return digest in self._blobs or digest in self._spooled

    def open(self, digest: Digest) -> tuple[BinaryIO, Place]:
        """A blob that has been written: a file for the caller to close, and where in it the bytes lie.

        Raises:
            KeyError: It has not.
            Interrupted: The archive was discarded meanwhile.
        """
        with self._lock:
            if self._is_closed:
                raise Interrupted("stopped")
            if digest in self._spooled:
                spool, size = self._spooled[digest]
                return os.fdopen(os.dup(spool.fileno()), "rb", buffering=0), Place(0, size)
            slot = self._blobs[digest]
            return os.fdopen(os.dup(self._file), "rb", buffering=0), Place(slot.offset + _HEADER, slot.size or 0)

    def write(self, blob: Blob) -> Descriptor:
        """Write a blob. Nothing of it is left where it breaks.

        Raises:
            ContentMismatch: The bytes aren't those of `blob.digest`, or not as many as `blob.size`.
            Interrupted: The archive was discarded meanwhile.
            ModelcarError: As the blob's stream.
            OSError: As the system says.
        """
        stream = blob.open()
        try:
            file, slot = self._reserve(blob.size)
            try:
                if slot is None:
                    self._spool(blob, stream)
                else:
                    _pour(stream, file, slot.offset + _HEADER, slot.size, blob.title)
                    _check(blob, stream)
                    self._commit(file, slot, stream.digest, stream.size)
            except BaseException:
                if slot is not None:
                    self._release(slot)
                raise
            finally:
                os.close(file)
            return Descriptor("", stream.digest, stream.size)
        finally:
            stream.close()

    def copy(self, digest: Digest, source: BinaryIO, place: Place) -> None:
        """Take a blob over from another archive, as it lies there.

        Raises:
            ContentMismatch: The other file ends before it.
            OSError: As the system says.
        """
        file, slot = self._reserve(place.size)
        try:
            assert slot is not None  # an end is open only while `write` is at work
            _copy(source, place.offset, file, slot.offset + _HEADER, place.size)
            self._commit(file, slot, digest, place.size)
        except BaseException:
            if slot is not None:
                self._release(slot)
            raise
        finally:
            os.close(file)

    def finish(self, index: bytes) -> None:
        """Write `index.json` and the end, and put the archive in its target's place.

        Raises:
            OSError: As the system says; the target is as it was.
        """
        for digest in [*self._spooled]:
            spool, size = self._spooled.pop(digest)
            with spool:
                self.copy(digest, spool, Place(0, size))
        self._close_up()
        last = _whole(Member("index.json", len(index)), index) + _END
        _write(self._file, last, self._end)
        os.ftruncate(self._file, self._end + len(last))
        os.fchmod(self._file, 0o644)
        os.fsync(self._file)
        self._path.replace(self._target)
        with suppress(OSError):  # it is there; not every file system lets a folder be synced
            folder = os.open(self._target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self.discard()

    def discard(self) -> None:
        """Remove what is unfinished. Writers that are still at work meet `Interrupted`, or write into no file."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            for file, _ in self._spooled.values():
                file.close()
            self._spooled.clear()

    def _reserve(self, size: int | None) -> tuple[int, _Slot | None]:
        """A descriptor of the file, and a place in it; None where the blob has to wait beside it."""
        with self._lock:
            if self._is_closed:
                raise Interrupted("stopped")
            file = os.dup(self._file)  # `discard` may close the other at any time
            slot = next((s for s in self._slots if s.is_free and s.size == size), None)
            if slot is not None:
                slot.is_free = False
            elif not self._is_end_open:
                slot = _Slot(self._end, size)
                self._slots.append(slot)
                self._is_end_open = size is None
                self._end += slot.length
            return file, slot

    def _commit(self, file: int, slot: _Slot, digest: Digest, size: int) -> None:
        """Give a blob that lies in its place its header, unless it is there already."""
        with self._lock:
            is_there = digest in self._blobs or digest in self._spooled
            if not is_there:
                if slot.size is None:
                    slot.size = size
                    self._end = slot.offset + slot.length
                    self._is_end_open = False
                slot.digest = digest
                self._blobs[digest] = slot
        if is_there:
            self._release(slot)
        else:
            _write(file, _blob_header(digest, size), slot.offset)

    def _release(self, slot: _Slot) -> None:
        """Give a place back: the last ones are cut off."""
        with self._lock:
            if slot.digest is not None:
                del self._blobs[slot.digest]
                slot.digest = None
            slot.is_free = True
            if slot.size is None:
                self._is_end_open = False
            while self._slots and self._slots[-1].is_free:
                self._end = self._slots.pop().offset
            if not self._is_closed:
                os.ftruncate(self._file, min(self._end, os.fstat(self._file).st_size))

    def _spool(self, blob: Blob, stream: BlobStream) -> None:
        file = tempfile.TemporaryFile(dir=self._target.parent, buffering=0)  # noqa: SIM115 - it is kept
        try:
            _pour(stream, file.fileno(), 0, blob.size, blob.title)
            _check(blob, stream)
            with self._lock:
                if self._is_closed:
                    raise Interrupted("stopped")
                is_there = stream.digest in self._blobs or stream.digest in self._spooled
                if not is_there:
                    self._spooled[stream.digest] = (file, stream.size)
        except BaseException:
            file.close()
            raise
        if is_there:
            file.close()

    def _close_up(self) -> None:
        """Move what lies behind a place that was given back."""
        os.ftruncate(self._file, self._end)  # the last blob's padding is there to be moved, too
        at = self._start
        for slot in [slot for slot in self._slots if not slot.is_free]:
            if slot.offset != at:
                _copy(self._file, slot.offset, self._file, at, slot.length)
                slot.offset = at
            at += slot.length
        self._end = at
        self._slots = [slot for slot in self._slots if not slot.is_free]


def _pour(stream: BlobStream, file: int, offset: int, size: int | None, title: str) -> None:
    """Write a stream into a place, and never past it."""
    for piece in stream:
        if size is not None and stream.size > size:
            raise ContentMismatch(f"{title}: there are more bytes than the {size:,} stated")
        _write(file, piece, offset)
        offset += len(piece)
    if size is not None and stream.size != size:
        raise ContentMismatch(f"{title}: there are {stream.size:,} bytes, not the {size:,} stated")


def _check(blob: Blob, stream: BlobStream) -> None:
    if blob.digest is not None and stream.digest != blob.digest:
        raise ContentMismatch(f"{blob.title}: the bytes are those of {stream.digest}, not of {blob.digest}")


def _write(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _copy(source: int | BinaryIO, from_offset: int, target: int, to_offset: int, size: int) -> None:
    """Copy bytes, also within one file where they move towards its beginning."""
    done = 0
    while done < size:
        wanted, at = min(PIECE, size - done), from_offset + done
        piece = os.pread(source, wanted, at) if isinstance(source, int) else read_at(source, wanted, at)
        if not piece:
            raise ContentMismatch("an archive became shorter while it was read", "run it again")
        _write(target, piece, to_offset + done)
        done += len(piece)


def _blob_header(digest: Digest, size: int) -> bytes:
    return header(Member("/".join(("blobs", *encoded(digest))), size))


def _whole(member: Member, content: bytes) -> bytes:
    return header(member) + content.ljust(-(-len(content) // BLOCK) * BLOCK, b"\0")

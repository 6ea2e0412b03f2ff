"""Where the files of an uncompressed tar lie in it, found by reading nothing but its headers.

Ustar, GNU and PAX headers, as `tarfile` reads them. What no honest OCI archive holds is refused: names that lead out of
it or come twice, sparse files, headers of more than a MiB.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.oci.tar import BLOCK
from modelcar.stores.pieces import Pieces, open_whole

_MOST_HEADER = 1 << 20
_MOST_MEMBERS = 100_000
_PACKED = (
    (b"\x1f\x8b", "gzip", "gzip -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc"),
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file's bytes lie: from `offset` on, `size` bytes."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Members:
    """The regular files of one tar.

    Attributes:
        identity: Of the file that was read; another one has another.
        places: By name, without a leading `./`, in the tar's order.
    """

    identity: tuple[int, ...]
    places: Mapping[str, Place]


def open_file(path: Path) -> BinaryIO:
    """Open a file to read it.

    Raises:
        NotFound: There is none.
        Refused: It is a pipe, a device or a folder.
        OSError: As the system says.
    """
    try:
        with suppress(FileNotFoundError):  # it may be in pieces
            check_regular(path)
        return open_whole(path)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no OCI archive at {path}") from None


def check_regular(path: Path) -> None:
    """See that what is there is a file that can be sought in.

    Raises:
        Refused: It is a pipe, a device or a folder.
        OSError: As the system says, also where nothing is there.
    """
    if str(path) == "-":
        raise Refused("an OCI archive is no pipe", "name a file: it is written and read by position")
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise Refused(f"{path} is a folder, not an OCI archive", f"for an OCI layout write oci:{path}")
    if not stat.S_ISREG(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise Refused(f"{path} is {kind}, not a file", "name a file: an OCI archive is written and read by position")


def identity_of(opened: BinaryIO) -> tuple[int, ...]:
    """What tells an open file from any other, and from itself after a change."""
    if isinstance(opened, Pieces):
        return opened.identity
    status = os.fstat(opened.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_members(opened: BinaryIO, path: Path) -> Members:
    """Find the files of a tar.

    Args:
        opened: The tar.
        path: Its name, for errors.

    Raises:
        ContentMismatch: It is cut or damaged.
        Refused: It is no tar, a compressed one, or one that holds what an OCI archive can't.
        OSError: As the system says.
    """
    size = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    _check_magic(opened, path, size)
    places: dict[str, Place] = {}
    for count, member in enumerate(_members(opened, path, size)):
        if count == _MOST_MEMBERS:
            raise Refused(f"{path} holds more than {_MOST_MEMBERS:,} members, more than any OCI archive")
        name = _safe_name(member.name, path)
        if member.issparse():
            raise Refused(f"{path}: the member {name} is sparse", "pack it again without --sparse")
        end = member.offset_data + -(-member.size // BLOCK) * BLOCK
        if member.isreg() and end > size:
            raise ContentMismatch(
                f"{path} is cut: it ends at byte {size:,} and {name} goes on to byte {end:,}", "copy it again"
            )
        if not member.isreg():
            continue
        if name in places:
            raise Refused(f"{path} holds {name} twice", "pack it again")
        places[name] = Place(member.offset_data, member.size)
    return Members(identity_of(opened), places)


def _members(opened: BinaryIO, path: Path, size: int) -> Iterator[tarfile.TarInfo]:
    """All members, and at their end a look at whether the tar ends there."""
    try:
        with tarfile.open(fileobj=cast(BinaryIO, _Headers(opened)), mode="r:") as tar:
            while (member := tar.next()) is not None:
                vars(tar)["members"].clear()  # it would keep them all
                yield member
            end = tar.offset
    except tarfile.ReadError:
        if opened.tell() >= size:
            raise ContentMismatch(f"{path} is cut: it ends at byte {size:,} inside a header", "copy it again") from None
        raise ContentMismatch(f"{path} is no tar, or a damaged one, before byte {opened.tell():,}") from None
    except (tarfile.TarError, ValueError, EOFError, IndexError, OverflowError) as error:
        raise ContentMismatch(f"{path} is a damaged tar: {error}") from None
    # tarfile takes anything that is no header for the end.
    opened.seek(end)
    last = opened.read(BLOCK)
    if len(last) < BLOCK:
        raise ContentMismatch(f"{path} is cut: it ends at byte {size:,} without a tar's end", "copy it again")
    if last.strip(b"\0"):
        raise ContentMismatch(f"{path} is damaged at byte {end:,}: there is no header of a member", "copy it again")


def _check_magic(opened: BinaryIO, path: Path, size: int) -> None:
    first = opened.read(BLOCK)
    for magic, kind, unpack in _PACKED:
        if first.startswith(magic):
            plain = path.with_suffix("") if path.suffix not in ("", ".tar", ".tgz") else path.with_suffix(".plain.tar")
            raise Refused(f"{path} is compressed ({kind})", f"unpack it first: {unpack} {path} > {plain}")
    if not size:
        raise Refused(f"{path} is empty, and no OCI archive")
    opened.seek(0)
    try:
        tarfile.TarInfo.frombuf(first, "utf-8", "surrogateescape")
    except tarfile.TruncatedHeaderError:  # type: ignore[attr-defined]
        raise Refused(f"{path} is no tar, and so no OCI archive: it has {size:,} bytes") from None
    except tarfile.HeaderError:
        if first.strip(b"\0"):
            raise Refused(f"{path} is no tar, and so no OCI archive") from None


def _safe_name(name: str, path: Path) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise Refused(f"{path} holds a member that leads out of it: {name!r}", "don't unpack it either")
    return "/".join(parts)


class _Headers:
    """The file as tarfile may read it: a header at a time, never what is as large as it likes."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self.seek = opened.seek
        self.tell = opened.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _MOST_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        return self._opened.read(size)

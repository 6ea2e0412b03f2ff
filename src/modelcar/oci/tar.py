"""The tar framing of a layer: what stands between the files' bytes, computed before any of them is read.

Headers are in GNU format throughout: sizes past 8 GiB in base 256, names past 100 bytes in a long-name entry (GNU tar
manual, "Basic Tar Format"). Nothing of the machine enters: owner 0, time 0, fixed modes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import dirname

BLOCK = 512
_END = bytes(2 * BLOCK)
_NAME = 100
"""Bytes of a name, or of a link's target, that fit into a header block."""

_FILE, _FOLDER, _SYMLINK, _LONG_NAME, _LONG_LINK = b"0", b"5", b"2", b"L", b"K"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a layer: its name in the tar and its size in bytes."""

    name: str
    size: int
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of a layer."""

    name: str
    mode: int = 0o755


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link of a layer."""

    name: str
    target: str


Entry = Member | Folder | Symlink


@dataclass(frozen=True, slots=True)
class Framing:
    """A tar whose files' bytes are still missing.

    Attributes:
        entries: Sorted by name, parents first.
    """

    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of the finished tar."""
        frames = sum(_header_size(entry) for entry in self.entries)
        files = sum(_padded(entry.size) for entry in self.entries if isinstance(entry, Member))
        return frames + files + len(_END)

    def pieces(self) -> Iterator[bytes | Member]:
        """The tar in order: bytes as they are, and a `Member` where that file's bytes belong."""
        for entry in self.entries:
            yield header(entry)
            if isinstance(entry, Member):
                yield entry
                yield bytes(_padded(entry.size) - entry.size)
        yield _END

    def offset_of(self, name: str) -> int:
        """Where in the tar the bytes of the file `name` begin.

        Raises:
            KeyError: No such file.
        """
        offset = 0
        for entry in self.entries:
            offset += _header_size(entry)
            if isinstance(entry, Member):
                if entry.name == name:
                    return offset
                offset += _padded(entry.size)
        raise KeyError(name)


def frame(members: Sequence[Member | Symlink]) -> Framing:
    """The framing of files and links and of every folder above them."""
    entries: dict[str, Entry] = {member.name: member for member in members}
    for member in members:
        parent = dirname(member.name)
        while parent and parent not in entries:
            entries[parent] = Folder(parent)
            parent = dirname(parent)
    # Folders compare with their slash, so that `a/` comes before `a/b` and after `a-b`, as in a sorted file list.
    return Framing(tuple(sorted(entries.values(), key=_sort_key)))


def _sort_key(entry: Entry) -> bytes:
    return (entry.name + "/" if isinstance(entry, Folder) else entry.name).encode()


def header(entry: Entry) -> bytes:
    """All that comes before an entry's bytes: its header block, after a long-name entry where it needs one."""
    match entry:
        case Member(name, size, mode):
            return _long(_LONG_NAME, name) + _block(name, mode, size, _FILE)
        case Folder(name, mode):
            return _long(_LONG_NAME, name + "/") + _block(name + "/", mode, 0, _FOLDER)
        case Symlink(name, target):
            long = _long(_LONG_LINK, target) + _long(_LONG_NAME, name)
            return long + _block(name, 0o777, 0, _SYMLINK, target)


def _header_size(entry: Entry) -> int:
    """Bytes of `header(entry)`, without making it."""
    texts = [entry.name + "/" if isinstance(entry, Folder) else entry.name]
    if isinstance(entry, Symlink):
        texts.append(entry.target)
    lengths = [len(text.encode()) for text in texts]
    return BLOCK + sum(BLOCK + _padded(length + 1) for length in lengths if length > _NAME)


def _long(kind: bytes, text: str) -> bytes:
    content = text.encode()
    if len(content) <= _NAME:
        return b""
    content += b"\0"
    return _block("././@LongLink", 0o644, len(content), kind) + content.ljust(_padded(len(content)), b"\0")


def _block(name: str, mode: int, size: int, kind: bytes, target: str = "") -> bytes:
    fields = (
        name.encode()[:_NAME].ljust(_NAME, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,  # uid
        b"%07o\0" % 0,  # gid
        _number(size),
        b"%011o\0" % 0,  # mtime
        b" " * 8,  # the checksum counts itself as spaces
        kind,
        target.encode()[:_NAME].ljust(_NAME, b"\0"),
        b"ustar  \0",  # GNU's magic and version
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _number(size: int) -> bytes:
    """A size: eleven octal digits, or past 8 GiB eleven bytes in base 256 behind a byte that says so."""
    return b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK

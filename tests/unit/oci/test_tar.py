"""The tar framing, read back by Python's tarfile and by GNU tar."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from posixpath import dirname

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.oci import Framing, Member, frame
from modelcar.oci.tar import BLOCK, Folder, Symlink, header

GIB = 1024**3
NAMES = [
    "models/config.json",
    "models/" + "a" * 93,  # 100 bytes: the last that fits
    "models/" + "a" * 94,
    "models/" + "b" * 250 + "/" + "c" * 42,  # 300 bytes
    "models/with space/naïve-模型-🦙.bin",
    "models/back\\slash",
    "models/" + "é" * 47,  # cut inside a letter by a field of 100 bytes
]


def filled(framing: Framing) -> bytes:
    """The whole tar: each file full of its own name."""
    return b"".join(piece if isinstance(piece, bytes) else content(piece) for piece in framing.pieces())


def content(member: Member) -> bytes:
    return (member.name.encode() * (member.size + 1))[: member.size]


def listed(tar: bytes, *options: str) -> list[str]:
    """What GNU tar says."""
    command = ["tar", "--numeric-owner", "--quoting-style=literal", *options, "-tf", "-"]
    done = subprocess.run(command, input=tar, capture_output=True, check=True, env={"TZ": "UTC", "LC_ALL": "C.UTF-8"})
    assert not done.stderr
    return done.stdout.decode().splitlines()


def test_python_reads_names_sizes_and_bytes() -> None:
    members = [Member(name, size) for size, name in enumerate(NAMES, start=510)]
    with tarfile.open(fileobj=io.BytesIO(filled(frame(members)))) as tar:
        files = {info.name: info for info in tar if info.isfile()}
        assert files.keys() == set(NAMES)
        for member in members:
            opened = tar.extractfile(files[member.name])
            assert opened is not None
            assert opened.read() == content(member)


def test_gnu_tar_reads_the_same() -> None:
    tar = filled(frame([Member(name, 3) for name in NAMES]))
    assert [name for name in listed(tar) if not name.endswith("/")] == sorted(NAMES, key=str.encode)
    assert {" ".join(line.split()[:5]) for line in listed(tar, "-v")} == {
        "drwxr-xr-x 0/0 0 1970-01-01 00:00",
        "-rw-r--r-- 0/0 3 1970-01-01 00:00",
    }


def test_nothing_of_the_machine_enters() -> None:
    with tarfile.open(fileobj=io.BytesIO(filled(frame([Member("models/a", 1), Member("models/b", 1, 0o755)])))) as tar:
        for info in tar:
            assert (info.uid, info.gid, info.mtime, info.uname, info.gname) == (0, 0, 0, "", "")
        assert [oct(info.mode) for info in tar] == ["0o755", "0o644", "0o755"]


def test_every_header_is_gnu() -> None:
    """PAX headers have broken image scanners: none is there, and each header has GNU's magic."""
    tar = io.BytesIO(filled(frame([Member(name, 0) for name in NAMES])))
    blocks = iter(lambda: tar.read(BLOCK), bytes(BLOCK))
    kinds = set()
    for block in blocks:
        assert block[257:265] == b"ustar  \0"
        kinds.add(block[156:157])
        if block[156:157] == b"L":
            tar.seek(-(-int(block[124:135], 8) // BLOCK) * BLOCK, io.SEEK_CUR)
    assert kinds == {b"0", b"5", b"L"}


@pytest.mark.parametrize("size", [8 * GIB - 1, 8 * GIB, 20 * GIB, 9 * 1024 * GIB])
def test_sizes_past_8_gib(size: int) -> None:
    """GNU tar and Python agree on a header, whose file's bytes needn't exist for that."""
    block = header(Member("models/a", size))
    assert len(block) == BLOCK
    info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    assert (info.name, info.size) == ("models/a", size)
    command = ["tar", "--numeric-owner", "-tvf", "-"]
    done = subprocess.run(command, input=block, capture_output=True, check=False, env={"TZ": "UTC"})
    assert done.stdout.split()[2] == str(size).encode()


def test_a_file_past_8_gib_is_found_behind_its_bytes(tmp_path: Path) -> None:
    """GNU tar skips over 9 GiB of a sparse file and finds the next one where it should be."""
    framing = frame([Member("models/a", 9 * GIB + 1), Member("models/b", 5)])
    with (tmp_path / "tar").open("wb") as sparse:
        for piece in framing.pieces():
            if isinstance(piece, bytes):
                sparse.write(piece)
            elif piece.size > GIB:
                sparse.seek(piece.size, io.SEEK_CUR)
            else:
                assert sparse.tell() == framing.offset_of("models/b")
                sparse.write(content(piece))
        assert sparse.tell() == framing.size
    command = ["tar", "--seek", "-xOf", str(tmp_path / "tar"), "models/b"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"model"


def test_parents_come_first_and_once() -> None:
    names = ["models/a/b/c", "models/a/b/d", "models/a-b", "models/a.b", "models/z"]
    order = [entry.name for entry in frame([Member(name, 0) for name in names]).entries]
    assert order == ["models", "models/a-b", "models/a.b", "models/a", "models/a/b", *names[:2], "models/z"]


PATHS = st.lists(st.text("ab/é-.", min_size=1, max_size=130), min_size=1, max_size=8).map(
    lambda names: sorted({f"m/{index}/{name.strip('/').replace('//', '/')}x" for index, name in enumerate(names)})
)


@given(PATHS, st.data())
def test_size_order_and_offsets_are_those_of_the_bytes(names: list[str], data: st.DataObject) -> None:
    members = [Member(name.replace("//", "/"), data.draw(st.integers(0, 2000))) for name in names]
    framing = frame(members)
    assert frame(list(reversed(members))) == framing
    tar = filled(framing)
    assert len(tar) == framing.size
    assert len(tar) % BLOCK == 0
    seen: set[str] = set()
    for entry in framing.entries:
        assert not dirname(entry.name) or dirname(entry.name) in seen
        seen.add(entry.name)
    for member in members:
        offset = framing.offset_of(member.name)
        assert tar[offset : offset + member.size] == content(member)


def test_offset_of_what_is_not_there() -> None:
    framing = frame([Member("models/a", 1)])
    for name in ("models", "models/b"):
        with pytest.raises(KeyError):
            framing.offset_of(name)


def test_links_with_long_names_and_targets() -> None:
    entries = (Folder("bin"), Symlink("bin/sh", "x" * 120), Symlink("bin/" + "y" * 120, "/bin/sh"))
    with tarfile.open(fileobj=io.BytesIO(filled(Framing(entries)))) as tar:
        links = {info.name: info.linkname for info in tar if info.issym()}
    assert links == {"bin/sh": "x" * 120, "bin/" + "y" * 120: "/bin/sh"}

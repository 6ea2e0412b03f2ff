"""Digests for files of a source that states none: each file read once, and not again while it stays what it was."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelcar.build.hashing import with_digests
from modelcar.build.memory import Memory
from modelcar.errors import ContentMismatch, NetworkError
from modelcar.events import Event, HashingStarted
from modelcar.http import Http
from modelcar.oci import digest_of
from modelcar.retry import Patience
from modelcar.sources import Snapshot, SourceFile, open_source
from tests.doubles.content import PIECE, Sparse
from tests.doubles.in_memory import Break, MemorySource
from tests.models import write_files

LONG_AGO = 1_000_000_000


def hashed(source: MemorySource, files: tuple[SourceFile, ...], memory: Memory, workers: int = 3) -> list[str | None]:
    return [file.digest for file in with_digests(source, files, memory, Patience(), lambda _: None, workers)]


def undigested(source: MemorySource) -> tuple[SourceFile, ...]:
    """The files with nothing stated but a fingerprint."""
    return tuple(replace(file, digest=None, fingerprint=f"1:{file.path}") for file in source.files)


def test_only_files_without_a_digest_are_read_each_once() -> None:
    source = MemorySource({"a": b"a", "b": Sparse(3 * PIECE), "c": b"", "d": b"d"})
    stated = source.files[0]
    files = (stated, *undigested(source)[1:])
    events: list[Event] = []
    found = with_digests(source, files, Memory(None), Patience(), events.append, 2)
    assert [file.digest for file in found] == [file.digest for file in source.files]
    assert sorted(source.opened) == [("b", 0), ("c", 0), ("d", 0)]
    assert events == [HashingStarted(3, 3 * PIECE + 1)]
    assert source.open_now == 0


def test_nothing_to_read_says_nothing() -> None:
    source = MemorySource({"a": b"a"})
    events: list[Event] = []
    assert with_digests(source, source.files, Memory(None), Patience(), events.append, 2) == source.files
    assert (events, source.opened) == ([], [])


def test_a_file_that_stays_is_not_read_again(tmp_path: Path) -> None:
    source = MemorySource({"a": b"a", "b": b"b"})
    memory = Memory(tmp_path)
    first = hashed(source, undigested(source), memory)
    source.opened.clear()
    assert hashed(source, undigested(source), memory) == first
    assert source.opened == []
    changed = tuple(replace(file, fingerprint=f"2:{file.path}") for file in undigested(source))
    hashed(source, changed, memory)
    assert len(source.opened) == 2
    memory.close()


def test_a_file_without_a_fingerprint_is_read_each_time(tmp_path: Path) -> None:
    source = MemorySource({"a": b"a"})
    files = tuple(replace(file, digest=None) for file in source.files)
    memory = Memory(tmp_path)
    for _ in range(2):
        hashed(source, files, memory)
    assert len(source.opened) == 2
    memory.close()


def snapshot_of(folder: Path) -> Snapshot:
    return open_source(str(folder), Http()).snapshot()


@pytest.mark.parametrize("change", ["content of the same size and time", "size", "time", "another file in its place"])
def test_a_changed_file_of_a_folder_is_read_again(tmp_path: Path, change: str) -> None:
    """Whatever a user can change shows in device, inode, size, mtime or ctime."""
    path = write_files(tmp_path / "model", {"a": b"one"}) / "a"
    os.utime(path, (LONG_AGO, LONG_AGO))
    before = snapshot_of(tmp_path / "model")
    if change == "another file in its place":
        (tmp_path / "new").write_bytes(b"two")
        os.utime(tmp_path / "new", (LONG_AGO, LONG_AGO))
        (tmp_path / "new").replace(path)
    elif change != "time":
        path.write_bytes(b"two!" if change == "size" else b"two")
        os.utime(path, (LONG_AGO, LONG_AGO))
    else:
        os.utime(path, (LONG_AGO, LONG_AGO + 1))
    source = open_source(str(tmp_path / "model"), Http())
    memory = Memory(tmp_path / "memory")
    for file in before.files:
        memory.remember_file(file.fingerprint or "none", "sha256:old")
    found = with_digests(source, source.snapshot().files, memory, Patience(), lambda _: None, 1)
    assert [file.digest for file in found] == [digest_of(path.read_bytes())]
    memory.close()


def test_a_read_that_breaks_goes_on() -> None:
    source = MemorySource({"a": Sparse(3 * PIECE)}, breaks=(Break("a", PIECE, NetworkError("broke")),))
    files = undigested(source)
    found = with_digests(source, files, Memory(None), Patience(first_wait=0.001), lambda _: None, 1)
    assert [file.digest for file in found] == [file.digest for file in source.files]
    assert source.opened == [("a", 0), ("a", PIECE)]


def test_the_first_failure_ends_it_and_stops_the_others() -> None:
    """No digest is kept of a file that wasn't read to its end."""
    source = MemorySource(
        {"a": b"a", **{f"b{number}": Sparse(8 * PIECE) for number in range(30)}},
        breaks=(Break("a", 0, ContentMismatch("a changed")),),
    )
    with pytest.raises(ContentMismatch, match="a changed"):
        hashed(source, undigested(source), Memory(None), workers=2)
    assert len(source.opened) < 30

"""Places in an archive: given at once, given back, filled again, closed up."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar.errors import ContentMismatch, Interrupted, NetworkError
from modelcar.oci import Digest, digest_of
from modelcar.oci.digest import encoded
from modelcar.stores import BytesBlob, HashedStream
from modelcar.stores.archive.writer import ArchiveWriter

A, B, C = (letter * size for letter, size in ((b"a", 1000), (b"b", 2_000_000), (b"c", 5)))


class Stated:
    """A blob whose bytes are one thing, and what is said of them another."""

    def __init__(self, pieces: Iterator[bytes], size: int | None = None, digest: Digest | None = None) -> None:
        self.title = "a blob"
        self.size = size
        self.digest = digest
        self._pieces = pieces

    def open(self) -> HashedStream:
        return HashedStream(self._pieces)


class Held:
    """A blob of unknown size that is written until it may end."""

    def __init__(self, content: bytes) -> None:
        self.is_begun, self.may_end = threading.Event(), threading.Event()
        self.blob = Stated(self._pieces(content))

    def _pieces(self, content: bytes) -> Iterator[bytes]:
        yield content[:1]
        self.is_begun.set()
        assert self.may_end.wait(20)
        yield content[1:]


def breaking() -> Iterator[bytes]:
    yield b"x" * 1000
    raise NetworkError("it broke")


def finished(writer: ArchiveWriter, target: Path) -> list[bytes]:
    """The blobs of the archive in their order, each under its digest's name."""
    writer.finish(b"{}")
    assert [path for path in target.parent.iterdir() if path != target] == []
    blobs = []
    with tarfile.open(target) as tar:
        for member in tar:
            if member.name.startswith("blobs/sha256/") and (file := tar.extractfile(member)):
                blobs.append(file.read())
                assert member.name == "/".join(("blobs", *encoded(digest_of(blobs[-1]))))
        assert member.name == "index.json"
        assert target.stat().st_size == member.offset_data + 512 + 1024
    return blobs


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "x.tar"


def test_blobs_stand_in_the_order_they_were_written(target: Path) -> None:
    writer = ArchiveWriter(target)
    for content in (A, B, C, b""):
        assert writer.write(BytesBlob(content, "")).digest == digest_of(content)
    assert finished(writer, target) == [A, B, C, b""]


@pytest.mark.parametrize("size", [None, len(A)])
def test_a_blob_that_is_there_is_cut_off(target: Path, size: int | None) -> None:
    writer = ArchiveWriter(target)
    for _ in range(2):
        writer.write(Stated(iter([A]), size))
    (work,) = target.parent.iterdir()
    assert work.stat().st_size < 2 * 512 + 4 * 512 + 1024
    assert finished(writer, target) == [A]


@pytest.mark.parametrize("size", [None, 1000, 5000])
def test_a_blob_that_breaks_leaves_nothing(target: Path, size: int | None) -> None:
    writer = ArchiveWriter(target)
    with pytest.raises(NetworkError):
        writer.write(Stated(breaking(), size))
    writer.write(BytesBlob(C, ""))
    assert finished(writer, target) == [C]


@pytest.mark.parametrize("stated", [(999, None), (1001, None), (1000, digest_of(B)), (None, digest_of(B))])
def test_a_blob_that_is_not_what_is_said_of_it(target: Path, stated: tuple[int | None, Digest | None]) -> None:
    writer = ArchiveWriter(target)
    with pytest.raises(ContentMismatch):
        writer.write(Stated(iter([A]), *stated))
    assert finished(writer, target) == []


def test_a_place_in_the_middle_is_filled_by_the_next_try(target: Path) -> None:
    writer = ArchiveWriter(target)

    def around() -> Iterator[bytes]:
        writer.write(BytesBlob(C, ""))  # behind it
        yield from breaking()

    with pytest.raises(NetworkError):
        writer.write(Stated(around(), len(A)))
    writer.write(BytesBlob(A, ""))
    assert finished(writer, target) == [A, C]


def test_a_place_in_the_middle_that_stays_empty_is_closed_up(target: Path) -> None:
    writer = ArchiveWriter(target)

    def around() -> Iterator[bytes]:
        writer.write(BytesBlob(B, ""))  # behind it, and longer than what it is moved by
        writer.write(BytesBlob(C, ""))
        yield from breaking()

    with pytest.raises(NetworkError):
        writer.write(Stated(around(), len(A)))
    assert finished(writer, target) == [B, C]


def test_while_the_end_is_open_others_go_beside(target: Path) -> None:
    writer = ArchiveWriter(target)
    first, second = Held(A), Held(B)
    threads = [threading.Thread(target=writer.write, args=(held.blob,)) for held in (first, second)]
    for thread, held in zip(threads, (first, second), strict=True):
        thread.start()
        assert held.is_begun.wait(20)
    second.may_end.set()
    threads[1].join()
    writer.write(BytesBlob(C, ""))
    assert writer.has(digest_of(B))
    assert writer.has(digest_of(C))
    opened, place = writer.open(digest_of(B))
    with opened:
        opened.seek(place.offset)
        assert opened.read(place.size) == B
    first.may_end.set()
    threads[0].join()
    writer.write(BytesBlob(b"last", ""))
    assert finished(writer, target) == [A, b"last", B, C]


def test_a_writer_that_is_discarded(target: Path) -> None:
    writer = ArchiveWriter(target)
    held = Held(A)
    thread = threading.Thread(target=writer.write, args=(held.blob,))
    thread.start()
    assert held.is_begun.wait(20)
    writer.discard()
    assert [*target.parent.iterdir()] == []
    held.may_end.set()
    thread.join()
    with pytest.raises(Interrupted):
        writer.write(BytesBlob(C, ""))
    writer.discard()
    assert [*target.parent.iterdir()] == []


def test_only_what_dead_processes_left_is_removed(target: Path) -> None:
    alive = ArchiveWriter(target)
    (work,) = target.parent.iterdir()
    for name in (".modelcar-x.tar-dead", ".modelcar-other"):
        (target.parent / name).write_bytes(b"")
    ArchiveWriter(target).discard()
    assert {path.name for path in target.parent.iterdir()} == {work.name, ".modelcar-other"}
    alive.discard()

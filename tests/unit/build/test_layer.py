"""A planned layer as bytes: right, in bounded memory, and going on where the source broke off."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from modelcar.build.layer import LayerBlob
from modelcar.build.plan import PlannedLayer
from modelcar.errors import ContentMismatch, Interrupted, NetworkError, RateLimited
from modelcar.events import Cancel, Event, Waiting
from modelcar.oci import digest_of
from modelcar.retry import Patience
from modelcar.sources import SourceFile
from modelcar.stores.contract import NotRead
from tests.doubles.content import PIECE, Content, Generated, Sparse, read
from tests.doubles.in_memory import Break, MemorySource, git_sha1

BROKEN = NetworkError("the connection to hub broke")


def blob_of(source: MemorySource, patience: Patience | None = None) -> LayerBlob:
    """All of a source as one layer."""
    return LayerBlob(PlannedLayer(source.files), source, patience or Patience(first_wait=0.001))


def bytes_of(blob: LayerBlob) -> bytes:
    """One pass over a layer, whose digest and sizes must be right."""
    stream = blob.open()
    with contextlib.closing(stream):
        content = b"".join(stream)
    assert (len(content), stream.size) == (blob.size, blob.size)
    assert stream.digest == digest_of(content)
    return content


def files_in(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {info.name: opened.extractfile(info).read() for info in opened if info.isfile()}  # type: ignore[union-attr]


def mixed(seed: int = 0) -> dict[str, bytes | Content]:
    """Files below, at and above the size that is read ahead, and empty ones."""
    draw = Random(seed)
    sizes = [0, 1, 511, 512, 513, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7, 0]
    files: dict[str, bytes | Content] = {f"a{index}/x": Generated(size, index) for index, size in enumerate(sizes)}
    return files | {f"small/{index:03}": draw.randbytes(draw.randrange(3000)) for index in range(60)}


@pytest.mark.parametrize("seed", range(3))
def test_tar_holds_the_files_bytes(seed: int) -> None:
    source = MemorySource(mixed(seed))
    blob = blob_of(source)
    found = files_in(bytes_of(blob))
    assert found == {f"models/{path}": read(content) for path, content in source.contents.items()}
    assert blob.read == sum(content.size for content in source.contents.values())
    assert source.open_now == 0


def test_every_pass_gives_the_same_bytes() -> None:
    blob = blob_of(MemorySource(mixed()))
    assert bytes_of(blob) == bytes_of(blob)


def test_pieces_are_few_and_never_larger_than_one() -> None:
    """2,000 small files aren't sent 500 bytes at a time."""
    source = MemorySource({f"{index:04}": bytes(500) for index in range(2000)} | {"z": Sparse(5 * PIECE + 1)})
    pieces = [len(piece) for piece in blob_of(source).open()]
    assert max(pieces) <= PIECE
    assert len(pieces) < 2 * sum(pieces) / (PIECE // 4)


def test_source_has_answered_when_a_pass_begins() -> None:
    """So that an upload doesn't wait for a link that has to be found first."""
    source = MemorySource({"a": Sparse(5 * PIECE), "b": b"x"})
    stream = blob_of(source).open()
    assert ("a", 0) in source.opened
    stream.close()


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_pass_that_ends_early_lets_go_of_the_source(taken: int) -> None:
    source = MemorySource({"a": Sparse(5 * PIECE), **{f"b{index}": b"x" for index in range(30)}})
    stream = blob_of(source).open()
    for _, _ in zip(range(taken), stream, strict=False):
        pass
    stream.close()
    assert everything_closed(source)
    with pytest.raises(NotRead):
        _ = stream.digest


def everything_closed(source: MemorySource) -> bool:
    """Also what was being read ahead, for which nobody waits."""
    until = time.monotonic() + 30
    while source.open_now and time.monotonic() < until:
        time.sleep(0.001)
    return source.open_now == 0


class Slow(MemorySource):
    """Files of which `b` isn't answered for until it is over."""

    def __init__(self) -> None:
        super().__init__({"a": b"a", "b": b"b"})
        self.over = threading.Event()
        self.asked = threading.Event()
        self.answered = False

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> Any:
        if file.path == "b":
            self.asked.set()
            self.over.wait(30)
            self.answered = True
        return super().open(file, offset)


def test_an_upload_that_breaks_does_not_wait_for_what_is_read_ahead() -> None:
    source = Slow()
    pieces = blob_of(source)._contents()
    next(pieces)
    assert source.asked.wait(30)
    pieces.close()
    assert not source.answered
    source.over.set()


def test_large_files_are_read_in_the_order_of_the_tar() -> None:
    """Small ones come ahead of their turn, a large one is opened when it is its turn."""
    source = MemorySource({f"{index:02}": Sparse(2 * PIECE if index % 5 == 0 else 10) for index in range(20)})
    bytes_of(blob_of(source))
    large = [path for path, _ in source.opened if int(path) % 5 == 0]
    assert large == ["00", "05", "10", "15"]
    assert sorted(path for path, _ in source.opened) == sorted(source.contents)


@pytest.mark.parametrize("at", [0, 1, PIECE, 2 * PIECE + 5, 3 * PIECE])
def test_reading_goes_on_where_the_connection_broke(at: int) -> None:
    events: list[Event] = []
    content = Generated(3 * PIECE, 1)
    source = MemorySource({"a": content, "b": b"x"}, breaks=(Break("a", at, BROKEN), Break("a", at, BROKEN)))
    blob = blob_of(source, Patience(listener=events.append, first_wait=0.001))
    assert files_in(bytes_of(blob))["models/a"] == read(content)
    assert [offset for path, offset in source.opened if path == "a"] == [0, at, at]
    assert [event.what for event in events if isinstance(event, Waiting)] == ["a", "a"]
    assert blob.read == content.size + 1


def test_the_wait_between_requests_is_not_spent_inside_an_upload() -> None:
    events: list[Event] = []
    source = MemorySource({"a": b"0123456789"}, breaks=(Break("a", 5, BROKEN),))
    bytes_of(blob_of(source, Patience(listener=events.append, first_wait=600)))
    (wait,) = [event.seconds for event in events if isinstance(event, Waiting)]
    assert wait < 1


def test_small_files_that_are_read_ahead_go_on_too() -> None:
    breaks = tuple(Break(f"{index:02}", 5, BROKEN) for index in range(0, 40, 3))
    source = MemorySource({f"{index:02}": b"0123456789" for index in range(40)}, breaks=breaks)
    assert set(files_in(bytes_of(blob_of(source))).values()) == {b"0123456789"}
    assert source.opened.count(("03", 5)) == 1


def test_a_source_that_stays_away_ends_the_pass() -> None:
    source = MemorySource({"a": Sparse(2 * PIECE)}, breaks=(Break("a", PIECE, BROKEN),) * 9)
    with pytest.raises(NetworkError, match="the connection to hub broke"):
        bytes_of(blob_of(source))
    assert len(source.opened) == 5
    assert source.open_now == 0


def test_final_errors_and_rate_limits_end_a_pass_at_once() -> None:
    """A wait that a server asks for is never spent inside an upload."""
    for error in (RateLimited("slow down", retry_after=0.001), NetworkError("no certificate", final=True)):
        source = MemorySource({"a": Sparse(2 * PIECE)}, breaks=(Break("a", PIECE, error),))
        with pytest.raises(type(error)) as raised:
            bytes_of(blob_of(source))
        assert raised.value is error
        assert len(source.opened) == 1


CONTENT = b"the content"


@pytest.mark.parametrize(
    ("stated", "size", "said"),
    [
        ("sha256:" + "0" * 64, 11, "the bytes read are not those of sha256:000"),
        ("git-sha1:" + "0" * 40, 11, "the bytes read are not those of git-sha1:000"),
        (git_sha1(CONTENT)[:-1] + "z", 11, "the bytes read are not those of git-sha1"),
        (None, 10, "sends more than the 10 bytes"),
        (None, 0, "sends more than the 0 bytes"),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"b": b"x"}], ids=["alone", "read ahead"])
def test_wrong_bytes_of_a_file(stated: str | None, size: int, said: str, beside: dict[str, bytes]) -> None:
    source = MemorySource({"a": CONTENT, **beside}, states={"a": stated}, sizes={"a": size})
    with pytest.raises(ContentMismatch, match=said) as raised:
        bytes_of(blob_of(source))
    assert raised.value.what.startswith("a: ")
    assert everything_closed(source)


def test_right_git_sha1_and_no_digest_at_all() -> None:
    source = MemorySource({"a": CONTENT, "b": CONTENT}, states={"a": git_sha1(CONTENT), "b": None})
    assert set(files_in(bytes_of(blob_of(source))).values()) == {CONTENT}


def test_a_file_that_stays_shorter_than_stated() -> None:
    source = MemorySource({"a": CONTENT}, sizes={"a": 12})
    with pytest.raises(NetworkError, match="a: the source sent 11 of 12 bytes"):
        bytes_of(blob_of(source))


def test_cancelling_ends_a_pass_at_the_next_piece() -> None:
    cancel = Cancel()
    stream = blob_of(MemorySource({"a": Sparse(50 * PIECE)}), Patience(cancel)).open()
    pieces = iter(stream)
    next(pieces)
    cancel.set()
    with pytest.raises(Interrupted):
        list(pieces)
    assert stream.size < 5 * PIECE


def peak_of(pieces: Iterator[bytes]) -> int:
    """Bytes of Python's memory at most while the pieces pass."""
    tracemalloc.start()
    try:
        for _ in pieces:
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_size() -> None:
    source = MemorySource({"model.safetensors": Sparse(2 * 1024 * PIECE, "0")}, states={"model.safetensors": None})
    assert peak_of(iter(blob_of(source).open())) < 8 * PIECE


def test_memory_does_not_grow_with_the_number_of_files() -> None:
    """2,000 files of 100 KB: some are at hand before their turn, never all."""
    source = MemorySource(
        {f"{index:04}": Sparse(100_000) for index in range(2000)},
        states=dict.fromkeys((f"{index:04}" for index in range(2000)), None),
    )
    blob = blob_of(source)
    assert blob.size is not None
    stream = blob.open()
    assert peak_of(iter(stream)) < 24 * PIECE
    assert stream.size == blob.size

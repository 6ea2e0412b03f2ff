"""One file by several connections: when, in which order, in how much memory, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from random import Random

import pytest

from modelcar.broken import WentSilent
from modelcar.build.layer import LayerBlob
from modelcar.build.plan import PlannedLayer
from modelcar.errors import ContentMismatch, Interrupted, ModelcarError, NetworkError, RateLimited
from modelcar.events import Cancel, Event, Waiting
from modelcar.retry import Patience
from modelcar.sources import Lanes, Reader, SourceFile, read_file
from modelcar.sources.ranges import Pace
from tests.doubles.content import PIECE, Generated, read
from tests.doubles.in_memory import Break, MemorySource

RANGE = 2 * PIECE
CONTENT = Generated(24 * PIECE + 17, seed=5)
BYTES = read(CONTENT)


def lanes_of(workers: int = 4, window: int = 4) -> Lanes:
    """To which every connection is slow from its second piece on."""
    return Lanes(workers, size=RANGE, window=window, slow=float("inf"), sample=1)


class Remote(MemorySource):
    """One file over a network.

    Attributes:
        ahead: Bytes read and not taken yet, at the most.
        ranges: Offset and length of each range that was opened.
    """

    def __init__(self, *breaks: Break, act: Callable[[int], None] = lambda _: None) -> None:
        super().__init__({"f": CONTENT}, breaks=breaks, remote=True)
        self.ranges: list[tuple[int, int | None]] = []
        self.prepared: list[int] = []
        self.taken = self.ahead = self._read = 0
        self._act = act
        self._count = threading.Lock()

    def prepare(self, file: SourceFile, offset: int, length: int) -> None:
        self.prepared.append(offset)

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> Reader:  # type: ignore[override]
        if length is not None:
            self._act(offset)
        with self._count:
            self.ranges.append((offset, length))
        return _Counting(self, super().open(file, offset, length))

    def count(self, size: int) -> None:
        with self._count:
            self._read += size
            self.ahead = max(self.ahead, self._read - self.taken)


class _Counting:
    def __init__(self, source: Remote, reader: Reader) -> None:
        self._source, self._reader = source, reader

    def read(self, size: int, /) -> bytes:
        piece = self._reader.read(size)
        self._source.count(len(piece))
        return piece

    def close(self) -> None:
        self._reader.close()


def read_all(source: Remote, lanes: Lanes, patience: Patience | None = None, wait: float = 0.0) -> bytes:
    """The file, its pieces taken no faster than one in `wait` seconds."""
    content = bytearray()
    for piece in read_file(source, source.files[0], patience or Patience(), lanes=lanes):
        content += piece
        source.taken += len(piece)
        time.sleep(wait)
    return bytes(content)


def threads() -> int:
    return sum(thread.name == "range" for thread in threading.enumerate())


def all_threads_end() -> bool:
    until = time.monotonic() + 10
    while threads() and time.monotonic() < until:
        time.sleep(0.01)
    return threads() == 0


@pytest.mark.parametrize("seed", range(3))
def test_bytes_are_in_their_order_whichever_range_is_first(seed: int) -> None:
    draw = Random(seed)
    source = Remote(act=lambda _: time.sleep(draw.random() / 50))
    assert read_all(source, lanes_of()) == BYTES
    offsets = [offset for offset, length in source.ranges if length is not None]
    assert sorted(offsets) == list(range(2 * PIECE, CONTENT.size, RANGE))
    assert sorted(source.prepared) == sorted(offsets)
    assert source.open_now == 0
    assert all_threads_end()


@pytest.mark.parametrize("window", [2, 3, 4])
def test_no_more_is_ahead_than_the_window_holds(window: int) -> None:
    """One range is being written meanwhile, piece by piece; the first connection had two pieces."""
    source = Remote()
    assert read_all(source, lanes_of(workers=8, window=window), wait=0.01) == BYTES
    assert RANGE < source.ahead <= window * RANGE


def test_a_window_of_two_files_is_that_of_one() -> None:
    lanes = lanes_of(workers=4)
    source, other = Remote(), Remote()
    with lanes.busy(), lanes.busy():
        first = lanes.read(source, source.files[0], 0, Patience())
        second = lanes.read(other, other.files[0], 0, Patience())
        third = lanes.read(other, other.files[0], 0, Patience())
        assert first is not None
        assert second is not None
        assert third is None
        assert next(first)
        assert next(second)
        assert not lanes.extend(2)
        first.close()
        assert lanes.read(other, other.files[0], 0, Patience()) is not None
        second.close()
    assert all_threads_end()


@pytest.mark.parametrize(("workers", "busy"), [(1, 1), (4, 4), (2, 2)])
def test_without_an_idle_worker_there_is_one_connection(workers: int, busy: int) -> None:
    lanes = lanes_of(workers)
    source = Remote()
    held = [lanes.busy() for _ in range(busy)]
    for one in held:
        one.__enter__()
    assert read_all(source, lanes) == BYTES
    assert source.ranges == [(0, None)]


def test_a_lane_that_becomes_free_is_taken() -> None:
    lanes = lanes_of(workers=2)
    source = Remote()
    pieces = iter(read_file(source, source.files[0], Patience(), lanes=lanes))
    with lanes.busy():
        with lanes.busy():
            content = b"".join(next(pieces) for _ in range(8))
            assert source.ranges == [(0, None)]
        content += b"".join(pieces)
    assert content == BYTES
    assert (8 * PIECE, RANGE) in source.ranges


def test_a_source_at_hand_and_a_short_rest_have_no_ranges() -> None:
    source = Remote()
    source.remote = False
    assert read_all(source, lanes_of()) == BYTES
    source.remote = True
    assert lanes_of().read(source, source.files[0], CONTENT.size - RANGE, Patience()) is None
    assert source.ranges == [(0, None)]


def test_a_connection_that_is_fast_is_the_only_one() -> None:
    source = Remote()
    assert read_all(source, Lanes(4, size=RANGE, slow=1, sample=PIECE)) == BYTES
    assert source.ranges == [(0, None)]


def test_a_slow_target_does_not_make_a_source_slow() -> None:
    pace = Pace(slow=1000, sample=10)
    pieces = iter([b"12345"] * 3)
    pace.next(pieces)
    for _ in range(2):
        time.sleep(0.05)
        pace.next(pieces)
    assert not pace.is_slow()


def test_a_range_that_breaks_goes_on_where_it_was() -> None:
    at = 7 * PIECE
    source = Remote(Break("f", at, NetworkError("the connection to hub broke")))
    assert read_all(source, lanes_of()) == BYTES
    assert (at, PIECE) in source.ranges


@pytest.mark.parametrize("error", [RateLimited("slow down", retry_after=60), NetworkError("refused")])
def test_where_ranges_fail_one_connection_goes_on(error: NetworkError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelcar.sources.stretch._FIRST_WAIT", 0.001)
    events: list[Event] = []

    def act(offset: int) -> None:
        if offset >= 8 * PIECE:
            raise error

    source = Remote(act=act)
    lanes = lanes_of()
    assert read_all(source, lanes, Patience(listener=events.append)) == BYTES
    assert source.ranges[-1] == (8 * PIECE, None)
    said = [event.why for event in events if isinstance(event, Waiting)]
    assert said[-1] == f"{error.what}; going on with one connection"
    assert all_threads_end()
    assert lanes.read(source, source.files[0], 0, Patience()) is not None, "its lanes are free again"


@pytest.mark.parametrize(
    "error", [ContentMismatch("another file"), NetworkError("no TLS", final=True), WentSilent("hub went silent")]
)
def test_what_one_connection_would_not_change_ends_it(error: ModelcarError) -> None:
    source = Remote(Break("f", 9 * PIECE, error))
    with pytest.raises(type(error)) as raised:
        read_all(source, lanes_of())
    assert raised.value is error
    assert all_threads_end()


def test_an_error_of_any_kind_is_not_lost_in_its_thread() -> None:
    def act(offset: int) -> None:
        if offset == 8 * PIECE:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_all(Remote(act=act), lanes_of())


def test_cancelling_ends_the_wait_for_a_range() -> None:
    cancel, asked, over = Cancel(), threading.Event(), threading.Event()

    def act(_: int) -> None:
        asked.set()
        over.wait(30)

    ended: list[BaseException] = []

    def work() -> None:
        try:
            read_all(Remote(act=act), lanes_of(), Patience(cancel))
        except BaseException as error:  # noqa: BLE001 - the test's own thread looks at it
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert asked.wait(30)
    cancel.set()
    thread.join(2)
    assert [type(error) for error in ended] == [Interrupted]
    over.set()
    assert all_threads_end()


@pytest.mark.parametrize("taken", [3, 6, 12])
def test_an_upload_that_breaks_lets_go_of_all_ranges(taken: int) -> None:
    source, lanes = Remote(), lanes_of()
    stream = LayerBlob(PlannedLayer(source.files), source, Patience(), lanes=lanes).open()
    for _, _ in zip(range(taken), stream, strict=False):
        pass
    stream.close()
    assert all_threads_end()
    assert source.open_now == 0
    assert lanes.extend(1)


def test_a_reader_that_leaves_early_leaves_no_threads_and_no_memory() -> None:
    source = Remote()
    lanes = lanes_of()
    pieces = read_file(source, source.files[0], Patience(), lanes=lanes)
    for _ in range(5):
        next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert all_threads_end()
    assert source.open_now == 0
    assert lanes.extend(1)

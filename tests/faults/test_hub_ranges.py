"""Ranges of one file that come wrong, late, in parts or not at all, while a layer is made of them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants, snapshot_download

from modelcar import ContentMismatch, NetworkError, RateLimited
from modelcar.events import Event, Waiting
from modelcar.http import Http
from modelcar.retry import Patience
from modelcar.sources import Lanes, open_source, read_file
from tests.builds import NAME, SOURCE, served
from tests.cli import end_of, started, wait_for
from tests.doubles import faults
from tests.doubles.content import PIECE, Generated, Sparse, read
from tests.doubles.hub import Hub
from tests.doubles.registry import Registry
from tests.doubles.serving import Request

ALWAYS = 99
FILE = "model.safetensors"
RANGE = 2 * PIECE
WEIGHTS = Generated(20 * PIECE + 17, seed=3)
BYTES = read(WEIGHTS)
FIRST = 2 * PIECE
"""Where ranges begin: after the pieces that show that the connection is slow."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    monkeypatch.setattr("modelcar.sources.stretch._FIRST_WAIT", 0.001)
    with served(monkeypatch, caplog, link_life=3600) as hub:
        hub.repo(NAME, {FILE: WEIGHTS})
        yield hub


class Reading:
    """A file that is read in ranges, and what was said meanwhile."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.source = open_source(SOURCE, Http())

    def all(self, pause: Callable[[int], None] = lambda _: None) -> bytes:
        """The file. `pause` is called with the offset before each piece is taken."""
        lanes = Lanes(4, size=RANGE, slow=float("inf"), sample=1)
        (file,) = self.source.snapshot().files
        content = bytearray()
        for piece in read_file(self.source, file, Patience(listener=self.events.append), lanes=lanes):
            content += piece
            pause(len(content))
        return bytes(content)

    @property
    def said(self) -> list[str]:
        return [event.why for event in self.events if isinstance(event, Waiting)]


def range_at(offset: int, size: int = RANGE) -> str:
    return f"bytes={offset}-{offset + size - 1}"


def of(*ranges: str) -> Callable[[Request], bool]:
    """Whether a request is for one of these ranges."""
    return lambda request: request.range in ranges


def ranges(hub: Hub, server: str) -> list[str | None]:
    return [record.range for record in hub.requests if record.server == server and FILE in record.path]


def shorten(size: int) -> faults.Fault:
    """Answer so many bytes fewer than were asked for, and say so."""
    return lambda answer: replace(answer, stop=answer.stop - size)


def lengthen(size: int) -> faults.Fault:
    """Answer so many bytes more than were asked for, and say so."""
    return lambda answer: replace(answer, stop=answer.stop + size)


def test_each_range_is_asked_for_once_and_by_a_link_of_its_own(hub: Hub) -> None:
    assert Reading().all() == BYTES
    expected = [None, *(range_at(at) for at in range(FIRST, WEIGHTS.size - RANGE, RANGE))]
    expected.append(f"bytes={WEIGHTS.size - 17}-{WEIGHTS.size - 1}")
    assert sorted(map(str, ranges(hub, "hub"))) == sorted(map(str, ranges(hub, "cdn"))) == sorted(map(str, expected))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (faults.ignore_range(), "ignored the range"),
        (faults.other_range(PIECE), "another range"),
        (faults.other_range(-PIECE), "another range"),
        (lengthen(1), "another range"),
        (faults.drop(), "broke"),
        (faults.status(500), "answered 500"),
    ],
)
def test_a_range_answered_otherwise_is_asked_for_again(hub: Hub, fault: faults.Fault, why: str) -> None:
    hub.fault(fault, of(range_at(3 * RANGE)), where="cdn")
    reading = Reading()
    assert reading.all() == BYTES
    assert [why in line for line in reading.said] == [True]
    assert ranges(hub, "hub").count(range_at(3 * RANGE)) == 2


@pytest.mark.parametrize("fault", [faults.ignore_range(), faults.other_range(PIECE), faults.drop()])
def test_where_no_range_is_answered_right_one_connection_goes_on(hub: Hub, fault: faults.Fault) -> None:
    """The request for the rest has no end, and the Hub of this test understands those."""
    hub.fault(fault, of(range_at(3 * RANGE)), where="cdn", times=ALWAYS)
    reading = Reading()
    assert reading.all() == BYTES
    assert reading.said[-1].endswith("; going on with one connection")
    assert f"bytes={3 * RANGE}-" in ranges(hub, "cdn")


def test_a_server_that_knows_no_ranges_at_all(hub: Hub) -> None:
    hub.fault(faults.ignore_range(), lambda request: request.range is not None, where="cdn", times=ALWAYS)
    with pytest.raises(NetworkError, match=f"{FILE}: the server ignored the range that was asked for"):
        Reading().all()


@pytest.mark.parametrize(("fault", "left"), [(shorten(PIECE), PIECE), (faults.cut(PIECE), PIECE)])
def test_of_a_range_with_fewer_bytes_the_rest_is_asked_for(hub: Hub, fault: faults.Fault, left: int) -> None:
    hub.fault(fault, of(range_at(3 * RANGE)), where="cdn")
    assert Reading().all() == BYTES
    rest = range_at(3 * RANGE + left, RANGE - left)
    assert ranges(hub, "cdn").count(rest) == ranges(hub, "hub").count(rest) == 1
    assert hub.bytes_sent(FILE) >= WEIGHTS.size


def test_a_file_that_became_shorter(hub: Hub) -> None:
    hub.fault(faults.truncate(9 * PIECE), where="cdn", times=ALWAYS)
    with pytest.raises(ContentMismatch) as raised:
        Reading().all()
    assert str(raised.value) == f"{FILE}: the source has fewer bytes than the {WEIGHTS.size:,} it states"


def test_wrong_bytes_in_a_range(hub: Hub) -> None:
    hub.fault(faults.flip(3 * RANGE + 5), of(range_at(3 * RANGE)), where="cdn")
    with pytest.raises(ContentMismatch) as raised:
        Reading().all()
    stated = f"sha256:{WEIGHTS.sha256}"
    assert str(raised.value) == f"{FILE}: the bytes read are not those of {stated}, which the source states"


def test_links_that_expire_while_the_window_is_full(hub: Hub) -> None:
    """Those asked for ahead are refused later; new ones take their place, and nothing has to be waited for."""
    hub.link_life = 0.5
    paused: list[int] = []

    def pause(offset: int) -> None:
        if offset >= FIRST + PIECE and not paused:
            paused.append(offset)
            time.sleep(1)

    reading = Reading()
    assert reading.all(pause) == BYTES
    refused = [record.range for record in hub.requests if record.server == "cdn" and record.status == 403]
    assert refused
    assert all(ranges(hub, "hub").count(one) == 2 for one in refused)
    assert reading.said == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_limit_on_links_in_the_middle(hub: Hub, times: int) -> None:
    """What was read is kept, and one connection reads the rest."""
    hub.fault(faults.rate_limited(30), of(*(range_at(at) for at in (12 * PIECE, 14 * PIECE, 16 * PIECE))), times=times)
    reading = Reading()
    assert reading.all() == BYTES
    assert reading.said[-1].endswith("asks to slow down (429); going on with one connection")
    rests = [one for one in ranges(hub, "cdn") if one and one.endswith("-")]
    assert len(rests) == 1
    if times == 3:
        assert rests == [f"bytes={12 * PIECE}-"]


def test_a_limit_on_all_links_gives_the_layer_up(hub: Hub) -> None:
    hub.fault(faults.rate_limited(30), lambda request: request.range is not None, where="hub", times=ALWAYS)
    with pytest.raises(RateLimited) as raised:
        Reading().all()
    assert raised.value.retry_after == 30


def test_a_mirror_that_sends_files_itself_is_not_asked_twice_for_long(hub: Hub) -> None:
    content = Generated(9 * 1000**2, seed=4)
    hub.repo(NAME, {FILE: content}, lfs=())
    assert Reading().all() == read(content)
    asked = ranges(hub, "hub")
    assert ranges(hub, "cdn") == []
    assert 1 < len(asked) < 2 * len(set(asked))


def test_a_range_of_a_cached_copy(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    snapshot_download(NAME, cache_dir=tmp_path, endpoint=hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    before = len(hub.requests)
    source = open_source(SOURCE, Http())
    (file,) = source.snapshot().files
    source.prepare(file, 5, 7)
    with closing(source.open(file, 5, 7)) as reader:
        assert reader.read(100) == BYTES[5:12]
        assert reader.read(100) == b""
    assert all("/resolve/" not in record.path for record in hub.requests[before:])


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_build_is_stopped_while_it_reads_ranges(monkeypatch: pytest.MonkeyPatch, stop: signal.Signals) -> None:
    """Into a registry that drops what it gets: a busy disk would make the end of any process slow."""
    with Hub(rate=16 * PIECE) as hub, Registry(keep_up_to=PIECE) as registry:
        hub.repo(NAME, {FILE: Sparse(400 * PIECE)})
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        with started("build", SOURCE, f"{registry.host}/{NAME}:1") as process:
            wait_for(lambda: sum(record.server == "cdn" for record in hub.requests) > 3, process)
            began = time.monotonic()
            process.send_signal(stop)
            done = end_of(process)
            seconds = time.monotonic() - began
    assert (done.code, done.out) == (130, "")
    assert done.error == "stopped; run it again to go on: what is finished is kept"
    assert seconds < 20

"""Files of a Hub that come wrong, late, in parts or not at all, while a layer is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from modelcar import ContentMismatch, NetworkError, NotFound, RateLimited
from modelcar.build.plan import PlannedLayer
from modelcar.build.send import Sender
from modelcar.events import Event, Waiting
from modelcar.http import Http
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.sources import open_source
from modelcar.stores import locate
from tests.builds import CARD, CONFIG, FILES, NAME, SOURCE, WEIGHTS, Builds, served
from tests.cli import built, modelcar
from tests.doubles import faults
from tests.doubles.content import PIECE, Bytes, Generated, read
from tests.doubles.hub import Hub
from tests.doubles.registry import Registry
from tests.doubles.serving import Answer, Request

ALWAYS = 99
FILE = "model.safetensors"
CONTENT = {"README.md": CARD, "config.json": CONFIG, FILE: read(WEIGHTS)}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        hub.repo(NAME, FILES)
        yield hub


@pytest.fixture
def builds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Builds:
    return Builds(tmp_path, caplog)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def ranges(hub: Hub, server: str, path: str = FILE) -> list[str | None]:
    """The ranges of a file that a server was asked for."""
    return [record.range for record in hub.requests if record.server == server and f"/{path}" in record.path]


def uploads(registry: Registry) -> list[int | None]:
    """How the uploads of the weights' layer ended: with these statuses, or cut."""
    patches = [request for request in registry.requests if request.method == "PATCH"]
    return [patch.status for patch in patches if int(patch.headers["content-length"]) > WEIGHTS.size]


def resumes(request: Request) -> bool:
    """Whether this goes on in the middle of the file."""
    return FILE in request.path and request.range is not None


# Other bytes than were stated


@pytest.mark.parametrize(
    ("path", "server", "stated"), [(FILE, "cdn", f"sha256:{WEIGHTS.sha256}"), ("config.json", "hub", "git-sha1:")]
)
@pytest.mark.parametrize("offset", [0, -1])
def test_wrong_bytes(hub: Hub, builds: Builds, path: str, server: str, stated: str, offset: int) -> None:
    hub.fault(faults.flip(offset % len(CONTENT[path])), path, where=server, times=ALWAYS)
    line = builds.fails(ContentMismatch)
    assert line.startswith(f"{path}: the bytes read are not those of {stated}")
    assert line.endswith(", which the source states")


@pytest.mark.parametrize(("path", "server"), [(FILE, "cdn"), ("config.json", "hub")])
def test_too_few_bytes(hub: Hub, builds: Builds, path: str, server: str) -> None:
    size = len(CONTENT[path])
    hub.fault(faults.truncate(size - 2), path, where=server, times=ALWAYS)
    assert builds.fails(ContentMismatch) == f"{path}: the source has fewer bytes than the {size:,} it states"


@pytest.mark.parametrize(("path", "server"), [(FILE, "cdn"), ("config.json", "hub")])
def test_too_many_bytes(hub: Hub, builds: Builds, path: str, server: str) -> None:
    more = Bytes(CONTENT[path] + b"more")

    def lengthen(answer: Answer) -> Answer:
        return replace(answer, content=more, stop=more.size, size=more.size)

    hub.fault(lengthen, path, where=server, times=ALWAYS)
    assert builds.fails(ContentMismatch) == f"{path}: the source sends more than the {more.size - 4:,} bytes it states"


# Connections that end


def test_a_cut_in_the_middle_of_a_file(hub: Hub, builds: Builds, registry: Registry) -> None:
    """Reading goes on at the offset reached, by a link that was signed for it, and the upload doesn't notice."""
    hub.fault(faults.cut(2 * PIECE), FILE, where="cdn")
    builds.run(target=f"{registry.host}/{NAME}:1")
    rest = f"bytes={2 * PIECE}-"
    assert ranges(hub, "hub") == ranges(hub, "cdn") == [None, rest]
    assert uploads(registry) == [202]
    assert builds.attempts(FILE) == 1
    assert builds.files(f"{registry.host}/{NAME}:1") == CONTENT


def test_a_cut_after_every_piece(hub: Hub, builds: Builds) -> None:
    """Each time some bytes came, so it is worth going on."""
    hub.repo(NAME, {FILE: (long := Generated(8 * PIECE))})
    hub.fault(faults.cut(PIECE), FILE, where="cdn", times=7)
    builds.run()
    assert ranges(hub, "cdn") == [None, *(f"bytes={number * PIECE}-" for number in range(1, 8))]
    assert builds.attempts(FILE) == 1
    assert builds.files() == {FILE: read(long)}


def test_a_cut_in_a_small_file(hub: Hub, builds: Builds) -> None:
    hub.fault(faults.cut(3), "config.json")
    builds.run()
    assert builds.files() == CONTENT


@pytest.mark.parametrize("fault", [faults.cut(0), faults.drop()])
def test_no_byte_ever_comes(hub: Hub, builds: Builds, fault: faults.Fault) -> None:
    hub.fault(fault, FILE, where="cdn", times=ALWAYS)
    assert builds.fails(NetworkError) == f"the connection to {hub.cdn.removeprefix('http://')} broke"
    assert builds.attempts(FILE) == 3


# Limits


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        (faults.rate_limited(1, kind="resolvers"), 1.0),
        (faults.rate_limited(0), 0.1),
        (faults.status(429, {"Retry-After": "0"}), 0.1),
        (faults.status(503, {"Retry-After": "0"}), 0.1),
    ],
)
@pytest.mark.parametrize("in_the_middle", [False, True])
def test_a_limit_on_links(
    hub: Hub, builds: Builds, registry: Registry, limit: faults.Fault, seconds: float, in_the_middle: bool
) -> None:
    """The build waits as long as it was asked to, or its own time if that is longer, while nothing is being uploaded.

    A layer begun is given up before.
    """
    if in_the_middle:
        hub.fault(faults.cut(2 * PIECE), FILE, where="cdn")
    hub.fault(limit, resumes if in_the_middle else FILE, where="hub")
    seen: list[tuple[bool, int]] = []

    def listener(event: Event) -> None:
        if isinstance(event, Waiting) and "slow down" in event.why:
            seen.append((202 in uploads(registry), registry.unfinished_uploads))

    builds.run(target=f"{registry.host}/{NAME}:1", listener=listener, workers=1, retry_delay=0.1)
    assert seen == [(False, 0)]
    assert builds.waits[-1] == seconds
    assert builds.attempts(FILE) == 2
    assert set(uploads(registry)) == ({None, 202} if in_the_middle else {202})
    assert builds.files(f"{registry.host}/{NAME}:1") == CONTENT


def test_a_limit_on_links_for_long(hub: Hub, builds: Builds) -> None:
    hub.fault(faults.status(429, {"Retry-After": "3600"}), "/resolve/", times=ALWAYS)
    line = builds.fails(RateLimited)
    assert line.endswith(f": {hub.endpoint.removeprefix('http://')} asks to slow down (429)")
    assert builds.waits == []


def test_a_limit_at_the_cdn(hub: Hub, builds: Builds) -> None:
    hub.fault(faults.status(429, {"Retry-After": "0"}), FILE, where="cdn")
    builds.run()
    assert builds.waits == [0.0]
    assert builds.files() == CONTENT


# Servers that fail, links that don't lead on


@pytest.mark.parametrize("server", ["hub", "cdn"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_server_fails(hub: Hub, builds: Builds, server: str, status: int) -> None:
    hub.fault(faults.status(status), lambda request: "/api/" not in request.path, where=server, times=2)
    builds.run()
    assert builds.files() == CONTENT


def test_a_server_fails_always(hub: Hub, builds: Builds) -> None:
    hub.fault(faults.status(500), FILE, where="cdn", times=ALWAYS)
    assert builds.fails(NetworkError) == f"{FILE}: {hub.cdn.removeprefix('http://')} answered 500"


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_a_link_has_expired(hub: Hub, builds: Builds, in_the_middle: bool) -> None:
    """A 403 of the other host means the link: a new one is asked for, of the same range."""
    if in_the_middle:
        hub.fault(faults.cut(PIECE), FILE, where="cdn")
    hub.fault(faults.expired(), resumes if in_the_middle else FILE, where="cdn")
    builds.run()
    rest = f"bytes={PIECE}-" if in_the_middle else None
    assert ranges(hub, "hub") == ranges(hub, "cdn") == ([None] if in_the_middle else []) + [rest, rest]
    assert builds.attempts(FILE) == 1
    assert builds.files() == CONTENT


def test_links_that_live_too_shortly(
    builds: Builds, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with served(monkeypatch, caplog, link_life=-1) as hub:
        hub.repo(NAME, FILES)
        assert builds.fails(NetworkError) == f"{FILE}: the link to the file has expired"


@pytest.mark.parametrize("fault", [faults.ignore_range(), faults.other_range(PIECE // 2)])
@pytest.mark.parametrize("times", [1, 5])
def test_another_range_comes(hub: Hub, builds: Builds, fault: faults.Fault, times: int) -> None:
    """It is asked for again; where that doesn't help the layer starts again, from the first byte."""
    hub.fault(faults.cut(PIECE), FILE, where="cdn")
    hub.fault(fault, resumes, where="cdn", times=times)
    builds.run()
    assert builds.attempts(FILE) == (1 if times == 1 else 2)
    assert builds.files() == CONTENT


def test_a_file_is_gone(hub: Hub, builds: Builds) -> None:
    hub.fault(faults.status(404, {"X-Error-Code": "EntryNotFound"}), f"/{FILE}", times=ALWAYS)
    assert builds.fails(NotFound) == f"{FILE} is not in {SOURCE} any more"


# Silence


@pytest.mark.parametrize(("path", "where"), [(FILE, "cdn"), ("config.json", "hub")])
@pytest.mark.parametrize("part", [0, 0.5])
def test_a_source_goes_silent(hub: Hub, registry: Registry, path: str, where: str, part: float) -> None:
    """A layer that waited for long is given up and begun again: its upload must not wait longer."""
    http = Http(silence=0.5)
    source = open_source(SOURCE, http)
    layer = PlannedLayer(tuple(file for file in source.snapshot().files if file.path == path))
    events: list[Event] = []
    patience = Patience(first_wait=0.01, listener=events.append)
    store = locate(f"{registry.host}/{NAME}:1", http, Access(), patience).store
    hub.fault(faults.silence(int(part * len(CONTENT[path])), 60), path, where=where)
    sent = Sender(source, store, patience, events.append).send(0, layer)
    host = (hub.endpoint if where == "hub" else hub.cdn).removeprefix("http://")
    assert [event.why for event in events if isinstance(event, Waiting)] == [f"{host} went silent"]
    assert CONTENT[path] in (registry.blob(sent.digest) or b"")
    assert ranges(hub, where, path) == [None, None]
    assert registry.unfinished_uploads == 0


# The branch, the cache


def test_the_branch_moves_during_the_build(hub: Hub, builds: Builds) -> None:
    """All files are still those of the commit that the branch had at the beginning."""
    repo = hub.repo(NAME, FILES)
    pinned = repo.at().id

    def push(request: Request) -> None:
        if "/resolve/" in request.path:
            repo.commit({path: b"other " + content for path, content in CONTENT.items()})

    hub.on_request(push)
    result = builds.run()
    assert repo.at().id != pinned
    assert result.plan.snapshot.revision == pinned
    assert builds.files() == CONTENT


@pytest.fixture
def user_cache(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a user's Hugging Face cache, with the model in it."""
    folder = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(folder))
    snapshot_download(NAME, cache_dir=folder, endpoint=hub.endpoint)
    return folder


def read_since(hub: Hub, before: int) -> dict[str, int]:
    """Bytes of each file that the Hub sent after so many requests."""
    return {record.file: record.sent for record in hub.requests[before:] if record.file}


def test_cached_files_are_read_from_the_cache(hub: Hub, builds: Builds, user_cache: Path) -> None:
    before = len(hub.requests)
    built(SOURCE, builds.target)
    assert read_since(hub, before) == {}
    assert builds.files() == CONTENT


@pytest.mark.parametrize("damage", ["changed", "shorter", "a folder"])
def test_a_damaged_copy_in_the_cache_is_passed_over(hub: Hub, builds: Builds, user_cache: Path, damage: str) -> None:
    copy = next(user_cache.glob(f"models--acme--x/snapshots/*/{FILE}")).resolve()
    if damage == "changed":
        copy.write_bytes(CONTENT[FILE][:-1] + b"?")
    elif damage == "shorter":
        copy.write_bytes(CONTENT[FILE][:-1])
    else:
        copy.unlink()
        copy.mkdir()
    before = len(hub.requests)
    built(SOURCE, builds.target)
    assert read_since(hub, before) == {FILE: WEIGHTS.size}
    assert builds.files() == CONTENT


def test_a_damaged_copy_and_a_wrong_hub(hub: Hub, builds: Builds, user_cache: Path) -> None:
    """The Hub is asked once, and then it is an error."""
    next(user_cache.glob(f"models--acme--x/snapshots/*/{FILE}")).resolve().write_bytes(b"?" * WEIGHTS.size)
    hub.fault(faults.flip(0), FILE, where="cdn", times=ALWAYS)
    done = modelcar("build", SOURCE, builds.target)
    assert done.code == 5
    assert done.error.startswith(f"{FILE}: the bytes read are not those of sha256:{WEIGHTS.sha256}")


def test_a_cache_with_no_such_names(hub: Hub, builds: Builds, user_cache: Path) -> None:
    """`huggingface_hub` keeps no names that mean a place on Windows."""
    names = {"C:notes.txt": b"1", "a\\..\\b.txt": b"2"}
    hub.repo(NAME, {**FILES, **names})
    built(SOURCE, builds.target)
    assert builds.files() == {**CONTENT, **names}

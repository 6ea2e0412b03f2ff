"""Unchanged work is not done again: by tag, by another image, by this machine's memory, by the record of a build."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelcar import BuildOptions, BuildResult, build_image, pull_image
from modelcar.errors import NetworkError, Refused
from modelcar.events import Event, HashingStarted, LayerFinished, RecordWritten, Warned
from modelcar.settings import Access
from tests import peers
from tests.bases import SHELL, write_base
from tests.doubles.hub import Hub
from tests.doubles.registry import Do, Refuse, Registry
from tests.models import model_files, read_files, write_files

SOURCE = "hf://acme/tiny"
FILES = model_files()
WEIGHTS = [path for path in FILES if path.endswith(".safetensors")]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        hub.repo("acme/tiny", FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


class Build:
    """A build by the library, and what it told."""

    def __init__(self, source: str | Path, target: str, **wishes: Any) -> None:
        self.events: list[Event] = []
        options = BuildOptions(**{"base": "none", "retry_delay": 0.01, **wishes})
        self.result: BuildResult = build_image(str(source), target, options, listener=self.events.append)
        self.digest = str(self.result.digest)

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes that were read for layers and sent."""
        return self.result.read, self.result.sent

    @property
    def sent(self) -> set[str]:
        """Paths of the files whose layers were sent."""
        return {file.path for fate in self.result.fates if fate.how == "send" for file in fate.layer.files}

    @property
    def ways(self) -> set[str]:
        """How the layers came into the store."""
        return {event.how for event in self.events if isinstance(event, LayerFinished)}

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def tags_of(image: str) -> list[str]:
    """The tags of an image's repository, as another program sees them."""
    peers.require("skopeo")
    return sorted(
        json.loads(peers.run("skopeo", "list-tags", "--tls-verify=false", f"docker://{image.rpartition(':')[0]}"))[
            "Tags"
        ]
    )


def pulled(reference: str, folder: Path) -> dict[str, bytes]:
    pull_image(reference, folder)
    return read_files(folder)


# The same again


@pytest.mark.parametrize("memory", ["same machine", "other machine"])
def test_the_same_revision_again_reads_and_sends_nothing(
    hub: Hub, registry: Registry, tmp_path: Path, memory: str
) -> None:
    target = f"{registry.host}/acme/tiny:1"
    first = Build(SOURCE, target, cache_dir=tmp_path / "same machine")
    read = len(hub.requests)
    registry.forget_requests()
    again = Build(SOURCE, target, cache_dir=tmp_path / memory)
    assert again.digest == first.digest
    assert again.moved == (0, 0)
    assert again.result.reused == first.result.sent
    assert not any(request.file for request in hub.requests[read:])
    assert registry.uploaded == 0
    assert registry.count("PUT") == 0


@pytest.mark.parametrize("store", ["layout", "registry"])
def test_an_unchanged_folder_is_neither_hashed_nor_sent(
    model: Path, registry: Registry, tmp_path: Path, store: str
) -> None:
    target = {"layout": f"oci:{tmp_path}/out:1", "registry": f"{registry.host}/acme/tiny:1"}[store]
    time.sleep(2.1)  # the digest of a file that has only just changed is not remembered
    first = Build(model, target)
    assert any(isinstance(event, HashingStarted) for event in first.events)
    registry.forget_requests()
    again = Build(model, target)
    assert not any(isinstance(event, HashingStarted) for event in again.events)
    assert (again.digest, again.moved, registry.uploaded) == (first.digest, (0, 0), 0)


def test_a_file_with_the_same_times_and_other_content_is_seen_by_no_cache(model: Path, tmp_path: Path) -> None:
    first = Build(model, f"oci:{tmp_path}/out:1")
    again = Build(model, f"oci:{tmp_path}/out:1", use_cache=False)
    assert again.digest == first.digest
    assert again.moved == first.moved
    assert any(isinstance(event, HashingStarted) for event in again.events)


def test_no_cache_reads_and_sends_all(hub: Hub, registry: Registry) -> None:
    target = f"{registry.host}/acme/tiny:1"
    first = Build(SOURCE, target)
    registry.forget_requests()
    before = len(hub.requests)
    again = Build(SOURCE, target, use_cache=False)
    assert again.moved == first.moved
    assert {request.file for request in hub.requests[before:] if request.file} == {*FILES}
    assert registry.uploaded >= first.result.sent


# A change


@pytest.mark.parametrize("changed", [WEIGHTS[0], "config.json"])
def test_a_new_revision_sends_the_layers_whose_files_changed(registry: Registry, hub: Hub, changed: str) -> None:
    repo = hub.repo("acme/tiny", FILES)
    target = f"{registry.host}/acme/tiny:1"
    first = Build(SOURCE, target)
    repo.commit({changed: FILES[changed] + b" "})
    before = len(hub.requests)
    again = Build(SOURCE, target, cache_dir=None)
    assert again.digest != first.digest
    small = set(FILES) - set(WEIGHTS)
    assert again.sent == ({changed} if changed in WEIGHTS else small)
    assert {request.file for request in hub.requests[before:] if request.file} == again.sent


def test_a_changed_file_of_a_folder_sends_its_layer(model: Path, tmp_path: Path) -> None:
    Build(model, f"oci:{tmp_path}/out:1")
    (model / WEIGHTS[1]).write_bytes(b"other")
    again = Build(model, f"oci:{tmp_path}/out:1")
    assert again.sent == {WEIGHTS[1]}
    assert pulled(f"oci:{tmp_path}/out:1", tmp_path / "pulled") == {**FILES, WEIGHTS[1]: b"other"}


def test_another_image_may_give_its_layers(model: Path, registry: Registry) -> None:
    one, two = (f"{registry.host}/acme/tiny:{tag}" for tag in (1, 2))
    first = Build(model, one, cache_dir=None)
    unknowing = Build(model, two, cache_dir=None)
    assert unknowing.result.sent == first.result.sent
    knowing = Build(model, f"{registry.host}/acme/tiny:3", cache_dir=None, cache_from=(one,))
    assert (knowing.moved, knowing.digest) == ((0, 0), first.digest)


def test_an_image_that_is_not_there_gives_no_layers(model: Path, registry: Registry) -> None:
    missing = f"{registry.host}/acme/none:1"
    build = Build(model, f"{registry.host}/acme/tiny:1", cache_from=(missing,))
    assert build.warnings == [f"--cache-from {missing} gives no layers: {missing} doesn't exist"]
    assert registry.tags("acme/tiny") == {"1": build.digest}


# A tag that must not be moved


@pytest.mark.parametrize("why", ["another label", "another base", "layers elsewhere"])
def test_nothing_is_sent_to_an_image_that_must_not_change(
    model: Path, registry: Registry, tmp_path: Path, why: str
) -> None:
    target = f"{registry.host}/acme/tiny:1"
    first = Build(model, target)
    if why == "layers elsewhere":
        (model / WEIGHTS[0]).write_bytes(b"other")
        Build(model, f"{registry.host}/acme/other:1")
    wishes: dict[str, dict[str, Any]] = {
        "another label": {"labels": {"a": "b"}},
        "another base": {"base": write_base(tmp_path / "base", SHELL)},
        "layers elsewhere": {},
    }
    registry.forget_requests()
    with pytest.raises(Refused, match="--no-clobber forbids"):
        Build(model, target, no_clobber=True, record_interval=0, **wishes[why])
    assert {request.method for request in registry.requests} <= {"HEAD", "GET"}
    assert registry.tags("acme/tiny") == {"1": first.digest}


def test_the_image_that_is_there_already_may_be_built_again(model: Path, registry: Registry) -> None:
    target = f"{registry.host}/acme/tiny:1"
    first = Build(model, target)
    registry.forget_requests()
    again = Build(model, target, no_clobber=True, record_interval=0)
    assert (again.digest, again.moved) == (first.digest, (0, 0))
    assert {request.method for request in registry.requests} <= {"HEAD", "GET"}


# Another repository of the same registry


@pytest.mark.parametrize("known_by", ["memory", "--cache-from"])
def test_layers_of_another_repository_are_mounted(model: Path, tmp_path: Path, known_by: str) -> None:
    with peers.docker_registry(tmp_path) as registry:
        here, there = f"{registry.host}/acme/tiny:1", f"{registry.host}/other/place:1"
        first = Build(model, here)
        wishes = {"cache_dir": None, "cache_from": (here,)} if known_by == "--cache-from" else {}
        second = Build(model, there, **wishes)
        assert (second.digest, second.moved, second.ways) == (first.digest, (0, 0), {"mounted"})
        assert pulled(there, tmp_path / "pulled") == FILES


def test_layers_of_another_registry_are_sent(model: Path, registry: Registry) -> None:
    first = Build(model, f"{registry.host}/acme/tiny:1")
    with Registry() as other:
        second = Build(model, f"{other.host}/acme/tiny:1", cache_from=(f"{registry.host}/acme/tiny:1",))
    assert (second.digest, second.moved) == (first.digest, first.moved)


# The record


def test_a_record_is_an_image_while_the_build_lasts(hub: Hub, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path, delete=True) as registry:
        target = f"{registry.host}/acme/tiny:1"
        seen: list[dict[str, Any]] = []

        def look(event: Event) -> None:
            if isinstance(event, RecordWritten):
                image = f"docker://{registry.host}/acme/tiny:{event.tag}"
                manifest, config = (peers.skopeo_inspect(image, "--raw", *more) for more in ((), ("--config",)))
                seen.append({"layers": manifest["layers"], "config": config["config"]})

        options = BuildOptions(base="none", record_interval=0, workers=1)
        build_image(SOURCE, target, options, listener=look)
        assert [len(record["layers"]) for record in seen] == [1, 2, 3]
        assert seen[-1]["config"] == {"Labels": {"quay.expires-after": "2d"}}
        assert tags_of(target) == ["1"]


def test_a_registry_that_refuses_deletion_keeps_the_tag_and_one_line_names_it(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        target = f"{registry.host}/acme/tiny:1"
        build = Build(model, target, record_interval=0)
        tag = f"modelcar-partial-{build.result.plan.id[:12]}"
        tags = tags_of(target)
        assert tags == ["1", tag]
        assert build.warnings == [
            f"{registry.host}/acme/tiny refuses to delete: the tag {tag} stays, and can go any time"
        ]


def test_a_builder_joins_what_another_one_has_recorded(hub: Hub, registry: Registry) -> None:
    """While the first sends its first layer, another one records two and dies: they stay in the first one's record."""
    target = f"{registry.host}/acme/tiny:1"
    options = BuildOptions(base="none", record_interval=0, workers=1, cache_dir=None)

    def die_at_the_second(event: Event) -> None:
        if isinstance(event, RecordWritten) and event.layers == 2:
            raise InterruptedError

    def another_one() -> None:
        with pytest.raises(InterruptedError):
            build_image(SOURCE, target, options, listener=die_at_the_second)

    registry.fault(Do(another_one), "PATCH")
    events: list[Event] = []
    result = build_image(SOURCE, target, options, listener=events.append)
    assert [event.layers for event in events if isinstance(event, RecordWritten)] == [2, 2, 3]
    assert registry.tags("acme/tiny") == {"1": str(result.digest)}


def test_a_registry_that_refuses_the_record_is_not_asked_again(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(405), "PUT", "manifests/modelcar-partial-", times=None)
    build = Build(model, f"{registry.host}/acme/tiny:1", record_interval=0)
    assert registry.count("PUT", "manifests/modelcar-partial-") == 1
    assert len(build.warnings) == 1
    assert build.warnings[0].startswith("no record of the unfinished build is kept: ")
    assert registry.tags("acme/tiny") == {"1": build.digest}


def test_a_registry_that_is_down_for_the_record_is_asked_again(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(503), "PUT", "manifests/modelcar-partial-", times=2)
    build = Build(model, f"{registry.host}/acme/tiny:1", record_interval=0, retry=1, workers=1)
    assert len(build.warnings) == 1
    assert any(isinstance(event, RecordWritten) for event in build.events)


def test_no_record_writes_none(model: Path, registry: Registry) -> None:
    build = Build(model, f"{registry.host}/acme/tiny:1", record_interval=0, record=False)
    assert registry.count(path="modelcar-partial-") == 0
    assert registry.tags("acme/tiny") == {"1": build.digest}


def test_two_builders_of_one_plan_at_once_end_in_the_same_digest(hub: Hub, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path, delete=True) as registry, ThreadPoolExecutor(2) as pool:
        target = f"{registry.host}/acme/tiny:1"

        def build(number: int) -> Build:
            return Build(SOURCE, target, record_interval=0, workers=number, cache_dir=tmp_path / str(number))

        one, two = pool.map(build, (1, 2))
        assert one.digest == two.digest
        assert pulled(target, tmp_path / "pulled") == FILES
        assert tags_of(target) == ["1"]


def test_an_error_is_not_hidden_by_that_of_leaving_a_record(model: Path, registry: Registry, tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    authfile.write_text("{}")
    registry.fault(Do(lambda: authfile.write_text("no JSON")), "PATCH", skip=1)
    registry.fault(Refuse(500), "PATCH", skip=1)
    with pytest.raises(NetworkError, match="500"):
        Build(model, f"{registry.host}/acme/tiny:1", workers=1, retry=0, access=Access(authfile=authfile))
    assert registry.tags("acme/tiny") == {}


def test_events_are_told_one_at_a_time(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(503), "PATCH", times=8)
    telling, at_once = threading.Lock(), list[Event]()

    def listen(event: Event) -> None:
        if not telling.acquire(blocking=False):
            at_once.append(event)
            return
        time.sleep(0.01)
        telling.release()

    options = BuildOptions(base="none", record_interval=0, workers=4, retry=9, retry_delay=0.001)
    build_image(str(model), f"{registry.host}/acme/tiny:1", options, listener=listen)
    assert at_once == []

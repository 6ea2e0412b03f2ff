"""A build that is stopped or killed leaves nothing half-visible, and the next one goes on where it was."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from tests.cli import built, end_of, started, wait_for
from tests.doubles.faults import slow
from tests.doubles.hub import Hub
from tests.doubles.registry import Do, Quirks, Registry
from tests.models import model_files, write_files
from tests.pushing import image_tags

STOPS = pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
SOURCE = "hf://acme/tiny"
LAST = "model-00003-of-00003.safetensors"
ONE_AT_A_TIME = ("--workers", "1", "--retry-delay", "0.01")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A model of three shards, the last of which makes the smallest layer: it is sent after all others."""
    files = model_files(shards=3)
    files[LAST] = files[LAST][:2000]
    with Hub() as hub:
        hub.repo("acme/tiny", files)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


def hold(hub: Hub) -> None:
    """Let the next build stand still in the last shard."""
    hub.fault(slow(50), LAST, where="cdn")


def holds(hub: Hub) -> bool:
    """Whether a build stands still in the middle of the last shard, all other layers behind it."""
    return not hub.pending_faults and 0 < hub.bytes_sent(LAST) < 2000


@contextlib.contextmanager
def holding(registry: Registry, method: str, path: str) -> Iterator[Event]:
    """Let such requests wait until the context ends. The event is set when the first has come."""
    asked, over = Event(), Event()

    def hold_on() -> None:
        asked.set()
        over.wait(60)

    registry.fault(Do(hold_on), method, path, times=None)
    try:
        yield asked
    finally:
        over.set()


def uploads(registry: Registry) -> int:
    """Layers that were sent whole."""
    return registry.count("PATCH", status=202)


def bytes_read(process: subprocess.Popen[str]) -> int:
    """Bytes that the process has read so far, from wherever."""
    status = Path(f"/proc/{process.pid}/io").read_text()
    return int(status.split()[1])


def blobs(layout: Path) -> set[str]:
    return {path.name for path in (layout / "blobs" / "sha256").iterdir()}


@STOPS
def test_a_stopped_build_leaves_a_layout_without_tag_and_rest(hub: Hub, tmp_path: Path, stop: signal.Signals) -> None:
    hold(hub)
    with started("build", SOURCE, f"oci:{tmp_path}/out:1", *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        process.send_signal(stop)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert done.error == "stopped; run it again to go on: what is finished is kept"
    assert json.loads((tmp_path / "out" / "index.json").read_bytes())["manifests"] == []
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"blobs", "index.json", "oci-layout"}
    assert len(blobs(tmp_path / "out")) == 3


@STOPS
def test_a_stopped_build_leaves_the_tag_of_a_registry(hub: Hub, registry: Registry, stop: signal.Signals) -> None:
    target = f"{registry.host}/acme/tiny:1"
    before = built(SOURCE, target, "--include", "model-00001*")
    hold(hub)
    with started("build", SOURCE, target, *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        process.send_signal(stop)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert done.error.startswith("stopped; ")
    assert image_tags(registry, "acme/tiny") == {"1": before}
    (record,) = registry.tags("acme/tiny").keys() - {"1"}
    assert record.startswith("modelcar-partial-")


def test_a_build_is_stopped_while_the_registry_is_silent(tmp_path: Path, registry: Registry) -> None:
    source, target = write_files(tmp_path / "model", model_files()), f"{registry.host}/acme/tiny:1"
    with holding(registry, "PATCH", "") as asked, started("build", source, target) as process:
        wait_for(asked.is_set, process)
        process.send_signal(signal.SIGINT)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert registry.tags("acme/tiny") == {}


def test_a_build_is_stopped_while_it_asks_for_layers(tmp_path: Path, registry: Registry) -> None:
    source, target = write_files(tmp_path / "model", model_files()), f"{registry.host}/acme/tiny:1"
    digest = built(source, target)
    with holding(registry, "HEAD", "/blobs/") as asked, started("build", source, target) as process:
        wait_for(asked.is_set, process)
        process.send_signal(signal.SIGINT)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert registry.tags("acme/tiny") == {"1": digest}


def test_a_build_is_stopped_while_it_waits_to_try_again(tmp_path: Path, registry: Registry) -> None:
    source = write_files(tmp_path / "model", model_files())
    with started("build", source, f"{registry.host}/acme/tiny:1", "--retry-delay", "600") as process:
        registry.close()
        assert process.stderr
        assert any("trying again" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        assert end_of(process).code == 130


def test_a_build_is_stopped_while_it_hashes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for number in range(2):
        with (folder / f"{number}.safetensors").open("wb") as file:
            file.truncate(1 << 40)
    with started("build", folder, f"oci:{tmp_path}/out", "--format", "json") as process:
        wait_for(lambda: bytes_read(process) > 100_000_000, process)
        process.send_signal(signal.SIGINT)
        done = end_of(process)
    assert done.code == 130
    last = json.loads(done.out.splitlines()[-1])
    assert (last["event"], last["error"], last["exit_code"]) == ("Failed", "Interrupted", 130)


def test_a_killed_build_into_a_layout_goes_on(hub: Hub, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    hold(hub)
    with started("build", SOURCE, f"oci:{layout}:1", *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        process.kill()
    assert len([*layout.glob(".modelcar-*")]) == 1
    finished = {name: (layout / "blobs" / "sha256" / name).stat().st_mtime_ns for name in blobs(layout)}
    assert len(finished) == 3
    asked = len(hub.requests)
    built(SOURCE, f"oci:{layout}:1")
    assert {request.file for request in hub.requests[asked:] if request.file} == {LAST}
    assert {name: (layout / "blobs" / "sha256" / name).stat().st_mtime_ns for name in finished} == finished
    assert not [*layout.glob(".modelcar-*")]


def test_a_killed_build_sends_no_finished_layer_twice(hub: Hub, registry: Registry) -> None:
    target = f"{registry.host}/acme/tiny:1"
    hold(hub)
    with started("build", SOURCE, target, *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        process.kill()
    assert (uploads(registry), registry.tags("acme/tiny")) == (3, {})
    registry.forget_requests()
    asked = len(hub.requests)
    built(SOURCE, target)
    assert {request.file for request in hub.requests[asked:] if request.file} == {LAST}
    # One layer and a config for each of four platforms.
    assert uploads(registry) == 1 + 4


def build_with_record(target: str, interval: float) -> tuple[str, ...]:
    """A program that builds and records at this interval: the command line has none for it."""
    options = f"BuildOptions(base='none', record_interval={interval}, workers=1)"
    script = f"from modelcar import *; build_image({SOURCE!r}, {target!r}, {options})"
    return (sys.executable, "-c", script)


@pytest.mark.parametrize("quirks", [Quirks(), Quirks(deletion="digest")])
def test_another_machine_goes_on_from_the_record(
    hub: Hub, tmp_path: Path, quirks: Quirks, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Registry(quirks=quirks) as registry:
        target = f"{registry.host}/acme/tiny:1"
        hold(hub)
        with started(program=build_with_record(target, 0)) as process:
            wait_for(lambda: holds(hub), process)
            process.kill()
        (tag,) = registry.tags("acme/tiny")
        assert tag.startswith("modelcar-partial-")
        assert len(tag) == len("modelcar-partial-") + 12
        registry.forget_requests()
        asked = len(hub.requests)
        monkeypatch.setenv("MODELCAR_CACHE_DIR", str(tmp_path / "other machine"))
        digest = built(SOURCE, target)
        assert {request.file for request in hub.requests[asked:] if request.file} == {LAST}
        assert uploads(registry) == 1 + 4
        assert registry.tags("acme/tiny") == {"1": digest}


def test_another_machine_sends_what_no_record_tells(
    hub: Hub, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{registry.host}/acme/tiny:1"
    hold(hub)
    with started("build", SOURCE, target, *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        process.kill()
    registry.forget_requests()
    monkeypatch.setenv("MODELCAR_CACHE_DIR", str(tmp_path / "other machine"))
    built(SOURCE, target)
    assert uploads(registry) == 4 + 4


def test_a_command_that_reads_is_stopped(registry: Registry) -> None:
    with holding(registry, "GET", "/manifests/") as asked, started("ls", f"{registry.host}/acme/tiny:1") as process:
        wait_for(asked.is_set, process)
        process.send_signal(signal.SIGTERM)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert done.error == "stopped"


def test_a_registry_that_is_silent_about_the_record_does_not_hold_up_the_end(hub: Hub, registry: Registry) -> None:
    hold(hub)
    with started("build", SOURCE, f"{registry.host}/acme/tiny:1", *ONE_AT_A_TIME) as process:
        wait_for(lambda: holds(hub), process)
        with holding(registry, "PUT", "") as asked:
            process.send_signal(signal.SIGINT)
            wait_for(asked.is_set, process)
            done = end_of(process)
            assert registry.tags("acme/tiny") == {}
    assert (done.code, done.out) == (130, "")
    assert done.error.startswith("stopped; ")

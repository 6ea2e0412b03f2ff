"""Compressed layers in a real registry: what reads them, what a rebuild sends, what a broken upload leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar import BuildOptions, BuildResult, build_image, pull_image
from modelcar.events import Warned
from tests import peers
from tests.cli import modelcar
from tests.models import model_files, read_files, write_files

FILES = {**model_files(shards=3), "vocab.txt": b"words and words and words\n" * 40_000}
IN_IMAGE = {f"/models/{path}": content for path, content in FILES.items()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[peers.Peer]:
    with peers.docker_registry(tmp_path) as registry:
        yield registry


def build(model: Path, target: str, compression: str = "gzip", **wishes: Any) -> BuildResult:
    options = BuildOptions(compression=compression, **{"base": "none", **wishes})
    return build_image(str(model), target, options)


def layers(image: str) -> list[dict[str, Any]]:
    index = json.loads(peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}"))
    name = image.rpartition(":")[0]
    first = f"docker://{name}@{index['manifests'][0]['digest']}"
    found: list[dict[str, Any]] = json.loads(peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", first))[
        "layers"
    ]
    return found


@pytest.mark.parametrize("compression", ["gzip", "zstd:19"])
def test_other_programs_and_we_read_it(model: Path, registry: peers.Peer, tmp_path: Path, compression: str) -> None:
    image = f"{registry.host}/acme/tiny:{compression.partition(':')[0]}"
    build(model, image, compression, base="embedded")
    assert {layer["mediaType"].rpartition("+")[2] for layer in layers(image)[1:]} == {compression.partition(":")[0]}
    assert {path: content for path, content in peers.podman_files(image).items() if path in IN_IMAGE} == IN_IMAGE
    assert {path: content for path, content in peers.crane_files(image).items() if path in IN_IMAGE} == IN_IMAGE
    pull_image(image, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


def test_it_is_smaller_and_the_same_every_time(model: Path, registry: peers.Peer, tmp_path: Path) -> None:
    plain = build(model, f"oci:{tmp_path}/plain:1", "none")
    first = build(model, f"{registry.host}/acme/one:1")
    second = build(model, f"{registry.host}/acme/two:1", workers=1, use_cache=False)
    assert first.digest == second.digest != plain.digest
    assert 0 < first.sent < plain.sent
    assert first.read == plain.read


def test_a_rebuild_sends_nothing_and_another_level_all(model: Path, registry: peers.Peer) -> None:
    image = f"{registry.host}/acme/tiny:1"
    first = build(model, image, cache_dir=None)
    again = build(model, image, cache_dir=None)
    assert (again.digest, again.read, again.sent, again.reused) == (first.digest, 0, 0, first.sent)
    assert build(model, image, "gzip:1", cache_dir=None).read == first.read


def test_memory_and_mounts_know_compressed_layers_too(model: Path, registry: peers.Peer) -> None:
    first = build(model, f"{registry.host}/acme/one:1")
    mounted = build(model, f"{registry.host}/acme/two:1")
    assert (mounted.digest, mounted.sent) == (first.digest, 0)
    assert {fate.how for fate in mounted.fates} == {"mounted"}


def test_a_copy_that_was_compressed_anew_is_not_taken_for_ours(
    model: Path, registry: peers.Peer, tmp_path: Path
) -> None:
    """Skopeo compresses plain layers that it copies into a layout; the history with the keys comes along."""
    plain = build(model, f"oci:{tmp_path}/plain:1", "none", cache_dir=None, platforms=("linux/amd64",))
    peers.skopeo_copy(f"oci:{tmp_path}/plain:1", f"oci:{tmp_path}/copied:1")
    image = f"{registry.host}/acme/copy:1"
    peers.skopeo_copy(f"oci:{tmp_path}/copied:1", f"docker://{image}")
    copied = json.loads(peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}"))
    assert {layer["mediaType"].rpartition("+")[2] for layer in copied["layers"]} == {"gzip"}
    again = build(model, image, "none", cache_dir=None, platforms=("linux/amd64",))
    assert again.digest == plain.digest
    assert again.read == plain.read


def test_zstd_warns_of_fetch_mode(model: Path, tmp_path: Path) -> None:
    events: list[Any] = []
    options = BuildOptions(compression="zstd", base="none")
    build_image(str(model), f"oci:{tmp_path}/out:1", options, listener=events.append)
    assert [event.message for event in events if isinstance(event, Warned) and "fetch mode" in event.message]


def test_plan_says_what_it_would_cost_and_save(model: Path) -> None:
    done = modelcar("plan", model, "--base", "none", "--compression", "zstd:1")
    assert done.code == 0
    assert "zstd:1 would take about" in done.out
    assert "save about" in done.out
    assert "before compression" in done.out
    done = modelcar("plan", model, "--base", "none", "--compression", "gzip", "--format", "json")
    estimate = json.loads(done.out)["estimate"]
    assert estimate["compression"] == "gzip:6"
    assert 0 < estimate["compressed"] < estimate["size"] == sum(map(len, FILES.values()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compression", "lz4"], "there is no compression 'lz4'; it is none, gzip"),
        (["--compression", "zstd:99"], "zstd has no level '99'; it has 1 to 19"),
        (["--image-format", "docker"], "can't hold Docker's manifests; name a registry"),
        (["--image-format", "docker", "--compression", "none"], "docker takes no --compression none"),
    ],
)
def test_what_can_not_be_meant_is_told(model: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", *arguments)
    assert done.code == 2
    assert said in done.error
    assert not (tmp_path / "out").exists()

"""A model's image from one docker-registry into another: skopeo, curl piped into curl, and us, run by run in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import Usage, measure
from benchmarks.methods import MODELCAR, Commands, Method, Scene
from benchmarks.model import write_model
from benchmarks.report import options, size_of, write_json
from benchmarks.rounds import Outcome, beside_json, beside_table, in_turn
from benchmarks.servers import fresh_registry
from modelcar import build_image, read_image

_REPOSITORY = "bench/copied"
_IMAGE = f"{_REPOSITORY}:1"
_WORKERS = 4
_FLOOR = Path(__file__).resolve().with_name("floor.sh")


def _skopeo(scene: Scene) -> Commands:
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    source, target = f"docker://{scene.endpoint}/{_IMAGE}", f"docker://{scene.registry}/{_IMAGE}"
    return [["skopeo", "copy", "--quiet", "--all", "--preserve-digests", *tls, source, target]]


def _curl(scene: Scene) -> Commands:
    """Every layer's blob, several at a time; neither configs nor manifests."""
    lines = []
    for layer in read_image(f"{scene.endpoint}/{_IMAGE}").manifest.layers:
        source = f"http://{scene.endpoint}/v2/{_REPOSITORY}/blobs/{layer.digest}"
        lines.append(f"http://{scene.registry}/v2/{_REPOSITORY} {layer.digest} {source}")
    (scene.home / "blobs").write_text("\n".join(lines) + "\n")
    blobs, workers = str(scene.home / "blobs"), str(_WORKERS)
    return [["xargs", "--arg-file", blobs, "--max-lines=1", "--max-procs", workers, "bash", _FLOOR]]


def _modelcar(scene: Scene) -> Commands:
    return [[MODELCAR, "copy", "--quiet", f"{scene.endpoint}/{_IMAGE}", f"{scene.registry}/{_IMAGE}"]]


SKOPEO = Method("skopeo copy --all", "Digests preserved.", _skopeo, ("skopeo",))
CURL = Method("curl GET into curl PATCH + PUT", f"Hashed by nobody, {_WORKERS} at a time.", _curl, ("curl", "xargs"))
US = Method("modelcar copy", f"{_WORKERS} workers.", _modelcar, (MODELCAR,))
METHODS = (SKOPEO, CURL, US)


def copy(size: int, runs: int, folder: Path, methods: Sequence[Method] = METHODS) -> list[Outcome]:
    """Run all methods, `runs` times in turn, each into an empty registry, from one that holds the image."""
    model = folder / "copied-model"
    write_model(model, size)
    with fresh_registry(folder) as source:
        build_image(str(model), f"{source.host}/{_IMAGE}")
        shutil.rmtree(model)
        return in_turn("copy", methods, runs, lambda method: _run(method, source.host, folder))


def _run(method: Method, source: str, folder: Path) -> Usage:
    home = Path(tempfile.mkdtemp(prefix="c", dir=folder))
    try:
        with fresh_registry(folder) as target:
            scene = Scene(source, target.host, folder, home)
            commands = method.prepare(scene)
            os.sync()
            return measure(commands, environment=scene.environment, folder=home, output=folder / "copy-output")
    finally:
        shutil.rmtree(home)


def as_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """As JSON-ready values."""
    return beside_json(outcomes, CURL)


def as_table(outcomes: list[Outcome], size: int) -> str:
    """For people."""
    return f"### A copy\n\n{beside_table(outcomes, CURL, f'{size_of(size)} between two registries')}"


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:  # noqa: ARG001
    """Only the copy."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        outcomes = copy(size, runs, Path(name))
    print(as_table(outcomes, size))
    write_json(json_file, {"size": size, "copy": as_json(outcomes)})


if __name__ == "__main__":
    main()

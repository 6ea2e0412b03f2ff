"""A model's image out of docker-registry into a folder: podman, skopeo, curl and us, run by run in turn."""

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

_IMAGE = "bench/pulled:1"
_WORKERS = 4


def _podman(scene: Scene) -> Commands:
    store = ("--root", scene.home / "r", "--runroot", scene.home / "rr", "--storage-driver", "vfs")
    image = f"{scene.registry}/{_IMAGE}"
    return [
        ["podman", *store, "pull", "--quiet", "--tls-verify=false", image],
        # Creating runs nothing, so the command needn't exist.
        ["podman", *store, "create", "--name", "pulled", image, "/none"],
        ["podman", *store, "cp", "pulled:/models", scene.home / "out"],
    ]


def _skopeo(scene: Scene) -> Commands:
    source = f"docker://{scene.registry}/{_IMAGE}"
    return [["skopeo", "copy", "--quiet", "--src-tls-verify=false", source, f"dir:{scene.home}/out"]]


def _curl(scene: Scene) -> Commands:
    """Every layer's blob as it is."""
    image = f"{scene.registry}/{_IMAGE}"
    lines = []
    for layer in read_image(image).manifest.layers:
        url = f"http://{scene.registry}/v2/{_IMAGE.partition(':')[0]}/blobs/{layer.digest}"
        lines += [f'url = "{url}"', f'output = "{scene.home}/{layer.digest[7:19]}"']
    (scene.home / "urls").write_text("\n".join(lines) + "\n")
    how = ("--silent", "--show-error", "--fail", "--parallel", "--parallel-max", str(_WORKERS))
    return [["curl", *how, "--config", scene.home / "urls"]]


def _modelcar(scene: Scene) -> Commands:
    return [[MODELCAR, "pull", "--quiet", f"{scene.registry}/{_IMAGE}", scene.home / "out"]]


def _modelcar_again(scene: Scene) -> Commands:
    """The folder is filled before it is timed."""
    (command,) = _modelcar(scene)
    measure([command], environment=scene.environment, folder=scene.home, output=scene.home / "before")
    return [command]


PODMAN = Method("podman pull + cp", "vfs storage.", _podman, ("podman",), once=True)
SKOPEO = Method("skopeo copy to dir:", "Blobs hashed, not unpacked.", _skopeo, ("skopeo",))
CURL = Method("curl --parallel", f"Blobs neither hashed nor unpacked, {_WORKERS} at a time.", _curl, ("curl",))
US = Method("modelcar", f"{_WORKERS} workers, hashed and unpacked.", _modelcar, (MODELCAR,))
AGAIN = Method("modelcar, all there", "Into a folder that holds it: files are hashed.", _modelcar_again, (MODELCAR,))
METHODS = (PODMAN, SKOPEO, CURL, US, AGAIN)


def pull(size: int, runs: int, folder: Path, methods: Sequence[Method] = METHODS) -> list[Outcome]:
    """Run all methods, `runs` times in turn, each into an empty folder, from one registry that holds the image."""
    model = folder / "pulled-model"
    write_model(model, size)
    with fresh_registry(folder) as registry:
        build_image(str(model), f"{registry.host}/{_IMAGE}")
        outcomes = in_turn("pull", methods, runs, lambda method: _run(method, registry.host, model, folder))
    shutil.rmtree(model)
    return outcomes


def _run(method: Method, registry: str, model: Path, folder: Path) -> Usage:
    home = Path(tempfile.mkdtemp(prefix="p", dir=folder))
    try:
        scene = Scene("", registry, model, home)
        commands = method.prepare(scene)
        os.sync()
        return measure(commands, environment=scene.environment, folder=home, output=folder / "pull-output")
    finally:
        shutil.rmtree(home)


def as_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """As JSON-ready values."""
    return beside_json(outcomes, CURL, disk=True)


def as_table(outcomes: list[Outcome], size: int) -> str:
    """For people."""
    return f"### A pull\n\n{beside_table(outcomes, CURL, f'{size_of(size)} into a folder', size)}"


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:  # noqa: ARG001
    """Only the pull."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        outcomes = pull(size, runs, Path(name))
    print(as_table(outcomes, size))
    write_json(json_file, {"size": size, "pull": as_json(outcomes)})


if __name__ == "__main__":
    main()

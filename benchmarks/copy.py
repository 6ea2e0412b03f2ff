"""A model's image from one docker-registry into another: skopeo, curl piped into curl, and us, run by run in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.build import Outcome
from benchmarks.measure import Failed, Usage, measure
from benchmarks.methods import MODELCAR, Commands, Method, Scene
from benchmarks.model import write_model
from benchmarks.report import options, say, share, size_of, table, write_json
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
    done: dict[str, list[Usage]] = {method.name: [] for method in methods}
    reasons = {method.name: method.missing for method in methods}
    with fresh_registry(folder) as source:
        build_image(str(model), f"{source.host}/{_IMAGE}")
        shutil.rmtree(model)
        for number in range(runs):
            for method in (method for method in methods if not reasons[method.name]):
                try:
                    usage = _run(method, source.host, folder)
                except Failed as failed:
                    reasons[method.name] = str(failed)
                    say(f"copy {number + 1} of {runs}: {method.name}: {failed}")
                else:
                    done[method.name].append(usage)
                    say(f"copy {number + 1} of {runs}: {method.name}: {usage.seconds:.1f} s, CPU {usage.cpu:.1f} s")
    return [Outcome(method, tuple(done[method.name]), reasons[method.name]) for method in methods]


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
    floor = _floor(outcomes)
    return [
        {
            "method": outcome.method.name,
            "reason": outcome.reason,
            "seconds": outcome.median.seconds if outcome.runs else None,
            "cpu": outcome.median.cpu if outcome.runs else None,
            "rss": outcome.median.rss if outcome.runs else None,
            "wall_vs_curl": outcome.ratio(floor, lambda usage: usage.seconds),
        }
        for outcome in outcomes
    ]


def _floor(outcomes: list[Outcome]) -> Outcome:
    return next(outcome for outcome in outcomes if outcome.method is CURL)


def as_table(outcomes: list[Outcome], size: int) -> str:
    """For people."""
    floor, rows = _floor(outcomes), []
    for outcome in outcomes:
        if not outcome.runs:
            rows.append([outcome.method.name, outcome.reason or "", "", "", ""])
            continue
        middle = outcome.median
        ratio = share(outcome.ratio(floor, lambda usage: usage.seconds))
        cells = (f"{middle.seconds:.1f} s", ratio, f"{middle.cpu:.1f} s", size_of(middle.rss))
        rows.append([outcome.method.name, *cells])
    heading = [f"{size_of(size)} between two registries", "wall", "vs curl", "CPU", "peak memory"]
    return f"### A copy\n\n{table(heading, rows)}"


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

"""A model from the Hub into docker-registry: podman, two programs from PyPI, the floor and us, run by run in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import Failed, Usage, disk_use, measure
from benchmarks.methods import FLOOR, METHODS, PODMAN, Method, Scene, install_peers
from benchmarks.model import write_model
from benchmarks.report import options, share, size_of, table, write_json
from benchmarks.rounds import Outcome, in_turn, named
from benchmarks.servers import fresh_registry, hub

_LEAST = 0.6
"""Of a model's bytes must be in the registry at the end: podman compresses them."""


def compare(size: int, runs: int, folder: Path, methods: Sequence[Method] = METHODS) -> list[Outcome]:
    """Run all methods, `runs` times in turn, each into a registry with nothing in it.

    Args:
        size: Bytes of weights.
        runs: Rounds.
        folder: For the model and all that the methods write.
        methods: What is compared.
    """
    model = folder / "model"
    write_model(model, size)
    with hub(model) as endpoint:
        outcomes = in_turn("round", methods, runs, lambda method: _run(method, endpoint, model, folder))
    shutil.rmtree(model)
    return outcomes


def _wall(usage: Usage) -> float:
    return usage.seconds


def _cpu(usage: Usage) -> float:
    return usage.cpu


def _run(method: Method, endpoint: str, model: Path, folder: Path) -> Usage:
    home = folder / "h"
    home.mkdir()
    try:
        with fresh_registry(folder) as registry:
            scene = Scene(endpoint, registry.host, model, home)
            commands = method.prepare(scene)
            os.sync()  # what the run before wrote must not be written during this one
            usage = measure(commands, environment=scene.environment, folder=home, output=folder / "output")
            if disk_use(registry.storage) < _LEAST * disk_use(model):
                raise Failed("it says that all is well, but the model is not in the registry")
            return usage
    finally:
        shutil.rmtree(home)


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The outcomes as JSON-ready values."""
    podman, floor = named(outcomes, PODMAN), named(outcomes, FLOOR)
    return [
        {
            "method": outcome.method.name,
            "note": outcome.method.note,
            "reason": outcome.reason,
            "runs": [asdict(run) for run in outcome.runs],
            "median": asdict(outcome.median) if outcome.runs else None,
            "wall_vs_podman": outcome.ratio(podman, _wall),
            "cpu_vs_podman": outcome.ratio(podman, _cpu),
            "wall_vs_floor": outcome.ratio(floor, _wall),
            "cpu_vs_floor": outcome.ratio(floor, _cpu),
        }
        for outcome in outcomes
    ]


def as_table(outcomes: Sequence[Outcome], size: int, runs: int) -> str:
    """The outcomes for people."""
    podman, floor = named(outcomes, PODMAN), named(outcomes, FLOOR)
    rows = []
    for outcome in outcomes:
        if not outcome.runs:
            rows.append([outcome.method.name, *["-"] * 7])
            continue
        cost = outcome.median
        rows.append(
            [
                outcome.method.name,
                f"{cost.seconds:.1f} s",
                share(outcome.ratio(podman, _wall)),
                share(outcome.ratio(floor, _wall)),
                f"{cost.cpu:.1f} s",
                share(outcome.ratio(podman, _cpu)),
                size_of(cost.rss),
                f"{cost.disk / size:.1f} × the model" if cost.disk > size / 100 else size_of(cost.disk),
            ]
        )
    heading = ["", "wall", "vs podman", "vs floor", "CPU", "vs podman", "peak RSS", "peak disk"]
    lines = [f"### {size_of(size)} from the Hub into docker-registry, medians of {runs} runs in turn", ""]
    lines += [table(heading, rows), ""]
    lines += [f"- {o.method.name}: {o.method.note}{f' Not run: {o.reason}.' if o.reason else ''}" for o in outcomes]
    return "\n".join(lines)


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:
    """Compare the ways to build a model's image."""
    if not quick:
        install_peers()
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as work:
        outcomes = compare(size, runs, Path(work))
    print(as_table(outcomes, size, runs))
    write_json(json_file, {"size": size, "comparison": as_json(outcomes)})


if __name__ == "__main__":
    main()

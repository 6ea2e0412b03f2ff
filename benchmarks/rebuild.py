"""What it costs to build a model that the registry has: on the same machine, and on one that knows nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import Usage, measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.model import write_model
from benchmarks.report import size_of, table
from benchmarks.servers import REPO, fresh_registry, hub


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The medians of some rebuilds.

    Attributes:
        where: On what machine.
        seconds: Wall time, start-up and all.
        cpu: Seconds of CPU.
        read: Bytes of model files that were read, in any of them.
        sent: Bytes of layers that were sent, in any of them.
    """

    where: str
    seconds: float
    cpu: float
    read: int
    sent: int


def rebuild(size: int, runs: int, folder: Path) -> list[Rebuild]:
    """Build a model once, then `runs` times on the same machine and `runs` times on another."""
    model, home = folder / "model", folder / "h"
    write_model(model, size)
    home.mkdir()
    with hub(model) as endpoint, fresh_registry(folder) as registry:
        scene = Scene(endpoint, registry.host, model, home)
        _build(scene)
        same = [_build(scene) for _ in range(runs)]
        other = []
        for _ in range(runs):
            shutil.rmtree(home)
            home.mkdir()
            other.append(_build(scene))
    shutil.rmtree(home)
    shutil.rmtree(model)
    return [_summary("same machine", same), _summary("another machine", other)]


def _build(scene: Scene) -> tuple[Usage, Mapping[str, int]]:
    """What a build took, and its last event, which tells what it moved."""
    image = f"{scene.registry}/bench/modelcar:1"
    command: list[str | Path] = [MODELCAR, "build", f"hf://{REPO}", image, "--format", "json"]
    output = scene.home.parent / "output"
    usage = measure([command], environment=scene.environment, folder=scene.home, output=output)
    return usage, json.loads(output.read_text().splitlines()[-1])


def _summary(where: str, builds: list[tuple[Usage, Mapping[str, int]]]) -> Rebuild:
    return Rebuild(
        where,
        round(median(usage.seconds for usage, _ in builds), 3),
        round(median(usage.cpu for usage, _ in builds), 3),
        max(event["read"] for _, event in builds),
        max(event["sent"] for _, event in builds),
    )


def as_json(rebuilds: list[Rebuild]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(rebuild) for rebuild in rebuilds]


def as_table(rebuilds: list[Rebuild], size: int) -> str:
    """For people."""
    rows = [[r.where, f"{r.seconds:.2f} s", f"{r.cpu:.2f} s", size_of(r.read), size_of(r.sent)] for r in rebuilds]
    heading = [f"{size_of(size)}, unchanged", "wall", "CPU", "read", "sent"]
    return f"### A rebuild\n\n{table(heading, rows)}"

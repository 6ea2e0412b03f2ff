"""What ranges gain where each connection to the Hub is slow, and that memory stays within their window."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.model import write_sparse
from benchmarks.report import say, size_of, table
from benchmarks.servers import REPO, dropping_registry, hub

RATE = 8 * 1024**2
"""Bytes a second of each connection to the Hub."""

LIMIT = 64 * 1000**2 + 128 * 1024**2
"""Bytes of memory that a build may take: what any may, and the window of its ranges."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A build of one file over slow connections."""

    workers: int
    seconds: float
    rss: int


def slow_link(size: int, folder: Path, workers: Sequence[int] = (1, 4)) -> list[Crossing]:
    """Build a model of one file with each number of workers. The registry drops what it gets."""
    model = folder / "model"
    write_sparse(model, size)
    try:
        with hub(model, rate=RATE) as endpoint, dropping_registry() as registry:
            return [_cross(count, endpoint, registry, model, folder / "h") for count in workers]
    finally:
        shutil.rmtree(model)


def _cross(workers: int, endpoint: str, registry: str, model: Path, home: Path) -> Crossing:
    say(f"slow link: {workers} workers")
    home.mkdir()
    try:
        command = [str(MODELCAR), "build", f"hf://{REPO}", f"{registry}/bench/slow:1", "--no-cache"]
        usage = measure(
            [[*command, "--workers", str(workers)]],
            environment=Scene(endpoint, registry, model, home).environment,
            folder=home,
            output=home.with_name("output"),
        )
    finally:
        shutil.rmtree(home)
    return Crossing(workers, usage.seconds, usage.rss)


def as_json(crossings: list[Crossing]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(crossing) for crossing in crossings]


def as_table(crossings: list[Crossing], size: int) -> str:
    """For people."""
    first = crossings[0].seconds
    rows = [[str(c.workers), f"{c.seconds:.1f} s", f"{first / c.seconds:.2f} ×", size_of(c.rss)] for c in crossings]
    heading = f"### One file of {size_of(size)}, {size_of(RATE)}/s a connection (memory: {size_of(LIMIT)} at most)"
    return f"{heading}\n\n{table(['workers', 'wall', 'gain', 'peak RSS'], rows)}"

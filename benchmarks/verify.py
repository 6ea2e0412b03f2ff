"""What it costs to verify a model's image in a layout, beside `sha256sum` of its blobs on all cores."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.measure import Usage, measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.model import write_model
from benchmarks.report import options, say, share, size_of, table, write_json
from modelcar import build_image


@dataclass(frozen=True, slots=True)
class Verified:
    """The medians of some runs: how, seconds of wall time and of CPU, bytes of memory."""

    how: str
    seconds: float
    cpu: float
    rss: int


def verify(size: int, runs: int, folder: Path) -> list[Verified]:
    """Verify an image `runs` times in turn with `sha256sum`; all of it is in the page cache."""
    model, layout, home = folder / "verified-model", folder / "verified", folder / "v"
    write_model(model, size)
    home.mkdir()
    build_image(str(model), f"oci:{layout}:1")
    ours: tuple[str | Path, ...] = (MODELCAR, "verify", "--quiet")
    hashing = ("xargs", "--null", "--max-args=1", "--max-procs", str(os.cpu_count()), "sha256sum")
    (home / "names").write_text("\0".join(str(path) for path in sorted((layout / "blobs" / "sha256").iterdir())))
    ways: Mapping[str, list[str | Path]] = {
        "sha256sum, all cores": [hashing[0], "--arg-file", home / "names", *hashing[1:]],
        "modelcar verify --offline": [*ours, "--offline", f"oci:{layout}:1"],
        "modelcar verify --source": [*ours, "--source", model, f"oci:{layout}:1"],
    }
    done: dict[str, list[Usage]] = {way: [] for way in ways}
    scene = Scene("", "", model, home)
    for number in range(runs):
        for way, command in ways.items():
            usage = measure([command], environment=scene.environment, folder=home, output=folder / "verify-output")
            done[way].append(usage)
            say(f"verify {number + 1} of {runs}: {way}: {usage.seconds:.1f} s, CPU {usage.cpu:.1f} s")
    for used in (model, layout, home):
        shutil.rmtree(used)
    return [
        Verified(
            way,
            median(usage.seconds for usage in usages),
            median(usage.cpu for usage in usages),
            max(usage.rss for usage in usages),
        )
        for way, usages in done.items()
    ]


def as_json(verified: list[Verified]) -> list[dict[str, Any]]:
    """As JSON-ready values."""
    return [asdict(each) for each in verified]


def as_table(verified: list[Verified], size: int) -> str:
    """For people."""
    floor = verified[0].seconds
    rows = [
        [each.how, f"{each.seconds:.1f} s", share(each.seconds / floor), f"{each.cpu:.1f} s", size_of(each.rss)]
        for each in verified
    ]
    return f"### A check\n\n{table([size_of(size), 'wall', 'vs sha256sum', 'CPU', 'peak memory'], rows)}"


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:  # noqa: ARG001
    """Only the check."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        verified = verify(size, runs, Path(name))
    print(as_table(verified, size))
    write_json(json_file, {"size": size, "verify": as_json(verified)})


if __name__ == "__main__":
    main()

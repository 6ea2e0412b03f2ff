"""What `check` of a large image costs: 200 layers of 2 GB as sparse blobs, in a registry on loopback."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.measure import measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.read import LAYER, LAYERS, write_image
from benchmarks.report import options, say, size_of, table, write_json
from benchmarks.servers import REPO, fresh_registry


@dataclass(frozen=True, slots=True)
class Checking:
    """The medians of some runs: seconds of wall and CPU time, bytes of memory; requests and bytes of one of them."""

    layers: str
    seconds: float
    cpu: float
    rss: int
    requests: int
    read: int


def check(runs: int, folder: Path, layers: int = LAYERS, size: int = LAYER) -> list[Checking]:
    """Time it, on layers of ours (with annotations) and on plain layers of anyone's."""
    found = []
    for kind in ("ours", "anyone's"):
        layout, home, output = folder / "large", folder / "check-home", folder / "check-output"
        home.mkdir()
        write_image(layout, layers, size, annotated=kind == "ours")
        with fresh_registry(folder) as registry:
            move_into(registry.storage / "docker" / "registry" / "v2", layout)
            scene = Scene("", registry.host, layout, home)
            words = ("check", f"{registry.host}/{REPO}:1", "--mode", "native", "--format", "json")
            usages = [
                measure([[MODELCAR, *words]], environment=scene.environment, folder=home, output=output)
                for _ in range(runs + 1)
            ][1:]  # the first one warms up
        answer = json.loads(output.read_text())
        found.append(
            Checking(
                kind,
                round(median(usage.seconds for usage in usages), 3),
                round(median(usage.cpu for usage in usages), 3),
                max(usage.rss for usage in usages),
                answer["requests"],
                answer["bytes_read"],
            )
        )
        say(f"check of {layers} layers, {kind}: {found[-1].seconds:.2f} s")
        shutil.rmtree(home)
        shutil.rmtree(layout)
    return found


def move_into(storage: Path, layout: Path) -> None:
    """Put a layout's image into the storage of docker-registry as the tag 1: pushing would read all of its zeros."""
    repository = storage / "repositories" / REPO
    for blob in (layout / "blobs" / "sha256").iterdir():
        place = storage / "blobs" / "sha256" / blob.name[:2] / blob.name
        place.mkdir(parents=True)
        os.link(blob, place / "data")
        _link(repository / "_layers" / "sha256" / blob.name, blob.name)
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    _link(repository / "_manifests" / "revisions" / "sha256" / digest, digest)
    _link(repository / "_manifests" / "tags" / "1" / "current", digest)
    _link(repository / "_manifests" / "tags" / "1" / "index" / "sha256" / digest, digest)


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True)
    (folder / "link").write_text(f"sha256:{digest}")


def as_json(found: list[Checking]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(each) for each in found]


def as_table(found: list[Checking]) -> str:
    """For people."""
    heading = ["200 layers, 400 GB", "wall", "CPU", "memory", "requests", "read"]
    rows = [
        [
            f"layers of {each.layers}" if each.layers == "ours" else f"{each.layers} layers",
            f"{each.seconds:.2f} s",
            f"{each.cpu:.2f} s",
            size_of(each.rss),
            str(each.requests),
            size_of(each.read),
        ]
        for each in found
    ]
    return f"### Checking a large image\n\n{table(heading, rows)}"


@click.command()
@options
def main(size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:  # noqa: ARG001
    """Only the checking of a large image."""
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        found = check(runs, Path(name))
    print(as_table(found))
    write_json(json_file, {"check": as_json(found)})


if __name__ == "__main__":
    main()

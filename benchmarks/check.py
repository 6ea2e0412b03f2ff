"""What `check` and `render` of a large image cost: 200 layers of 2 GB as sparse blobs, in a registry on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import click

from benchmarks.measure import Usage, measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.read import LAYER, LAYERS, write_image
from benchmarks.report import options, say, size_of, table, write_json
from benchmarks.servers import REPO, fresh_registry


@dataclass(frozen=True, slots=True)
class Checking:
    """The medians of some runs: seconds of wall and CPU time, bytes of memory; requests and bytes of one of them."""

    command: str
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
        layout, home = folder / "large", folder / "check-home"
        output, told = folder / "check-output", folder / "check-told"
        home.mkdir()
        write_image(layout, layers, size, annotated=kind == "ours")
        with fresh_registry(folder) as registry:
            move_into(registry.storage / "docker" / "registry" / "v2", layout)
            scene = Scene("", registry.host, layout, home)
            image = f"{registry.host}/{REPO}:1"
            for command, words in _calls(image):
                # The first one warms up, and says what it asks for.
                _, *usages = [
                    measure([[MODELCAR, *words, *more]], environment=scene.environment, folder=home, output=place)
                    for more, place in [(("-v",), told), *[((), output)] * runs]
                ]
                found.append(_medians(command, kind, usages, _asked(told.read_text())))
                say(f"{command} of {layers} layers, {kind}: {found[-1].seconds:.2f} s")
        shutil.rmtree(home)
        shutil.rmtree(layout)
    return found


def _calls(image: str) -> list[tuple[str, tuple[str, ...]]]:
    """What is run, each by its name."""
    render = ("render", f"oci+native://{image}", "--flavor", "kserve", "--name", "large", "-n", "demo")
    return [
        ("check", ("check", image, "--mode", "native")),
        ("render", render),
        ("render --image-check off", (*render, "--image-check", "off")),
    ]


def _asked(told: str) -> tuple[int, int]:
    """Requests and bytes, as `-v` tells them; nothing of a command that asks nobody."""
    lines = re.findall(r"^read ([\d,]+) bytes in (\d+) requests$", told, re.MULTILINE)
    return (int(lines[-1][1]), int(lines[-1][0].replace(",", ""))) if lines else (0, 0)


def _medians(command: str, kind: str, usages: list[Usage], asked: tuple[int, int]) -> Checking:
    return Checking(
        command,
        kind,
        round(median(usage.seconds for usage in usages), 3),
        round(median(usage.cpu for usage in usages), 3),
        max(usage.rss for usage in usages),
        *asked,
    )


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
    heading = ["200 layers, 400 GB", "layers", "wall", "CPU", "memory", "requests", "read"]
    rows = [
        [
            f"`{each.command}`",
            each.layers,
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

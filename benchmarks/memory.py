"""That memory grows neither with a model's size nor with the number of its files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.model import write_many, write_model, write_sparse
from benchmarks.report import say, size_of, table
from benchmarks.servers import REPO, dropping_registry, hub


@dataclass(frozen=True, slots=True)
class Sizes:
    """What is built: a usual model of `plain` bytes, one of one file of `sparse` bytes, and one of many `files`."""

    plain: int
    sparse: int
    files: int


@dataclass(frozen=True, slots=True)
class Peak:
    """A build and the memory and disk that it took."""

    model: str
    rss: int
    disk: int
    seconds: float


def memory(sizes: Sizes, folder: Path) -> list[Peak]:
    """Build each model, the one of many files from the Hub and from a folder.

    The registry drops what it gets, so that the large model needs no disk.
    """
    plain = partial(write_model, size=sizes.plain)
    many = partial(write_many, count=sizes.files)
    sparse = partial(write_sparse, size=sizes.sparse)
    one, some = f"one file of {size_of(sizes.sparse)}", f"{sizes.files:,} files"
    with dropping_registry() as registry:
        return [
            _peak(f"{size_of(sizes.plain)}, from the Hub", plain, registry, folder),
            _peak(f"{some}, from the Hub", many, registry, folder),
            _peak(f"{some}, from a folder", many, registry, folder, from_hub=False),
            _peak(f"{one}, from a folder", sparse, registry, folder, from_hub=False),
        ]


def _peak(name: str, write: Callable[[Path], None], registry: str, folder: Path, *, from_hub: bool = True) -> Peak:
    say(f"memory: {name}")
    model, home = folder / "model", folder / "h"
    write(model)
    home.mkdir()
    with ExitStack() as stack:
        endpoint = stack.enter_context(hub(model)) if from_hub else ""
        source = f"hf://{REPO}" if from_hub else str(model)
        command = [str(MODELCAR), "build", source, f"{registry}/bench/memory:1", "--no-cache"]
        environment = Scene(endpoint, registry, model, home).environment
        usage = measure([command], environment=environment, folder=home, output=folder / "output")
    shutil.rmtree(home)
    shutil.rmtree(model)
    return Peak(name, usage.rss, usage.disk, usage.seconds)


def as_json(peaks: list[Peak]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(peak) for peak in peaks]


def as_table(peaks: list[Peak]) -> str:
    """For people."""
    rows = [[p.model, size_of(p.rss), size_of(p.disk), f"{p.seconds:.1f} s"] for p in peaks]
    return f"### Memory\n\n{table(['a build of', 'peak RSS', 'peak disk', 'wall'], rows)}"

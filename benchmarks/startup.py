"""What start-up costs: commands that do little, beside a Python that does nothing."""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.measure import measure
from benchmarks.methods import MODELCAR, Scene
from benchmarks.model import write_many
from benchmarks.report import size_of, table
from benchmarks.servers import REPO, hub

FILES = 200


@dataclass(frozen=True, slots=True)
class Start:
    """The medians of some runs of a command."""

    command: str
    seconds: float
    cpu: float
    rss: int


def startup(runs: int, folder: Path) -> list[Start]:
    """Run each command `runs` times in turn."""
    model, home = folder / "model", folder / "h"
    write_many(model, FILES)
    home.mkdir()
    commands: dict[str, list[str | Path]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import huggingface_hub'": [sys.executable, "-c", "from huggingface_hub import HfApi; HfApi()"],
        "modelcar --help": [MODELCAR, "--help"],
        f"modelcar plan ./folder ({FILES} files)": [MODELCAR, "plan", model],
        f"modelcar plan hf://… ({FILES} files)": [MODELCAR, "plan", f"hf://{REPO}"],
    }
    with hub(model) as endpoint:
        environment = Scene(endpoint, "", model, home).environment
        rounds = [
            {
                name: measure([command], environment=environment, folder=home, output=folder / "output")
                for name, command in commands.items()
            }
            for _ in range(runs + 1)
        ][1:]  # the first one warms up
    shutil.rmtree(home)
    shutil.rmtree(model)
    return [
        Start(
            name,
            round(median(usages[name].seconds for usages in rounds), 3),
            round(median(usages[name].cpu for usages in rounds), 3),
            max(usages[name].rss for usages in rounds),
        )
        for name in commands
    ]


def as_json(starts: list[Start]) -> list[dict[str, object]]:
    """As JSON-ready values."""
    return [asdict(start) for start in starts]


def as_table(starts: list[Start]) -> str:
    """For people."""
    rows = [[f"`{s.command}`", f"{s.seconds:.2f} s", f"{s.cpu:.2f} s", size_of(s.rss)] for s in starts]
    return f"### Start-up\n\n{table(['', 'wall', 'CPU', 'peak RSS'], rows)}"

"""How the benchmarks are asked for, and how they tell: options, tables, sizes, JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from modelcar.cli.options import Size

F = TypeVar("F", bound=Callable[..., Any])


def options(command: F) -> F:
    """The options of every benchmark."""
    for option in (
        click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all numbers there too."),
        click.option("--quick", is_flag=True, callback=_quick, is_eager=True, help="64 MiB, one run: does it work?"),
        click.option(
            "--dir",
            "folder",
            type=click.Path(path_type=Path),
            default=tempfile.gettempdir(),
            show_default=True,
            help="For the model and all that is written: about eight times its size, and on a disk.",
        ),
        click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="Rounds."),
        click.option("--size", type=Size(), default="2GiB", show_default=True, help="Bytes of weights."),
    ):
        command = option(command)
    return command


def _quick(context: click.Context, _: click.Parameter, quick: bool) -> bool:
    if quick:
        context.default_map = {"size": "64MiB", "runs": 1}
    return quick


def say(line: str) -> None:
    """What is going on."""
    print(line, file=sys.stderr, flush=True)


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its first column to the left."""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def size_of(size: float) -> str:
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def share(ratio: float | None) -> str:
    """A ratio, if there is one."""
    return "-" if ratio is None else f"{ratio:.3g}"


def write_json(path: Path | None, values: Mapping[str, Any]) -> None:
    """The numbers, and what machine they are from."""
    if path is not None:
        machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
        path.write_text(json.dumps({"machine": machine, **values}, indent=2) + "\n", encoding="utf-8")

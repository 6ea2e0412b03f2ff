"""How values look: sizes, times, tables."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import click


def size(count: float) -> str:
    """Bytes in decimal units, as registries and the Hub give them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB" if count >= 99.5 else f"{count:.2f} TB"


def count(number: int, thing: str) -> str:
    """So many of a thing."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def model_layers(number: int) -> str:
    """So many layers of a build: those of its model, without its base's."""
    return count(number, "model layer")


def all_layers(number: int) -> str:
    """So many layers of an image as it is moved and verified: those of all its platforms, each once."""
    return f"{count(number, 'layer')} of all platforms"


def parameters(count: int) -> str:
    """Parameters as people give them."""
    if count < 50_000:
        return f"{count:,}"
    return f"{count / 1e9:,.2f} B" if count >= 1e9 else f"{count / 1e6:,.1f} M"


def name(path: str) -> str:
    """A name from elsewhere, made harmless to a terminal: control characters and what is no text become escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Aligned columns, those numbered in `right` to the right; the last one is as long as it is."""
    cells = [list(header), *map(list, rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        padded = []
        for column, text in enumerate(row):
            gap = " " * (widths[column] - _width(text))
            padded.append(gap + text if column in right else text + gap)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def as_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _width(text: str) -> int:
    """Columns that a terminal gives a text."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

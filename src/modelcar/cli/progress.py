"""The engine's events on a terminal, in a log, or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from modelcar import events
from modelcar.cli import show
from modelcar.events import Event, Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


@contextmanager
def listener(format: str, *, quiet: bool) -> Iterator[Listener]:
    """Who listens to a build: JSON lines on stdout, a live area on a terminal, else a line now and then on stderr."""
    if format == "json":
        yield _as_json
    elif quiet:
        yield _warnings_only
    elif sys.stderr.isatty():
        with _Live() as live:
            yield live
    else:
        yield _Lines()


def notes(event: Event) -> None:
    """The listener of commands that only read: what is worth knowing, on standard error."""
    match event:
        case events.Warned(message):
            click.echo(f"note: {message}", err=True)
        case events.Waiting(what, why, seconds):
            click.echo(f"{what}: {why}; trying again in {seconds} s", err=True)


def _as_json(event: Event) -> None:
    click.echo(json.dumps(event.as_dict(), ensure_ascii=False))


def _warnings_only(event: Event) -> None:
    if isinstance(event, events.Warned):
        click.echo(f"warning: {event.message}", err=True)


def _sentence(event: Event) -> str | None:
    """What is worth a line of its own, wherever it is shown."""
    match event:
        case events.SourceResolved(source, _, files, size):
            return f"{source}: {show.count(files, 'file')}, {show.size(size)}"
        case events.HashingStarted(files, size):
            return f"hashing {show.count(files, 'file')}, {show.size(size)}"
        case events.Planned(layers, size, reused, reused_size):
            there = f"; there already: {reused}, {show.size(reused_size)}" if reused else ""
            return f"{show.count(layers, 'layer')}, {show.size(size)}{there}"
        case events.Warned(message):
            return f"warning: {message}"
        case events.Waiting(what, why, seconds):
            return f"{what}: trying again in {show.duration(seconds)} ({why})"
        case events.RecordWritten(tag, layers):
            return f"recorded {show.count(layers, 'finished layer')} under {tag}"
        case _:
            return None


class _Totals:
    """Bytes of layers, before any compression, that were sent and that are to be, added up."""

    def __init__(self) -> None:
        self.total = 0
        self._sent: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._started = time.monotonic()

    @property
    def sent(self) -> int:
        return sum(self._sent.values())

    @property
    def rate(self) -> float:
        return self.sent / max(time.monotonic() - self._started, 0.001)

    def take(self, event: Event) -> None:
        match event:
            case events.Planned(_, size, _, reused_size):
                self.total = size - reused_size
                self._started = time.monotonic()
            case events.LayerStarted(layer, _, size):
                self._sent[layer] = 0
                self._sizes[layer] = size
            case events.LayerProgress(layer, sent):
                self._sent[layer] = sent
            case events.LayerFinished(layer, how="sent" | "verified"):
                self._sent[layer] = self._sizes.get(layer, 0)
            case _:
                pass


class _Lines:
    """Plain lines on stderr."""

    def __init__(self) -> None:
        self._totals = _Totals()
        self._said_at = time.monotonic()

    def __call__(self, event: Event) -> None:
        self._totals.take(event)
        if sentence := _sentence(event):
            click.echo(sentence, err=True)
        now = time.monotonic()
        if isinstance(event, events.LayerProgress) and now - self._said_at >= _EVERY:
            self._said_at = now
            totals = self._totals
            left = show.duration((totals.total - totals.sent) / totals.rate)
            rate = f"{show.size(totals.rate)}/s"
            click.echo(f"{show.size(totals.sent)} of {show.size(totals.total)}, {rate}, {left} left", err=True)


class _Live:
    """One aligned live area: a line for all, a line for each layer in flight."""

    def __enter__(self) -> _Live:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        self._progress: Progress = Progress(
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(max_width=44, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._progress.start()
        self._totals = _Totals()
        self._all: TaskID | None = None
        self._layers: dict[int, TaskID] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        self._totals.take(event)
        if sentence := _sentence(event):
            self._progress.console.print(sentence, markup=False, highlight=False)
        match event:
            case events.Planned():
                self._all = self._progress.add_task("all layers", total=self._totals.total)
            case events.LayerStarted(layer, title, size):
                self._remove(layer)
                self._layers[layer] = self._progress.add_task(f"  {title}", total=size)
            case events.LayerProgress(layer, sent) if layer in self._layers:
                self._progress.update(self._layers[layer], completed=sent)
            case events.LayerFinished(layer):
                self._remove(layer)
            case _:
                pass
        if self._all is not None:
            self._progress.update(self._all, completed=self._totals.sent)

    def _remove(self, layer: int) -> None:
        if layer in self._layers:
            self._progress.remove_task(self._layers.pop(layer))

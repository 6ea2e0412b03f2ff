"""Methods that do the same, run by run in turn, and what their runs cost beside each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from statistics import median
from typing import Any

from benchmarks.measure import Failed, Usage
from benchmarks.methods import Method
from benchmarks.report import say, share, size_of, table


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method's runs cost; or why there are none."""

    method: Method
    runs: tuple[Usage, ...]
    reason: str | None = None

    @property
    def median(self) -> Usage:
        """Each number's own median."""
        values = [asdict(run) for run in self.runs]
        return Usage(**{name: median(value[name] for value in values) for name in values[0]})

    def ratio(self, other: Outcome, of: Callable[[Usage], float]) -> float | None:
        """The median over the rounds, each against the other's run in the same round or its only one."""
        if not self.runs or not other.runs:
            return None
        pairs = zip(self.runs, cycle(other.runs), strict=False)
        return round(median(of(mine) / of(its) for mine, its in pairs), 3)


def in_turn(what: str, methods: Sequence[Method], rounds: int, run: Callable[[Method], Usage]) -> list[Outcome]:
    """Run each method once a round. One that is missing or fails is left out from then on.

    Args:
        what: The word for a round, for whoever waits.
        methods: In their order.
        rounds: How many.
        run: Runs a method; raises `Failed` where it can't.
    """
    done: dict[str, list[Usage]] = {method.name: [] for method in methods}
    reasons = {method.name: method.missing for method in methods}
    for number in range(rounds):
        for method in methods:
            if reasons[method.name] or (method.once and number):
                continue
            round_ = f"{what} {number + 1} of {rounds}: {method.name}"
            try:
                usage = run(method)
            except Failed as failed:
                reasons[method.name] = str(failed)
                say(f"{round_}: {failed}")
            else:
                done[method.name].append(usage)
                say(f"{round_}: {usage.seconds:.1f} s, CPU {usage.cpu:.1f} s")
    return [Outcome(method, tuple(done[method.name]), reasons[method.name]) for method in methods]


def named(outcomes: Sequence[Outcome], method: Method) -> Outcome:
    """The outcome of a method; one without runs where it isn't among them."""
    return next((outcome for outcome in outcomes if outcome.method is method), Outcome(method, ()))


def beside_json(outcomes: Sequence[Outcome], floor: Method, *, disk: bool = False) -> list[dict[str, Any]]:
    """The outcomes beside that of `curl`, as JSON-ready values; with `disk`, what each wrote too."""
    least = named(outcomes, floor)
    fields = ("seconds", "cpu", "rss", *(("disk",) if disk else ()))
    return [
        {
            "method": outcome.method.name,
            "reason": outcome.reason,
            **{field: getattr(outcome.median, field) if outcome.runs else None for field in fields},
            "wall_vs_curl": outcome.ratio(least, _wall),
        }
        for outcome in outcomes
    ]


def beside_table(outcomes: Sequence[Outcome], floor: Method, heading: str, model: int | None = None) -> str:
    """The outcomes beside that of `curl`, for people; with the bytes of a model, the disk that each took of it."""
    least, rows = named(outcomes, floor), []
    columns = [heading, "wall", "vs curl", "CPU", "peak memory", *(["disk"] if model else [])]
    for outcome in outcomes:
        if not outcome.runs:
            rows.append([outcome.method.name, outcome.reason or "", *[""] * (len(columns) - 2)])
            continue
        middle = outcome.median
        ratio = share(outcome.ratio(least, _wall))
        cells = [outcome.method.name, f"{middle.seconds:.1f} s", ratio, f"{middle.cpu:.1f} s", size_of(middle.rss)]
        rows.append([*cells, *([f"{middle.disk / model:.2f} × the model"] if model else [])])
    return table(columns, rows)


def _wall(usage: Usage) -> float:
    return usage.seconds

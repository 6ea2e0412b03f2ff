"""Methods that are compared, run in turn: who runs when, and what is told of whom."""

from __future__ import annotations

from benchmarks.measure import Failed, Usage
from benchmarks.methods import Method
from benchmarks.rounds import beside_json, beside_table, in_turn

FLOOR = Method("floor", "", lambda _: [], ())
OURS = Method("ours", "", lambda _: [], ())
ONCE = Method("once", "", lambda _: [], (), once=True)
FAILS = Method("fails", "", lambda _: [], ())
MISSING = Method("missing", "", lambda _: [], ("a-program-that-nobody-has",))


def test_each_runs_once_a_round_while_it_can() -> None:
    order: list[str] = []

    def run(method: Method) -> Usage:
        order.append(method.name)
        if method is FAILS and order.count("fails") == 2:
            raise Failed("it broke")
        return Usage(seconds=2.0 if method is OURS else 1.0, cpu=0.5, rss=1024, disk=512)

    outcomes = in_turn("round", (FLOOR, OURS, ONCE, FAILS, MISSING), 3, run)
    assert order == ["floor", "ours", "once", "fails", "floor", "ours", "fails", "floor", "ours"]
    assert [len(outcome.runs) for outcome in outcomes] == [3, 3, 1, 1, 0]
    assert outcomes[3].reason == "it broke"
    told = {each["method"]: each for each in beside_json(outcomes, FLOOR, disk=True)}
    assert told["ours"] == {
        "method": "ours", "reason": None, "seconds": 2.0, "cpu": 0.5, "rss": 1024, "disk": 512, "wall_vs_curl": 2.0
    }  # fmt: skip
    assert told["missing"]["seconds"] is None
    assert "disk" not in beside_json(outcomes, FLOOR)[0]
    lines = beside_table(outcomes, FLOOR, "1 KiB", model=1024).splitlines()
    assert "| ours | 2.0 s | 2 | 0.5 s | 1 KiB | 0.50 × the model |" in lines
    assert {line.count("|") for line in lines} == {7}
    assert {line.count("|") for line in beside_table(outcomes, FLOOR, "1 KiB").splitlines()} == {6}

"""Trying again: how often, how long in between, and when not."""

from __future__ import annotations

import threading

import pytest

from modelcar.errors import Denied, Interrupted, ModelcarError, NetworkError, RateLimited, Unreached
from modelcar.events import Cancel, Event, Waiting
from modelcar.retry import LONGEST_WAIT, Patience


class Work:
    """Fails with these errors, one a call, and is done then."""

    def __init__(self, *errors: ModelcarError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Unslept(Cancel):
    """Waits without waiting, and remembers for how long."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.is_set()


BROKEN = NetworkError("broken")


def test_it_is_done_at_the_first_attempt_that_succeeds() -> None:
    events: list[Event] = []
    work = Work(BROKEN, BROKEN)
    cancel = Unslept()
    assert Patience(cancel, events.append).persist(work, "layer 1") == "done"
    assert work.calls == 3
    assert events == [Waiting("layer 1", "broken", round(wait, 1)) for wait in cancel.waits]


def test_waits_double_up_to_half_a_minute() -> None:
    cancel = Unslept()
    Patience(cancel, tries=12, first_wait=0.5).persist(Work(*[BROKEN] * 11), "x")
    for wait, expected in zip(cancel.waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30], strict=True):
        assert 0.75 * expected <= wait <= 1.25 * expected
    assert len(set(cancel.waits)) > 5


@pytest.mark.parametrize("tries", [1, 2, 6])
def test_the_last_error_is_raised_after_all_tries(tries: int) -> None:
    errors = [NetworkError(f"broken {number}") for number in range(10)]
    work = Work(*errors)
    with pytest.raises(NetworkError) as raised:
        Patience(Unslept(), tries=tries).persist(work, "x")
    assert raised.value is errors[tries - 1]
    assert work.calls == tries


@pytest.mark.parametrize("error", [Denied("no"), NetworkError("no certificate", final=True)])
def test_what_another_try_would_not_change(error: ModelcarError) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        Patience(Unslept()).persist(work, "x")
    assert work.calls == 1


def test_what_is_never_tried_again_here() -> None:
    work = Work(BROKEN, RateLimited("slow", retry_after=0.0))
    with pytest.raises(RateLimited):
        Patience(Unslept(), never_again=(RateLimited,)).persist(work, "x")
    assert work.calls == 2


def test_a_server_that_was_never_met_is_given_up_early() -> None:
    cancel, work = Unslept(), Work(*[Unreached("no connection")] * 10)
    with pytest.raises(Unreached):
        Patience(cancel).persist(work, "x")
    assert (work.calls, sum(cancel.waits) < 2) == (3, True)
    patient = Work(*[Unreached("no connection")] * 10)
    assert Patience(Unslept(), tries=41).persist(patient, "x") == "done"  # --retry 40


def test_a_server_s_wish_to_wait_is_granted_within_reason() -> None:
    cancel = Unslept()
    Patience(cancel).persist(Work(RateLimited("slow", retry_after=55.0), NetworkError("x", retry_after=0.0)), "x")
    assert cancel.waits[0] == 55.0
    assert 0.75 <= cancel.waits[1] <= 1.25  # "now" doesn't mean: in a row without a pause
    for long in (LONGEST_WAIT + 1, float("inf")):
        with pytest.raises(RateLimited):
            Patience(cancel).persist(Work(RateLimited("slow", retry_after=long)), "x")
    assert len(cancel.waits) == 2


def test_cancelling_ends_a_wait() -> None:
    """From another thread, in a wait of ten minutes."""
    cancel = Cancel()
    waiting = threading.Event()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            Patience(cancel, lambda event: waiting.set()).persist(
                Work(RateLimited("slow", retry_after=LONGEST_WAIT)), "x"
            )
        except BaseException as error:  # noqa: BLE001 - the test's own thread looks at it
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert waiting.wait(30)
    cancel.set()
    thread.join(30)
    assert [type(error) for error in ended] == [Interrupted]


def test_nothing_begins_after_cancelling() -> None:
    cancel = Cancel()
    cancel.set()
    work = Work()
    with pytest.raises(Interrupted):
        Patience(cancel).persist(work, "x")
    assert work.calls == 0


def test_a_child_switch_follows_its_parent_and_not_the_other_way() -> None:
    parent = Cancel()
    child = Cancel(parent)
    child.set()
    assert not parent.is_set()
    parent.set()
    assert Cancel(parent).is_set()
    grandchild = Cancel(Cancel(other := Cancel()))
    other.set()
    assert grandchild.is_set()

"""Work side by side: results in order, and the first error at once."""

from __future__ import annotations

import threading

import pytest

from modelcar.errors import Denied, Interrupted
from modelcar.parallel import side_by_side
from modelcar.retry import Patience


def test_results_come_in_the_order_of_the_things() -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            later.wait(30)
        elif number == 9:
            later.set()
        return number * 2

    assert list(side_by_side(work, range(10), 3, Patience())) == [number * 2 for number in range(10)]


def test_an_error_waits_for_nothing_that_comes_before_it() -> None:
    over, ended = threading.Event(), list[bool]()
    patience = Patience()

    def work(number: int) -> None:
        if number == 0:
            ended.append(over.wait(30))
        else:
            raise Denied("no right to read")

    with pytest.raises(Denied):
        list(side_by_side(work, range(2), 2, patience))
    assert not ended
    assert patience.cancel.is_set()
    over.set()


def test_who_was_stopped_by_an_error_does_not_hide_it() -> None:
    patience = Patience()
    begun = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            begun.set()
            patience.cancel.wait(30)
            raise Interrupted("stopped")
        begun.wait(30)
        raise Denied("no right to read")

    with pytest.raises(Denied):
        list(side_by_side(work, range(2), 2, patience))


def test_a_user_s_stop_is_told_as_that() -> None:
    patience = Patience()

    def work(_: int) -> None:
        patience.cancel.wait(30)
        patience.check()

    results = side_by_side(work, range(2), 2, patience)
    threading.Timer(0.01, patience.cancel.set).start()
    with pytest.raises(Interrupted):
        list(results)

"""The same work on many things, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from modelcar.retry import Patience

QUESTIONS = 8
"""Small requests to a store at a time."""

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], things: Iterable[T], workers: int, patience: Patience) -> Iterator[R]:
    """What `work` makes of each thing, in their order.

    What any of them raises ends all, whichever comes first: `patience` is cancelled, and nobody waits for those that
    are still at it. So does an exception where the results are used, Ctrl-C too.
    """
    pool = ThreadPoolExecutor(workers)
    ended: SimpleQueue[Future[R]] = SimpleQueue()
    try:
        futures = [pool.submit(work, thing) for thing in things]
        for future in futures:
            future.add_done_callback(ended.put)
        for future in futures:
            while not future.done():
                ended.get().result()  # raises what a later one ended with, before any that it stops
            yield future.result()
    except BaseException:
        patience.cancel.set()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

"""Trying again: how often, and how long to wait in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from modelcar.errors import Interrupted, NetworkError, Unreached
from modelcar.events import Cancel, Listener, Waiting, ignore

TRIES = 6
LONGEST_WAIT = 600.0
"""Seconds: no server's wish to wait longer is granted."""

T = TypeVar("T")


class AtOnce(NetworkError):
    """Nobody has to recover from it: the next attempt needn't wait."""


class Patience:
    """How a piece of work is tried again. One object serves all threads.

    Args:
        cancel: Ends every wait.
        listener: Is told of every wait.
        tries: Attempts in all.
        first_wait: Seconds before the second attempt; each further wait is twice as long, up to 30 s.
        longest_wait: Seconds: no server's wish to wait longer is granted.
        never_again: What is final although another attempt might help.
    """

    def __init__(
        self,
        cancel: Cancel | None = None,
        listener: Listener = ignore,
        *,
        tries: int = TRIES,
        first_wait: float = 0.5,
        longest_wait: float = LONGEST_WAIT,
        never_again: tuple[type[NetworkError], ...] = (),
    ) -> None:
        self.cancel = cancel or Cancel()
        self.listener = listener
        self.tries = tries
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._never_again = never_again

    def persist(self, work: Callable[[], T], what: str) -> T:
        """The result of `work`, called until it doesn't fail by the network.

        Raises:
            NetworkError: The last attempt's, or one that is final.
            Interrupted: The work was cancelled.
        """
        attempt = 1
        while True:
            self.check()
            try:
                return work()
            except NetworkError as error:
                if error.final or attempt >= self.tries:
                    raise
                self.pause(what, error, attempt)
            attempt += 1

    def pause(self, what: str, error: NetworkError, attempt: int) -> None:
        """Wait longer from attempt to attempt, and at the least as long as the server asks.

        Raises:
            NetworkError: `error` itself, where the server asks for more than `longest_wait`; where it is final here; or
                where half of the tries are used and none was ever met: most often its name is wrong.
            Interrupted: The work was cancelled meanwhile.
        """
        never_met = isinstance(error, Unreached) and attempt >= self.tries / 2
        if never_met or isinstance(error, self._never_again):
            raise error
        seconds = 0.0
        if not isinstance(error, AtOnce):
            # Jitter keeps the workers of one build from coming back all at once.
            own = min(30.0, self._first_wait * 2 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
            seconds = max(own, error.retry_after or 0.0)
        if seconds > self._longest_wait:
            raise error
        self.listener(Waiting(what, error.what, round(seconds, 1)))
        self.cancel.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raises `Interrupted` when the work was cancelled."""
        if self.cancel.is_set():
            raise Interrupted("stopped")

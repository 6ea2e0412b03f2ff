"""What can be made to go wrong in the registry double, once, a few times or always."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with this and do nothing. With `early` before the request's body was read, as proxies do."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    early: bool = False


@dataclass(frozen=True, slots=True)
class CutBody:
    """Hang up once `after` bytes of the request's body have arrived."""

    after: int


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Do what was asked, then hang up instead of answering."""


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """Answer as usual, but hang up after `after` bytes of the answer's body."""

    after: int


@dataclass(frozen=True, slots=True)
class Amend:
    """Do what was asked, then answer with another status, other headers (None leaves one out) or another body."""

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Take the request and say nothing for so long, then hang up. Closing the registry ends it at once."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait before the request is handled as usual."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """Call this before the request is handled as usual: a blob vanishes just before the manifest arrives."""

    action: Callable[[], object]


Fault = Refuse | CutBody | LoseAnswer | CutAnswer | Amend | Silence | Delay | Do


@dataclass(slots=True)
class _Rule:
    fault: Fault
    method: str | None
    matches: Callable[[str], bool]
    skip: int
    left: float


class Script:
    """The faults to come. The first rule that matches a request is the one that applies to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(
        self, fault: Fault, method: str | None, path: str | Callable[[str], bool], times: int | None, skip: int
    ) -> None:
        """Apply `fault` to the next `times` matching requests (None: to all) after the first `skip` of them."""
        matches = path if callable(path) else lambda target: path in target
        with self._lock:
            self._rules.append(_Rule(fault, method, matches, skip, float("inf") if times is None else times))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._rules.clear()

    def take(self, method: str, target: str) -> Fault | None:
        """The fault that applies to this request."""
        with self._lock:
            for rule in self._rules:
                if rule.left <= 0 or rule.method not in (None, method) or not rule.matches(target):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                rule.left -= 1
                return rule.fault
        return None

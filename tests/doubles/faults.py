"""Answers made bad on purpose: faults as functions from answer to answer, and the script that says which comes when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tests.doubles.serving import Answer, Request, decoded

Fault = Callable[[Answer], Answer]
Match = str | Callable[[Request], bool]

DENIED = Answer.whole(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "text/xml"})


@dataclass(slots=True)
class _Rule:
    fault: Fault
    match: Match
    where: str
    method: str | None
    left: int

    def fits(self, request: Request) -> bool:
        return (
            self.left > 0
            and self.where in ("any", request.server)
            and self.method in (None, request.method)
            and (self.match in decoded(request) if isinstance(self.match, str) else self.match(request))
        )


class Script:
    """Faults in the order in which they were added. A request takes the first that fits, and no second one."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(
        self,
        fault: Fault,
        match: Match = "",
        *,
        where: str = "any",
        method: str | None = "GET",
        times: int = 1,
    ) -> None:
        """Let `fault` happen to the next requests that match.

        Args:
            fault: What happens.
            match: A part of the path and query, percent-decoded, or a question about the request.
            where: The name of one of the double's servers, or "any". What is behind a redirect is asked for twice
                under the same name: a fault of its body must say where the body comes from.
            method: HEAD by default takes no fault, since most are faults of a body. None: every method.
            times: To how many requests it happens.

        """
        with self._lock:
            self._rules.append(_Rule(fault, match, where, method, times))

    def apply(self, request: Request, answer: Answer) -> Answer:
        """The answer, with the fault that is due."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.fits(request)), None)
            if rule is None:
                return answer
            rule.left -= 1
        return rule.fault(answer)

    @property
    def pending(self) -> int:
        """How many faults have not happened yet."""
        with self._lock:
            return sum(rule.left for rule in self._rules)


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Fault:
    """Answer this status instead."""
    return lambda _: Answer.whole(code, body, headers)


def rate_limited(reset: int = 1, kind: str = "api") -> Fault:
    """429 the way the Hub says it: in a RateLimit header, without Retry-After."""
    return status(
        429, {"RateLimit": f'"{kind}";r=0;t={reset}', "RateLimit-Policy": f'"fixed window";"{kind}";q=500;w=300'}
    )


def expired() -> Fault:
    """403, as a CDN refuses a link whose time is over."""
    return lambda _: DENIED


def redirect(location: str, code: int = 302) -> Fault:
    """Send the client elsewhere."""
    return status(code, {"Location": location})


def drop() -> Fault:
    """Close the connection without an answer."""
    return lambda answer: replace(answer, status=0)


def cut(after: int) -> Fault:
    """Close the connection after so many bytes of the body."""
    return lambda answer: replace(answer, cut=after)


def silence(after: int, seconds: float) -> Fault:
    """Go silent after so many bytes of the body, then go on."""
    return lambda answer: replace(answer, silence=(after, seconds))


def flip(offset: int) -> Fault:
    """Send the byte at this offset of the file wrong. A range without that byte stays right."""
    return lambda answer: replace(answer, flip=offset)


def slow(rate: float) -> Fault:
    """Send so many bytes a second."""
    return lambda answer: replace(answer, rate=rate)


def truncate(size: int) -> Fault:
    """As if the file had only so many bytes: a body shorter than what was asked for, Content-Length included."""

    def shorter(answer: Answer) -> Answer:
        if answer.start >= size:
            return Answer(416, {**answer.headers, "Content-Range": f"bytes */{size}"})
        return replace(answer, stop=min(answer.stop, size), size=min(answer.size, size))

    return shorter


def ignore_range() -> Fault:
    """Answer a range with 200 and everything."""
    return lambda answer: replace(answer, status=200, start=0, stop=answer.size)


def other_range(shift: int) -> Fault:
    """Answer another range than was asked for, `shift` bytes further, and say so in Content-Range."""

    def shifted(answer: Answer) -> Answer:
        start, stop = answer.start + shift, min(answer.stop + shift, answer.size)
        if not 0 <= start < stop:
            raise ValueError(f"no range {start}-{stop} in {answer.size} bytes")
        return replace(answer, status=206, start=start, stop=stop)

    return shifted

"""The one tree of errors. Each says what happened, to what, and what to do next."""

from __future__ import annotations


class ModelcarError(Exception):
    """Something a user can cause or meet went wrong.

    Args:
        what: One sentence that says what happened and to which thing. It never holds a secret.
        hint: What to do next, when there is something to do.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        """The one line that the command line prints after `error: `."""
        return f"{self.what}; {self.hint}" if self.hint else self.what


class UsageError(ModelcarError):
    """The words of the call are wrong: an option, a source, a bad reference."""

    exit_code = 2


class NotFound(ModelcarError):
    """A repository, revision, tag, blob or file that is not there."""

    exit_code = 3


class Denied(ModelcarError):
    """No credentials, wrong ones, or no right to do this."""

    exit_code = 4


class ContentMismatch(ModelcarError):
    """Bytes whose digest or size is not the one stated."""

    exit_code = 5


class Refused(ModelcarError):
    """A limit of a registry, a setting of the user or a rule of ours forbids it."""

    exit_code = 6


class NetworkError(ModelcarError):
    """The network or a server gave up.

    Args:
        what: See `ModelcarError`.
        hint: See `ModelcarError`.
        retry_after: Seconds that the server asks to wait, when it says so.
        final: True when asking again is pointless (a certificate that is not trusted, say).
    """

    exit_code = 7

    def __init__(self, what: str, hint: str = "", *, retry_after: float | None = None, final: bool = False) -> None:
        super().__init__(what, hint)
        self.retry_after = retry_after
        self.final = final


class RateLimited(NetworkError):
    """A server asks to wait (429, or 503 with Retry-After)."""


class Unreached(NetworkError):
    """A server refused the very first connection: nobody listens there, or not yet."""


class Interrupted(ModelcarError):
    """The user stopped it (Ctrl-C, SIGTERM)."""

    exit_code = 130

"""How a registry wants to be told who asks: Basic, or a Bearer token from the server that its challenge names.

Follows distribution's "Token Authentication Specification" and "OAuth2 Token Authentication", and RFC 9110, 11.6.1.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urljoin, urlsplit

from modelcar.errors import Denied, NetworkError
from modelcar.http import Http, check_status, shown
from modelcar.stores.registry.credentials import Credentials

_DEFAULT_LIFE = 60.0
"""Seconds that a token lives when its server doesn't say (token spec)."""

_PARAMETER = re.compile(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """A `WWW-Authenticate` header."""

    scheme: str
    parameters: Mapping[str, str]


@dataclass(slots=True)
class _Token:
    value: str = field(repr=False)
    expires_at: float
    life: float

    def is_fresh(self) -> bool:
        """Whether it will last for some more requests; a token near its end is asked for anew."""
        return time.monotonic() < self.expires_at - min(30.0, self.life / 4)


class Authorizer:
    """Knows which `Authorization` header a registry wants for which scopes.

    Args:
        registry: For errors.
        http: Connections.
        credentials: The user's, if there are any.
        may_be_plain: Whether a host may be told them without TLS.
    """

    def __init__(
        self, registry: str, http: Http, credentials: Credentials | None, may_be_plain: Callable[[str], bool]
    ) -> None:
        self._registry = registry
        self._may_be_plain = may_be_plain
        self._http = http
        self._credentials = credentials
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}

    @property
    def anonymous(self) -> bool:
        """Whether there are no credentials for this registry."""
        return self._credentials is None

    def header(self, scopes: tuple[str, ...]) -> str | None:
        """The header's value for a request that needs `scopes`; None before the registry has asked for any.

        Raises:
            Denied: The token server refuses.
            NetworkError: It can't be reached.
        """
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                return self._credentials.basic if self._credentials and self._credentials.user else None
            token = self._tokens.get(scopes)
            if token is None or not token.is_fresh():
                token = self._tokens[scopes] = self._fetch(self._challenge, scopes)
            return f"Bearer {token.value}"

    def learn(self, headers: Mapping[str, str], scopes: tuple[str, ...], used: str | None, url: str) -> bool:
        """Take in the challenge of a 401 answer. True when asking again may help.

        Args:
            headers: Of the answer.
            scopes: That the request was made with.
            used: The header that was refused, if one was sent.
            url: That was asked; a relative realm is below it.

        Raises:
            Denied: The token server has no TLS where it should: the password would travel in the clear.
        """
        challenge = self._pick(parse_challenges(headers.get("WWW-Authenticate", "")), url)
        if challenge is None:
            return False
        with self._lock:
            token = self._tokens.get(scopes)
            if token and used == f"Bearer {token.value}":
                del self._tokens[scopes]
            self._challenge = challenge
            if challenge.scheme == "basic":
                return used is None and bool(self._credentials and self._credentials.user)
            return True

    def _pick(self, challenges: list[Challenge], url: str) -> Challenge | None:
        """Bearer where it is offered, else Basic."""
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                realm = urljoin(url, challenge.parameters["realm"])
                if urlsplit(realm).scheme != "https" and (
                    urlsplit(url).scheme == "https" or not self._may_be_plain(urlsplit(realm).netloc)
                ):
                    raise Denied(f"{self._registry} names a token server without TLS: {shown(realm)}")
                return Challenge("bearer", {**challenge.parameters, "realm": realm})
        return next((challenge for challenge in challenges if challenge.scheme == "basic"), None)

    def _fetch(self, challenge: Challenge, scopes: tuple[str, ...]) -> _Token:
        realm = challenge.parameters["realm"]
        service = challenge.parameters.get("service", "")
        if self._credentials and not self._credentials.user:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": self._credentials.secret,
                "service": service,
                "client_id": "modelcar",
                "scope": " ".join(scopes),
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            response = self._http.request("POST", realm, headers=headers, body=urlencode(form).encode())
        else:
            query = [("service", service)] if service else []
            query += [("scope", scope) for scope in scopes]
            separator = "&" if urlsplit(realm).query else "?"
            url = f"{realm}{separator}{urlencode(query, quote_via=quote, safe=':/,')}"
            headers = {"Authorization": self._credentials.basic} if self._credentials else {}
            response = self._http.request("GET", url, headers=headers)
        with response:
            check_status(response, f"a token for {self._registry}")
            if response.status >= 400:
                raise self._refused(response.status)
            answer = response.json()
        value = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
        if not isinstance(value, str):
            raise NetworkError(f"{shown(realm)} answered without a token", final=True)
        stated = answer.get("expires_in")
        life = float(stated) if isinstance(stated, int | float) and stated > 0 else _DEFAULT_LIFE
        return _Token(value, time.monotonic() + life, life)

    def _refused(self, status: int) -> Denied:
        if self._credentials is None:
            return Denied(f"{self._registry} wants credentials", f"modelcar login {self._registry}")
        return Denied(
            f"{self._registry} refuses the credentials for it ({status})",
            f"check user and password: modelcar login {self._registry}",
        )


def parse_challenges(header: str) -> list[Challenge]:
    """All challenges of a `WWW-Authenticate` header, in its order."""
    challenges = []
    starts = list(re.finditer(r"(?:^|,)\s*(Basic|Bearer)\b(?!=)", header, re.IGNORECASE))
    ends = [start.start() for start in starts[1:]] + [len(header)] * bool(starts)
    for start, end in zip(starts, ends, strict=True):
        parameters = {
            m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3]
            for m in _PARAMETER.finditer(header[start.end() : end])
        }
        challenges.append(Challenge(start[1].lower(), parameters))
    return challenges

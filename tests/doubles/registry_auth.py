"""Who may do what in the registry double: Basic, or Bearer with a token endpoint (distribution's token spec)."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs

from tests.doubles.registry_http import Call, Problem, Reply


@dataclass(frozen=True, slots=True)
class Access:
    """One action (pull, push or delete) on one repository."""

    repository: str
    action: str


class Auth(Protocol):
    """Decides about a request to the registry."""

    def check(self, authorization: str | None, needs: Iterable[Access], realm: str) -> None:
        """Raise `Problem` if it may not; `realm` is the URL of the token endpoint."""

    def token(self, call: Call) -> Reply:
        """Answer a request to the token endpoint."""


class Anyone:
    """No authentication."""

    def check(self, authorization: str | None, needs: Iterable[Access], realm: str) -> None:
        """All may do all."""

    def token(self, call: Call) -> Reply:
        """There is no such endpoint."""
        raise Problem(404, "UNSUPPORTED")


def _nothing(access: Access) -> bool:
    return False


class Basic:
    """User name and password with each request.

    A wrong password gives the status `wrong` (401, or 403 as some registries say); what `denies` gives 403 DENIED.
    """

    def __init__(
        self, users: Mapping[str, str], *, denies: Callable[[Access], bool] = _nothing, wrong: int = 401
    ) -> None:
        self._users = users
        self._denies = denies
        self._wrong = wrong

    def check(self, authorization: str | None, needs: Iterable[Access], realm: str) -> None:
        """Raise `Problem` without a right password, or where it is denied."""
        if authorization is None:
            raise _unauthorized('Basic realm="registry"')
        if _user(authorization, self._users) is None:
            raise _unauthorized('Basic realm="registry"', self._wrong)
        _refuse_denied(needs, self._denies)

    def token(self, call: Call) -> Reply:
        """There is no such endpoint."""
        raise Problem(404, "UNSUPPORTED")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What the token endpoint was asked for: `scopes` as sent, `repository:name:pull,push`."""

    method: str
    grant: str
    user: str | None
    service: str
    scopes: tuple[str, ...]


@dataclass(slots=True)
class _Token:
    access: frozenset[Access]
    uses_left: float
    ends: float


class Bearer:
    """Tokens of an endpoint that knows both flows: GET with Basic, and POST (OAuth2) with a refresh token or password.

    users: Passwords by user name.
    refresh_tokens: User names by refresh token (docker's `identitytoken`). `offline_token=true` hands out more.
    anonymous: The actions granted without credentials.
    denies: What nobody is granted; the registry answers 403 DENIED to it.
    wrong: The endpoint's status for wrong credentials.
    posts: Whether it knows the POST flow (else 405).
    expires_in: What the answer says of a token's life in seconds; None leaves it out (which means 60).
    lifetime: How many seconds a token really lives. By default as long as it says.
    uses: How many requests a token really serves.
    """

    service = "registry.test"

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        refresh_tokens: Mapping[str, str] | None = None,
        anonymous: Iterable[str] = (),
        denies: Callable[[Access], bool] = _nothing,
        wrong: int = 401,
        posts: bool = True,
        expires_in: int | None = 300,
        lifetime: float | None = None,
        uses: int | None = None,
    ) -> None:
        self._users = users
        self._refresh_tokens = dict(refresh_tokens or {})
        self._anonymous = frozenset(anonymous)
        self._denies = denies
        self._wrong = wrong
        self._posts = posts
        self._expires_in = expires_in
        self._lifetime = lifetime if lifetime is not None else 60 if expires_in is None else expires_in
        self._uses = float("inf") if uses is None else uses
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._asked: list[TokenRequest] = []

    @property
    def asked(self) -> list[TokenRequest]:
        """The requests to the token endpoint so far, also those it refused."""
        with self._lock:
            return list(self._asked)

    def revoke(self) -> None:
        """No token handed out so far is valid any more."""
        with self._lock:
            self._tokens.clear()

    def check(self, authorization: str | None, needs: Iterable[Access], realm: str) -> None:
        """Raise `Problem` without a living token that covers what is needed."""
        needs = tuple(needs)
        challenge = f'Bearer realm="{realm}",service="{self.service}"'
        if needs:
            challenge += f',scope="{_scope(needs)}"'
        kind, _, value = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            raise _unauthorized(challenge)
        with self._lock:
            token = self._tokens.get(value)
            if token is None or token.uses_left < 1 or token.ends < time.monotonic():
                raise _unauthorized(challenge + ',error="invalid_token"')
            token.uses_left -= 1
        _refuse_denied(needs, self._denies)
        if not token.access.issuperset(needs):
            raise _unauthorized(challenge + ',error="insufficient_scope"')

    def token(self, call: Call) -> Reply:
        """Hand out a token, or refuse."""
        if call.method == "GET":
            form = call.query
            user = _user(call.authorization, self._users) if call.authorization else None
            grant, anonymous = "basic", call.authorization is None
        elif call.method == "POST" and self._posts:
            form = parse_qs(call.body.read().decode())
            grant, anonymous = form.get("grant_type", [""])[0], False
            user = self._oauth_user(grant, form)
        else:
            call.body.drain()
            raise Problem(405, "UNSUPPORTED")
        scopes = tuple(scope for value in form.get("scope", []) for scope in value.split())
        with self._lock:
            self._asked.append(TokenRequest(call.method, grant, user, form.get("service", [""])[0], scopes))
        if user is None and not (anonymous and self._anonymous):
            raise _unauthorized('Basic realm="token"', self._wrong)
        offline = "true" in form.get("offline_token", []) or "offline" in form.get("access_type", [])
        return self._hand_out(scopes, user, offline=offline)

    def _oauth_user(self, grant: str, form: Mapping[str, list[str]]) -> str | None:
        if grant == "refresh_token":
            return self._refresh_tokens.get(form.get("refresh_token", [""])[0])
        user = form.get("username", [""])[0]
        return user if grant == "password" and form.get("password") == [self._users.get(user)] else None

    def _hand_out(self, scopes: tuple[str, ...], user: str | None, *, offline: bool) -> Reply:
        granted = frozenset(
            access
            for access in _parse(scopes)
            if not self._denies(access) and (user is not None or access.action in self._anonymous)
        )
        value = secrets.token_urlsafe(16)
        answer: dict[str, object] = {"token": value, "access_token": value, "scope": " ".join(scopes)}
        if self._expires_in is not None:
            answer["expires_in"] = self._expires_in
        with self._lock:
            self._tokens[value] = _Token(granted, self._uses, time.monotonic() + self._lifetime)
            if offline and user is not None:
                answer["refresh_token"] = refresh = secrets.token_urlsafe(16)
                self._refresh_tokens[refresh] = user
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def _user(authorization: str, users: Mapping[str, str]) -> str | None:
    kind, _, value = authorization.partition(" ")
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user if kind.lower() == "basic" and user in users and users[user] == password else None


def _parse(scopes: Iterable[str]) -> Iterable[Access]:
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        repository, _, actions = rest.rpartition(":")
        if kind == "repository":
            yield from (Access(repository, action) for action in actions.split(","))


def _scope(needs: Iterable[Access]) -> str:
    actions: dict[str, list[str]] = {}
    for access in needs:
        actions.setdefault(access.repository, []).append(access.action)
    return " ".join(f"repository:{repository}:{','.join(wanted)}" for repository, wanted in actions.items())


def _refuse_denied(needs: Iterable[Access], denies: Callable[[Access], bool]) -> None:
    if any(denies(access) for access in needs):
        raise Problem(403, "DENIED", "requested access to the resource is denied")


def _unauthorized(challenge: str, status: int = 401) -> Problem:
    return Problem(status, "UNAUTHORIZED", headers={"WWW-Authenticate": challenge} if status == 401 else None)

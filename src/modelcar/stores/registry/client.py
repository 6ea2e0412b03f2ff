"""The OCI Distribution API (distribution-spec v1.1) as requests: credentials, retries, and errors in our words."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

from modelcar.broken import Broke
from modelcar.errors import Denied, ModelcarError, NetworkError, NotFound, Refused
from modelcar.http import Http, Response, check_status, is_loopback, origin, shown
from modelcar.oci import Reference
from modelcar.retry import AtOnce, Patience
from modelcar.settings import Access
from modelcar.stores.registry.auth import Authorizer
from modelcar.stores.registry.credentials import Credentials
from modelcar.stores.registry.quirks import quirks_of

PULL, PUSH, DELETE = "pull", "pull,push", "delete"
_ERROR_BODY = 64 * 1024
_CHALLENGES = 3
"""Times that one request may be answered 401: without a token, with an old one, with a new one."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that isn't the one hoped for (distribution-spec, "Error Codes").

    Attributes:
        status: Of HTTP.
        codes: Those of the registry.
        said: Its words, as ` (…)`; empty where it says nothing.
    """

    status: int
    codes: frozenset[str]
    said: str


class Client:
    """One repository's API.

    Args:
        reference: Names registry and repository.
        http: Connections.
        access: How registries are reached.
        patience: How requests without a streamed body are tried again.
        credentials: The user's for this repository, if there are any.
    """

    def __init__(
        self,
        reference: Reference,
        http: Http,
        access: Access,
        patience: Patience,
        credentials: Credentials | None,
    ) -> None:
        self.name = reference.name
        self.repository = reference.repository
        self.quirks = quirks_of(reference.registry)
        self.patience = patience
        self._registry = reference.registry
        self._http = http
        self._access = access
        self._lock = threading.Lock()
        self._base = ""
        self._authorizer = Authorizer(reference.registry, http, credentials, self._may_be_plain)

    def url(self, path: str) -> str:
        """The address of `/v2/<repository>/<path>`."""
        return f"{self.base()}/v2/{self.repository}/{path}"

    def ask(
        self,
        method: str,
        url: str,
        what: str,
        *,
        actions: str = PULL,
        also: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        silence: float | None = None,
    ) -> Response:
        """Any answer that isn't "later": tried again as often as need be.

        Args:
            method: The HTTP verb.
            url: Absolute.
            what: For errors and waits.
            actions: What must be allowed on the repository, if anything.
            also: Further scopes.
            headers: Besides the credentials.
            body: Small.
            silence: Seconds to wait for an answer, where that takes long.

        Raises:
            Denied: The token server refuses.
            NetworkError: After all tries.
        """

        def attempt() -> Response:
            response = self.ask_once(
                method, url, actions=actions, also=also, headers=headers, body=body, silence=silence
            )
            return self._in_time(response, what)

        return self.patience.persist(attempt, what)

    def ask_once(
        self,
        method: str,
        url: str,
        *,
        actions: str = PULL,
        also: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        silence: float | None = None,
    ) -> Response:
        """Any answer to one request. A challenge is met and the request repeated, unless its body is a stream.

        A GET is followed to where the registry sends it. Credentials go to the registry's own host only, whatever
        address an upload was given or a blob lies at.
        """
        scopes = ((f"repository:{self.repository}:{actions}",) if actions else ()) + also
        tries = 0
        while True:
            tries += 1
            credential = self._authorizer.header(scopes) if self._is_own(url) else None
            sent = {**(headers or {}), **({"Authorization": credential} if credential else {})}
            if method == "GET":
                response = self._http.follow(method, url, headers=sent, silence=silence)
            else:
                response = self._http.request(method, url, headers=sent, body=body, silence=silence)
            if response.status != 401 or tries == _CHALLENGES or not self._is_own(response.url):
                return response
            if not self._authorizer.learn(response.headers, scopes, credential, url):
                return response
            response.close()
            if body is not None and not isinstance(body, bytes):
                raise AtOnce(f"{self._registry} asks for credentials anew in the middle of an upload")

    def open(self, url: str, what: str, headers: Mapping[str, str]) -> Response:
        """GET something large. One try: the caller goes on from where it was.

        Raises:
            NetworkError: Ask again.
        """
        return self._in_time(self.ask_once("GET", url, headers=headers), what)

    def _in_time(self, response: Response, what: str) -> Response:
        """The answer, unless it means that asking again helps.

        Raises:
            NetworkError: As `check_status`; or a link to another host has expired.
        """
        try:
            check_status(response, what)
            if response.status == 403 and not self._is_own(response.url):
                raise NetworkError(f"{what}: the link to {urlsplit(response.url).netloc} has expired")
        except NetworkError:
            response.close()
            raise
        return response

    def _is_own(self, url: str) -> bool:
        return origin(url) == origin(self.base())

    def absolute(self, location: str, asked: str) -> str:
        """An upload's address from a `Location` header: absolute, relative, or with the scheme that a proxy lost.

        Raises:
            NetworkError: A registry with TLS names an address without.
        """
        url = urljoin(asked, location)
        parts, base = urlsplit(url), urlsplit(self.base())
        if parts.scheme == "https" or base.scheme == "http":
            return url
        if parts.hostname == base.hostname:
            return urlunsplit(("https", base.netloc, *parts[2:]))
        raise NetworkError(f"{self._registry} names an address without TLS: {shown(url)}", final=True)

    def base(self) -> str:
        """Scheme and host of the registry.

        Plain HTTP is for loopback or those who asked for it; on loopback the server is asked which it speaks.
        """
        with self._lock:
            if not self._base:
                host = self.quirks.api or self._registry
                self._base = f"{self._scheme(host)}://{host}"
            return self._base

    def _may_be_plain(self, host: str) -> bool:
        return self._access.plain_http or is_loopback(urlsplit(f"//{host}").hostname or "")

    def _scheme(self, host: str) -> str:
        if self._access.plain_http:
            return "http"
        if not self._may_be_plain(host) or self._http.has_own_ca:
            return "https"

        def probe() -> str:
            try:
                with self._http.request("GET", f"http://{host}/v2/") as response:
                    # Servers that want TLS answer 400 to plain HTTP (Go, nginx), or just hang up.
                    return "https" if response.status == 400 else "http"
            except Broke:
                return "https"

        return self.patience.persist(probe, f"reaching {host}")

    def error(self, refusal: Refusal, what: str) -> ModelcarError:
        """An answer that isn't the one hoped for, in our words."""
        status, codes, said = refusal.status, refusal.codes, refusal.said
        if status in (401, 403) and self._authorizer.anonymous:
            return Denied(f"{what}: {self._registry} wants credentials{said}", f"modelcar login {self._registry}")
        if status == 401:
            hint = f"check user and password: modelcar login {self._registry}"
            return Denied(f"{what}: {self._registry} refuses the credentials for it{said}", hint)
        if status == 403:
            hint = "ask for the right to do this, or log in as another user"
            return Denied(f"{what}: not allowed on {self.name}{said}", hint)
        if status == 404 and (not codes or codes & {"NAME_UNKNOWN", "NAME_INVALID", "NOT_FOUND"}):
            create = self.quirks.create.format(repository=self.repository)
            hint = f"make it first: {create}" if create else "check its name; some registries want it made first"
            return NotFound(f"{what}: {self.name} doesn't exist{said}", hint)
        if status == 404:
            return NotFound(f"{what}: not in {self.name}{said}")
        if status == 413:
            hint = "raise the limit of the registry or of the proxy before it, or keep to it with --max-layer-size"
            return Refused(f"{what}: {self._registry} says that it is too large{said}", hint)
        return Refused(f"{what}: {self._registry} answered {status}{said}")


def refusal_of(response: Response) -> Refusal:
    """What an answer says of why it isn't another one. Reads its body."""
    try:
        answer = response.json(_ERROR_BODY)
    except NetworkError:
        answer = None
    errors = answer.get("errors") if isinstance(answer, dict) else None
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    codes = frozenset(str(entry.get("code", "")) for entry in entries)
    said = "; ".join(str(entry.get("message") or entry.get("code") or "") for entry in entries)
    said = " ".join(said.split())[:200]
    return Refusal(response.status, codes, f" ({said})" if said else "")

"""The OCI Distribution API (distribution-spec v1.1) as requests: credentials, retries, and errors in our words."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterable, Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit

from modelcar.errors import Denied, ModelcarError, NetworkError, NotFound, Refused
from modelcar.http import Http, Response, check_status, origin
from modelcar.oci import Reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry.auth import Authorizer
from modelcar.stores.registry.credentials import Credentials
from modelcar.stores.registry.quirks import quirks_of

PULL, PUSH, DELETE = "pull", "pull,push", "delete"
_ERROR_BODY = 64 * 1024


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
        self._registry = reference.registry
        self._http = http
        self._access = access
        self._patience = patience
        self._lock = threading.Lock()
        self._base = ""
        self._authorizer = Authorizer(reference.registry, http, credentials)

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
        """An answer that isn't "later" and not "who are you": tried again as often as need be.

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
            Denied: 401 and 403, whatever was tried.
            NetworkError: After all tries.
        """

        def attempt(_: int) -> Response:
            response = self.ask_once(
                method, url, actions=actions, also=also, headers=headers, body=body, silence=silence
            )
            try:
                check_status(response, what)
            except NetworkError:
                response.close()
                raise
            return response

        response = self._patience.persist(attempt, what)
        if response.status in (401, 403):
            with response:
                raise self.denied(response, what)
        return response

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

        Credentials go to the registry's own host only, whatever address an upload was given.
        """
        scopes = ((f"repository:{self.repository}:{actions}",) if actions else ()) + also
        is_own = origin(url) == origin(self.base())
        stream = body is not None and not isinstance(body, bytes)
        options = {} if silence is None else {"silence": silence}
        for _ in range(3):
            credential = self._authorizer.header(scopes) if is_own else None
            sent = {**(headers or {}), **({"Authorization": credential} if credential else {})}
            response = self._http.request(method, url, headers=sent, body=body, **options)
            if response.status != 401 or not is_own:
                return response
            if not self._authorizer.learn(response.headers, scopes, credential, url):
                return response
            if stream:
                response.close()
                raise NetworkError(
                    f"{self._registry} asks for credentials anew in the middle of an upload", retry_after=0
                )
            response.close()
        return response

    def follow(self, url: str, what: str, headers: Mapping[str, str]) -> Response:
        """GET something large: the answer may lie on another host, where no credentials go.

        Raises:
            NetworkError: One try: the caller goes on from where it was.
        """
        scopes = (f"repository:{self.repository}:{PULL}",)
        for _ in range(3):
            credential = self._authorizer.header(scopes)
            sent = {**headers, **({"Authorization": credential} if credential else {})}
            response = self._http.follow("GET", url, headers=sent)
            if response.status != 401 or origin(response.url) != origin(self.base()):
                break
            if not self._authorizer.learn(response.headers, scopes, credential, url):
                break
            response.close()
        if response.status == 403 and origin(response.url) != origin(self.base()):
            response.close()
            raise NetworkError(f"{what}: the link to {urlsplit(response.url).netloc} has expired")
        try:
            check_status(response, what)
        except NetworkError:
            response.close()
            raise
        return response

    def absolute(self, location: str, asked: str) -> str:
        """An upload's address from a `Location` header: absolute, relative, or with the scheme that a proxy lost."""
        url = urljoin(asked, location)
        parts, base = urlsplit(url), urlsplit(self.base())
        if parts.scheme == "http" and base.scheme == "https" and parts.hostname == base.hostname:
            return urlunsplit(("https", base.netloc, *parts[2:]))
        return url

    def base(self) -> str:
        """Scheme and host of the registry.

        Plain HTTP is for loopback or those who asked for it; on loopback the server is asked which it speaks.
        """
        with self._lock:
            if not self._base:
                host = self.quirks.api or self._registry
                self._base = f"{self._scheme(host)}://{host}"
            return self._base

    def _scheme(self, host: str) -> str:
        if self._access.plain_http:
            return "http"
        if not _is_loopback(host) or self._http.has_own_ca:
            return "https"
        try:
            with self._http.request("GET", f"http://{host}/v2/") as response:
                # Servers that want TLS answer 400 to plain HTTP (Go, nginx), or just hang up.
                return "https" if response.status == 400 else "http"
        except NetworkError as error:
            if "no connection" in error.what:
                raise
            return "https"

    def denied(self, response: Response, what: str) -> Denied:
        """401 or 403 in our words."""
        said = message_of(response)
        if self._authorizer.anonymous:
            return Denied(f"{what}: {self._registry} wants credentials{said}", f"modelcar login {self._registry}")
        if response.status == 401:
            hint = f"check user and password: modelcar login {self._registry}"
            return Denied(f"{what}: {self._registry} refuses the credentials for it{said}", hint)
        return Denied(
            f"{what}: not allowed on {self.name}{said}", "ask for the right to do this, or log in as another user"
        )

    def failed(self, response: Response, what: str) -> ModelcarError:
        """Any other answer that isn't the one hoped for, in our words."""
        codes, said = codes_of(response)
        if response.status == 404 and (not codes or codes & {"NAME_UNKNOWN", "NAME_INVALID", "NOT_FOUND"}):
            create = self.quirks.create.format(repository=self.repository)
            hint = f"make it first: {create}" if create else "check its name; some registries want it made first"
            return NotFound(f"{what}: {self.name} doesn't exist{said}", hint)
        if response.status == 404:
            return NotFound(f"{what}: not in {self.name}{said}")
        if response.status == 413:
            hint = "raise the limit of the registry or of the proxy before it, or keep to it with --max-layer-size"
            return Refused(f"{what}: {self._registry} says that it is too large{said}", hint)
        return Refused(f"{what}: {self._registry} answered {response.status}{said}")


def codes_of(response: Response) -> tuple[set[str], str]:
    """The error codes of an answer (distribution-spec, "Error Codes"), and what it says as ` (…)`."""
    try:
        answer = response.json(_ERROR_BODY)
    except NetworkError:
        answer = None
    errors = answer.get("errors") if isinstance(answer, dict) else None
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    codes = {str(entry.get("code", "")) for entry in entries}
    said = "; ".join(str(entry.get("message") or entry.get("code") or "") for entry in entries)
    said = " ".join(said.split())[:200]
    return codes, f" ({said})" if said else ""


def message_of(response: Response) -> str:
    """What an error says, as ` (…)`."""
    return codes_of(response)[1]


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

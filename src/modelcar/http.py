"""One way to talk HTTP for sources and stores: a pool of connections, proxies, TLS, and errors in our own words.

Nothing here follows a redirect with credentials to another host, keeps a body, or logs a secret.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import urllib3

from modelcar.broken import broken, refused_by_proxy
from modelcar.errors import NetworkError, RateLimited, UsageError
from modelcar.traffic import Traffic

PIECE = 1024 * 1024
"""Bytes read and sent at a time: 64 KiB costs twice the CPU, 4 MiB gains nothing."""

SILENCE = 20.0
"""Seconds after which a silent server counts as gone."""

ANSWER = 300.0
"""Seconds that a registry may think after a whole layer was sent: some copy it to their storage first."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PUBLIC_QUERY = frozenset({"digest", "from", "last", "mount", "n", "scope", "service"})
_log = logging.getLogger("modelcar.http")

Body = bytes | Iterable[bytes]


class Response:
    """An answer whose body is still to be read. Use it as a context manager: leaving gives the connection back."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str, traffic: Traffic) -> None:
        self._raw, self._traffic = raw, traffic
        self.url = url
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, size: int = PIECE) -> bytes:
        """Up to `size` bytes of the body, `b""` at its end.

        Raises:
            NetworkError: The connection broke, or was silent for too long.
        """
        try:
            return self._traffic.counted(self._raw.read(size, decode_content=False))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise broken(error, _host(self.url)) from None

    def read_all(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            NetworkError: It is longer than `limit` bytes, or broke off.
        """
        parts, size = [], 0
        while part := self.read(min(PIECE, limit + 1 - size)):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise NetworkError(f"the answer of {shown(self.url)} is longer than {limit:,} bytes", final=True)
        return b"".join(parts)

    def json(self, limit: int = 4 * PIECE) -> Any:
        """The body as JSON, None where it isn't any."""
        try:
            return json.loads(self.read_all(limit))
        except (ValueError, RecursionError):
            return None

    def redirect(self) -> str | None:
        """The absolute address that it sends the client to, if any. Raises `NetworkError` where that isn't right."""
        location = self.headers.get("Location")
        if self.status not in REDIRECTS or not location:
            return None
        target = _joined(self.url, location)
        if urlsplit(self.url).scheme == "https" and urlsplit(target).scheme != "https":
            raise NetworkError(f"{shown(self.url)} redirects from TLS to plain HTTP, at {shown(target)}", final=True)
        return target

    def close(self) -> None:
        """Give the connection back if the body was read or is short, else end it."""
        left = self._raw.length_remaining
        try:
            if left is not None and left <= PIECE:
                self._raw.drain_conn()
        except (urllib3.exceptions.HTTPError, OSError):
            left = None
        if left is None or left > PIECE:
            self._raw.close()
        self._raw.release_conn()


class Http:
    """A pool of connections, for all threads of a process.

    Args:
        ca_file: PEM file of certificate authorities to trust besides the system's own.
        connections: Connections kept to one host.
        silence: Seconds to wait for a connection, and for any next byte where a request names no other time.
    """

    def __init__(self, *, ca_file: Path | None = None, connections: int = 16, silence: float = SILENCE) -> None:
        self.silence = silence
        self._ca_file = ca_file
        self._connections = connections
        self._lock = threading.Lock()
        self._met: set[tuple[str | None, int | None]] = set()
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._context: ssl.SSLContext | None = None
        self._agent = f"modelcar/{version('modelcar')}"
        self.traffic = Traffic()

    @property
    def has_own_ca(self) -> bool:
        """Whether the user named a certificate authority: then TLS is meant."""
        return self._ca_file is not None

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        silence: float | None = None,
    ) -> Response:
        """Ask once, without following redirects. Any status is an answer.

        Args:
            method: The HTTP verb.
            url: Absolute.
            headers: Sent as they are; `Content-Length` with an iterable body keeps it from being chunked.
            body: Bytes, or pieces that are sent as they come. What it raises passes through.
            silence: Seconds to wait for any next byte; None for the usual ones.

        Raises:
            NetworkError: No connection (`Unreached`, where there never was one), a broken one, or a certificate that
                isn't trusted.
        """
        started = time.monotonic()
        self.traffic.ask()
        patience = self.silence if silence is None else silence
        # The time to connect is also the longest that a piece of a body may take, and slow uplinks need more for that.
        guarded = _Guarded(body) if body is not None and not isinstance(body, bytes) else None
        try:
            raw = self._pool(url).request(
                method,
                url,
                headers={"User-Agent": self._agent, "Accept-Encoding": "identity", **(headers or {})},
                body=guarded or body,
                timeout=urllib3.Timeout(connect=patience if guarded else self.silence, read=patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if guarded and guarded.error:
                raise guarded.error from None
            _log.debug("%s %s -> %s", method, shown(url), type(error).__name__)
            raise broken(error, _host(url), is_met=origin(url)[1:] in self._met) from None
        self._met.add(origin(url)[1:])
        _log.debug("%s %s -> %d in %.3f s", method, shown(url), raw.status, time.monotonic() - started)
        if raw.status == 407:
            raw.close()
            raise refused_by_proxy(_host(url))
        return Response(raw, url, self.traffic)

    def follow(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, silence: float | None = None
    ) -> Response:
        """Ask and follow redirects. `Authorization` stays with the host that it was meant for; `Range` goes along.

        Raises:
            NetworkError: As for `request`; or too many redirects, or one from TLS to plain HTTP.
        """
        sent = dict(headers or {})
        for _ in range(8):
            response = self.request(method, url, headers=sent, silence=silence)
            try:
                target = response.redirect()
            except NetworkError:
                response.close()
                raise
            if target is None:
                return response
            response.close()
            if origin(target) != origin(url):
                sent.pop("Authorization", None)
            url = target
        raise NetworkError(f"{shown(url)} redirects in a circle", final=True)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = _proxy_for(parts)
        key = f"{parts.scheme} {proxy or ''}"
        with self._lock:
            if key not in self._pools:
                self._pools[key] = self._make_pool(parts.scheme, proxy)
            return self._pools[key]

    def _make_pool(self, scheme: str, proxy: str | None) -> urllib3.PoolManager:
        options: dict[str, Any] = {"maxsize": self._connections}
        if scheme == "https":
            options["ssl_context"] = self._tls()
        if proxy is None:
            return urllib3.PoolManager(**options)
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        address = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
        user = parts.netloc.rpartition("@")[0]
        auth = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
        try:
            return urllib3.ProxyManager(address, proxy_headers=auth, **options)
        except urllib3.exceptions.HTTPError:
            raise UsageError(f"the proxy {address!r} of the environment is no HTTP proxy") from None

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context()
            if self._ca_file is not None:
                try:
                    context.load_verify_locations(self._ca_file)
                except (OSError, ssl.SSLError) as error:
                    reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a PEM file"
                    raise UsageError(f"the CA file {self._ca_file} can't be used: {reason}") from None
            self._context = context
        return self._context


class _Guarded:
    """A body that remembers what it raised: urllib3 dresses such errors up as its own."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.error: Exception | None = None

    def __iter__(self) -> _Guarded:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: what a credential is bound to (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _joined(url: str, location: str) -> str:
    """The address that a redirect names, relative to where it was met."""
    try:
        target = urljoin(url, location)
        origin(target)  # looks at the port
    except ValueError:
        raise NetworkError(f"{shown(url)} redirects to something that is no address", final=True) from None
    return target


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is this machine by any resolver."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """A URL for people and logs: no user, and of the query only what is no secret (links carry signatures there)."""
    parts = urlsplit(url)
    query = "&".join(
        pair if pair.partition("=")[0] in _PUBLIC_QUERY else f"{pair.partition('=')[0]}=…"
        for pair in parts.query.split("&")
        if pair
    )
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def check_status(response: Response, what: str) -> None:
    """Turn the statuses that mean "ask again later" into errors that say so.

    Raises:
        RateLimited: 429, or 503 that names a time.
        NetworkError: 408 and any other 5xx; 501 is final.
    """
    wait = retry_after(response.headers)
    if response.status == 429 or (response.status == 503 and wait is not None):
        raise RateLimited(f"{what}: {_host(response.url)} asks to slow down ({response.status})", retry_after=wait)
    if response.status == 408 or response.status >= 500:
        raise NetworkError(f"{what}: {_host(response.url)} answered {response.status}", final=response.status == 501)


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that a server asks to wait.

    `Retry-After` (RFC 9110, 10.2.3: seconds or a date) or the `t` of `RateLimit` (draft-ietf-httpapi-ratelimit-headers,
    which the Hugging Face Hub sends: `"api";r=0;t=55`).
    """
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]+", value):
        return float(value)
    if value:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now())
        except (ValueError, OverflowError):
            return None
    limit = headers.get("RateLimit", "")
    if re.search(r";\s*r=0\b", limit) and (reset := re.search(r";\s*t=([0-9]+)", limit)):
        return float(reset[1])
    return None


def _proxy_for(parts: SplitResult) -> str | None:
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    # Loopback is never proxied, as in Go's clients: what is said in the clear there must not leave the machine.
    if not proxy or is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]

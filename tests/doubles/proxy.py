"""An HTTP proxy on loopback: it forwards plain requests, and opens tunnels for TLS (RFC 9110, 9.3.6).

    with Proxy({"registry.test": registry.host}, "me:secret") as proxy:
        push(to="registry.test/models/tiny:1", env={"HTTP_PROXY": proxy.url})
    assert proxy.asked[0].target == "http://registry.test/v2/"

Names lead where the test says, so that hosts that exist nowhere can be reached through it.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_PIECE = 1 << 16
_OWN = ("proxy-authorization", "proxy-connection")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the proxy: `target` is a URL, or host:port for CONNECT."""

    method: str
    target: str
    authorization: str | None


class Proxy:
    """The proxy. It runs from its making until `close`, or as a context manager.

    names: Where the host of a request leads, as host:port; others lead where they say.
    credentials: `user:password` that it wants (else 407).
    """

    def __init__(self, names: Mapping[str, str] | None = None, credentials: str = "") -> None:
        self._asked: list[Asked] = []
        self._lock = threading.Lock()
        self._credentials = credentials
        self._server = _Server(self, names or {}, credentials)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """As the environment names it, with the credentials that it wants."""
        user = f"{self._credentials}@" if self._credentials else ""
        return f"http://{user}127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[Asked]:
        """The requests so far, in the order in which they came."""
        with self._lock:
            return list(self._asked)

    def record(self, asked: Asked) -> None:
        """Take note of a request."""
        with self._lock:
            self._asked.append(asked)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, proxy: Proxy, names: Mapping[str, str], credentials: str) -> None:
        self.proxy = proxy
        self.names = names
        self.wanted = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else None
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def address(self, host: str, port: int) -> tuple[str, int]:
        """Where a host and port lead."""
        led, _, led_port = self.names.get(host, f"{host}:{port}").rpartition(":")
        return led, int(led_port)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _is_refused(self) -> bool:
        said = self.headers.get("Proxy-Authorization")
        self.server.proxy.record(Asked(self.command, self.path, said))
        if self.server.wanted in (None, said):
            return False
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        return True

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        if self._is_refused():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection(self.server.address(host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pump, args=(far, self.connection), daemon=True)
            back.start()
            _pump(self.connection, far)
            back.join()
        self.close_connection = True

    def _forward(self) -> None:
        body = self._body()
        if self._is_refused():
            return
        url = urlsplit(self.path)
        host, port = self.server.address(url.hostname or "", url.port or 80)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        headers.pop("Transfer-Encoding", None)
        far = HTTPConnection(host, port)
        with contextlib.closing(far):
            far.request(self.command, url._replace(scheme="", netloc="").geturl(), body, headers)
            answer = far.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return b"".join(_chunks(self.rfile))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _chunks(stream: BufferedIOBase) -> list[bytes]:
    chunks = []
    while size := int(stream.readline().partition(b";")[0], 16):
        chunks.append(stream.read(size))
        stream.readline()
    stream.readline()
    return chunks


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

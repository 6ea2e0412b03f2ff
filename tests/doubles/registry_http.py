"""The HTTP side of the registry double: a threaded server on loopback that hands each request to a function."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PIECE = 1 << 20
# What is still read of a request that was answered early, before the connection is closed (Go's server: 256 KiB).
_LINGER_BYTES = 256 << 10
_LINGER_SECONDS = 0.5


class Hangup(Exception):
    """The connection ends here, without an answer."""


class Problem(Exception):
    """An answer with the distribution spec's error body."""

    def __init__(self, status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.reply = Reply(
            status,
            {"Content-Type": "application/json", **(headers or {})},
            json.dumps({"errors": [{"code": code, "message": message or code.lower(), "detail": None}]}).encode(),
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. With `cut_after` the connection ends after that many bytes of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None


class Body:
    """A request's body: read piece by piece and counted. With `cut_after` reading hangs up after that many bytes."""

    def __init__(self, stream: BufferedIOBase, headers: Message) -> None:
        self._stream = stream
        self._length = int(headers.get("Content-Length") or 0)
        self.chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.finished = not self.chunked and not self._length
        self.received = 0
        self.cut_after: int | None = None

    def pieces(self) -> Iterator[bytes]:
        """What arrives, at most 1 MiB at a time."""
        try:
            for left in self._chunks() if self.chunked else (self._length,):
                while left:
                    piece = self._stream.read(min(left, self._room()))
                    if not piece:
                        raise Hangup
                    self.received += len(piece)
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise Hangup from error
        self._room()
        self.finished = True

    def read(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces())

    def drain(self) -> None:
        """Read what is left and drop it."""
        for _ in self.pieces():
            pass

    def _room(self) -> int:
        room = _PIECE if self.cut_after is None else min(_PIECE, self.cut_after - self.received)
        if room <= 0:
            raise Hangup
        return room

    def _chunks(self) -> Iterator[int]:
        while length := self._chunk_length():
            yield length
            self._stream.readline()
        while self._stream.readline().strip():
            pass

    def _chunk_length(self) -> int:
        try:
            return int(self._stream.readline().partition(b";")[0], 16)
        except ValueError:
            raise Hangup from None


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in. `target` is the path with its query."""

    method: str
    target: str
    headers: Message
    body: Body
    host: str

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The parameters of the query."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    def parameter(self, name: str) -> str | None:
        """The first value of a parameter of the query."""
        return self.query.get(name, [None])[0]

    @property
    def authorization(self) -> str | None:
        """The header of that name."""
        return self.headers.get("Authorization")


class Listener(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1; `name` is the host name by which its own links call it.

    `answer` is called on a thread of the connection's own and may raise `Problem` or `Hangup`.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[Call], Reply], name: str, tls: tuple[Path, Path] | None) -> None:
        self.answer = answer
        self._context = _server_context(tls) if tls else None
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = f"{name}:{self.server_port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=self.host, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, with the connections that are still open."""
        self.shutdown()
        self._thread.join()
        for connection in tuple(self._connections):
            _hang_up(connection)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept. The TLS handshake is left to the connection's thread: a slow client must not hold up the others."""
        connection, address = super().get_request()
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection as it ends."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a mistake in the double and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def _serve(self) -> None:
        body = Body(self.rfile, self.headers)
        try:
            reply = self.server.answer(Call(self.command, self.path, self.headers, body, self.server.host))
        except Hangup:
            self._end()
            return
        self._send(reply, keep_alive=body.finished)
        if not body.finished:
            self._linger()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, reply: Reply, *, keep_alive: bool) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        if not keep_alive:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: reply.cut_after])
        if reply.cut_after is not None:
            self._end()

    def _linger(self) -> None:
        """Read on for a moment: closing at once would reset the connection and lose the answer on its way."""
        self.close_connection = True
        self.connection.settimeout(_LINGER_SECONDS)
        left = _LINGER_BYTES
        with contextlib.suppress(OSError):
            while left > 0 and (piece := self.connection.recv(left)):
                left -= len(piece)

    def _end(self) -> None:
        self.close_connection = True
        _hang_up(self.connection)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _server_context(tls: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context

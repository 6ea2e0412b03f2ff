"""HTTP/1.1 on loopback for the doubles: a request in, an answer out, and a record of both.

What a double answers is a value (`Answer`), the ways to deliver it badly included, so that faults are functions from
answer to answer and only this module touches a socket. It leaves out TLS, request bodies and chunked answers.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.doubles.content import PIECE, Bytes, Content, File

_SENDFILE_STEP = 4 * PIECE
_NOTHING = Bytes()


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked.

    Attributes:
        server: Which of a double's servers was asked.
        target: Path and query as they were sent.
        headers: By lower-case name.

    """

    server: str
    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The path as sent: still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back.

    Attributes:
        status: 0 closes the connection without an answer.
        start: Where in the content the body begins.
        stop: Where it ends.
        size: What the content's size is said to be.
        file: The file these bytes belong to, for the record.
        rate: Bytes a second.
        cut: The connection closes after this many bytes of the body.
        silence: After how many bytes of the body nothing comes for how many seconds.
        flip: The byte at this offset of the content is sent wrong.

    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Content = _NOTHING
    start: int = 0
    stop: int = 0
    size: int = 0
    file: str = ""
    rate: float | None = None
    cut: int | None = None
    silence: tuple[int, float] | None = None
    flip: int | None = None

    @classmethod
    def whole(cls, status: int, body: bytes | Content, headers: Mapping[str, str] | None = None) -> Self:
        """An answer with all of `body`."""
        content = Bytes(body) if isinstance(body, bytes) else body
        return cls(status, headers or {}, content, stop=content.size, size=content.size)

    @classmethod
    def ranged(cls, request: Request, content: Content, headers: Mapping[str, str], file: str = "") -> Self:
        """The part of `content` that the request asks for: 200, 206 or 416. Several ranges at once get all of it."""
        size = content.size
        headers = {"Accept-Ranges": "bytes", **headers}
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range or "")
        if match is None or match[0] == "bytes=-":
            return cls(200, headers, content, 0, size, size, file)
        first, last = match.groups()
        start = int(first) if first else max(size - int(last), 0)
        stop = min(int(last) + 1, size) if first and last else size
        if start >= stop:
            return cls(416, {**headers, "Content-Range": f"bytes */{size}"})
        return cls(206, headers, content, start, stop, size, file)


@dataclass(slots=True)
class Record:
    """One request and what became of it; it is in the list from the request's arrival on.

    Attributes:
        path: Path and query as they were sent.
        status: 0 until the answer begins.
        sent: Bytes of the body given to the socket so far.
        file: The file that was sent, empty when the answer held none.
        authorized: The request carried an Authorization header.

    """

    server: str
    method: str
    path: str
    range: str | None
    authorized: bool
    status: int = 0
    sent: int = 0
    file: str = ""


class Server:
    """One listening port whose every request is answered by `answer`, until the context ends.

    Ending it closes the open connections, slow and silent ones too.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Request], Answer],
        records: list[Record],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._listener = _Listener(name, answer, records, port)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name=name, daemon=True)
        self.url = f"http://{host}:{self._listener.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.hang_up()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, answer: Callable[[Request], Answer], records: list[Record], port: int) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.name, self.answer, self.records = name, answer, records
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()

    def hang_up(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            _shut(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error of the double."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        """The records tell it."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.name, self.command, self.path, headers)
        record = Record(request.server, request.method, request.target, request.range, "authorization" in headers)
        self.server.records.append(record)
        answer = self.server.answer(request)
        record.status, record.file = answer.status, answer.file
        if answer.status == 0:
            self._hang_up()
            return
        self._head(answer)
        if self.command != "HEAD":
            self._body(answer, record)

    do_HEAD = do_GET

    def _head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status == 206:
            self.send_header("Content-Range", f"bytes {answer.start}-{answer.stop - 1}/{answer.size}")
        self.send_header("Content-Length", str(answer.stop - answer.start))
        self.end_headers()

    def _body(self, answer: Answer, record: Record) -> None:
        at, end = answer.start, answer.stop
        if answer.cut is not None:
            end = min(end, at + answer.cut)
        if answer.silence:
            after, seconds = answer.silence
            pause = min(end, at + after)
            self._stretch(answer, at, pause, record)
            self._wait(seconds)
            at = pause
        self._stretch(answer, at, end, record)
        if answer.cut is not None:
            self._hang_up()

    def _stretch(self, answer: Answer, start: int, stop: int, record: Record) -> None:
        if isinstance(answer.content, File) and answer.rate is None and answer.flip is None:
            self._send_file(answer.content, start, stop, record)
            return
        # Ten pieces a second or more: a client that measures speed sees a stream, not bursts.
        step = PIECE if answer.rate is None else max(1, min(PIECE, int(answer.rate / 10)))
        began, at = time.monotonic(), start
        for piece in answer.content.pieces(start, stop, step):
            self._send(_flipped(piece, answer.flip, at), record)
            at += len(piece)
            if answer.rate is not None:
                self._wait(began + (at - start) / answer.rate - time.monotonic())

    def _wait(self, seconds: float) -> None:
        if self.server.closing.wait(max(0.0, seconds)):
            raise ConnectionAbortedError("the server is closing")

    def _send(self, piece: memoryview | bytes, record: Record) -> None:
        # Counted first: whoever has received the last byte must find it in the record.
        record.sent += len(piece)
        try:
            self.connection.sendall(piece)
        except OSError:
            record.sent -= len(piece)
            raise

    def _send_file(self, content: File, start: int, stop: int, record: Record) -> None:
        with content.path.open("rb", buffering=0) as file:
            for at in range(start, stop, _SENDFILE_STEP):
                count = min(_SENDFILE_STEP, stop - at)
                record.sent += count
                try:
                    self.connection.sendfile(file, at, count)
                except OSError:
                    record.sent -= count
                    raise

    def _hang_up(self) -> None:
        self.close_connection = True
        _shut(self.connection)


def _flipped(piece: memoryview, offset: int | None, at: int) -> memoryview | bytes:
    if offset is None or not at <= offset < at + len(piece):
        return piece
    wrong = bytearray(piece)
    wrong[offset - at] ^= 0xFF
    return bytes(wrong)


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RDWR)


def decoded(request: Request) -> str:
    """Path and query as a person would write them, to match a part of."""
    return unquote(request.target)

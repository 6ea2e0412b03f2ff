"""One file by several connections, for links on which a single one is slow.

A layer is written in order, so what a connection reads ahead has to wait in memory. Ranges are small for that reason:
of large ones, one lane at a time would have bytes that can be written.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from modelcar.broken import WentSilent
from modelcar.errors import NetworkError, RateLimited
from modelcar.events import Cancel, Waiting
from modelcar.retry import Patience
from modelcar.sources.contract import Source, SourceFile
from modelcar.sources.stretch import read_stretch

RANGE = 32 * 1024**2
"""Bytes of a range."""

WINDOW = 4
"""Ranges in memory or on their way, over all files: 128 MiB."""

SLOW = 64 * 1024**2
"""Bytes a second from which on one connection is fast enough."""

_SAMPLE = 8 * 1024**2
_LOOK = 0.2
"""Seconds after which whoever waits for a piece looks whether all was stopped."""


class Lanes:
    """How many ranges may be read at a time: as many as there are workers without work, in one window for all files.

    A file that is read in ranges has a lane of its own, that of its worker, and borrows those of idle ones. It keeps
    them until it is read: while any worker is idle no layer waits to be begun.

    Args:
        workers: Layers that may be in flight.
        size: Bytes of a range.
        window: Ranges in memory over all files.
        slow: Bytes a second below which a connection is slow.
        sample: Bytes over which that is measured.
    """

    def __init__(
        self, workers: int, *, size: int = RANGE, window: int = WINDOW, slow: float = SLOW, sample: int = _SAMPLE
    ) -> None:
        self.size = size
        self.slow = slow
        self.sample = sample
        self._workers = workers
        self._window = window
        self._busy = 0
        self._borrowed = 0
        self._taken = 0
        self._lock = threading.Lock()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a worker has work: its lane isn't to be had."""
        with self._lock:
            self._busy += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1

    def pace(self) -> Pace:
        """A measure of one connection."""
        return Pace(self.slow, self.sample)

    def read(
        self, source: Source, file: SourceFile, offset: int, patience: Patience
    ) -> Generator[bytes, None, None] | None:
        """The rest of `file` in ranges; None where one connection has to do.

        So it is for a source at hand, for a rest of one range, and while no lane is free.
        """
        if not source.remote or file.size - offset <= self.size or not self._enter():
            return None
        return _InRanges(self, source, file, offset, patience).pieces()

    def _enter(self) -> bool:
        """Take two lanes: the worker's own, and one that is free."""
        with self._lock:
            if not self._is_one_free() or self._window - self._taken < 2:
                return False
            self._taken += 2
            self._borrowed += 1
            return True

    def extend(self, held: int) -> bool:
        """Take one lane more for a file that has `held`, if its share of the window leaves one."""
        with self._lock:
            share = -(-self._window // max(1, self._busy))
            if held >= share or not self._is_one_free() or self._taken >= self._window:
                return False
            self._taken += 1
            self._borrowed += 1
            return True

    def leave(self, held: int) -> None:
        """Give all lanes of a file back."""
        with self._lock:
            self._taken -= held
            self._borrowed -= held - 1

    def _is_one_free(self) -> bool:
        return self._workers - self._busy - self._borrowed > 0


class Pace:
    """How fast a connection gives its bytes, the time not counted in which nobody asks for them.

    So a slow target doesn't make a source look slow. The first piece isn't counted: it waits for the connection.
    """

    def __init__(self, slow: float, sample: int) -> None:
        self._slow = slow
        self._sample = sample
        self._size = 0
        self._seconds = 0.0
        self._is_first = True

    def next(self, pieces: Iterator[bytes]) -> bytes:
        """The next piece, `b""` at the end."""
        began = time.monotonic()
        piece = next(pieces, b"")
        if not self._is_first:
            self._size += len(piece)
            self._seconds += time.monotonic() - began
        self._is_first = False
        return piece

    def is_slow(self) -> bool:
        """Whether the last sample was; asked before one is full, it is not."""
        if self._size < self._sample:
            return False
        is_slow = self._size < self._slow * self._seconds
        self._size, self._seconds = 0, 0.0
        return is_slow


class _InRanges:
    """The rest of one file, range by range in its order, by as many lanes as it gets."""

    def __init__(self, lanes: Lanes, source: Source, file: SourceFile, offset: int, patience: Patience) -> None:
        self._lanes = lanes
        self._source = source
        self._file = file
        self._patience = patience
        self._cancel = Cancel(patience.cancel)
        self._held = 2
        self._offset = self._planned = offset
        self._running: deque[_Range] = deque()
        self._waiting: deque[_Range] = deque()

    def pieces(self) -> Generator[bytes, None, None]:
        """The bytes; where a range fails by the network, those from there on come by one connection."""
        try:
            yield from self._in_ranges()
        except NetworkError as error:
            if error.final or isinstance(error, WentSilent):
                raise
            self._patience.listener(Waiting(self._file.path, f"{error.what}; going on with one connection", 0.0))
        finally:
            self._close()
        if self._offset < self._file.size:
            yield from read_stretch(self._source, self._file, self._patience, offset=self._offset)

    def _in_ranges(self) -> Iterator[bytes]:
        while self._fill():
            first = self._running[0]
            while piece := first.take():
                self._offset += len(piece)
                yield piece
            self._running.popleft()

    def _fill(self) -> bool:
        """Begin as many ranges as there are lanes, and have links for as many more; False at the file's end."""
        while self._lanes.extend(self._held):
            self._held += 1
        self._plan()
        while self._waiting and len(self._running) < self._held:
            begun = self._waiting.popleft()
            begun.begin()
            self._running.append(begun)
        self._plan()
        return bool(self._running)

    def _plan(self) -> None:
        while self._planned < self._file.size and len(self._waiting) < self._held:
            length = min(self._lanes.size, self._file.size - self._planned)
            quiet = Patience(self._cancel, self._patience.listener)
            self._waiting.append(_Range(self._source, self._file, self._planned, length, quiet))
            self._planned += length

    def _close(self) -> None:
        self._cancel.set()
        for unread in (*self._running, *self._waiting):
            unread.drop()
        self._running.clear()
        self._waiting.clear()
        self._lanes.leave(self._held)


class _Range:
    """A range that a thread of its own reads into memory, once it may; until then it only has a link looked up."""

    def __init__(self, source: Source, file: SourceFile, offset: int, length: int, patience: Patience) -> None:
        self._source = source
        self._file = file
        self._offset = offset
        self._length = length
        self._patience = patience
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._may = threading.Event()
        self._changed = threading.Condition()
        # A daemon, since a thread that waits for a silent server must not keep a stopped program alive.
        threading.Thread(target=self._run, name="range", daemon=True).start()

    def begin(self) -> None:
        """Let it read."""
        self._may.set()

    def take(self) -> bytes:
        """The next piece as soon as it is there, `b""` at the end.

        Raises:
            ModelcarError: What reading ended with, after all pieces before it.
        """
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait(_LOOK)
                self._patience.check()
            if self._pieces:
                return self._pieces.popleft()
        if self._error is not None:
            raise self._error
        return b""

    def drop(self) -> None:
        """Forget all that was read. Its thread, whose switch was thrown, ends with the piece it waits for."""
        with self._changed:
            self._ended = True
            self._pieces.clear()
        self._may.set()

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001 - it is raised again, in the thread that takes the pieces
            self._end(error)
        else:
            self._end(None)

    def _read(self) -> None:
        try:
            self._source.prepare(self._file, self._offset, self._length)
        except RateLimited:
            raise
        except NetworkError:
            pass  # opening it tries again
        while not self._may.wait(_LOOK):
            self._patience.check()
        self._patience.check()
        for piece in read_stretch(self._source, self._file, self._patience, offset=self._offset, length=self._length):
            with self._changed:
                if self._ended:
                    return
                self._pieces.append(piece)
                self._changed.notify()

    def _end(self, error: Exception | None) -> None:
        with self._changed:
            if not self._ended:
                self._error = error
            self._ended = True
            self._changed.notify()

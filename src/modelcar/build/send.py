"""Moving layers into the store: several at a time, each tried again until it is there."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count

from modelcar.build.layer import LayerBlob
from modelcar.build.plan import PlannedLayer
from modelcar.errors import ContentMismatch
from modelcar.events import LayerFinished, LayerProgress, LayerStarted, Listener
from modelcar.oci import StoredLayer
from modelcar.retry import Patience
from modelcar.sources import Lanes, Source
from modelcar.stores import Store

_PROGRESS_EVERY = 0.2


class Sender:
    """Sends layers and counts bytes.

    Args:
        source: Where files are read.
        store: Where layers go.
        patience: How both are tried again.
        listener: Is told of each layer, from several threads.
    """

    def __init__(self, source: Source, store: Store, patience: Patience, listener: Listener) -> None:
        self.read = 0
        self.sent = 0
        self._source = source
        self._store = store
        self._patience = patience
        self._listener = listener
        self._lock = threading.Lock()
        self._lanes = Lanes(1)

    def send_all(
        self,
        layers: Sequence[tuple[int, PlannedLayer]],
        workers: int,
        finished: Callable[[int, PlannedLayer, StoredLayer], None],
    ) -> None:
        """Send layers, the largest first so that no long one is left for the end; what is, gets the idle ones' lanes.

        Args:
            layers: Each with its number in the image.
            workers: Layers in flight at a time.
            finished: Called for each as soon as it is in the store.

        Raises:
            ModelcarError: The first that any layer ended with.
            KeyboardInterrupt: Passed through.

        After either the workers are told to stop, and have a moment for it: one may wait for a server much longer.
        """
        waiting: queue.SimpleQueue[tuple[int, PlannedLayer]] = queue.SimpleQueue()
        for item in sorted(layers, key=lambda item: -item[1].size):
            waiting.put(item)
        outcomes: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

        self._lanes = Lanes(workers)

        def work() -> None:
            try:
                with self._lanes.busy():
                    while not self._patience.cancel.is_set():
                        number, layer = waiting.get_nowait()
                        finished(number, layer, self.send(number, layer))
            except queue.Empty:
                outcomes.put(None)
            except Exception as error:  # noqa: BLE001 - it is raised again, in the caller's thread
                outcomes.put(error)  # before those that it stops
                self._patience.cancel.set()
            else:
                outcomes.put(None)

        # Daemons, since a thread that waits for a silent server must not keep a stopped program alive.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(layers)))]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                if (error := outcomes.get()) is not None:
                    raise error
        except BaseException:
            self._patience.cancel.set()
            _join(threads, seconds=2)
            raise
        self._patience.check()

    def send(self, number: int, layer: PlannedLayer) -> StoredLayer:
        """Send one layer.

        Raises:
            ModelcarError: As the source and the store do, after all tries.
        """
        attempts = count(1)

        def attempt() -> StoredLayer:
            meter = _Meter(self, number)
            blob = LayerBlob(layer, self._source, self._patience, meter.passed, meter.sent, self._lanes)
            self._listener(LayerStarted(number, layer.title, layer.size, next(attempts)))
            try:
                return blob.as_stored(self._store.write_blob(blob))
            finally:
                with self._lock:
                    self.read += blob.read

        while True:
            try:
                stored = self._patience.persist(attempt, layer.title)
            except ContentMismatch:
                others = [self._source.distrust(file) for file in layer.files]
                if not any(others):
                    raise
            else:
                self._listener(LayerFinished(number, layer.title, stored.digest, stored.size, "sent"))
                return stored


class _Meter:
    """Counts the bytes of one attempt, and tells now and then."""

    def __init__(self, sender: Sender, number: int) -> None:
        self._sender = sender
        self._number = number
        self._passed = 0
        self._told_at = 0.0

    def sent(self, count: int) -> None:
        """Bytes of the blob that went to the store."""
        with self._sender._lock:
            self._sender.sent += count

    def passed(self, count: int) -> None:
        """Bytes of the tar that are done with."""
        self._passed += count
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_EVERY:
            self._told_at = now
            self._sender._listener(LayerProgress(self._number, self._passed))


def _join(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Give threads a moment to put away what they have open."""
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))

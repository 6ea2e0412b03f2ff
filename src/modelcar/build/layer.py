"""A planned layer as a blob: tar bytes that come into being as they are read."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain

from modelcar.build.compression import CompressedStream
from modelcar.build.plan import ROOT, PlannedLayer
from modelcar.http import PIECE
from modelcar.oci import Descriptor, Digest, StoredLayer
from modelcar.retry import Patience
from modelcar.sources import Lanes, Source, SourceFile, read_file
from modelcar.stores import HashedStream

_AHEAD = 8
"""Small files, of at most a piece each, that are read ahead while others are sent."""

_GATHER = PIECE // 4


class LayerBlob:
    """The bytes of a layer, read from the source anew at each pass.

    Args:
        layer: What is in it.
        source: Where its files are read.
        patience: How the source is tried again.
        progress: Told of the number of bytes of every piece of the tar that is passed on.
        sent: The same for the blob, whose bytes are fewer where they are compressed.
        lanes: Connections that a large file may take besides its own.
    """

    def __init__(
        self,
        layer: PlannedLayer,
        source: Source,
        patience: Patience,
        progress: Callable[[int], None] = lambda _: None,
        sent: Callable[[int], None] = lambda _: None,
        lanes: Lanes | None = None,
    ) -> None:
        self.layer = layer
        self.title = layer.title
        self.size: int | None = None if layer.compression.kind else layer.size
        self.digest: Digest | None = None
        self.read = 0
        self._source = source
        self._patience = patience
        self._progress = progress
        self._sent = sent
        self._lanes = lanes
        self._files = {f"{ROOT}/{file.path}": file for file in layer.files}
        self._lock = threading.Lock()
        self._stream: CompressedStream | None = None

    def open(self) -> HashedStream:
        """See `Blob.open`: the source has answered for the first file when this returns."""
        pieces = self._pieces()
        first = next(pieces, b"")
        counted = self._counted(chain([first], pieces), pieces.close)
        if self.layer.compression.kind:
            self._stream = CompressedStream(counted, self.layer.compression, self._sent)
            return self._stream
        return HashedStream(counted)

    def as_stored(self, blob: Descriptor) -> StoredLayer:
        """What the layer became, once a store has taken it.

        Args:
            blob: What the store says that it has.
        """
        diff_id = self._stream.diff_id if self._stream is not None else blob.digest
        return StoredLayer(blob.digest, blob.size, diff_id)

    def _counted(self, pieces: Iterator[bytes], close: Callable[[], None]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                yield piece
                self._progress(len(piece))
                if not self.layer.compression.kind:
                    self._sent(len(piece))
        finally:
            close()

    def _pieces(self) -> Generator[bytes, None, None]:
        """The tar, small pieces gathered into larger ones."""
        gathered = bytearray()
        contents = self._contents()
        try:
            for piece in self.layer.framing.pieces():
                parts = [piece] if isinstance(piece, bytes) else next(contents)
                for part in parts:
                    if gathered and len(gathered) + len(part) > PIECE:
                        yield bytes(gathered)
                        gathered.clear()
                    if len(part) >= _GATHER and not gathered:
                        yield part
                    else:
                        gathered += part
                    if len(gathered) >= _GATHER:
                        yield bytes(gathered)
                        gathered.clear()
            if gathered:
                yield bytes(gathered)
        finally:
            contents.close()

    def _contents(self) -> Generator[Iterator[bytes], None, None]:
        """The content of each file in the order of the tar; small ones are fetched ahead, side by side."""
        order = [self._files[entry.name] for entry in self.layer.framing.entries if entry.name in self._files]
        if len(order) == 1:
            yield self._content(order[0])
            return
        pool = ThreadPoolExecutor(_AHEAD // 2, thread_name_prefix="read-ahead")
        ahead: deque[tuple[SourceFile, Future[bytes] | None]] = deque()
        waiting = iter(order)
        try:
            while True:
                while len(ahead) < _AHEAD and (file := next(waiting, None)):
                    small = file.size <= PIECE
                    ahead.append((file, pool.submit(self._whole, file) if small else None))
                if not ahead:
                    return
                file, fetched = ahead.popleft()
                yield iter([fetched.result()]) if fetched else self._content(file)
        finally:
            # What is being read ends by itself: an upload that broke doesn't wait for it.
            pool.shutdown(wait=False, cancel_futures=True)

    def _whole(self, file: SourceFile) -> bytes:
        return b"".join(self._content(file))

    def _content(self, file: SourceFile) -> Iterator[bytes]:
        for piece in read_file(self._source, file, self._patience, lanes=self._lanes):
            with self._lock:
                self.read += len(piece)
            yield piece

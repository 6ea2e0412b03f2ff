"""Moving blobs from one store into another: there already, mounted, or streamed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from modelcar.errors import Refused
from modelcar.events import LayerFinished, LayerProgress, LayerStarted, Listener, Planned
from modelcar.oci import Descriptor, Digest, media
from modelcar.parallel import QUESTIONS, side_by_side
from modelcar.retry import Patience
from modelcar.stores import ReadableStore, Store, StoredBlob

_PROGRESS_EVERY = 0.2
_PATH = "modelcar.path"  # see docs/images.md
_CONFIGS = frozenset({media.OCI_CONFIG, media.DOCKER_CONFIG, "application/vnd.oci.empty.v1+json"})

_NOT_FOR_COPIES = ("nondistributable", ".foreign.")
"""In media types of layers that may not be given away: they lie at addresses of their own (image-spec, layer.md)."""


@dataclass(slots=True)
class Moved:
    """Bytes of blobs by what became of them."""

    sent: int = 0
    mounted: int = 0
    there: int = 0


@dataclass(frozen=True, slots=True)
class Supply:
    """Where blobs come from.

    Attributes:
        source: The store that is copied from.
        others: Repositories to mount from besides.
        elsewhere: Blobs that the source lacks, and the store that has each.
    """

    source: ReadableStore
    others: Sequence[ReadableStore] = ()
    elsewhere: Mapping[Digest, ReadableStore] = field(default_factory=dict)

    def of(self, digest: Digest) -> ReadableStore:
        """The store to read a blob from."""
        return self.elsewhere.get(digest, self.source)


class Transfer:
    """Puts blobs into a store.

    Args:
        target: Where they go.
        patience: How both sides are tried again.
        listener: Is told of each blob, from several threads, one call at a time.
        workers: Blobs in flight at a time.
    """

    def __init__(self, target: Store, patience: Patience, listener: Listener, workers: int) -> None:
        self.moved = Moved()
        self._target = target
        self._patience = patience
        self._listener = listener
        self._workers = workers
        self._lock = threading.Lock()
        self._there: set[Digest] = set()

    def missing(self, blobs: Iterable[Descriptor]) -> list[Descriptor]:
        """Those that the target doesn't have, the largest first so that no long one is left for the end.

        Raises:
            Refused: One is larger than the target takes.
            ModelcarError: As the store does.
        """
        movable = [blob for blob in blobs if not _stays(blob)]
        has = side_by_side(lambda blob: self._target.has_blob(blob.digest), movable, QUESTIONS, self._patience)
        missing: list[Descriptor] = []
        there: list[Descriptor] = []
        for blob, is_there in zip(movable, has, strict=True):
            (there if is_there else missing).append(blob)
        self._check_sizes(missing)
        self.moved.there += sum(blob.size for blob in there if blob.digest not in self._there)
        self._there.update(blob.digest for blob in there)
        total = sum(blob.size for blob in movable)
        layers = _layers_in(movable)
        reused = sum(blob.size for blob in there)
        self._listener(Planned(layers, total, layers - _layers_in(missing), reused, "image"))
        return sorted(missing, key=lambda blob: -blob.size)

    def send(self, blobs: Sequence[Descriptor], supply: Supply) -> None:
        """Mount or stream blobs into the target, some at a time.

        Raises:
            ModelcarError: The first that any of them ended with, after all tries.
        """

        def put(item: tuple[int, Descriptor]) -> None:
            self._patience.check()
            try:
                self._put(*item, supply)
            except BaseException:
                self._patience.cancel.set()  # before this thread begins with the next one
                raise

        for _ in side_by_side(put, list(enumerate(blobs)), self._workers, self._patience):
            pass

    def _put(self, number: int, blob: Descriptor, supply: Supply) -> None:
        title = title_of(blob)
        how = "sent"
        if any(self._target.mount_blob(blob.digest, origin.name) for origin in (supply.source, *supply.others)):
            how = "mounted"
        else:
            self._stream(number, blob, supply.of(blob.digest), title)
        with self._lock:
            self._there.add(blob.digest)
            if how == "sent":
                self.moved.sent += blob.size
            else:
                self.moved.mounted += blob.size
        self._listener(LayerFinished(number, title, blob.digest, blob.size, how))

    def _stream(self, number: int, blob: Descriptor, source: ReadableStore, title: str) -> None:
        attempts = count(1)

        def attempt() -> Descriptor:
            self._listener(LayerStarted(number, title, blob.size, next(attempts)))
            meter = Meter(self._patience, partial(self._tell, number))
            named = f"layer {blob.digest[:19]} of {source.name}"
            return self._target.write_blob(StoredBlob(source, blob, named, meter))

        self._patience.persist(attempt, title)

    def _tell(self, number: int, sent: int) -> None:
        self._listener(LayerProgress(number, sent))

    def _check_sizes(self, blobs: Iterable[Descriptor]) -> None:
        limits = self._target.limits
        for blob in blobs:
            if limits.blob is not None and blob.size > limits.blob:
                raise Refused(
                    f"the layer {blob.digest[:19]} has {blob.size:,} bytes, and {limits.reason} takes {limits.blob:,}",
                    "build the image for this registry: modelcar build keeps to its limits",
                )


def title_of(blob: Descriptor) -> str:
    """What a blob is, for people: by the file that it holds alone, where it says so, else by its digest."""
    path = (blob.annotations or {}).get(_PATH)
    return path or f"{'layer' if 'layer' in blob.media_type else 'blob'} {blob.digest[:19]}"


class Meter:
    """Counts the bytes of one attempt and tells now and then. Ends it when the work was cancelled."""

    def __init__(self, patience: Patience, tell: Callable[[int], None]) -> None:
        self._patience = patience
        self._tell = tell
        self._sent = 0
        self._told_at = 0.0

    def __call__(self, count: int) -> None:
        """So many bytes more. Raises `Interrupted` when the work was cancelled."""
        self._patience.check()
        self._sent += count
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_EVERY:
            self._told_at = now
            self._tell(self._sent)


def _layers_in(blobs: Iterable[Descriptor]) -> int:
    return sum(blob.media_type not in _CONFIGS for blob in blobs)


def _stays(blob: Descriptor) -> bool:
    return bool(blob.urls) and any(word in blob.media_type for word in _NOT_FOR_COPIES)

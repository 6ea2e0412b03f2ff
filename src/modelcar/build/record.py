"""The record of an unfinished build: its finished layers as an image under a tag of its own.

A build that lost its disk finds them there again, and a registry that removes blobs which no manifest names keeps them.
The image is an ordinary one, since every registry takes that; its label asks quay to remove it by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from modelcar.build.assemble import ModelLayer
from modelcar.build.known import layers_if_any
from modelcar.errors import ContentMismatch, Denied, Interrupted, ModelcarError, NotFound, Refused
from modelcar.events import Listener, RecordWritten, Warned
from modelcar.oci import Config, Digest, Execution, History, Manifest, RootFS, media
from modelcar.oci import config as configs
from modelcar.oci import manifest as manifests
from modelcar.stores import BytesBlob, Location, Store

INTERVAL = 300.0
"""Seconds between two records at the least, where the caller doesn't say."""


class Record:
    """Writes and removes the record of one build.

    Args:
        store: The target.
        plan_id: Of the plan; the same plan has the same record.
        listener: Is told of what is written.
        interval: Seconds between two records at the least.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        store: Store,
        plan_id: str,
        listener: Listener,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tag = f"modelcar-partial-{plan_id[:12]}"
        self._store = store
        self._listener = listener
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._layers: dict[str, ModelLayer] = {}
        self._written_at = clock()
        self._digest: Digest | None = None
        self._refused = False
        self._has_news = False

    def read(self) -> tuple[ModelLayer, ...]:
        """The layers of a record that an earlier build left, or another one of the same plan writes just now."""
        try:
            self._digest = self._store.resolve(self.tag).digest
        except (NotFound, Refused, ContentMismatch):
            return ()
        # By its digest: another builder may remove or replace the tag between two questions.
        return layers_if_any(Location(self._store, self.tag), self._digest)

    def add(self, layer: ModelLayer) -> None:
        """Take note of a finished layer, and write the record if it is time."""
        with self._lock:
            self._layers[layer.key] = layer
            self._has_news = True
            if self._refused or self._clock() - self._written_at < self._interval:
                return
            self._written_at = self._clock()
            self._write(self._store)

    def leave(self, store: Store) -> None:
        """Write what isn't written yet, at the end of a build that was stopped or failed.

        Args:
            store: The target, by connections that the end of the build hasn't cancelled.
        """
        with self._lock:
            if self._has_news and not self._refused:
                self._write(store)

    def remove(self) -> None:
        """Take the record away, at the end of a build that succeeded."""
        with self._lock:
            if self._digest is None:
                return
            try:
                gone = self._store.delete_tag(self.tag, self._digest)
            except ModelcarError:
                gone = False
            if not gone:
                message = f"{self._store.name} refuses to delete: the tag {self.tag} stays, and can go any time"
                self._listener(Warned(message))

    def _write(self, store: Store) -> None:
        """Join what another builder of the same plan recorded, and write. A refusal is the last time it is tried."""
        try:
            others = {layer.key: layer for layer in layers_if_any(Location(store, self.tag))}
            joined = [layer for _, layer in sorted({**others, **self._layers}.items())]
            config = BytesBlob(_config(joined), "the record's config")
            store.write_blob(config)
            layers = tuple(layer.descriptor for layer in joined)
            manifest = Manifest(2, config.described_as(media.OCI_CONFIG), layers, media.OCI_MANIFEST)
            content = manifests.encode(manifest)
            self._digest = store.write_manifest(content, media.OCI_MANIFEST, self.tag)
            self._has_news = False
            self._listener(RecordWritten(self.tag, len(joined)))
        except Interrupted:
            raise
        except ModelcarError as error:
            # The network may be back by the next time; a refusal won't change.
            self._refused = isinstance(error, Refused | Denied)
            self._listener(Warned(f"no record of the unfinished build is kept: {error.what}"))


def _config(layers: list[ModelLayer]) -> bytes:
    execution = Execution(labels={"quay.expires-after": "2d"})
    diff_ids = RootFS("layers", tuple(layer.diff_id for layer in layers))
    history = tuple(History(comment=layer.comment) for layer in layers)
    return configs.encode(Config("amd64", "linux", diff_ids, execution, history=history))

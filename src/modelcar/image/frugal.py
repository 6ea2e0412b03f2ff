"""A store that is asked as little as can be: what `check` looks through."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from io import BytesIO

from modelcar.errors import ContentMismatch
from modelcar.http import PIECE
from modelcar.image.blobfile import TooDeep
from modelcar.oci import Descriptor, Digest, digest_of
from modelcar.stores import ReadableStore, Reader, StoredManifest

SMALL = 4 * 1024**2
"""Bytes of a layer that is fetched at once, rather than in parts: less than what the round trips would take."""

HELD = 32 * 1024**2
"""Bytes of such layers that are kept."""


class FrugalStore:
    """Another store, with few requests: each manifest once, small layers whole, and a limit to the parts of others.

    What a tag names stays the same for as long as this is used, whoever moves it meanwhile.

    Args:
        store: The other one.
        parts: How many parts of layers may be asked for, until `lift`; None for any number.
    """

    def __init__(self, store: ReadableStore, parts: int | None = None) -> None:
        self._store = store
        self._left = parts
        self._lock = threading.Lock()
        self._manifests: dict[str, StoredManifest] = {}
        self._small: dict[Digest, int] = {}
        self._held: dict[Digest, bytes] = {}

    @property
    def name(self) -> str:
        """See `ReadableStore`."""
        return self._store.name

    @property
    def is_path(self) -> bool:
        """See `ReadableStore`."""
        return self._store.is_path

    @property
    def has_ranges(self) -> bool:
        """See `ReadableStore`."""
        return self._store.has_ranges

    def know(self, layers: Iterable[Descriptor]) -> None:
        """Be told the sizes of layers, to see which are small."""
        self._small |= {layer.digest: layer.size for layer in layers if layer.size <= SMALL}

    def lift(self) -> None:
        """Grant any number of parts from now on."""
        with self._lock:
            self._left = None

    def has_read(self, version: str) -> bool:
        """Whether a manifest is known to be there."""
        with self._lock:
            return version in self._manifests

    def resolve(self, version: str) -> Descriptor:
        """See `ReadableStore.resolve`."""
        stored = self.manifest(version)
        return Descriptor(stored.media_type, stored.digest, len(stored.content))

    def manifest(self, version: str) -> StoredManifest:
        """See `ReadableStore.manifest`."""
        with self._lock:
            found = self._manifests.get(version)
        if found is None:
            found = self._store.manifest(version)
            with self._lock:
                self._manifests |= {version: found, found.digest: found}
        return found

    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""
        return self._store.has_blob(digest)

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`.

        Raises:
            TooDeep: It is a part, and no more are granted.
            ContentMismatch: A layer that was fetched as a whole is another than its digest says.
        """
        if (content := self._whole(digest)) is not None:
            return BytesIO(content[offset:][:length])
        if length is None and not offset:
            return self._store.open_blob(digest)
        with self._lock:
            if self._left is not None:
                if not self._left:
                    raise TooDeep("no more parts of layers are asked for")
                self._left -= 1
        return self._store.open_blob(digest, offset, length)

    def tags(self) -> list[str]:
        """See `ReadableStore.tags`."""
        return self._store.tags()

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...] | None:
        """See `ReadableStore.referrers`."""
        return self._store.referrers(digest)

    def _whole(self, digest: Digest) -> bytes | None:
        """A small layer, if it is one and may be kept."""
        with self._lock:
            size = self._small.get(digest)
            if digest in self._held:
                return self._held[digest]
            if size is None or sum(map(len, self._held.values())) + size > HELD:
                return None
        content = b""
        with closing(self._store.open_blob(digest)) as reader:
            while len(content) <= size and (piece := reader.read(PIECE)):
                content += piece
        if digest.startswith("sha256:") and digest_of(content) != digest:
            raise ContentMismatch(f"the layer {digest} of {self.name} has other bytes than its digest says")
        with self._lock:
            self._held[digest] = content
        return content

"""Layers that exist already: found by their keys in earlier images, in a record, and in this machine's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from modelcar.build.plan import KEY, PlannedLayer
from modelcar.errors import Denied, Interrupted, ModelcarError, NetworkError, NotFound
from modelcar.oci import Descriptor, Digest, Index, Manifest
from modelcar.oci.manifest import decode
from modelcar.stores import Location, ReadableStore, Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that should be a layer, and the name of the store that it was seen in."""

    digest: Digest
    size: int
    store: str


Mount = Callable[[Digest, str], bool]


class KnownLayers:
    """Candidates by key, the most likely first."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Candidate]] = {}

    def add(self, key: str, candidate: Candidate) -> None:
        """Take note of a candidate."""
        self._by_key.setdefault(key, []).append(candidate)

    def add_image(self, store: ReadableStore, layers: Iterable[Descriptor]) -> None:
        """Take note of all layers of an image that carry keys."""
        for layer in layers:
            if key := (layer.annotations or {}).get(KEY):
                self.add(key, Candidate(layer.digest, layer.size, store.name))

    def find(self, layer: PlannedLayer, store: Store, mount: Mount | None = None) -> tuple[Descriptor, str] | None:
        """The layer's blob in `store` and how it came there: `reused` or `mounted`; None where it has to be sent.

        Args:
            layer: Which.
            store: The target.
            mount: Takes a blob over from another store; by default that is `store.mount_blob`.

        Raises:
            ModelcarError: As `has_blob` and `mount_blob` do.
        """
        mount = mount or store.mount_blob
        # A key whose blob has another size is no key of ours, whoever wrote it.
        candidates = [c for c in self._by_key.get(layer.key, []) if c.size == layer.size]
        asked: set[Digest] = set()
        for candidate in candidates:
            if candidate.digest not in asked and store.has_blob(candidate.digest):
                return Descriptor("", candidate.digest, candidate.size), "reused"
            asked.add(candidate.digest)
        for candidate in candidates:
            if candidate.store != store.name and mount(candidate.digest, candidate.store):
                return Descriptor("", candidate.digest, candidate.size), "mounted"
        return None


def layers_of(location: Location, version: str | None = None) -> tuple[Descriptor, ...]:
    """The layers of an image; of a multi-platform image those of its first platform, since models share them.

    Raises:
        NotFound: No such image.
        ModelcarError: It can't be read.
    """
    where = str(location)
    stored = location.store.manifest(version or location.version)
    value = decode(stored.content, stored.media_type, where)
    if isinstance(value, Index):
        manifests = [d for d in value.manifests if d.platform is None or d.platform.os != "unknown"]
        if not manifests:
            return ()
        stored = location.store.manifest(manifests[0].digest)
        value = decode(stored.content, stored.media_type, where)
    return value.layers if isinstance(value, Manifest) else ()


def layers_if_any(location: Location, version: str | None = None) -> tuple[Descriptor, ...]:
    """The same, empty where there is no image or what is there can't be understood: then nothing is known."""
    try:
        return layers_of(location, version)
    except NotFound:
        return ()
    except (Denied, NetworkError, Interrupted):
        raise
    except ModelcarError:
        return ()

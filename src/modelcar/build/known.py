"""Layers that exist already: found by their keys in earlier images, in a record, and in this machine's memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelcar.build.assemble import ModelLayer
from modelcar.build.plan import KEY, PlannedLayer
from modelcar.errors import ContentMismatch, Denied, Interrupted, ModelcarError, NetworkError, NotFound
from modelcar.image.head import read_config
from modelcar.oci import Config, Digest, Index, Manifest, StoredLayer, is_digest
from modelcar.oci.manifest import decode
from modelcar.stores import Location, ReadableStore, Store


@dataclass(frozen=True, slots=True)
class Candidate:
    """A blob that should be a layer, and the name of the store that it was seen in."""

    stored: StoredLayer
    store: str

    def may_be(self, layer: PlannedLayer) -> bool:
        """Whether it can be `layer` at all: a key whose blob has another size is no key of ours, whoever wrote it."""
        if layer.compression.kind:
            return self.stored.digest != self.stored.diff_id
        return self.stored.digest == self.stored.diff_id and self.stored.size == layer.size


Mount = Callable[[Digest, str], bool]


class KnownLayers:
    """Candidates by key, the most likely first."""

    def __init__(self) -> None:
        self._by_key: dict[str, list[Candidate]] = {}

    def add(self, key: str, candidate: Candidate) -> None:
        """Take note of a candidate."""
        self._by_key.setdefault(key, []).append(candidate)

    def add_image(self, store: ReadableStore, layers: Iterable[ModelLayer]) -> None:
        """Take note of the model layers of an image."""
        for layer in layers:
            self.add(layer.key, Candidate(layer.stored, store.name))

    def find(self, layer: PlannedLayer, store: Store, mount: Mount | None = None) -> tuple[StoredLayer, str] | None:
        """The layer's blob in `store` and how it came there: `reused` or `mounted`; None where it has to be sent.

        Args:
            layer: Which.
            store: The target.
            mount: Takes a blob over from another store; by default that is `store.mount_blob`.

        Raises:
            ModelcarError: As `has_blob` and `mount_blob` do.
        """
        mount = mount or store.mount_blob
        candidates = [candidate for candidate in self._by_key.get(layer.key, []) if candidate.may_be(layer)]
        asked: set[Digest] = set()
        for candidate in candidates:
            digest = candidate.stored.digest
            if digest not in asked and store.has_blob(digest):
                return candidate.stored, "reused"
            asked.add(digest)
        for candidate in candidates:
            if candidate.store != store.name and mount(candidate.stored.digest, candidate.store):
                return candidate.stored, "mounted"
        return None


def layers_of(location: Location, version: str | None = None) -> tuple[ModelLayer, ...]:
    """The model layers of an image of ours; of a multi-platform image those of its first platform: all share them.

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
    return model_layers(value, read_config(location.store, value.config)) if isinstance(value, Manifest) else ()


def model_layers(manifest: Manifest, config: Config) -> tuple[ModelLayer, ...]:
    """The layers whose keys the config's history tells, or else their annotations, and that are still what they were.

    Raises:
        ContentMismatch: Manifest and config don't agree on the number of layers.
    """
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise ContentMismatch(f"the manifest has {len(manifest.layers)} layers and its config {len(diff_ids)}")
    comments = [entry.comment for entry in config.history or () if not entry.empty_layer]
    if len(comments) != len(diff_ids):
        comments = [""] * len(diff_ids)
    found = []
    for descriptor, diff_id, comment in zip(manifest.layers, diff_ids, comments, strict=True):
        told = _COMMENT.fullmatch(comment)
        key = told[1] if told else (descriptor.annotations or {}).get(KEY)
        written = told[2] if told and told[2] else diff_id
        # Tools that copy images may compress layers, or compress them anew: that blob isn't the one the key is of.
        if key and is_digest(written) and descriptor.digest == written and is_digest(diff_id):
            found.append(ModelLayer(descriptor, diff_id, key))
    return tuple(found)


def may_hold(there: Sequence[ModelLayer], layers: Sequence[PlannedLayer]) -> bool:
    """Whether an image's model layers, in their order, can be those of a plan that knows no digests yet."""
    return len(there) == len(layers) and all(
        Candidate(mine.stored, "").may_be(layer) for mine, layer in zip(there, layers, strict=True)
    )


_COMMENT = re.compile(r"([0-9a-f]{64})(?: (\S+))?")


def layers_if_any(location: Location, version: str | None = None) -> tuple[ModelLayer, ...]:
    """The same, empty where there is no image or what is there can't be understood: then nothing is known."""
    try:
        return layers_of(location, version)
    except NotFound:
        return ()
    except (Denied, NetworkError, Interrupted):
        raise
    except ModelcarError:
        return ()

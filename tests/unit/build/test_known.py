"""Layers that exist already: which of them are believed, and where they are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from modelcar.build.assemble import ModelLayer, model_layer
from modelcar.build.compression import parse_compression
from modelcar.build.known import Candidate, KnownLayers, layers_if_any, layers_of
from modelcar.build.plan import PlannedLayer
from modelcar.errors import Denied, Interrupted, ModelcarError, NetworkError, NotFound
from modelcar.oci import (
    Config,
    Descriptor,
    Digest,
    History,
    Index,
    Manifest,
    Platform,
    RootFS,
    StoredLayer,
    digest_of,
    media,
)
from modelcar.oci import config as configs
from modelcar.oci.manifest import encode
from modelcar.sources import SourceFile
from modelcar.stores import Location, StoredManifest
from tests.doubles.in_memory import MemoryStore, put_blob

LAYER = PlannedLayer((SourceFile("a.safetensors", 5, "sha256:1"),))
CONTENT = bytes(LAYER.size)
HERE = digest_of(CONTENT)
AWAY = Digest("sha256:" + "0b" * 32)


def plain(digest: Digest, size: int = LAYER.size) -> StoredLayer:
    return StoredLayer(digest, size, digest)


def stored(*names: Digest) -> MemoryStore:
    return MemoryStore("quay.io/a", blobs=dict.fromkeys(names, CONTENT), mountable={"quay.io/b": {AWAY}})


def known(*candidates: Candidate) -> KnownLayers:
    layers = KnownLayers()
    for candidate in candidates:
        layers.add(LAYER.key, candidate)
    return layers


def test_a_blob_that_is_there_is_used_again() -> None:
    layers = known(Candidate(plain(AWAY), "quay.io/a"), Candidate(plain(HERE), "quay.io/a"))
    assert layers.find(LAYER, stored(HERE)) == (plain(HERE), "reused")


def test_a_blob_of_another_repository_is_mounted() -> None:
    layers = known(Candidate(plain(AWAY), "quay.io/b"))
    assert layers.find(LAYER, stored()) == (plain(AWAY), "mounted")


def test_being_there_comes_before_mounting() -> None:
    layers = known(Candidate(plain(AWAY), "quay.io/b"), Candidate(plain(HERE), "quay.io/b"))
    assert layers.find(LAYER, stored(HERE)) == (plain(HERE), "reused")


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(plain(HERE, LAYER.size + 512), "quay.io/a"),
        Candidate(plain(AWAY), "quay.io/a"),
        Candidate(plain(AWAY), "ghcr.io/b"),
    ],
    ids=["another size", "gone", "not to be mounted"],
)
def test_what_is_not_believed(candidate: Candidate) -> None:
    assert known(candidate).find(LAYER, stored(HERE)) is None


def test_another_layer_s_key_is_another_layer() -> None:
    other = PlannedLayer((replace(LAYER.files[0], digest="sha256:2"),))
    assert known(Candidate(plain(HERE), "quay.io/a")).find(other, stored(HERE)) is None


def test_each_blob_is_asked_for_once() -> None:
    store = stored()
    assert known(*[Candidate(plain(HERE), f"quay.io/{name}") for name in "abc"]).find(LAYER, store) is None
    assert store.asked == [HERE]


GZIPPED = PlannedLayer(LAYER.files, parse_compression("gzip"))
PACKED = StoredLayer(HERE, 70, AWAY)


def test_a_compressed_layer_and_a_plain_one_are_not_taken_for_each_other() -> None:
    layers = KnownLayers()
    for layer in (LAYER, GZIPPED):
        layers.add(layer.key, Candidate(PACKED, "quay.io/a"))
        layers.add(layer.key, Candidate(plain(AWAY), "quay.io/a"))
    assert LAYER.key != GZIPPED.key
    assert layers.find(GZIPPED, stored(HERE, AWAY)) == (PACKED, "reused")
    assert layers.find(LAYER, stored(HERE, AWAY)) == (plain(AWAY), "reused")


def image(store: MemoryStore, *layers: ModelLayer, base: int = 0, comments: Sequence[str] | None = None) -> Descriptor:
    """An image with layers of a base under the model's, whose history has `comments` if they are given."""
    under = [Descriptor(media.OCI_LAYER_GZIP, digest_of(b"%d" % n), 9) for n in range(base)]
    told = [History(created_by="base")] * base + [History(comment="ENV", empty_layer=True)] * bool(base)
    told += [History(comment=text) for text in comments or [layer.comment for layer in layers]]
    diff_ids = RootFS("layers", (*(digest_of(d.digest.encode()) for d in under), *(x.diff_id for x in layers)))
    config = put_blob(store, configs.encode(Config("amd64", "linux", diff_ids, history=tuple(told))), media.OCI_CONFIG)
    content = encode(Manifest(2, config, (*under, *(layer.descriptor for layer in layers)), media.OCI_MANIFEST))
    digest = store.write_manifest(content, media.OCI_MANIFEST, "one")
    return Descriptor(media.OCI_MANIFEST, digest, len(content))


def without_annotations(layer: ModelLayer, media_type: str) -> ModelLayer:
    """As an image of Docker's format has it."""
    return replace(layer, descriptor=Descriptor(media_type, layer.descriptor.digest, layer.descriptor.size))


@pytest.mark.parametrize(
    ("base", "layer", "blob"), [(0, LAYER, plain(HERE)), (2, LAYER, plain(HERE)), (2, GZIPPED, PACKED)]
)
def test_the_keys_of_an_image(base: int, layer: PlannedLayer, blob: StoredLayer) -> None:
    store = stored(HERE)
    image(store, model_layer(layer, blob), base=base)
    layers = KnownLayers()
    layers.add_image(store, layers_of(Location(store, "one")))
    assert layers.find(layer, store) == (blob, "reused")


@pytest.mark.parametrize(
    ("layer", "blob", "media_type"),
    [(LAYER, plain(HERE), media.DOCKER_LAYER), (GZIPPED, PACKED, media.DOCKER_LAYER_GZIP)],
    ids=["plain", "gzip"],
)
def test_without_annotations_the_history_tells_the_keys(
    layer: PlannedLayer, blob: StoredLayer, media_type: str
) -> None:
    store = stored(HERE)
    image(store, without_annotations(model_layer(layer, blob), media_type), base=1)
    (found,) = layers_of(Location(store, "one"))
    assert (found.key, found.stored) == (layer.key, blob)


def test_without_a_history_the_annotations_of_plain_layers_tell_them() -> None:
    store = stored(HERE)
    image(store, model_layer(LAYER, plain(HERE)), comments=["written by hand"])
    (found,) = layers_of(Location(store, "one"))
    assert (found.key, found.stored) == (LAYER.key, plain(HERE))


def test_a_blob_that_was_compressed_on_the_way_is_not_the_key_s() -> None:
    """As `skopeo copy` may do: the history stays, and the blob is another one."""
    store = stored()
    again = digest_of(b"compressed by somebody else")
    layers = [model_layer(LAYER, plain(HERE)), model_layer(GZIPPED, PACKED)]
    changed = [replace(x, descriptor=Descriptor(media.OCI_LAYER_GZIP, again, 71)) for x in layers]
    image(store, *changed, comments=[layer.comment for layer in layers])
    assert layers_of(Location(store, "one")) == ()


def test_layers_of_an_image_for_several_platforms() -> None:
    """Attestations lie beside the platforms in an index, and aren't images."""
    store = MemoryStore()
    layer = model_layer(LAYER, plain(HERE))
    first = replace_platform(image(store, layer), Platform("amd64", "linux"))
    attestation = replace_platform(image(store), Platform("unknown", "unknown"))
    store.write_manifest(encode(Index(2, (attestation, first), media.OCI_INDEX)), media.OCI_INDEX, "all")
    store.write_manifest(encode(Index(2, (attestation,), media.OCI_INDEX)), media.OCI_INDEX, "none")
    expected = (replace(layer, title=""),)
    assert layers_of(Location(store, "all")) == expected
    assert layers_of(Location(store, "one"), first.digest) == expected
    assert layers_of(Location(store, "none")) == ()


def test_an_image_whose_config_has_other_layers_teaches_nothing() -> None:
    store = stored(HERE)
    config = put_blob(store, configs.encode(Config("amd64", "linux", RootFS("layers", ()))), media.OCI_CONFIG)
    layer = model_layer(LAYER, plain(HERE)).descriptor
    store.write_manifest(encode(Manifest(2, config, (layer,), media.OCI_MANIFEST)), media.OCI_MANIFEST, "one")
    assert layers_if_any(Location(store, "one")) == ()


def replace_platform(descriptor: Descriptor, platform: Platform) -> Descriptor:
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, platform)


def test_no_image_and_one_that_can_not_be_understood_teach_nothing() -> None:
    store = MemoryStore()
    garbage = StoredManifest(b"garbage", media.OCI_MANIFEST, HERE)
    schema_1 = StoredManifest(b'{"schemaVersion": 1}', "", HERE)
    store.manifests |= {"garbage": garbage, "old": schema_1}
    assert [layers_if_any(Location(store, tag)) for tag in ("gone", "garbage", "old")] == [(), (), ()]
    with pytest.raises(NotFound):
        layers_of(Location(store, "gone"))


class Closed(MemoryStore):
    error: ModelcarError

    def manifest(self, version: str) -> StoredManifest:
        raise self.error


@pytest.mark.parametrize("error", [Denied("no right to read"), NetworkError("gone"), Interrupted("stopped")])
def test_an_image_that_could_not_be_asked_for_is_no_empty_cache(error: ModelcarError) -> None:
    store = Closed()
    store.error = error
    with pytest.raises(type(error)):
        layers_if_any(Location(store, "x"))

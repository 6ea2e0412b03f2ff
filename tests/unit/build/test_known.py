"""Layers that exist already: which of them are believed, and where they are looked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelcar.build.assemble import model_layer
from modelcar.build.known import Candidate, KnownLayers, layers_if_any, layers_of
from modelcar.build.plan import PlannedLayer
from modelcar.errors import Denied, Interrupted, ModelcarError, NetworkError, NotFound
from modelcar.oci import Descriptor, Digest, Index, Manifest, Platform, digest_of, media
from modelcar.oci.manifest import encode
from modelcar.sources import SourceFile
from modelcar.stores import Location, StoredManifest
from tests.doubles.in_memory import MemoryStore, put_blob

LAYER = PlannedLayer((SourceFile("a.safetensors", 5, "sha256:1"),))
CONTENT = bytes(LAYER.size)
HERE = digest_of(CONTENT)
AWAY = Digest("sha256:" + "0b" * 32)


def stored(*names: Digest) -> MemoryStore:
    return MemoryStore("quay.io/a", blobs=dict.fromkeys(names, CONTENT), mountable={"quay.io/b": {AWAY}})


def known(*candidates: Candidate) -> KnownLayers:
    layers = KnownLayers()
    for candidate in candidates:
        layers.add(LAYER.key, candidate)
    return layers


def test_a_blob_that_is_there_is_used_again() -> None:
    layers = known(Candidate(AWAY, LAYER.size, "quay.io/a"), Candidate(HERE, LAYER.size, "quay.io/a"))
    assert layers.find(LAYER, stored(HERE)) == (Descriptor("", HERE, LAYER.size), "reused")


def test_a_blob_of_another_repository_is_mounted() -> None:
    layers = known(Candidate(AWAY, LAYER.size, "quay.io/b"))
    assert layers.find(LAYER, stored()) == (Descriptor("", AWAY, LAYER.size), "mounted")


def test_being_there_comes_before_mounting() -> None:
    layers = known(Candidate(AWAY, LAYER.size, "quay.io/b"), Candidate(HERE, LAYER.size, "quay.io/b"))
    assert layers.find(LAYER, stored(HERE)) == (Descriptor("", HERE, LAYER.size), "reused")


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(HERE, LAYER.size + 512, "quay.io/a"),
        Candidate(AWAY, LAYER.size, "quay.io/a"),
        Candidate(AWAY, LAYER.size, "ghcr.io/b"),
    ],
    ids=["another size", "gone", "not to be mounted"],
)
def test_what_is_not_believed(candidate: Candidate) -> None:
    assert known(candidate).find(LAYER, stored(HERE)) is None


def test_another_layer_s_key_is_another_layer() -> None:
    other = PlannedLayer((replace(LAYER.files[0], digest="sha256:2"),))
    assert known(Candidate(HERE, LAYER.size, "quay.io/a")).find(other, stored(HERE)) is None


def test_each_blob_is_asked_for_once() -> None:
    store = stored()
    assert known(*[Candidate(HERE, LAYER.size, f"quay.io/{name}") for name in "abc"]).find(LAYER, store) is None
    assert store.asked == [HERE]


def test_the_keys_of_an_image() -> None:
    store = stored(HERE)
    layers = KnownLayers()
    described = model_layer(Descriptor("", HERE, LAYER.size), LAYER.key, LAYER.path, LAYER.title).descriptor
    layers.add_image(store, [Descriptor(media.OCI_LAYER, AWAY, 1), described])
    assert layers.find(LAYER, store) == (Descriptor("", HERE, LAYER.size), "reused")


def image(store: MemoryStore, *layers: Descriptor) -> Descriptor:
    content = encode(Manifest(2, put_blob(store, b"{}", media.OCI_CONFIG), layers, media.OCI_MANIFEST))
    digest = store.write_manifest(content, media.OCI_MANIFEST, "one")
    return Descriptor(media.OCI_MANIFEST, digest, len(content))


def test_layers_of_an_image_for_several_platforms() -> None:
    """Attestations lie beside the platforms in an index, and aren't images."""
    store = MemoryStore()
    layer = Descriptor(media.OCI_LAYER, HERE, 5)
    first = replace_platform(image(store, layer), Platform("amd64", "linux"))
    attestation = replace_platform(image(store), Platform("unknown", "unknown"))
    store.write_manifest(encode(Index(2, (attestation, first), media.OCI_INDEX)), media.OCI_INDEX, "all")
    store.write_manifest(encode(Index(2, (attestation,), media.OCI_INDEX)), media.OCI_INDEX, "none")
    assert layers_of(Location(store, "all")) == (layer,)
    assert layers_of(Location(store, "one"), first.digest) == (layer,)
    assert layers_of(Location(store, "none")) == ()


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

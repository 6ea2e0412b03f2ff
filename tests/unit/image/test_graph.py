"""All that an image consists of, found from its index."""

from __future__ import annotations

import pytest

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.image.graph import Graph, read_graph
from modelcar.oci import Descriptor, Digest, Index, Manifest, digest_of, media
from modelcar.oci.manifest import describe, encode
from tests.doubles.in_memory import MemoryStore, put_image


def graph_of(store: MemoryStore, version: str = "1") -> Graph:
    return read_graph(store, store.manifest(version))


def put_index(store: MemoryStore, *children: Descriptor, tag: str = "1") -> Descriptor:
    """An index of these manifests."""
    descriptor, content = describe(Index(2, children, media.OCI_INDEX))
    store.write_manifest(content, media.OCI_INDEX, tag)
    return descriptor


def put_manifest(store: MemoryStore, layer: bytes) -> Descriptor:
    location = put_image(store, layer, tag=f"of-{digest_of(layer)[7:19]}")
    return store.resolve(location.tag)


def test_manifests_come_after_those_that_they_name_and_blobs_once() -> None:
    store = MemoryStore()
    one, two = put_manifest(store, b"one"), put_manifest(store, b"two")
    inner = put_index(store, one, two, tag="inner")
    put_index(store, inner, one)
    graph = graph_of(store)
    order = [node.digest for node in graph.nodes]
    assert len(order) == len(set(order)) == 4
    assert order.index(one.digest) < order.index(inner.digest) < order.index(graph.root.digest) == 3
    assert len(graph.blobs) == 4  # two layers, two configs


def test_a_manifest_that_is_not_there() -> None:
    store = MemoryStore()
    put_index(store, Descriptor(media.OCI_MANIFEST, Digest(f"sha256:{'0' * 64}"), 3))
    with pytest.raises(NotFound, match="that is not there"):
        graph_of(store)


def test_a_manifest_of_another_size() -> None:
    store = MemoryStore()
    one = put_manifest(store, b"one")
    put_index(store, Descriptor(media.OCI_MANIFEST, one.digest, one.size + 1))
    with pytest.raises(ContentMismatch, match="bytes, and it has"):
        graph_of(store)


def test_indexes_in_each_other_end_somewhere() -> None:
    store = MemoryStore()
    inner = put_manifest(store, b"one")
    for depth in range(20):
        inner = put_index(store, inner, tag=f"deep-{depth}")
    assert len(graph_of(store, "deep-7").nodes) == 9
    with pytest.raises(Refused, match="deeper"):
        graph_of(store, "deep-8")


def test_what_lists_say_of_an_artifact() -> None:
    store = MemoryStore()
    image = store.resolve(put_image(store, b"one").tag)
    config = Descriptor("application/x-kind", Digest(f"sha256:{'1' * 64}"), 2)
    for kind, expected in (("", "application/x-kind"), ("application/x-type", "application/x-type")):
        manifest = Manifest(2, config, (), media.OCI_MANIFEST, {"a": "b"}, kind, image)
        store.write_manifest(encode(manifest), media.OCI_MANIFEST, "artifact")
        described = graph_of(store, "artifact").root.descriptor
        assert (described.artifact_type, described.annotations) == (expected, {"a": "b"})
        assert described.size == len(encode(manifest))

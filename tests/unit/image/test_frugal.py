"""A store that is asked as little as can be, and what an image shows through it."""

from __future__ import annotations

import gzip
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest

from modelcar.errors import ContentMismatch
from modelcar.image.blobfile import TooDeep
from modelcar.image.frugal import SMALL, FrugalStore
from modelcar.image.head import read_head
from modelcar.image.lookup import ImageFiles
from modelcar.image.tree import ImageTree
from modelcar.oci import Descriptor, Manifest, digest_of, media
from modelcar.oci.manifest import decode, encode
from modelcar.stores import Location, Store
from tests.doubles.in_memory import MemoryStore, put_blob, put_image
from tests.unit.image.tars import file, tar


class Counting(MemoryStore):
    """Remembers what it was asked for."""

    has_ranges = True

    def __init__(self) -> None:
        super().__init__()
        self.parts_asked: list[tuple[str, int, int | None]] = []
        self.manifests_asked: list[str] = []

    def open_blob(self, digest: Any, offset: int = 0, length: int | None = None) -> Any:
        self.parts_asked.append((digest, offset, length))
        return super().open_blob(digest, offset, length)

    def manifest(self, version: str) -> Any:
        self.manifests_asked.append(version)
        return super().manifest(version)


LARGE = bytes(SMALL + 1)


def read(store: FrugalStore, digest: Any, offset: int = 0, length: int | None = None) -> bytes:
    with closing(store.open_blob(digest, offset, length)) as reader:
        return reader.read(2 * SMALL)


def test_a_small_layer_is_fetched_once_and_a_large_one_in_parts() -> None:
    store = Counting()
    small, large = put_blob(store, b"0123456789", media.OCI_LAYER), put_blob(store, LARGE, media.OCI_LAYER)
    frugal = FrugalStore(store)
    frugal.know([small, large])
    assert read(frugal, small.digest, 2, 3) == b"234"
    assert read(frugal, small.digest, 8, 9) == b"89"
    assert read(frugal, small.digest) == b"0123456789"
    assert store.parts_asked == [(small.digest, 0, None)]
    assert read(frugal, large.digest, 1, 2) == b"\0\0"
    assert store.parts_asked[1:] == [(large.digest, 1, 2)]


def test_what_is_not_known_to_be_small_is_not_fetched_whole() -> None:
    store = Counting()
    config = put_blob(store, b"{}", media.OCI_CONFIG)
    assert read(FrugalStore(store), config.digest, 0, 1) == b"{"
    assert store.parts_asked == [(config.digest, 0, 1)]


def test_no_more_parts_than_granted_until_that_is_lifted() -> None:
    store = Counting()
    large = put_blob(store, LARGE, media.OCI_LAYER)
    frugal = FrugalStore(store, 2)
    frugal.know([large])
    for offset in (0, 1):
        read(frugal, large.digest, offset, 1)
    with pytest.raises(TooDeep):
        read(frugal, large.digest, 2, 1)
    frugal.lift()
    assert read(frugal, large.digest, 2, 1) == b"\0"


def test_a_small_layer_with_other_bytes() -> None:
    store = Counting()
    digest = digest_of(b"true")
    store.blobs[digest] = b"lies"
    frugal = FrugalStore(store)
    frugal.know([Descriptor(media.OCI_LAYER, digest, 4)])
    with pytest.raises(ContentMismatch, match="other bytes"):
        read(frugal, digest)


def test_a_tag_stays_what_it_was() -> None:
    store = Counting()
    put_image(store, tar(file("models/a", b"x")))
    frugal = FrugalStore(store)
    first = frugal.manifest("1").digest
    put_image(store, tar(file("models/b", b"x")))
    assert frugal.resolve("1").digest == first
    assert frugal.manifest(first).digest == first
    assert store.manifests_asked == ["1"]


# What an image shows


def outlined(location: Location, depth: int = 1_000_000) -> tuple[ImageTree, Counting]:
    store = cast(Counting, location.store)
    frugal = FrugalStore(store)
    head = read_head(replace(location, store=cast(Store, frugal)))
    frugal.know(head.manifest.layers)
    store.parts_asked.clear()
    return ImageFiles(head, depth=depth).outline(), store


def annotated(store: Counting, tag: str) -> Location:
    """The same image with the annotations of our own layers, for those that hold one file."""
    stored = store.manifest(tag)
    manifest = decode(stored.content, stored.media_type, tag)
    assert isinstance(manifest, Manifest)
    layers = tuple(
        Descriptor(
            layer.media_type,
            layer.digest,
            layer.size,
            annotations={"modelcar.key": "sha256:0", "modelcar.path": f"{number}.bin"},
        )
        for number, layer in enumerate(manifest.layers)
    )
    changed = Manifest(2, manifest.config, layers, media.OCI_MANIFEST)
    store.write_manifest(encode(changed), media.OCI_MANIFEST, tag)
    return Location(store, tag)


def test_layers_of_ours_are_not_read_until_a_file_is_wanted() -> None:
    store = Counting()
    put_image(store, *(tar(file(f"models/{number}.bin", LARGE)) for number in range(3)))
    tree, _ = outlined(annotated(store, "1"))
    assert {path: entry.size for path, entry in tree.files().items()} == {f"models/{n}.bin": -1 for n in range(3)}
    assert store.parts_asked == []
    image = ImageFiles(read_head(Location(store, "1")))
    image.outline()
    store.parts_asked.clear()
    assert image.find("1.bin").size == len(LARGE)
    assert len({digest for digest, _, _ in store.parts_asked}) == 1


def test_layers_that_are_no_tar_and_those_cut_off_say_so() -> None:
    noise = gzip.compress(tar(file("models/a", b"x"), file("models/noise", bytes(range(256)) * 20_000)), 0)
    location = put_image(Counting(), ("application/x-other", b"x"), (media.OCI_LAYER_GZIP, noise))
    tree, _ = outlined(location)
    assert [known.is_whole for known in tree.layers] == [False, False]
    assert "models/a" in tree.files()


def test_a_base_is_read_to_its_end_and_what_stands_on_it_is_not() -> None:
    large = gzip.compress(tar(file("usr/noise", bytes(range(256)) * 20_000), file("bin/sh")), 0)
    location = put_image(Counting(), (media.OCI_LAYER_GZIP, large), (media.OCI_LAYER_GZIP, large))
    tree, _ = outlined(location)
    assert [known.is_whole for known in tree.layers] == [True, False]


def test_two_blocks_after_a_file_are_the_end_of_a_layer() -> None:
    padded = tar(file("models/a", LARGE))  # as Python pads it, to 20 blocks
    end = 512 + -(-len(LARGE) // 512) * 512 + 2 * 512
    for layer, requests in ((padded, 2), (padded[:end], 1)):  # the other is as Go ends it
        tree, store = outlined(put_image(Counting(), layer))
        assert "models/a" in tree.files()
        assert len(store.parts_asked) == requests

"""Files held against each other by what is known of them."""

from __future__ import annotations

import pytest

from modelcar.errors import ContentMismatch
from modelcar.image.diff import GIT, KEY, LAYER, LONE_KEY, SHA256, TAR, FileChange, FileView, compare, fetched, views_of
from modelcar.image.tree import read_tree
from modelcar.oci import Config, Manifest, RootFS, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import encode
from modelcar.stores import Location
from tests.doubles.in_memory import MemoryStore, put_blob, put_image
from tests.unit.image.tars import file, tar


def unread(path: str) -> bool | None:
    raise AssertionError(f"{path} was read")


def changed(old: FileView | None, new: FileView | None, read: bool | None = None) -> list[FileChange]:
    before, after = {"a": old} if old else {}, {"a": new} if new else {}
    return list(compare(before, after, lambda _: read).changes)


def test_added_removed_and_of_another_size() -> None:
    one, two = FileView(1), FileView(2)
    assert changed(None, one) == [FileChange("a", "added", None, 1)]
    assert changed(one, None) == [FileChange("a", "removed", 1, None)]
    assert changed(one, two) == [FileChange("a", "changed", 1, 2, "size")]


def test_what_was_not_seen_is_neither_added_nor_removed() -> None:
    one = FileView(1)
    added = compare({}, {"a": one}, unread, whole=(False, True))
    assert added.changes == (FileChange("a", "not compared", None, 1),)
    removed = compare({"a": one}, {}, unread, whole=(True, False))
    assert removed.changes == (FileChange("a", "not compared", 1, None),)
    assert compare({"a": one}, {}, unread, whole=(False, True)).of_kind("removed")


@pytest.mark.parametrize("kind", [LAYER, KEY, TAR, LONE_KEY, SHA256, GIT])
def test_any_mark_that_both_have_shows_that_a_file_is_the_same(kind: str) -> None:
    found = compare({"a": FileView(1, {kind: "x"})}, {"a": FileView(1, {kind: "x", "other": "y"})}, unread)
    assert (found.changes, found.same) == ((), {kind: 1})


@pytest.mark.parametrize("kind", [TAR, LONE_KEY, SHA256, GIT])
def test_some_marks_show_that_it_changed(kind: str) -> None:
    old, new = FileView(1, {kind: "x", KEY: "k"}), FileView(1, {kind: "y", KEY: "l"})
    assert compare({"a": old}, {"a": new}, unread).changes == (FileChange("a", "changed", 1, 1, kind),)


def test_a_shared_mark_counts_more_than_one_that_differs() -> None:
    """The layer's digest may differ where a layer was compressed anew; a key that both have is the same bytes."""
    old, new = FileView(1, {TAR: "x", KEY: "k"}), FileView(1, {TAR: "y", KEY: "k"})
    assert compare({"a": old}, {"a": new}, unread).same == {KEY: 1}


@pytest.mark.parametrize("kind", [LAYER, KEY])
def test_another_place_tells_nothing(kind: str) -> None:
    """The same file may lie in another layer, or beside another neighbour: then it is read, if it can be."""
    old, new = FileView(1, {kind: "x"}), FileView(1, {kind: "y"})
    assert changed(old, new, read=True) == []
    assert changed(old, new, read=False) == [FileChange("a", "changed", 1, 1, "content")]
    assert changed(old, new, read=None) == [FileChange("a", "not compared", 1, 1)]


def test_marks_of_an_image() -> None:
    alone, shared = tar(file("models/w", b"w" * 9)), tar(file("models/a"), file("models/b"))
    other = tar(file("models/other", b"x"))
    tree = read_tree(put_image(MemoryStore(), alone, shared, other))
    digests = [known.descriptor.digest for known in tree.layers]
    entries = {path.removeprefix("models/"): entry for path, entry in tree.files().items() if entry.kind == "file"}
    views = views_of(tree, entries, {digests[0]: "k" * 64, digests[1]: "l" * 64})
    assert views["w"].marks == {
        LAYER: f"{digests[0]}@512",
        KEY: f"{'k' * 64}/models/w",
        TAR: digests[0],
        LONE_KEY: "k" * 64,
    }
    assert views["b"].marks == {LAYER: f"{digests[1]}@1024", KEY: f"{'l' * 64}/models/b"}
    assert views["other"].marks == {LAYER: f"{digests[2]}@512"}


def test_a_node_fetches_the_layers_that_it_has_not() -> None:
    one, two, three = (tar(file(f"models/{name}", name.encode())) for name in ("a", "bb", "ccc"))
    old = read_tree(put_image(MemoryStore(), one, two))
    new = read_tree(put_image(MemoryStore(), one, three, three))
    missing = fetched(old, new)
    assert (missing.layers, missing.size) == (1, len(three))
    assert (missing.of_layers, missing.of_size) == (2, len(one) + len(three))


def test_a_config_that_knows_of_other_layers_than_the_manifest() -> None:
    store = MemoryStore()
    layer = put_blob(store, tar(file("models/a")), media.OCI_LAYER)
    config = put_blob(store, configs.encode(Config("amd64", "linux", RootFS("layers", ()))), media.OCI_CONFIG)
    store.write_manifest(encode(Manifest(2, config, (layer,), media.OCI_MANIFEST)), media.OCI_MANIFEST, "1")
    with pytest.raises(ContentMismatch, match="1 layers and its config 0"):
        views_of(read_tree(Location(store, "1")), {}, {})

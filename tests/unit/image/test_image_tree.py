"""What a container sees of an image's layers, whoever made them."""

from __future__ import annotations

import tarfile
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, NotFound
from modelcar.image.tree import ImageTree, read_tree
from modelcar.oci import Config, Descriptor, Index, Manifest, Platform, RootFS, media, parse_platform
from modelcar.oci import config as configs
from modelcar.oci.manifest import encode
from modelcar.stores import Location
from tests.doubles.content import PIECE
from tests.doubles.in_memory import MemoryStore, put_blob, put_image
from tests.unit.image.tars import COMPRESSIONS, Layer, file, folder, hard, link, tar


def tree_of(*layers: Layer) -> ImageTree:
    return read_tree(put_image(MemoryStore(), *layers))


def seen(*layers: Layer) -> dict[str, int]:
    """Each path that a container sees, with the layer that it comes from."""
    return {path: entry.layer for path, entry in tree_of(*layers).files().items()}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_entries_of_a_layer(compress: Any, format: int) -> None:
    long = "models/" + "é" * 150
    made = tar(
        folder("./models"),
        file("./models/a", b"x" * 700),
        file("/models/" + "b" * 50, b"y" * (2 * PIECE)),
        file(long, b"z"),
        link("models/link", "a"),
        hard("models/hard", "./models/a"),
        link("dev", "", tarfile.FIFOTYPE),
        format=format,
    )
    (layer,) = tree_of(compress(made)).layers
    found = [(entry.path, entry.kind, entry.size) for entry in layer.files]
    assert found == [
        ("models", "folder", 0),
        ("models/a", "file", 700),
        ("models/" + "b" * 50, "file", 2 * PIECE),
        (long, "file", 1),
        ("models/link", "symlink", 0),
        ("models/hard", "hardlink", 0),
        ("dev", "other", 0),
    ]
    for entry, byte in zip(layer.files[1:4], b"xyz", strict=True):
        assert made[entry.offset] == made[entry.offset + entry.size - 1] == byte


def test_of_a_plain_layer_only_the_headers_are_read() -> None:
    """That is why layers are plain: the list of a 20 GiB model costs a few KB."""
    store = Counting()
    location = put_image(store, tar(*[file(f"models/{number}", bytes(5 * PIECE)) for number in range(4)]))
    assert len(read_tree(location).files()) == 4
    assert store.read < PIECE


class Counting(MemoryStore):
    """Counts the bytes that are read of blobs."""

    read = 0

    def open_blob(self, digest: Any, offset: int = 0, length: int | None = None) -> Any:
        opened, store = super().open_blob(digest, offset, length), self

        class Reader:
            def read(self, size: int, /) -> bytes:
                piece = opened.read(size)
                store.read += len(piece)
                return piece

            def close(self) -> None:
                opened.close()

        return Reader()


BELOW = tar(folder("models"), file("models/a", b"1"), folder("models/sub"), file("models/sub/b", b"2"), file("other"))


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([], {"models": 0, "models/a": 0, "models/sub": 0, "models/sub/b": 0, "other": 0}),
        ([file("models/a", b"new")], {"models": 0, "models/a": 1, "models/sub": 0, "models/sub/b": 0, "other": 0}),
        ([file("models/.wh.a")], {"models": 0, "models/sub": 0, "models/sub/b": 0, "other": 0}),
        ([file("./models/.wh.sub")], {"models": 0, "models/a": 0, "other": 0}),
        ([file(".wh.models")], {"other": 0}),
        ([file("models/.wh..wh..opq"), file("models/c")], {"models": 0, "models/c": 1, "other": 0}),
        ([file("models/c"), file("models/.wh..wh..opq")], {"models": 0, "models/c": 1, "other": 0}),
        ([file(".wh..wh..opq"), file("x")], {"x": 1}),
        ([file("models/.wh.su")], {"models": 0, "models/a": 0, "models/sub": 0, "models/sub/b": 0, "other": 0}),
        ([file("models/sub")], {"models": 0, "models/a": 0, "models/sub": 1, "other": 0}),
        ([link("models/sub", "a")], {"models": 0, "models/a": 0, "models/sub": 1, "other": 0}),
        (
            [folder("models/a"), file("models/a/x")],
            {"models": 0, "models/a": 1, "models/a/x": 1, "models/sub": 0, "models/sub/b": 0, "other": 0},
        ),
        ([file("other/x")], {"models": 0, "models/a": 0, "models/sub": 0, "models/sub/b": 0, "other/x": 1}),
        (
            [file("models/.wh.a"), file("models/a")],
            {"models": 0, "models/a": 1, "models/sub": 0, "models/sub/b": 0, "other": 0},
        ),
    ],
    ids=[
        "nothing", "a file", "a whiteout", "a folder's whiteout", "that of all", "opaque", "opaque at its end",
        "opaque root", "part of a name", "a file over a folder", "a link over a folder", "a folder over a file",
        "a folder over a file, unsaid", "gone and back",
    ],
)  # fmt: skip
def test_what_a_later_layer_does(above: list[Any], expected: dict[str, int]) -> None:
    assert seen(BELOW, tar(*above)) == expected


def test_whiteouts_act_on_lower_layers_only() -> None:
    assert seen(tar(file("a"), file(".wh.b")), tar(file("b"), file(".wh.a")), tar(file("a"))) == {"a": 2, "b": 1}


def content_layer(tree: ImageTree, path: str) -> tuple[int, str] | None:
    found = tree.content_of(tree.files()[path])
    return (found.layer, found.path) if found else None


def test_hard_links_show_what_they_were_made_to() -> None:
    """Not what a later layer, or a later entry of the same name, puts in its place."""
    tree = tree_of(
        tar(file("a", b"old"), file("c", b"c")),
        tar(file("b"), hard("one", "/b"), hard("two", "./one"), hard("low", "c"), file("b"), hard("none", "gone")),
        tar(file("b"), file(".wh.c")),
    )
    assert content_layer(tree, "one") == content_layer(tree, "two") == (1, "b")
    first = tree.content_of(tree.files()["two"])
    assert first == tree.layers[1].files[0]
    assert content_layer(tree, "low") == (0, "c")
    assert content_layer(tree, "none") is None
    assert content_layer(tree, "a") == (0, "a")


def test_a_hard_link_to_itself_holds_nothing() -> None:
    assert content_layer(tree_of(tar(hard("a", "a"))), "a") is None


def multi(store: MemoryStore) -> Location:
    """An index of two platforms and an attestation."""
    described = []
    for platform in (Platform("unknown", "unknown"), Platform("amd64", "linux"), Platform("arm64", "linux", "v8")):
        layer = put_blob(store, tar(file(f"models/{platform.architecture}")), media.OCI_LAYER)
        config = configs.encode(Config(platform.architecture, platform.os, RootFS("layers", (layer.digest,))))
        manifest = Manifest(2, put_blob(store, config, media.OCI_CONFIG), (layer,), media.OCI_MANIFEST)
        digest = store.write_manifest(encode(manifest), media.OCI_MANIFEST, "inner")
        described.append(Descriptor(media.OCI_MANIFEST, digest, 1, platform))
    store.write_manifest(encode(Index(2, tuple(described), media.OCI_INDEX)), media.OCI_INDEX, "all")
    return Location(store, "all")


def test_platforms_of_an_index() -> None:
    location = multi(MemoryStore())
    assert list(map(str, read_tree(location).platforms)) == ["linux/amd64", "linux/arm64/v8"]
    assert list(read_tree(location).files()) == ["models/amd64"]
    for wanted in ("linux/arm64/v8", "linux/arm64"):
        assert list(read_tree(location, parse_platform(wanted)).files()) == ["models/arm64"]
    with pytest.raises(NotFound, match="is not for linux/s390x; it is for linux/amd64, linux/arm64/v8"):
        read_tree(location, parse_platform("linux/s390x"))


def test_an_image_without_an_index_is_for_one_platform() -> None:
    location = put_image(MemoryStore(), tar(file("models/a")))
    assert list(map(str, read_tree(location).platforms)) == ["linux/amd64"]
    with pytest.raises(NotFound, match="is not for linux/arm64; it is for linux/amd64"):
        read_tree(location, parse_platform("linux/arm64"))


def test_what_is_no_image() -> None:
    store = MemoryStore()
    with pytest.raises(NotFound):
        read_tree(Location(store, "gone"))
    store.write_manifest(encode(Index(2, (), media.OCI_INDEX)), media.OCI_INDEX, "empty")
    with pytest.raises(NotFound, match="is an index without images"):
        read_tree(Location(store, "empty"))
    artifact = put_blob(store, b"{}", "application/vnd.cncf.model.config.v1+json")
    store.write_manifest(encode(Manifest(2, artifact, (), media.OCI_MANIFEST)), media.OCI_MANIFEST, "artifact")
    with pytest.raises(ContentMismatch, match="holds an artifact of type application/vnd"):
        read_tree(Location(store, "artifact"))
    with pytest.raises(ContentMismatch, match="is no tar but application/x-raw"):
        read_tree(put_image(store, ("application/x-raw", b"weights")))
    inner = store.manifests["empty"].digest
    nested = Index(2, (Descriptor(media.OCI_INDEX, inner, 1, Platform("amd64", "linux")),), media.OCI_INDEX)
    store.write_manifest(encode(nested), media.OCI_INDEX, "nested")
    with pytest.raises(ContentMismatch, match="an index inside an index"):
        read_tree(Location(store, "nested"))

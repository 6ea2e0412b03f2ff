"""Single files: which layers are looked into, and in what order."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ContentMismatch, ModelcarError, NotFound
from modelcar.image.globs import is_chosen
from modelcar.image.head import read_head
from modelcar.image.lookup import ImageFiles
from modelcar.image.tree import read_tree
from modelcar.oci import Config, Descriptor, Manifest, RootFS, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import decode, encode
from modelcar.oci.tar import Member, frame
from modelcar.stores import Location, StoredManifest
from tests.doubles.in_memory import MemoryStore, put_image
from tests.unit.image.tars import COMPRESSIONS, Layer, file, hard, link, tar
from tests.unit.image.test_damaged_layers import damaged

LARGE = bytes(range(256)) * 5000


class Counting(MemoryStore):
    """Remembers which blobs were opened, and the bytes asked for."""

    def open_blob(self, digest: str, offset: int = 0, length: int | None = None):  # type: ignore[no-untyped-def]
        self.asked.append(digest)
        return super().open_blob(digest, offset, length)  # type: ignore[arg-type]


def annotate(location: Location, **paths: str) -> Location:
    """Say of layers (`_0`, `_1`, …), as our builds do, that they hold one file."""
    store = location.store
    value = decode(store.manifest(location.tag).content, media.OCI_MANIFEST, "test")
    assert isinstance(value, Manifest)
    layers = [
        msgspec.structs.replace(layer, annotations={"modelcar.key": "k", "modelcar.path": paths[f"_{number}"]})
        if f"_{number}" in paths
        else layer
        for number, layer in enumerate(value.layers)
    ]
    changed = msgspec.structs.replace(value, layers=tuple(layers))
    store.write_manifest(encode(changed), media.OCI_MANIFEST, location.tag)
    return location


def ours(name: str, content: bytes) -> bytes:
    """A layer of one file as our builds make it."""
    framing = frame([Member(name, len(content))])
    return b"".join(piece if isinstance(piece, bytes) else content for piece in framing.pieces())


def test_layers_of_other_files_are_not_looked_into() -> None:
    store = Counting()
    layers = [ours(f"models/{name}", LARGE) for name in "abc"]
    location = annotate(put_image(store, tar(file("models/config.json", b"{}")), *layers), _1="a", _2="b", _3="c")
    files = ImageFiles(read_head(location))
    store.asked.clear()
    assert files.read_range(files.find("config.json")) == b"{}"
    assert len(store.asked) == 2  # its layer's headers, and the file
    assert files.read_range(files.find("b"), 256, 4) == b"\0\1\2\3"
    assert len(store.asked) == 4
    assert [*files.tree().files()] == ["models", "models/a", "models/b", "models/c", "models/config.json"]


def test_an_annotation_that_lies_is_found_out_where_it_matters() -> None:
    location = annotate(put_image(MemoryStore(), tar(file("models/a", b"1")), tar(file("models/b", b"2"))), _1="a")
    files = ImageFiles(read_head(location))
    assert files.read_range(files.find("a")) == b"1"
    assert files.read_range(files.find("b")) == b"2"
    with pytest.raises(NotFound, match="has no file /models/c"):
        files.find("c")


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_every_way_to_a_file(compress: str) -> None:
    below = COMPRESSIONS[compress](
        tar(
            file("models/old", b"old"),
            file("models/sub/x", LARGE),
            link("data", "/models/sub"),
            hard("models/hard", "models/old"),
            link("models/loop", "loop"),
            file("models/gone"),
        )
    )
    above = tar(file("models/old", b"new"), file("models/.wh.gone"), link("models/link", "../data/./x"))
    files = ImageFiles(read_head(put_image(MemoryStore(), below, above)))
    for path, content in {
        "old": b"new", "hard": b"old", "sub/x": LARGE, "link": LARGE, "/data/x": LARGE, "/models/../models/old": b"new",
    }.items():  # fmt: skip
        found = files.find(path)
        assert files.read_range(found) == content
        assert files.read_range(found, 1, 1) == content[1:2]
        assert files.is_plain(found) == (compress.startswith("plain") or found.layer == 1)
    for path in ("gone", "none", "/models/sub/x/y"):
        with pytest.raises(NotFound):
            files.find(path)
    with pytest.raises(ContentMismatch, match="leads in a circle"):
        files.find("loop")


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_a_blob_that_changed_meanwhile(compress: str) -> None:
    store = MemoryStore()
    made: Layer = COMPRESSIONS[compress](tar(file("models/a", LARGE * 2)))
    files = ImageFiles(read_head(put_image(store, made)))
    found = files.find("a")
    content = made[1] if isinstance(made, tuple) else made
    for digest in [digest for digest, blob in store.blobs.items() if blob == content]:
        store.blobs[digest] = content[: len(content) // 2]
    with pytest.raises(ContentMismatch):
        files.read_range(found)


@pytest.mark.parametrize(
    ("path", "include", "exclude", "chosen"),
    [
        ("a.json", (), (), True),
        ("a.json", ("*.json",), (), True),
        ("sub/a.json", ("*.json",), (), True),
        ("a.json", ("*.JSON",), (), False),
        ("sub/a", ("sub/",), (), True),
        ("a.json", ("*",), ("a*",), False),
    ],
)
def test_globs(path: str, include: tuple[str, ...], exclude: tuple[str, ...], chosen: bool) -> None:
    assert is_chosen(path, include, exclude) is chosen


def test_many_files_links_and_whiteouts_take_no_time() -> None:
    """Each of them once was a walk over all others."""
    count = 4000
    below = tar(*[file(f"models/{n}") for n in range(count)], *[hard(f"h/{n}", f"models/{n}") for n in range(count)])
    above = tar(*[file(f"models/.wh.{n}") for n in range(count)])
    tree = read_tree(put_image(MemoryStore(), below, above))
    assert len(tree.files()) == count
    assert {tree.content_of(entry) is not None for entry in tree.files().values()} == {True}


# Any bytes as a head

DESCRIPTOR = Descriptor(media.OCI_CONFIG, "sha256:" + "0" * 64, 2)  # type: ignore[arg-type]
MANIFEST = encode(Manifest(2, DESCRIPTOR, (DESCRIPTOR,), media.OCI_MANIFEST))
INDEX = b'{"schemaVersion":2,"manifests":[%s]}' % msgspec.json.encode(DESCRIPTOR)
CONFIG = configs.encode(Config("amd64", "linux", RootFS("layers", ())))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(["sha256:" + "0" * 64]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["schemaVersion", "config", "layers", "manifests", "digest", "size"]), inner)
    ),
)
ANY = st.binary(max_size=300) | damaged(MANIFEST, INDEX, CONFIG) | JSON.map(msgspec.json.encode)


@given(ANY, st.sampled_from(["", media.OCI_MANIFEST, media.OCI_INDEX, "text/plain"]))
def test_any_bytes_as_a_manifest(content: bytes, media_type: str) -> None:
    store = MemoryStore()
    store.manifests["1"] = StoredManifest(content, media_type, DESCRIPTOR.digest)
    with pytest.raises(ModelcarError):
        read_tree(Location(store, "1"))


@given(ANY)
def test_any_bytes_as_a_config(content: bytes) -> None:
    store = MemoryStore()
    location = put_image(store, tar(file("models/a")))
    head = read_head(location)
    described = replace(location, tag="2")
    changed = msgspec.structs.replace(head.manifest, config=_put(store, content))
    store.write_manifest(encode(changed), media.OCI_MANIFEST, "2")
    with contextlib.suppress(ModelcarError):
        assert read_head(described).config is not None


def _put(store: MemoryStore, content: bytes) -> Descriptor:
    from tests.doubles.in_memory import put_blob

    return put_blob(store, content, media.OCI_CONFIG)

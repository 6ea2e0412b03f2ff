"""Images by their names in an index."""

from __future__ import annotations

import pytest

from modelcar.errors import NotFound
from modelcar.oci import Descriptor, Digest, Index, digest_of, media
from modelcar.stores import Reader
from modelcar.stores.indexed import IMAGE_NAME, REF_NAME, IndexedStore
from modelcar.stores.named import listed


class Indexed(IndexedStore):
    """A store of nothing but an index."""

    name = "oci:x"

    def __init__(self, *annotations: dict[str, str]) -> None:
        self._images = tuple(
            Descriptor(media.OCI_MANIFEST, digest_of(str(number).encode()), 1, annotations=names or None)
            for number, names in enumerate(annotations)
        )

    def has_blob(self, digest: Digest) -> bool:
        return False

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        raise NotFound(digest)

    def _index(self) -> Index:
        return Index(2, self._images, media.OCI_INDEX)

    def number(self, version: str) -> int:
        """Which image a version names."""
        return [image.digest for image in self._images].index(self.resolve(version).digest)


def test_podman_writes_the_whole_reference_as_the_tag() -> None:
    store = Indexed({REF_NAME: "quay.io/acme/x:1"}, {REF_NAME: "2", IMAGE_NAME: "localhost/x:2"}, {})
    assert [store.number(name) for name in ("1", "quay.io/acme/x:1", "2", "localhost/x:2")] == [0, 0, 1, 1]
    assert store.tags() == ["1", "2"]


def test_a_tag_of_two_repositories_has_to_be_named_whole() -> None:
    store = Indexed({REF_NAME: "quay.io/acme/x:1"}, {REF_NAME: "quay.io/acme/y:1"})
    assert store.number("quay.io/acme/y:1") == 1
    with pytest.raises(NotFound, match=r"holds no image '1'; it has quay\.io/acme/x:1, quay\.io/acme/y:1"):
        store.resolve("1")


def test_a_name_itself_comes_before_a_tag_within_one() -> None:
    assert Indexed({REF_NAME: "1"}, {REF_NAME: "quay.io/acme/x:1"}).number("1") == 0


def test_free_text_is_a_name_too() -> None:
    store = Indexed({REF_NAME: "Some/Thing else"})
    assert store.tags() == ["Some/Thing else"]
    assert store.number("Some/Thing else") == 0


def test_of_many_names_the_near_ones_are_shown() -> None:
    store = Indexed(*({REF_NAME: name} for name in ("granite-3.1-2b", *(f"v{number}" for number in range(20)))))
    with pytest.raises(NotFound) as raised:
        store.resolve("granite-3-2b")
    assert raised.value.hint == "it has granite-3.1-2b and 20 more"


def test_of_many_blobs_the_first_few_are_named() -> None:
    digests = [digest_of(bytes([number])) for number in range(30)]
    first = f"{digests[0]}, {digests[1]}, {digests[2]}"
    assert listed(digests[:1]) == f"1 blob: {digests[0]}"
    assert listed(digests[:3]) == f"3 blobs: {first}"
    assert listed(digests) == f"30 blobs: {first} and 27 more"


def test_images_without_names() -> None:
    with pytest.raises(NotFound, match="holds no image; build one into it first"):
        Indexed().resolve("")
    with pytest.raises(NotFound, match="holds 2 images and none was named; name the one that is meant by @DIGEST"):
        Indexed({}, {}).resolve("")
    assert Indexed({}).number("") == 0

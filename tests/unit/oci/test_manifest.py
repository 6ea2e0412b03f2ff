"""Manifests, indexes and configs: what is read of those that others write, and the bytes of our own."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ContentMismatch, ModelcarError, Refused, UsageError
from modelcar.oci import Config, Descriptor, Digest, Index, Manifest, Platform, RootFS, digest_of, media, parse_platform
from modelcar.oci import config as configs
from modelcar.oci.manifest import MAX_MANIFEST, decode, describe, encode

DIGEST = Digest("sha256:" + "0a" * 32)
LAYER = Descriptor(media.OCI_LAYER, DIGEST, 10, annotations={"b": "2", "a": "1"})
CONFIG = Descriptor(media.OCI_CONFIG, DIGEST, 2)
MANIFEST = Manifest(2, CONFIG, (LAYER,), media.OCI_MANIFEST, {"z": "1", "y": "2"})
INDEX = Index(2, (Descriptor(media.OCI_MANIFEST, DIGEST, 3, Platform("arm64", "linux", "v8")),), media.OCI_INDEX)

DOCKER = {
    "schemaVersion": 2,
    "mediaType": media.DOCKER_MANIFEST,
    "config": {"mediaType": media.DOCKER_CONFIG, "size": 7023, "digest": DIGEST},
    "layers": [{"mediaType": media.DOCKER_LAYER_GZIP, "size": 32654, "digest": DIGEST, "urls": ["https://x"]}],
}
DOCKER_LIST = {
    "schemaVersion": 2,
    "mediaType": media.DOCKER_LIST,
    "manifests": [
        {
            "mediaType": media.DOCKER_MANIFEST,
            "size": 7,
            "digest": DIGEST,
            "platform": {"architecture": "amd64", "os": "windows", "os.version": "10.0", "features": ["sse4"]},
        }
    ],
}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: inner for name, inner in value.items() if name != key}


@pytest.mark.parametrize("value", [MANIFEST, INDEX])
@pytest.mark.parametrize("stated", ["as it is", "", "text/plain"])
def test_what_we_write_is_read_the_same(value: Manifest | Index, stated: str) -> None:
    media_type = value.media_type if stated == "as it is" else stated
    assert encode(decode(encode(value), media_type, "x")) == encode(value)


def test_docker_manifests() -> None:
    read = decode(as_json(DOCKER), media.DOCKER_MANIFEST, "x")
    assert isinstance(read, Manifest)
    assert (read.config.size, read.layers[0].media_type) == (7023, media.DOCKER_LAYER_GZIP)
    listed = decode(as_json(DOCKER_LIST), "", "x")
    assert isinstance(listed, Index)
    assert str(listed.manifests[0].platform) == "windows/amd64"


@pytest.mark.parametrize(("value", "kind"), [(DOCKER, Manifest), (DOCKER_LIST, Index)])
def test_bytes_decide_where_no_type_is_stated(value: dict[str, Any], kind: type[Manifest | Index]) -> None:
    """OCI leaves `mediaType` out of the document, and some servers send a type of their own."""
    content = as_json(without(value, "mediaType"))
    assert isinstance(decode(content, "", "x"), kind)
    assert isinstance(decode(content, "application/json", "x"), kind)


def test_schema_1_is_refused() -> None:
    with pytest.raises(Refused, match="Docker schema 1 manifest"):
        decode(as_json({"schemaVersion": 1, "fsLayers": [], "signatures": []}), "", "quay.io/a:x")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"config": {"mediaType": "", "size": 1, "digest": "sha256:../../etc/passwd"}},
            "not a sha256 or sha512 digest",
        ),
        ({"layers": [{"mediaType": "", "size": -1, "digest": DIGEST}]}, "states a size of -1 bytes"),
        ({"layers": [{"mediaType": "", "size": "1", "digest": DIGEST}]}, "can't be read"),
        ({"layers": 5}, "can't be read"),
        ({"schemaVersion": "2"}, "can't be read"),
    ],
)
def test_wrong_manifest_names_the_image(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ContentMismatch, match=said) as raised:
        decode(as_json(DOCKER | change), "", "quay.io/a:x")
    assert "quay.io/a:x" in raised.value.what


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(DIGEST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary() | st.dictionaries(st.sampled_from([*DOCKER, *DOCKER_LIST]), JSON).map(as_json))
def test_any_bytes_are_a_manifest_or_an_error(content: bytes) -> None:
    for media_type in ("", media.OCI_INDEX, media.DOCKER_MANIFEST):
        with contextlib.suppress(ModelcarError):
            assert isinstance(decode(content, media_type, "x"), Manifest | Index)


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'"\\ud800"', b"null"])
def test_hostile_json(content: bytes) -> None:
    with pytest.raises(ContentMismatch):
        decode(content, "", "x")
    with pytest.raises(ContentMismatch):
        configs.decode(content, "x")


@given(st.permutations(["a", "b", "c"]))
def test_same_bytes_whatever_the_order_of_annotations(keys: list[str]) -> None:
    annotations = dict.fromkeys(keys, "1")
    layer = Descriptor(media.OCI_LAYER, DIGEST, 1, annotations=annotations)
    content = encode(Manifest(2, CONFIG, (layer,), media.OCI_MANIFEST, annotations))
    expected = dict.fromkeys("abc", "1")
    assert list(json.loads(content)["annotations"]) == list(json.loads(content)["layers"][0]["annotations"]) == [*"abc"]
    assert json.loads(content)["annotations"] == expected


def test_empty_fields_are_left_out() -> None:
    plain = Manifest(2, CONFIG, (), media.OCI_MANIFEST, {})
    assert json.loads(encode(plain)).keys() == {"schemaVersion", "mediaType", "config", "layers"}


def test_descriptor_of_a_manifest() -> None:
    descriptor, content = describe(MANIFEST, Platform("amd64", "linux"))
    assert descriptor == Descriptor(media.OCI_MANIFEST, digest_of(content), len(content), Platform("amd64", "linux"))


def test_manifest_larger_than_registries_take_is_refused() -> None:
    fits = Manifest(2, CONFIG, (), media.OCI_MANIFEST, {"a": ""})
    room = MAX_MANIFEST - len(encode(fits))
    assert len(encode(Manifest(2, CONFIG, (), media.OCI_MANIFEST, {"a": "x" * room}))) == MAX_MANIFEST
    with pytest.raises(Refused, match="4,194,305 bytes and registries take 4,194,304"):
        encode(Manifest(2, CONFIG, (), media.OCI_MANIFEST, {"a": "x" * (room + 1)}))


def test_platforms_as_people_write_them() -> None:
    for text in ("linux/amd64", "linux/arm64/v8"):
        assert str(parse_platform(text)) == text
    for wrong in ("", "linux", "amd64/", "/amd64", "linux/arm/v7/x"):
        with pytest.raises(UsageError, match="is no platform"):
            parse_platform(wrong)
    assert parse_platform("linux/arm64/v8").meets(parse_platform("linux/arm64"))
    assert not parse_platform("linux/arm64").meets(parse_platform("linux/arm64/v8"))
    assert not parse_platform("linux/amd64").meets(parse_platform("windows/amd64"))


def test_layer_types_of_docker_have_oci_names() -> None:
    assert media.as_oci_layer(media.DOCKER_LAYER_GZIP) == media.OCI_LAYER_GZIP
    assert media.as_oci_layer("application/x") == "application/x"
    assert [media.compression(kind) for kind in (media.OCI_LAYER, media.DOCKER_LAYER_ZSTD, media.OCI_CONFIG)] == [
        "",
        "zstd",
        None,
    ]


def test_config_of_buildah_with_nulls() -> None:
    """As buildah and docker do: null where the spec leaves a field out, and fields that we don't know."""
    written = {
        "architecture": "arm64",
        "os": "linux",
        "variant": None,
        "created": None,
        "config": {"Env": None, "Entrypoint": None, "Cmd": ["sh"], "Labels": None, "User": None, "Volumes": None},
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created": None, "comment": None, "created_by": "x", "empty_layer": True}],
        "container_config": {"Hostname": "x"},
    }
    config = configs.decode(as_json(written), "x")
    assert str(config.platform) == "linux/arm64"
    assert config.config is not None
    assert (config.config.env, config.config.cmd) == (None, ("sh",))
    assert config.history is not None
    assert config.history[0].empty_layer


def test_config_is_read_as_it_was_written() -> None:
    config = Config("amd64", "linux", RootFS("layers", (DIGEST,)), created="1970-01-01T00:00:00Z")
    assert configs.decode(configs.encode(config), "x") == config
    assert json.loads(configs.encode(config)).keys() == {"architecture", "os", "rootfs", "created"}


@given(st.binary() | st.dictionaries(st.sampled_from(["architecture", "os", "rootfs", "config"]), JSON).map(as_json))
def test_any_bytes_are_a_config_or_an_error(content: bytes) -> None:
    with contextlib.suppress(ContentMismatch):
        assert isinstance(configs.decode(content, "x"), Config)


@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_a_layer_has_a_name_in_both_formats(compression: str) -> None:
    oci = {"": media.OCI_LAYER, "gzip": media.OCI_LAYER_GZIP, "zstd": media.OCI_LAYER_ZSTD}[compression]
    docker = media.Format.DOCKER.layer(oci)
    assert docker.startswith("application/vnd.docker.image.rootfs.diff.tar")
    assert media.Format.OCI.layer(docker) == media.Format.OCI.layer(oci) == oci
    assert media.Format.DOCKER.layer(docker) == docker
    assert media.compression(docker) == media.compression(oci) == compression

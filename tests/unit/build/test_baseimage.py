"""Our own base, as a build takes it, and what becomes of any base under Docker's manifests."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from modelcar import base
from modelcar.build.assemble import BaseLayer, Description, PlatformBase, assemble
from modelcar.build.baseimage import Base, embedded_base, for_docker, full_name
from modelcar.errors import ContentMismatch, NotFound, Refused, UsageError
from modelcar.oci import Descriptor, Digest, Platform, digest_of, media
from modelcar.retry import Patience
from modelcar.stores import BytesBlob


def test_the_embedded_base_is_for_all_of_its_platforms() -> None:
    found = embedded_base(())
    assert [platform.platform for platform in found.platforms] == [*base.PLATFORMS]
    assert found.depth == 1
    for platform in found.platforms:
        content = base.layer(platform.platform)
        (layer,) = platform.layers
        assert layer.diff_id == layer.descriptor.digest == digest_of(content)
        assert (layer.descriptor.media_type, layer.descriptor.size) == (media.OCI_LAYER, len(content))
        assert b"".join(found.at_hand[layer.descriptor.digest].open()) == content


def test_the_embedded_base_is_named_in_no_image() -> None:
    # It is in no registry: whoever looked its name up would find nothing, or somebody else's image.
    found = embedded_base(())
    assert (found.name, found.digest, found.location) == (None, None, None)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["linux/arm64"], ["linux/arm64"]),
        (["linux/s390x", "linux/amd64", "linux/s390x"], ["linux/s390x", "linux/amd64"]),
    ],
)
def test_the_embedded_base_for_some_platforms(wanted: list[str], found: list[str]) -> None:
    chosen = embedded_base(wanted)
    assert [str(platform.platform) for platform in chosen.platforms] == found
    assert len(chosen.at_hand) == len(found)


@pytest.mark.parametrize("wanted", ["linux/riscv64", "windows/amd64", "linux/arm/v7"])
def test_a_platform_that_the_embedded_base_lacks(wanted: str) -> None:
    with pytest.raises(NotFound, match=f"the base embedded is not for {wanted}; it is for linux/amd64, linux/arm64"):
        embedded_base(["linux/amd64", wanted])


def test_what_is_no_platform() -> None:
    with pytest.raises(UsageError, match="is no platform"):
        embedded_base(["amd64"])


def test_the_config_of_an_image_on_the_embedded_base() -> None:
    image = assemble(embedded_base(("linux/ppc64le",)).platforms, [], Description("1970-01-01T00:00:00Z"))
    (config,) = image.configs
    assert json.loads(b"".join(config.open()))["config"] == {
        "User": "1001",
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["sleep", "infinity"],
        "WorkingDir": "/",
    }


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ubi9/ubi-micro", "registry.access.redhat.com/ubi9/ubi-micro"),
        ("ubi9/ubi-micro:9.4", "registry.access.redhat.com/ubi9/ubi-micro:9.4"),
        ("ubi10/ubi-micro", "registry.access.redhat.com/ubi10/ubi-micro"),
        ("quay.io/ubi9/ubi-micro", "quay.io/ubi9/ubi-micro"),
        ("ubi-micro", "ubi-micro"),
        ("oci:./ubi9/x", "oci:./ubi9/x"),
    ],
)
def test_what_the_embedded_base_advises_can_be_typed(typed: str, meant: str) -> None:
    assert full_name(typed) == meant


# Under Docker's manifests

TAR = b"the bytes of a tar" * 1000


def base_of(*layers: BaseLayer, **fields: Any) -> Base:
    return replace(Base((PlatformBase(Platform("amd64", "linux"), layers),), "quay.io/acme/base:1"), **fields)


def test_a_plain_layer_becomes_gzip_and_keeps_its_diff_id() -> None:
    plain = embedded_base(())
    found = for_docker(plain, Patience())
    for before, after in zip(plain.platforms, found.platforms, strict=True):
        (layer,) = after.layers
        blob = found.at_hand[layer.descriptor.digest]
        content = b"".join(blob.open())
        assert layer.descriptor == Descriptor(media.OCI_LAYER_GZIP, digest_of(content), len(content))
        assert (blob.digest, blob.size) == (layer.descriptor.digest, layer.descriptor.size)
        assert gzip.decompress(content) == b"".join(plain.at_hand[before.layers[0].descriptor.digest].open())
        assert layer.diff_id == before.layers[0].diff_id
        assert content[4:8] == bytes(4), "no time"
    assert for_docker(plain, Patience()).platforms == found.platforms


def test_a_gzip_layer_stays_what_it_is() -> None:
    layer = BaseLayer(Descriptor(media.OCI_LAYER_GZIP, digest_of(b"gz"), 2), digest_of(TAR))
    base = base_of(layer)
    assert for_docker(base, Patience()) == base


@pytest.mark.parametrize("kind", [media.OCI_LAYER_ZSTD, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"])
def test_a_layer_that_docker_s_manifests_do_not_know(kind: str) -> None:
    layer = BaseLayer(Descriptor(kind, digest_of(b"zst"), 3), digest_of(TAR))
    with pytest.raises(Refused) as raised:
        for_docker(base_of(layer), Patience())
    assert "quay.io/acme/base:1" in raised.value.what
    assert kind in raised.value.what
    assert "--image-format docker" in str(raised.value.hint)


def test_a_plain_layer_of_other_bytes() -> None:
    blob = BytesBlob(TAR, "base layer")
    blob.digest = Digest("sha256:" + "0d" * 32)
    layer = BaseLayer(Descriptor(media.OCI_LAYER, blob.digest, len(TAR)), blob.digest)
    with pytest.raises(ContentMismatch, match="base layer: the bytes are those of"):
        for_docker(base_of(layer, at_hand={blob.digest: blob}), Patience())

"""Our own base, as a build takes it."""

from __future__ import annotations

import json

import pytest

from modelcar import base
from modelcar.build.assemble import Description, assemble
from modelcar.build.baseimage import embedded_base, full_name
from modelcar.errors import NotFound, UsageError
from modelcar.oci import digest_of, media


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

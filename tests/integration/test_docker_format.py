"""Images in Docker's schema 2, for old consumers: what other programs read, what bases become, what is reused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar import BuildOptions, BuildResult, Refused, UsageError, build_image, pull_image, read_image
from tests import peers
from tests.bases import SHELL, buildah_base, write_base
from tests.cli import modelcar
from tests.models import model_files, read_files, write_files

FILES = model_files()
IN_IMAGE = {f"/models/{path}": content for path, content in FILES.items()}
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with peers.docker_registry(tmp_path) as registry:
        yield registry.host


def build(model: Path, target: str, base: str = "none", image_format: str = "docker", **wishes: Any) -> BuildResult:
    """A build by a machine that remembers nothing."""
    options = {"cache_dir": None, "retry_delay": 0.01, **wishes}
    return build_image(str(model), target, BuildOptions(base=base, image_format=image_format, **options))


def raw(image: str) -> Any:
    return peers.skopeo_inspect(f"docker://{image}", "--raw")


def manifests_of(image: str) -> list[Any]:
    return [raw(f"{image.rpartition(':')[0]}@{each['digest']}") for each in raw(image)["manifests"]]


def pulled(reference: str, folder: Path) -> dict[str, bytes]:
    pull_image(reference, folder)
    return read_files(folder)


# What it is, and who reads it


def test_types_and_no_annotations(model: Path, host: str) -> None:
    image = f"{host}/acme/tiny:1"
    build(model, image, "embedded")
    index, manifests = raw(image), manifests_of(image)
    assert index["mediaType"] == LIST
    assert {each["mediaType"] for each in index["manifests"]} == {MANIFEST}
    assert len(manifests) == 4
    for manifest in manifests:
        assert manifest["mediaType"] == MANIFEST
        assert manifest["config"]["mediaType"] == CONFIG
        assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER}
        assert len(manifest["layers"]) == len(manifests[0]["layers"]) > 1
    # Model layers are shared by all platforms here too.
    assert len({json.dumps(manifest["layers"][1:]) for manifest in manifests}) == 1
    assert "annotations" not in json.dumps([index, manifests])
    labels: Any = peers.skopeo_inspect(f"docker://{image}", "--config")
    assert labels["config"]["Labels"]["org.opencontainers.image.created"] == "1970-01-01T00:00:00Z"


def test_podman_reads_it(model: Path, host: str) -> None:
    build(model, f"{host}/acme/tiny:1", "embedded")
    assert IN_IMAGE.items() <= peers.podman_files(f"docker://{host}/acme/tiny:1").items()


def test_crane_validates_it_to_the_last_byte(model: Path, host: str) -> None:
    image = f"{host}/acme/tiny:1"
    build(model, image, "embedded")
    crane = str(peers.crane())
    assert "PASS" in peers.run(crane, "validate", "--insecure", "--remote", image)
    manifest = json.loads(peers.run(crane, "manifest", "--insecure", "--platform", "linux/s390x", image))
    assert manifest["mediaType"] == MANIFEST
    assert IN_IMAGE.items() <= peers.crane_files(image).items()


def test_skopeo_inspects_each_platform(model: Path, host: str) -> None:
    build(model, f"{host}/acme/tiny:1", "embedded")
    for architecture in ("amd64", "arm64", "ppc64le", "s390x"):
        said = peers.skopeo_inspect(f"docker://{host}/acme/tiny:1", "--override-arch", architecture)
        assert said["Architecture"] == architecture


def test_modelcar_reads_it_back(model: Path, host: str, tmp_path: Path) -> None:
    image = f"{host}/acme/tiny:1"
    done = modelcar("build", model, image, "--image-format", "docker", "--base", "none")
    assert done.code == 0, done.err
    assert pulled(image, tmp_path / "out") == FILES
    listed = modelcar("ls", image, "--format", "json")
    assert listed.code == 0, listed.err
    assert all(f"models/{path}" in listed.out or path in listed.out for path in FILES)
    assert read_image(image, platform="linux/s390x").config.platform.architecture == "s390x"


# What is not done again


def test_again_nothing_is_sent(model: Path, host: str) -> None:
    """Without annotations: the history of its config tells the keys."""
    image = f"{host}/acme/tiny:1"
    first = build(model, image, "embedded")
    again = build(model, image, "embedded", no_clobber=True)
    assert (again.digest, again.read, again.sent) == (first.digest, 0, 0)
    (model / "config.json").write_text("{}")
    changed = build(model, image, "embedded")
    assert {fate.how for fate in changed.fates} == {"reused", "send"}
    with pytest.raises(Refused, match="--no-clobber"):
        build(model, image, no_clobber=True)


def test_both_formats_share_their_layers(model: Path, host: str, tmp_path: Path) -> None:
    image = f"{host}/acme/tiny:1"
    oci = build(model, image, image_format="oci", compression="gzip")
    docker = build(model, image)
    assert oci.sent > 0
    assert (docker.read, docker.sent) == (0, 0)
    assert docker.digest != oci.digest
    assert pulled(image, tmp_path / "out") == FILES
    back = build(model, image, image_format="oci", compression="gzip")
    assert (back.digest, back.read, back.sent) == (oci.digest, 0, 0)


def test_a_plain_image_lends_no_layers(model: Path, host: str, tmp_path: Path) -> None:
    image = f"{host}/acme/tiny:1"
    build(model, image, image_format="oci")
    assert {fate.how for fate in build(model, image).fates} == {"send"}
    assert pulled(image, tmp_path / "out") == FILES


@pytest.mark.parametrize("image_format", ["oci", "docker"])
def test_a_v2s2_copy_is_known_again(model: Path, host: str, image_format: str) -> None:
    wishes = {"image_format": image_format, "compression": "gzip"}
    first = build(model, f"{host}/acme/tiny:1", **wishes)
    copy = f"{host}/acme/copy:1"
    peers.skopeo_copy(f"docker://{host}/acme/tiny:1", f"docker://{copy}", "--all", "--format", "v2s2")
    assert raw(copy)["mediaType"] == LIST
    again = build(model, copy, **wishes)
    assert (again.digest, again.read, again.sent) == (first.digest, 0, 0)


@pytest.mark.parametrize("kind", ["gzip:9", "zstd"])
@pytest.mark.parametrize("image_format", ["oci", "docker"])
def test_layers_of_a_copy_that_was_compressed_anew_are_not_taken(
    model: Path, host: str, tmp_path: Path, kind: str, image_format: str
) -> None:
    """Its history still tells our keys, but its blobs are others."""
    first = build(model, f"{host}/acme/tiny:1", image_format=image_format)
    ours = {layer["digest"] for layer in manifests_of(f"{host}/acme/tiny:1")[0]["layers"]}
    name, _, level = kind.partition(":")
    anew = ("--dest-compress-format", name, *(("--dest-compress-level", level) if level else ()), "--format", "oci")
    # By way of a folder of plain layers, since skopeo leaves gzip in gzip as it is; and to a registry that it knows
    # no layers of, since it mounts those that are the same inside.
    peers.skopeo_copy(f"docker://{host}/acme/tiny:1", f"dir:{tmp_path}/plain", "--dest-decompress")
    with peers.docker_registry(tmp_path) as other:
        copy = f"{other.host}/acme/copy:1"
        peers.skopeo_copy(f"dir:{tmp_path}/plain", f"docker://{copy}", *anew)
        assert not ours & {layer["digest"] for layer in raw(copy)["layers"]}
        again = build(model, copy, image_format=image_format)
        assert {fate.how for fate in again.fates} == {"send"}
        assert again.digest == first.digest
        assert pulled(copy, tmp_path / "out") == FILES


# Bases


def test_a_gzip_base_is_mounted_and_renamed(model: Path, host: str) -> None:
    base = buildah_base(model.parent / "base", f"{host}/bases/busybox:1", format="oci")
    image = f"{host}/acme/tiny:1"
    built = build(model, image, base)
    assert built.sent == sum(fate.stored.size if fate.stored else 0 for fate in built.fates) + layers_sent(image, 1)
    (manifest,) = manifests_of(image)
    kinds = [layer["mediaType"] for layer in manifest["layers"]]
    assert set(kinds) == {LAYER}
    (of_base,) = manifests_of(base)
    assert manifest["layers"][0]["digest"] == of_base["layers"][0]["digest"]
    assert "/usr/bin/busybox" in peers.podman_files(f"docker://{image}")


def layers_sent(image: str, below: int) -> int:
    """Bytes of an image's layers above so many."""
    (manifest,) = manifests_of(image)
    return sum(layer["size"] for layer in manifest["layers"][below:])


def test_a_plain_base_is_compressed_the_same_each_time(model: Path, host: str, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {"etc/first": b"1" * 100_000}, SHELL, platforms=("linux/amd64", "linux/arm64"))
    image = f"{host}/acme/tiny:1"
    first = build(model, image, base)
    plain = {layer.digest for layer in read_image(base).manifest.layers}
    for manifest in manifests_of(image):
        assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER}
        assert not plain & {layer["digest"] for layer in manifest["layers"]}
    # The diffIDs are still those of the plain tars: podman and crane check them.
    assert "PASS" in peers.run(str(peers.crane()), "validate", "--insecure", "--remote", image)
    files = peers.podman_files(f"docker://{image}")
    assert files["/etc/first"] == b"1" * 100_000
    assert IN_IMAGE.items() <= files.items()
    again = build(model, image, base)
    assert (again.digest, again.sent) == (first.digest, 0)
    assert build(model, f"{host}/acme/tiny:2", base, use_cache=False).digest == first.digest


def test_a_zstd_base_is_refused_before_anything_is_sent(model: Path, host: str, tmp_path: Path) -> None:
    plain = write_base(tmp_path / "base", SHELL)
    base = f"{host}/bases/zstd:1"
    peers.skopeo_copy(plain, f"docker://{base}", "--dest-compress-format", "zstd", "--format", "oci")
    done = modelcar("build", model, f"{host}/acme/tiny:1", "--image-format", "docker", "--base", base)
    assert done.code == 6
    assert base in done.error
    assert "zstd" in done.error
    assert modelcar("ls", f"{host}/acme/tiny:1").code == 3
    # What the error advises.
    assert build(model, f"{host}/acme/tiny:1", base, image_format="oci").digest


# What can't be meant


def test_a_layout_holds_no_docker_images(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--image-format", "docker")
    assert done.code == 2
    assert "--image-format docker" in done.error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("compression", ["none", "zstd", "zstd:9"])
def test_only_gzip_goes_with_docker(model: Path, compression: str) -> None:
    options = ("--image-format", "docker", "--compression", compression)
    done = modelcar("build", model, "127.0.0.1:1/acme/tiny:1", *options)
    assert done.code == 2
    assert "gzip" in done.error


def test_annotations_have_no_place(model: Path) -> None:
    done = modelcar("build", model, "127.0.0.1:1/a/b:1", "--image-format", "docker", "--annotation", "a=b")
    assert done.code == 2
    assert "--label" in done.error


def test_an_unknown_format() -> None:
    with pytest.raises(UsageError, match="oci or docker"):
        BuildOptions(image_format="squashfs")

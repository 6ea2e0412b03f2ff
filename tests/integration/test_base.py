"""The image under the model: read from a registry or a layout, mounted or copied, and what of its config stays."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modelcar import (
    BuildOptions,
    BuildResult,
    ContentMismatch,
    NotFound,
    Refused,
    UsageError,
    build_image,
    plan_image,
    read_image,
)
from tests import peers
from tests.bases import EVERYTHING, SHELL, Members, buildah_base, write_base
from tests.cli import modelcar
from tests.models import model_files, write_files

FILES = model_files()
IN_IMAGE = {f"/models/{path}": content for path, content in FILES.items()}
TWO = ("linux/amd64", "linux/arm64/v8")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


def build(model: Path, target: str, base: str, **wishes: Any) -> BuildResult:
    return build_image(str(model), target, BuildOptions(base=base, retry_delay=0.01, **wishes))


def size_of_model(result: BuildResult) -> int:
    return sum(fate.layer.size for fate in result.fates)


class Written:
    """An image in a layout, as its files say."""

    def __init__(self, layout: Path, result: BuildResult) -> None:
        self._blobs = layout / "blobs" / "sha256"
        self.index = self.read(str(result.digest))
        self.manifests = [self.read(each["digest"]) for each in self.index["manifests"]]
        self.configs = [self.read(each["config"]["digest"]) for each in self.manifests]
        self.platforms = [
            "/".join(filter(None, (each["platform"].get(key) for key in ("os", "architecture", "variant"))))
            for each in self.index["manifests"]
        ]

    def read(self, digest: str) -> Any:
        return json.loads((self._blobs / digest.removeprefix("sha256:")).read_bytes())


def built(model: Path, tmp_path: Path, base: str, **wishes: Any) -> Written:
    return Written(tmp_path / "out", build(model, f"oci:{tmp_path}/out:1", base, **wishes))


# From a registry or a layout


def test_a_base_of_the_same_registry_is_mounted(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        base = buildah_base(tmp_path, f"{registry.host}/bases/busybox:1", platforms=("linux/amd64", "linux/s390x"))
        result = build(model, f"{registry.host}/acme/tiny:1", base)
        assert result.sent == size_of_model(result)
        assert {str(platform) for platform in result.platforms} == {"linux/amd64", "linux/s390x"}
        image = f"docker://{registry.host}/acme/tiny:1"
        files = peers.podman_files(image)
        assert files.pop("/usr/bin/busybox") == Path("/bin/busybox").read_bytes()
        assert IN_IMAGE.items() <= files.items()
        index: Any = peers.skopeo_inspect(image, "--raw")
        of_base: Any = peers.skopeo_inspect(f"docker://{base}", "--override-arch", "amd64")
        config: Any = peers.skopeo_inspect(image, "--config", "--override-arch", "s390x")
    keys = {key: index["annotations"][f"org.opencontainers.image.base.{key}"] for key in ("name", "digest")}
    assert keys == {"name": base, "digest": of_base["Digest"]}
    assert "LANG=C.UTF-8" in config["config"]["Env"]
    assert config["config"].keys() == {"Env", "Labels", "User", "WorkingDir"}
    assert config["config"]["User"] == "1001"
    assert "of" not in config["config"]["Labels"]


def test_a_base_of_another_registry_is_copied(model: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {"etc/first": b"1"}, SHELL)
    with peers.docker_registry(tmp_path) as registry, peers.crane_registry(tmp_path) as other:
        peers.skopeo_copy(base, f"docker://{other.host}/base:1", "--preserve-digests")
        result = build(model, f"{registry.host}/acme/tiny:1", f"{other.host}/base:1")
        assert result.sent > size_of_model(result)
        files = peers.crane_files(f"{registry.host}/acme/tiny:1")
        assert files["/etc/first"] == b"1"
        assert IN_IMAGE.items() <= files.items()
        again = build(model, f"{registry.host}/acme/tiny:2", f"{other.host}/base:1")
        assert again.sent == 0


@pytest.mark.parametrize("target", ["layout", "registry"])
def test_a_base_of_a_layout_is_copied(model: Path, tmp_path: Path, target: str) -> None:
    base = write_base(tmp_path / "base", {"etc/first": b"1"}, SHELL, platforms=TWO)
    with peers.docker_registry(tmp_path) as registry:
        place = {"layout": f"oci:{tmp_path}/out:1", "registry": f"{registry.host}/acme/tiny:1"}[target]
        result = build(model, place, base)
        assert result.sent > size_of_model(result)
        for platform in TWO:
            tree = read_image(place, platform=platform)
            assert {"etc/first", "etc/platform", "usr/bin/sh", "models/config.json"} <= tree.files().keys()
            assert tree.config.platform.architecture == platform.split("/")[1]


def test_the_name_of_a_layout_does_not_enter_the_image(model: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", SHELL)
    image = built(model, tmp_path, base)
    assert "org.opencontainers.image.base.name" not in image.index["annotations"]
    assert image.index["annotations"]["org.opencontainers.image.base.digest"].startswith("sha256:")
    (tmp_path / "base").rename(tmp_path / "moved")
    assert built(model, tmp_path, f"oci:{tmp_path}/moved:base").index == image.index


def test_a_base_of_docker_s_types_becomes_one_of_oci_s(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        base = buildah_base(tmp_path, f"{registry.host}/bases/busybox:1", format="docker")
        kinds = {layer["mediaType"] for layer in _manifest_of(registry.host, "bases/busybox:1")["layers"]}
        assert kinds == {"application/vnd.docker.image.rootfs.diff.tar.gzip"}
        image = built(model, tmp_path, base)
    (manifest,) = image.manifests
    assert [layer["mediaType"] for layer in manifest["layers"]] == [
        "application/vnd.oci.image.layer.v1.tar+gzip",
        *["application/vnd.oci.image.layer.v1.tar"] * 3,
    ]
    assert image.configs[0]["config"].keys() == {"Env", "Labels", "User", "WorkingDir"}
    assert peers.umoci_files(tmp_path / "out", "1")["/models/config.json"] == FILES["config.json"]


def _manifest_of(host: str, image: str) -> Any:
    repository = image.partition(":")[0]
    index: Any = peers.skopeo_inspect(f"docker://{host}/{image}", "--raw")
    if "manifests" not in index:
        return index
    return peers.skopeo_inspect(f"docker://{host}/{repository}@{index['manifests'][0]['digest']}", "--raw")


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot is for root")
def test_kserve_s_shell_line_runs_in_it(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        built(model, tmp_path, buildah_base(tmp_path, f"{registry.host}/bases/busybox:1"))
    peers.run("umoci", "unpack", "--image", f"{tmp_path}/out:1", tmp_path / "bundle")
    line = "ln -s /models /linked && read first < /linked/README.md && echo $first && sleep 0"
    done = subprocess.run(
        ["chroot", tmp_path / "bundle" / "rootfs", "sh", "-c", line], capture_output=True, text=True, check=True
    )
    assert done.stdout == "---\n"


# What stays of it


def test_only_the_environment_of_its_config_stays(model: Path, tmp_path: Path) -> None:
    image = built(model, tmp_path, write_base(tmp_path / "base", SHELL))
    (config,) = image.configs
    assert config["config"].keys() == {"Env", "Labels", "User", "WorkingDir"}
    assert config["config"]["Env"] == EVERYTHING["Env"]
    assert (config["config"]["User"], config["config"]["WorkingDir"]) == ("1001", "/")
    assert "of" not in config["config"]["Labels"]


def test_the_entrypoint_of_modelcar_base_image_stays(model: Path, tmp_path: Path) -> None:
    """It stands in for a shell, so none is asked for."""
    config = {**EVERYTHING, "Entrypoint": ["/bin/link-model-and-wait"]}
    base = write_base(tmp_path / "base", {"bin/link-model-and-wait": b"\x7fELF"}, config=config)
    image = built(model, tmp_path, base)
    assert image.configs[0]["config"]["Entrypoint"] == ["/bin/link-model-and-wait"]
    assert "Cmd" not in image.configs[0]["config"]


@pytest.mark.parametrize("layers", [1, 40])
def test_an_image_has_fewer_than_100_layers_with_its_base(tmp_path: Path, layers: int) -> None:
    model = write_files(tmp_path / "many", model_files(shards=130, shard_size=10))
    base = write_base(tmp_path / "base", *({f"etc/{n}": b"x"} for n in range(layers - 1)), SHELL)
    image = built(model, tmp_path, base)
    assert len(image.manifests[0]["layers"]) < 100
    assert len(image.configs[0]["rootfs"]["diff_ids"]) == len(image.manifests[0]["layers"])


# The shell


@pytest.mark.parametrize(
    ("layers", "missing"),
    [
        ([{"etc/passwd": b""}], "sh, ln, sleep"),
        ([{"bin/sh": b"", "bin/ln": b""}], "sleep"),
        ([SHELL, {"usr/bin/.wh.ln": b""}], "ln"),
        ([{"bin": "usr/bin", "usr/bin/sh": "dash", "usr/bin/ln": "/bin/sleep", "usr/bin/sleep": b""}], "sh"),
        ([{"bin/sh": "bash", "bin/bash": "sh", "bin/ln": b"", "bin/sleep": b""}], "sh"),
    ],
)
def test_a_base_without_shell_is_refused(model: Path, tmp_path: Path, layers: list[Members], missing: str) -> None:
    base = write_base(tmp_path / "base", *layers)
    with pytest.raises(Refused, match=f"has no {missing} for linux/amd64, and KServe runs a shell line in it"):
        build(model, f"oci:{tmp_path}/out:1", base)
    assert not (tmp_path / "out").exists()
    build(model, f"oci:{tmp_path}/out:1", base, base_without_shell=True)


@pytest.mark.parametrize(
    "members",
    [
        {"bin": "usr/bin", "usr/bin/busybox": b"", **{f"usr/bin/{name}": "busybox" for name in ("sh", "ln", "sleep")}},
        {"bin/busybox": b"", **{f"sbin/{name}": "/bin/busybox" for name in ("sh", "ln", "sleep")}},
        {"usr/bin": "../bin", "bin/sh": b"", "bin/ln": "../usr/bin/sh", "bin/sleep": "../../../bin/ln"},
        {"usr/local/bin/sh": b"", "usr/sbin/ln": b"", "sbin/sleep": b""},
    ],
)
def test_a_shell_is_found_behind_links(model: Path, tmp_path: Path, members: Members) -> None:
    built(model, tmp_path, write_base(tmp_path / "base", members))


def test_a_refused_base_ends_in_one_line(model: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {"etc/passwd": b""})
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--base", base)
    assert (done.code, done.out) == (6, "")
    assert done.error.endswith("for image volumes and fetch mode alone, --base-without-shell goes on")
    assert modelcar("build", model, f"oci:{tmp_path}/out:1", "--base", base, "--base-without-shell").code == 0


# Platforms


def test_every_platform_of_the_base_but_attestations(model: Path, tmp_path: Path) -> None:
    image = built(model, tmp_path, write_base(tmp_path / "base", SHELL, platforms=TWO, attested=True))
    assert image.platforms == [*TWO]
    of_model = [[layer for layer in each["layers"] if "annotations" in layer] for each in image.manifests]
    assert of_model[0] == of_model[1]
    assert len(of_model[0]) == 3


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (("linux/arm64",), ["linux/arm64/v8"]),
        (("linux/arm64/v8",), ["linux/arm64/v8"]),
        (("linux/arm64", "linux/amd64"), ["linux/arm64/v8", "linux/amd64"]),
        (("linux/arm64", "linux/arm64/v8"), ["linux/arm64/v8"]),
    ],
)
def test_some_platforms(model: Path, tmp_path: Path, wanted: tuple[str, ...], found: list[str]) -> None:
    base = write_base(tmp_path / "base", SHELL, platforms=TWO)
    assert built(model, tmp_path, base, platforms=wanted).platforms == found


@pytest.mark.parametrize(
    "call", [["--platform", "linux/s390x,linux/amd64"], ["--platform", "linux/s390x", "--platform", "linux/amd64"]]
)
def test_platforms_are_repeated_or_listed(model: Path, tmp_path: Path, call: list[str]) -> None:
    done = modelcar("plan", model, *call)
    assert done.out.endswith("platforms: linux/s390x, linux/amd64\n")


@pytest.mark.parametrize("platform", ["linux/s390x", "linux/arm64/v7", "windows/amd64"])
def test_a_platform_that_the_base_lacks(model: Path, tmp_path: Path, platform: str) -> None:
    base = write_base(tmp_path / "base", SHELL, platforms=TWO)
    with pytest.raises(NotFound, match=f"is not for {platform}; it is for linux/amd64, linux/arm64/v8: choose among"):
        build(model, f"oci:{tmp_path}/out:1", base, platforms=("linux/amd64", platform))


@pytest.mark.parametrize("platform", ["amd64", "linux/", "linux/arm/v7/x", ""])
def test_what_is_no_platform(model: Path, platform: str) -> None:
    with pytest.raises(UsageError, match="is no platform; write it like linux/amd64"):
        plan_image(str(model), None, BuildOptions(platforms=(platform,)))


def test_without_base_each_platform_is_taken_once(model: Path) -> None:
    result = plan_image(
        str(model), None, BuildOptions(base="none", platforms=("linux/amd64", "linux/riscv64", "linux/amd64"))
    )
    assert [str(platform) for platform in result.platforms] == ["linux/amd64", "linux/riscv64"]


# What goes wrong


def test_a_base_that_is_not_there(model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no OCI layout at"):
        build(model, f"oci:{tmp_path}/out:1", f"oci:{tmp_path}/none:1")


def test_a_damaged_base_is_not_copied(model: Path, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", {"etc/big": bytes(5000)}, SHELL)
    first = read_image(base).manifest.layers[0]
    blob = tmp_path / "base" / "blobs" / "sha256" / first.digest.removeprefix("sha256:")
    blob.write_bytes(blob.read_bytes()[:1000] + b"x" + blob.read_bytes()[1001:])
    with pytest.raises(ContentMismatch, match=f"the bytes are those of sha256:.*, not of {first.digest}"):
        build(model, f"oci:{tmp_path}/out:1", base)
    assert json.loads((tmp_path / "out" / "index.json").read_bytes())["manifests"] == []

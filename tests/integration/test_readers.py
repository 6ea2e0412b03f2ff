"""Other programs read what we push, every file's bytes equal to the source's."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar import BuildOptions, build_image
from tests import peers
from tests.models import model_files, write_files

FILES = {
    **model_files(),
    "Größe und Maß.txt": "naïve\n".encode(),
    "empty.json": b"",
    f"deep/{'n' * 200}/{'x' * 60}.txt": b"a name that needs GNU's long-name entry",
}
IN_IMAGE = {f"/models/{path}": content for path, content in FILES.items()}
PLATFORMS = ["linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"]
S390X = ("--override-os", "linux", "--override-arch", "s390x")
SOME_TIME = "1700000000"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


def build(model: Path, target: str) -> str:
    wishes = BuildOptions(base="none", labels={"team": "a"}, annotations={"ticket": "b"})
    return str(build_image(str(model), target, wishes).digest)


@pytest.fixture
def layout(model: Path, tmp_path: Path) -> Path:
    build(model, f"oci:{tmp_path}/out:1")
    return tmp_path / "out"


@pytest.fixture(params=["docker-registry", "crane registry serve"])
def image(model: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The image's name in one registry, then in another implementation."""
    serve = peers.docker_registry if request.param == "docker-registry" else peers.crane_registry
    with serve(tmp_path) as registry:
        build(model, f"{registry.host}/acme/tiny:1")
        yield f"{registry.host}/acme/tiny:1"


# From registries


def test_skopeo_copies_it_to_a_docker_archive(image: str, tmp_path: Path) -> None:
    peers.skopeo_copy(f"docker://{image}", f"docker-archive:{tmp_path}/image.tar:tiny:1")
    assert docker_archive_files(tmp_path / "image.tar") == IN_IMAGE


def test_skopeo_copies_one_platform_for_umoci(image: str, tmp_path: Path) -> None:
    peers.skopeo_copy(f"docker://{image}", f"oci:{tmp_path}/one:1", *S390X)
    assert peers.umoci_files(tmp_path / "one", "1") == IN_IMAGE


def test_skopeo_copies_all_platforms_without_changing_the_digest(model: Path, image: str, tmp_path: Path) -> None:
    peers.skopeo_copy(f"docker://{image}", f"oci:{tmp_path}/all:1", "--all", "--preserve-digests")
    (copied,) = json.loads((tmp_path / "all" / "index.json").read_text())["manifests"]
    assert copied["digest"] == build(model, f"oci:{tmp_path}/ours:1")


def test_podman_reads_it(image: str) -> None:
    assert peers.podman_files(f"docker://{image}") == IN_IMAGE


def test_crane_reads_and_validates_it(image: str) -> None:
    assert peers.crane_files(image) == IN_IMAGE
    crane = str(peers.crane())
    # Without --fast it takes every layer for gzip, whatever its media type says.
    assert "PASS" in peers.run(crane, "validate", "--fast", "--insecure", "--remote", image)
    manifests = [
        json.loads(peers.run(crane, "manifest", "--insecure", "--platform", each, image)) for each in PLATFORMS
    ]
    assert len({manifest["config"]["digest"] for manifest in manifests}) == 4
    assert len({json.dumps(manifest["layers"]) for manifest in manifests}) == 1
    config = json.loads(peers.run(crane, "config", "--insecure", "--platform", "linux/s390x", image))
    assert (config["os"], config["architecture"]) == ("linux", "s390x")


# From a layout


def test_a_layout_is_read_by_skopeo_podman_and_umoci(layout: Path, tmp_path: Path) -> None:
    peers.skopeo_copy(f"oci:{layout}:1", f"docker-archive:{tmp_path}/image.tar:tiny:1")
    assert docker_archive_files(tmp_path / "image.tar") == IN_IMAGE
    peers.skopeo_copy(f"oci:{layout}:1", f"oci:{tmp_path}/one:1", *S390X)
    assert peers.umoci_files(tmp_path / "one", "1") == IN_IMAGE
    assert peers.podman_files(f"oci:{layout}:1") == IN_IMAGE


def test_a_layout_is_pushed_by_crane(layout: Path, tmp_path: Path) -> None:
    with peers.crane_registry(tmp_path) as registry:
        peers.run(str(peers.crane()), "push", "--insecure", "--index", layout, f"{registry.host}/acme/tiny:1")
        assert peers.crane_files(f"{registry.host}/acme/tiny:1") == IN_IMAGE


# What they see


def test_what_skopeo_says_of_it(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", SOME_TIME)
    with peers.docker_registry(tmp_path) as registry:
        image = f"docker://{registry.host}/acme/tiny:1"
        digest = build(model, image)
        index = peers.skopeo_inspect(image, "--raw")
        config: Any = peers.skopeo_inspect(image, "--config", *S390X)
        seen: Any = peers.skopeo_inspect(image, *S390X)
    assert [each["platform"]["architecture"] for each in as_list(index["manifests"])] == [
        platform.partition("/")[2] for platform in PLATFORMS
    ]
    own = {
        "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
        "org.opencontainers.image.licenses": "apache-2.0",
    }
    assert index["annotations"] == {**own, "ticket": "b"}
    assert seen["Labels"] == {**own, "team": "a"}
    assert seen["Created"] == config["created"] == "2023-11-14T22:13:20Z"
    assert (seen["Os"], seen["Architecture"]) == ("linux", "s390x")
    assert seen["Digest"] == digest
    assert config["config"]["User"] == "1001"
    assert config["config"]["WorkingDir"] == "/"
    assert config["config"].keys() == {"User", "WorkingDir", "Env", "Labels"}
    assert len(config["history"]) == len(config["rootfs"]["diff_ids"]) == 3


def test_anybody_may_read_the_files_and_nobody_write_them(layout: Path, tmp_path: Path) -> None:
    peers.skopeo_copy(f"oci:{layout}:1", f"docker-archive:{tmp_path}/image.tar:tiny:1")
    for member in docker_archive_members(tmp_path / "image.tar"):
        assert member.mode == (0o755 if member.isdir() else 0o644), member.name
        assert (member.uid, member.gid, member.mtime, member.uname) == (0, 0, 0, "")
        assert not member.name.startswith((".", "/"))


def docker_archive_members(archive: Path) -> Iterator[tarfile.TarInfo]:
    for _, member in _archived(archive):
        yield member


def docker_archive_files(archive: Path) -> dict[str, bytes]:
    """The files in the layers of what `docker save` would write."""
    return {f"/{member.name}": content for content, member in _archived(archive) if member.isfile()}


def _archived(archive: Path) -> Iterator[tuple[bytes, tarfile.TarInfo]]:
    with tarfile.open(archive) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest
        (described,) = json.load(manifest)
        for name in described["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                for member in layer:
                    opened = layer.extractfile(member)
                    yield opened.read() if opened else b"", member


def as_list(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value

"""What `modelcar build` makes when no base is named: other programs read it, and it is the same everywhere."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from modelcar import BuildOptions, base, build_image, read_image
from modelcar.oci import digest_of
from tests import peers
from tests.cli import MODELCAR, modelcar
from tests.models import model_files, write_files
from tests.shells import ARCHITECTURES, ours

FILES = model_files()
IN_IMAGE = {f"/models/{path}": content for path, content in FILES.items()}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model to be built with nothing said of its base."""
    monkeypatch.delenv("MODELCAR_BUILD_BASE")
    return write_files(tmp_path / "model", FILES)


@pytest.fixture(params=["docker-registry", "crane registry serve"])
def image(model: Path, tmp_path: Path, request: pytest.FixtureRequest) -> object:
    """The image's name in one registry, then in another implementation."""
    serve = peers.docker_registry if request.param == "docker-registry" else peers.crane_registry
    with serve(tmp_path) as registry:
        done = modelcar("build", model, f"{registry.host}/acme/tiny:1", "-q")
        assert done.code == 0, done.err
        yield f"{registry.host}/acme/tiny:1"


def program(architecture: str) -> bytes:
    return (Path(base.__file__).parent / "bin" / f"sh-{architecture}").read_bytes()


def test_podman_reads_it(image: str) -> None:
    files = peers.podman_files(f"docker://{image}")
    assert {path: files[path] for path in files if path.startswith(("/models/", "/bin/"))} == files
    assert files == {**IN_IMAGE, "/bin/sh": program("amd64")}


def test_crane_reads_it(image: str) -> None:
    assert peers.crane_files(image) == {**IN_IMAGE, "/bin/sh": program("amd64")}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_skopeo_and_umoci_read_each_platform(model: Path, tmp_path: Path, architecture: str) -> None:
    build_image(str(model), f"oci:{tmp_path}/out:1")
    only = ("--override-os", "linux", "--override-arch", architecture)
    inspected = peers.skopeo_inspect(f"oci:{tmp_path}/out:1", "--config", *only)
    assert inspected["architecture"] == architecture
    assert inspected["config"] == {
        "User": "1001",
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "Cmd": ["sleep", "infinity"],
        "WorkingDir": "/",
        **({"Labels": labels} if (labels := inspected["config"].get("Labels")) else {}),  # type: ignore[attr-defined]
    }
    copy = ("skopeo", "--insecure-policy", *only, "copy", "--quiet", f"oci:{tmp_path}/out:1", f"oci:{tmp_path}/one:1")
    peers.require("skopeo")
    peers.run(*copy)
    assert peers.umoci_files(tmp_path / "one", "1") == {**IN_IMAGE, "/bin/sh": program(architecture)}


def test_no_base_is_named_in_it(model: Path, tmp_path: Path) -> None:
    build_image(str(model), f"oci:{tmp_path}/out:1")
    for blob in (tmp_path / "out" / "blobs" / "sha256").iterdir():
        if blob.stat().st_size < 20_000:
            assert b"image.base." not in blob.read_bytes()


def test_its_platforms_share_the_model_and_differ_in_the_base(model: Path, tmp_path: Path) -> None:
    build_image(str(model), f"oci:{tmp_path}/out:1")
    trees = [read_image(f"oci:{tmp_path}/out:1", platform=str(platform)) for platform in base.PLATFORMS]
    assert len({tree.manifest.layers[0].digest for tree in trees}) == len(trees)
    assert all(tree.manifest.layers[1:] == trees[0].manifest.layers[1:] for tree in trees)
    for tree, platform in zip(trees, base.PLATFORMS, strict=True):
        assert tree.manifest.layers[0].digest == digest_of(base.layer(platform))


def test_it_is_the_same_with_and_without_a_network(model: Path, tmp_path: Path) -> None:
    peers.require("unshare")
    alone = ("unshare", "--net")
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare --net isn't allowed here")
    digests = []
    for name, wrap in (("with", ()), ("without", alone)):
        done = modelcar("build", model, f"oci:{tmp_path}/{name}:1", "-q", wrap=wrap)
        assert done.code == 0, done.err
        digests.append(done.out.partition("@")[2])
    assert digests[0] == digests[1] != ""


def test_a_second_build_sends_nothing_of_it(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        target = f"{registry.host}/acme/tiny:1"
        sizes = sum(len(base.layer(platform)) for platform in base.PLATFORMS)
        first, second = (build_image(str(model), target, BuildOptions(cache_dir=None)) for _ in range(2))
        without = build_image(str(model), f"{target}2", BuildOptions(cache_dir=None, base="none", use_cache=False))
    assert first.digest == second.digest
    assert (first.sent - without.sent, second.sent) == (sizes, 0)


def test_it_can_be_a_base_itself(model: Path, tmp_path: Path) -> None:
    build_image(str(model), f"oci:{tmp_path}/first:1")
    other = write_files(tmp_path / "other", {"model.gguf": b"x"})
    done = modelcar("build", other, f"oci:{tmp_path}/second:1", "--base", f"oci:{tmp_path}/first:1")
    assert done.code == 0, done.err


def test_the_advice_of_the_base_leads_to_a_registry(model: Path, tmp_path: Path, roots: Path) -> None:
    _, said = ours(ARCHITECTURES[0], roots).said("sh", "-c", "curl")
    advised = said.split()[-1]
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--base", advised, "--retry", "0", env={"HTTPS_PROXY": ""})
    assert "registry.access.redhat.com" in done.error


def test_help_names_the_default() -> None:
    for command in ("build", "plan"):
        said = " ".join(modelcar(command, "--help").out.split())
        assert "--base REF|embedded|none" in said
        assert "[default: embedded]" in said


def test_the_wheel_brings_it(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    command = [str(project / "scripts" / "uv"), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path)]
    constraints = ["--build-constraints", str(project / "requirements" / "build.lock")]
    done = subprocess.run([*command, *constraints, str(project)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheel can be built here: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = tmp_path.glob("*.whl")
    call = "import json; from modelcar import base; from hashlib import sha256; "
    call += "print(json.dumps([sha256(base.layer(p)).hexdigest() for p in base.PLATFORMS]))"
    # Straight from the archive: it needs no file beside it.
    found = json.loads(peers.run(MODELCAR[0], "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {call}"))
    assert found == [hashlib.sha256(base.layer(platform)).hexdigest() for platform in base.PLATFORMS]
    with zipfile.ZipFile(wheel) as archive:
        assert "src/modelcar/base/bin" in archive.read("modelcar-0.1.0.dist-info/licenses/NOTICE").decode()

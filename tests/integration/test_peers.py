"""The real registries start, and each reader gives back the files of an image."""

from __future__ import annotations

import hashlib
import io
import json
import ssl
import tarfile
from pathlib import Path

import pytest
import urllib3

from tests import peers

FILES = {"/models/config.json": b"{}", "/models/sub/weights.bin": bytes(range(256)) * 100}


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout, written by hand, whose image `tiny` has two layers of a file each."""
    folder = tmp_path / "layout"
    layers = [_blob(folder, _tar(path, content)) for path, content in FILES.items()]
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
    config = _blob(folder, json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode())
    config["mediaType"] = "application/vnd.oci.image.config.v1+json"
    kind = "application/vnd.oci.image.manifest.v1+json"
    image = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers}
    manifest = _blob(folder, json.dumps(image).encode())
    manifest |= {"mediaType": kind, "annotations": {"org.opencontainers.image.ref.name": "tiny"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


def _blob(layout: Path, content: bytes) -> dict[str, object]:
    name = hashlib.sha256(content).hexdigest()
    path = layout / "blobs" / "sha256" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    kind = "application/vnd.oci.image.layer.v1.tar"
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}


def _tar(path: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_umoci_reads_a_layout(layout: Path) -> None:
    assert peers.umoci_files(layout, "tiny") == FILES


def test_podman_reads_a_layout(layout: Path) -> None:
    assert peers.podman_files(f"oci:{layout}:tiny") == FILES


def test_podman_and_crane_read_from_docker_registry(layout: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as registry:
        image = f"{registry.host}/models/tiny:1"
        peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{image}")
        assert peers.podman_files(f"docker://{image}") == FILES
        assert peers.crane_files(image) == FILES
        assert (registry.storage / "docker").is_dir()


def test_docker_registry_asks_for_a_password(layout: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path, htpasswd={"me": "secret", "you": "other"}) as registry:
        image = f"{registry.host}/models/tiny:1"
        right = peers.credentials(tmp_path, registry.host, "me", "secret")
        wrong = peers.credentials(tmp_path, registry.host, "me", "guess")
        with pytest.raises(AssertionError, match=r"unauthorized|authentication"):
            peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{image}", login=wrong)
        peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{image}", login=right)
        assert peers.skopeo_inspect(f"docker://{image}", login=right)["Os"] == "linux"
        assert peers.podman_files(f"docker://{image}", login=right) == FILES
        assert peers.crane_files(image, login=right) == FILES


def test_docker_registry_speaks_tls(layout: Path, tmp_path: Path) -> None:
    made = peers.self_signed(tmp_path)
    with peers.docker_registry(tmp_path, tls=made.server) as registry:
        image = f"{registry.host}/models/tiny:1"
        peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{image}")
        assert peers.podman_files(f"docker://{image}") == FILES
        trusting = urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=made.ca))
        assert trusting.request("GET", f"https://{registry.host}/v2/").status == 200


@pytest.mark.parametrize(("delete", "status"), [(True, 202), (False, 405)])
def test_docker_registry_deletes_when_told_so(layout: Path, tmp_path: Path, delete: bool, status: int) -> None:
    with peers.docker_registry(tmp_path, delete=delete) as registry:
        image = f"{registry.host}/tiny:1"
        peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{image}")
        digest = peers.skopeo_inspect(f"docker://{image}")["Digest"]
        answer = urllib3.PoolManager().request("DELETE", f"http://{registry.host}/v2/tiny/manifests/{digest}")
        assert answer.status == status


def test_crane_registry_serves(layout: Path, tmp_path: Path) -> None:
    with peers.crane_registry(tmp_path) as registry:
        peers.skopeo_copy(f"oci:{layout}:tiny", f"docker://{registry.host}/tiny:1")
        assert peers.crane_files(f"{registry.host}/tiny:1") == FILES


def test_readers_understand_what_buildah_builds(tmp_path: Path) -> None:
    peers.require("buildah")
    models = tmp_path / "context" / "models"
    for path, content in FILES.items():
        target = models.parent / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (models.parent / "Containerfile").write_text("FROM scratch\nCOPY models /models\n")
    buildah = ("buildah", "--root", tmp_path / "r", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    peers.run(*buildah, "build", "--isolation", "chroot", "--quiet", "--tag", "tiny", models.parent)
    peers.run(*buildah, "push", "tiny", f"oci:{tmp_path}/built:tiny")
    assert peers.umoci_files(tmp_path / "built", "tiny") == FILES
    assert peers.podman_files(f"oci:{tmp_path}/built:tiny") == FILES


def test_a_missing_tool_skips_the_test() -> None:
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        peers.require("no-such-tool")


def test_a_failing_program_shows_what_it_said() -> None:
    with pytest.raises(AssertionError, match=r"ended with 2: .*no-such-file"):
        peers.run("ls", "/no-such-file")

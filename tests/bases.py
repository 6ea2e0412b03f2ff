"""Base images for the tests: from scratch with a static busybox, made by buildah or by hand."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import peers

Members = Mapping[str, bytes | str]
"""Files by path; a text is the target of a symbolic link."""

SHELL: Members = {"bin": "usr/bin", **{f"usr/bin/{name}": b"\x7fELF" for name in ("sh", "ln", "sleep")}}
"""A base that has all that KServe's shell lines need, as far as one can see without running it."""

EVERYTHING = {
    "Env": ["PATH=/bin", "LANG=C.UTF-8"],
    "Labels": {"of": "the base"},
    "Entrypoint": ["/bin/sh"],
    "Cmd": ["-c", "true"],
    "Volumes": {"/data": {}},
    "ExposedPorts": {"80/tcp": {}},
    "Healthcheck": {"Test": ["CMD", "true"]},
    "User": "7",
    "WorkingDir": "/data",
}


def busybox(folder: Path) -> Path:
    """A root file system of busybox as `sh`, `ln` and `sleep`, with the folder link that most images have."""
    peers.require("busybox")
    binaries = folder / "usr" / "bin"
    binaries.mkdir(parents=True)
    binary = binaries / "busybox"
    binary.write_bytes(Path("/bin/busybox").read_bytes())
    binary.chmod(0o755)
    for name in ("sh", "ln", "sleep"):
        (binaries / name).symlink_to("busybox")
    (folder / "bin").symlink_to("usr/bin")
    return folder


def buildah_base(folder: Path, target: str, *, format: str = "oci", platforms: Sequence[str] = ("linux/amd64",)) -> str:
    """Let buildah build a base with everything in its config, and push it for these platforms. Returns its name."""
    peers.require("buildah")
    busybox(folder / "context" / "root")
    (folder / "context" / "Containerfile").write_text(
        "FROM scratch\nCOPY root /\nENV LANG=C.UTF-8\nLABEL of=base\nUSER 7\nWORKDIR /data\n"
        'VOLUME /data\nEXPOSE 80\nENTRYPOINT ["/bin/sh"]\nCMD ["-c", "true"]\n'
    )
    buildah = ("buildah", "--root", folder / "r", "--runroot", folder / "run", "--storage-driver", "vfs")
    build = ("build", "--isolation", "chroot", "--quiet", "--format", format, "--manifest", "base")
    peers.run(*buildah, *build, "--platform", ",".join(platforms), folder / "context")
    push = ("manifest", "push", "--all", "--tls-verify=false")
    docker = ("--format", "v2s2") if format == "docker" else ()
    peers.run(*buildah, *push, *docker, "base", f"docker://{target}")
    return target


def write_base(
    layout: Path,
    *layers: Members,
    config: Mapping[str, Any] = EVERYTHING,
    platforms: Sequence[str] = ("linux/amd64",),
    attested: bool = False,
) -> str:
    """Write a base image into a new OCI layout. Returns its name.

    Args:
        layout: The folder.
        layers: What is in each, the same for every platform but for a file that names it.
        config: The `config` of its config.
        platforms: What it is for; several make an index.
        attested: Whether it has an attestation for each, as BuildKit pushes them.
    """
    manifests = []
    for platform in platforms:
        system, architecture, *variant = platform.split("/")
        own = [*layers[:-1], {**layers[-1], "etc/platform": platform.encode()}]
        blobs = [_blob(layout, _tar(members), "application/vnd.oci.image.layer.v1.tar") for members in own]
        described = {
            "os": system,
            "architecture": architecture,
            **({"variant": variant[0]} if variant else {}),
        }
        rootfs = {"type": "layers", "diff_ids": [blob["digest"] for blob in blobs]}
        image = _image(layout, {**described, "rootfs": rootfs, "config": config}, blobs)
        manifests.append({**image, "platform": described})
        if attested:
            statement = _blob(layout, b"{}", "application/vnd.in-toto+json")
            nothing: dict[str, Any] = {"os": "unknown", "architecture": "unknown"}
            proof = _image(layout, {**nothing, "rootfs": {"type": "layers", "diff_ids": []}}, [statement])
            manifests.append({**proof, "platform": nothing})
    named = manifests[0]
    if len(manifests) > 1:
        kind = "application/vnd.oci.image.index.v1+json"
        named = _blob(layout, _json({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}), kind)
    named = {**named, "annotations": {"org.opencontainers.image.ref.name": "base"}}
    (layout / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [named]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{layout}:base"


def _image(layout: Path, config: Mapping[str, Any], layers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kind = "application/vnd.oci.image.manifest.v1+json"
    blob = _blob(layout, _json(config), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": blob, "layers": layers}
    return _blob(layout, _json(manifest), kind)


def _blob(layout: Path, content: bytes, kind: str) -> dict[str, Any]:
    name = hashlib.sha256(content).hexdigest()
    path = layout / "blobs" / "sha256" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}


def _tar(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size, member.mode = len(content), 0o755
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()

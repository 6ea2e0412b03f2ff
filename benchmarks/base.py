"""A base image of one small file, for the program that can't do without: gzip and one platform, as skopeo keeps it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import urllib.request

_OCI = "application/vnd.oci.image"


def push_base(registry: str, name: str, tag: str) -> str:
    """Push it. Gives its reference."""
    repository = f"http://{registry}/v2/{name}"
    content = b"benchmark\n"
    member = tarfile.TarInfo("etc/base")
    member.size = len(content)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(member, io.BytesIO(content))
    layer = gzip.compress(tar.getvalue(), mtime=0)
    rootfs = {"type": "layers", "diff_ids": [_digest(tar.getvalue())]}
    history = [{"created_by": "benchmark"}]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs, "history": history}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": _push(repository, json.dumps(config).encode(), f"{_OCI}.config.v1+json"),
        "layers": [_push(repository, layer, f"{_OCI}.layer.v1.tar+gzip")],
    }
    _ask("PUT", f"{repository}/manifests/{tag}", json.dumps(manifest).encode(), str(manifest["mediaType"]))
    return f"{registry}/{name}:{tag}"


def _push(repository: str, blob: bytes, media_type: str) -> dict[str, object]:
    upload = _ask("POST", f"{repository}/blobs/uploads/", b"", "application/octet-stream")
    _ask("PUT", f"{upload}&digest={_digest(blob)}", blob, "application/octet-stream")
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _ask(method: str, url: str, body: bytes, media_type: str) -> str:
    """Send a request. Gives the Location of its answer."""
    request = urllib.request.Request(url, body, {"Content-Type": media_type}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return str(answer.headers["Location"])


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"

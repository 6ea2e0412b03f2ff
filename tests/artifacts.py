"""Artifacts that refer to an image, as signing tools push them: with a subject, or under cosign's tags."""

from __future__ import annotations

import json
from hashlib import sha256

from modelcar.http import Http
from modelcar.oci import Descriptor, Digest, Manifest, media
from modelcar.oci.manifest import encode
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores import BytesBlob, Location, Store, locate


def place(text: str) -> Location:
    """A place as a store."""
    return locate(text, Http(), Access(), Patience(tries=2, first_wait=0.01))


def put_artifact(
    store: Store, content: bytes, *, subject: Descriptor | None = None, tag: str = "", kind: str = "application/x-sbom"
) -> Digest:
    """Push an artifact of one layer, without listing it anywhere. Its digest."""
    empty, layer = BytesBlob(b"{}", "config"), BytesBlob(content, "content")
    for blob in (empty, layer):
        store.write_blob(blob)
    manifest = Manifest(
        2,
        empty.described_as(kind),  # go-containerregistry's registry lists this, and no `artifactType`
        (layer.described_as(kind),),
        media.OCI_MANIFEST,
        {"org.example.note": content.decode()},
        artifact_type=kind,
        subject=subject,
    )
    bytes_ = encode(manifest)
    digest = Digest("sha256:" + sha256(bytes_).hexdigest())
    store.write_manifest(bytes_, media.OCI_MANIFEST, tag or digest)
    return digest


def listed(store: Store, subject: str) -> dict[str, str]:
    """What the store says refers to a digest, by its API or the tag in its place: artifact types by digest."""
    found = store.referrers(Digest(subject))
    if found is not None:
        return {d.digest: d.artifact_type for d in found}
    index = json.loads(store.manifest(subject.replace(":", "-")).content)
    return {d["digest"]: d["artifactType"] for d in index["manifests"]}

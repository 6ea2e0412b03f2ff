"""What stands in a URI of a model, wherever it is written: in a service, or in a connection."""

from __future__ import annotations

import re

from modelcar.errors import ModelcarError
from modelcar.kserve.lint.document import Node
from modelcar.kserve.lint.findings import Report

_URI = re.compile(r"([a-z0-9+]+)://(.*)", re.DOTALL)
_USER = re.compile(r"\s*[a-z0-9+]+://[^/@\s]+@(?![a-z0-9]+:[0-9a-f]{32})", re.IGNORECASE)
_PINNED = re.compile(
    r"(?:[a-z0-9]+[.-])+[a-z0-9]+(?:/[a-z0-9]+(?:[.-][a-z0-9]+)*){1,8}(?:@sha256:[0-9a-f]{64}|:v?[0-9][\w.-]{0,99})"
)
"""An image that is plainly right: the common way to write one."""
LONGEST = 600
"""No image has a longer reference: 255 characters of a name, 128 of a tag, and a digest."""
_KNOWN = frozenset({"gs", "s3", "pvc", "file", "https", "http", "hdfs", "webhdfs", "hf"})
"""What KServe takes besides `oci` (pkg/controller/v1beta1/inferenceservice/utils, `SupportedStorageURIPrefixList`)."""
_IMAGE_LIKE = re.compile(r"oci:?/|[\w-]+(?:\.[\w-]+)+(?::\d+)?/|[\w.-]+:\d+/")
"""A path that begins as an image does: KServe takes it for a folder of the container."""


def check_uri(node: Node, text: str, report: Report) -> str:
    """Look at a URI.

    Args:
        node: Where it stands.
        text: The URI, decoded where the file has it encoded.
        report: Where findings go.

    Returns:
        Its scheme, if that is one of those for images; else nothing.
    """
    if not text or "${" in text or "{{" in text:
        return ""
    if _USER.match(text):
        report.add("uri-credentials", node, "the URI holds a user or a password")
        return ""
    found = _URI.fullmatch(text)
    if found is not None and found[1].startswith("oci"):
        _image(node, found[2], report)
        return found[1]
    if found is None or found[1] not in _KNOWN:
        _unknown(node, text, report)
    return ""


def _unknown(node: Node, text: str, report: Report) -> None:
    shown = repr(text[:80])
    if text != text.strip():
        report.add("uri-unknown", node, f"the URI {shown} has blanks around it", f"write {text.strip()[:200]}")
        return
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        if found := _IMAGE_LIKE.match(text):
            image = text[found.end() :].lstrip("/") if text.startswith("oci") else text
            message = f"{shown} has no scheme: KServe takes it for a path in the container"
            report.add("uri-unknown", node, message, f"write oci://{image[:200]}")
        return
    images = scheme.lower() in ("oci", "docker", "image", "registry", "docker-daemon")
    fix = f"write oci://{rest[:200]}" if images else ""
    report.add("uri-unknown", node, f"KServe knows no {scheme[:40]}://", fix)


def _image(node: Node, name: str, report: Report) -> None:
    if len(name) > LONGEST:
        report.add("image-reference", node, f"{len(name)} characters are no name of an image")
        return
    if _PINNED.fullmatch(name):
        return
    # Loaded here: with all that `oci` brings it takes a tenth of the time that a file of 1 MB does.
    from modelcar.oci.reference import parse_reference

    host, slash, _ = name.partition("/")
    if slash and not any(mark in host for mark in ".:@[") and host != "localhost":
        report.add("image-short-name", node, f"the image {name[:80]} names no registry")
        name = f"docker.io/{name}"
    try:
        reference = parse_reference(name)
    except ModelcarError as error:
        report.add("image-reference", node, error.what, error.hint)
        return
    if reference.digest is None and reference.tag in (None, "latest"):
        what = "the tag latest" if reference.tag else "no tag"
        report.add("image-latest", node, f"the image {reference.name} has {what}")

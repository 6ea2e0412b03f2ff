"""Where a model is: the URI that KServe loads it from, and the image behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelcar.errors import UsageError
from modelcar.kserve.versions import Scheme
from modelcar.oci.digest import Digest
from modelcar.oci.reference import Reference, parse_reference

_URI = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL)
_LOADED = ("gs", "s3", "pvc", "file", "https", "http", "hdfs", "webhdfs", "hf")
"""What else KServe loads from (its storage package, `SupportedStorageURIPrefixList`)."""
_SIGNED = re.compile(r"(?i)(signature|token|password|secret|credential|[?&]sig)=")


@dataclass(frozen=True, slots=True)
class Source:
    """A model's place.

    Attributes:
        uri: As it is written, without a digest that was found later.
        scheme: How KServe brings an image's files to the runtime, None where it is no image.
        reference: The image.
    """

    uri: str
    scheme: Scheme | None = None
    reference: Reference | None = None

    def at(self, digest: str | None) -> Source:
        """The same pinned to a digest, where it is an image and one is known.

        The tag is left out then: not every container engine takes a name with both.
        """
        if self.reference is None or self.scheme is None or not (found := digest or self.reference.digest):
            return self
        pinned = Reference(self.reference.registry, self.reference.repository, None, Digest(found))
        return Source(f"{self.scheme}://{pinned}", self.scheme, pinned)


def parse_source(text: str, what: str = "MODEL") -> Source:
    """A model's place as people type it: `quay.io/acme/granite:1`, `oci://…`, `oci+native://…`, `pvc://…`.

    Args:
        text: What was typed.
        what: The option or field it stands in, for the error.

    Raises:
        UsageError: It is none, holds a user or a password (not shown), or is nothing that a cluster can load.
    """
    text = text.strip()
    found = _URI.fullmatch(text)
    scheme, rest = (found[1], found[2]) if found else ("oci", text)
    refuse_secret(f"{scheme}://{rest}", what)
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise UsageError(f"{what}: {text!r} holds a blank or a control character")
    if scheme == "docker":
        scheme = "oci"
    if scheme in {one.value for one in Scheme}:
        if not found and text.startswith(("oci:", "dir:", "./", "/")):
            raise UsageError(f"{what}: {text} is on this machine, and a cluster can't read it", "push it to a registry")
        try:
            reference = parse_reference(rest)
        except UsageError as error:
            raise UsageError(f"{what}: {error.what}", error.hint) from None
        return Source(f"{scheme}://{reference}", Scheme(scheme), reference)
    if scheme not in _LOADED or not rest:
        raise UsageError(f"{what}: KServe loads nothing from {text}", "it takes oci://HOST/REPOSITORY:TAG")
    if scheme == "pvc" and not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.*)?", rest):
        raise UsageError(f"{what}: {text} names no claim", "write it as pvc://CLAIM/PATH")
    return Source(text)


def refuse_secret(uri: str, what: str) -> None:
    """Stop at a URI that holds a user, a password or a signature, before any error repeats it.

    Raises:
        UsageError: It does; it isn't shown.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise UsageError(f"{what}: that is no URI") from None
    before, at, after = parts.netloc.rpartition("@")
    pinned = ":" in after and re.fullmatch(r"sha(256|512):[0-9a-f]+", after)
    if (at and not pinned) or ("@" in before):
        raise UsageError(f"{what} holds a user or a password", "a URI is no place for them: put them into a Secret")
    if _SIGNED.search(f"{parts.query}&{parts.fragment}") or _SIGNED.search(f"?{parts.query}"):
        raise UsageError(f"{what} holds a signature or a token", "a URI is no place for them: put them into a Secret")

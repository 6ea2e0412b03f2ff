"""Digests, as the OCI image spec writes them: `algorithm:hex` (image-spec, descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from modelcar.errors import ContentMismatch

Digest = NewType("Digest", str)

_FORM = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of an algorithm that registries use (sha256, sha512)."""
    return _FORM.fullmatch(text) is not None


def parse_digest(text: str, where: str) -> Digest:
    """`text` as a digest.

    Raises:
        ContentMismatch: It isn't one; `where` says in what it stood.
    """
    if not is_digest(text):
        raise ContentMismatch(f"{where} holds {text!r}, which is not a sha256 or sha512 digest")
    return Digest(text)


def digest_of(content: bytes) -> Digest:
    """The sha256 digest of `content`."""
    return Digest("sha256:" + hashlib.sha256(content).hexdigest())


def encoded(digest: Digest) -> tuple[str, str]:
    """Algorithm and hex part of a digest: the two names of its file in an OCI layout."""
    algorithm, _, rest = digest.partition(":")
    return algorithm, rest

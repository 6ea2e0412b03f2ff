"""References: the names of images.

The grammar is that of distribution's `reference` package, which every container tool follows; `HOST/…` is asked for
because a name without a host means another registry to each tool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from modelcar.errors import UsageError
from modelcar.oci.digest import Digest, is_digest

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_USER = re.compile(r"(?P<scheme>(?:[a-z]+://)?)[^/@:]*:[^/@]*@(?P<rest>.*)")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

DEFAULT_TAG = "latest"


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/repository[:tag][@digest]`."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def name(self) -> str:
        """The repository with its registry, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What to ask the registry for: the digest if there is one, else the tag, else `latest`."""
        return self.digest or self.tag or DEFAULT_TAG

    def at(self, digest: Digest) -> Reference:
        """The same name pinned to a digest."""
        return replace(self, digest=digest)


def parse_reference(text: str) -> Reference:
    """A reference as people type it.

    Raises:
        UsageError: Which part of it is wrong, and how it should look.
    """
    rest, at, digest = text.partition("@")
    if "/" in digest:
        # What stands before such an @ may be a password: it isn't repeated.
        raise UsageError(
            f"a reference names no user: write it as {digest}", "`modelcar login` takes a user and a password"
        )
    if at and not is_digest(digest):
        raise UsageError(f"{text!r}: after '@' comes a digest, such as sha256: and 64 hex digits, not {digest!r}")
    registry, slash, rest = rest.partition("/")
    if not slash or not _looks_like_host(registry):
        raise UsageError(
            f"{text!r} names no registry",
            f"write it as HOST/REPOSITORY:TAG, for example docker.io/{text.partition('@')[0] or 'acme/granite:1'}",
        )
    if not _REGISTRY.fullmatch(registry):
        raise UsageError(f"{text!r}: {registry!r} is no registry host", "it is HOST or HOST:PORT, without a user")
    repository, colon, tag = rest.partition(":")
    if not _REPOSITORY.fullmatch(repository) or len(registry) + 1 + len(repository) > 255:
        raise UsageError(
            f"{text!r}: {repository!r} is no repository name",
            "it holds lower-case letters, digits, and single . _ - or / between them",
        )
    if colon and not _TAG.fullmatch(tag):
        raise UsageError(
            f"{text!r}: {tag!r} is no tag", "it holds up to 128 letters, digits, _ . and -, and starts with none of . -"
        )
    if registry in ("docker.io", "index.docker.io"):
        registry = "docker.io"
        repository = repository if "/" in repository else f"library/{repository}"
    return Reference(registry, repository, tag or None, Digest(digest) if at else None)


def refuse_password(text: str) -> None:
    """Stop at a source or reference that holds a password, before any error repeats it.

    Raises:
        UsageError: It does; it isn't shown.
    """
    match = _USER.match(text)
    if match and not is_digest(match["rest"]):
        raise UsageError(
            f"names hold no user and no password: write it as {match['scheme']}{match['rest']}",
            "`modelcar login` takes those of a registry, HF_TOKEN that of the Hub",
        )


def is_tag(text: str) -> bool:
    """Whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def _looks_like_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost" or text.startswith("[")

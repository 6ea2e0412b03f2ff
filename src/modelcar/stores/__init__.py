"""Where images live. A kind of store is a module here and a line in `locate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelcar.errors import UsageError
from modelcar.http import Http
from modelcar.oci import Digest, Reference, is_digest, parse_reference
from modelcar.oci.reference import DEFAULT_TAG, is_tag, refuse_password
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.contract import (
    Ambiguous,
    Blob,
    BlobStream,
    BytesBlob,
    HashedStream,
    Limits,
    ReadableStore,
    Reader,
    Store,
    StoredManifest,
)
from modelcar.stores.stored import StoredBlob

__all__ = [
    "Ambiguous",
    "Blob",
    "BlobStream",
    "BytesBlob",
    "HashedStream",
    "Limits",
    "Location",
    "ReadableStore",
    "Reader",
    "Store",
    "StoredBlob",
    "StoredManifest",
    "locate",
]


@dataclass(frozen=True, slots=True)
class Location:
    """An image's place: the store, and which of its images is meant.

    Attributes:
        store: Where it is.
        tag: Its tag. In a layout or archive it may be empty, an image without a name; in an archive a whole reference.
        digest: Its digest, where it was named by that.
    """

    store: Store
    tag: str
    digest: Digest | None = None

    @property
    def version(self) -> str:
        """What to ask the store for."""
        return self.digest or self.tag

    @property
    def is_path(self) -> bool:
        """Whether it is a layout or an archive: a path of this machine."""
        return self.store.is_path

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.store.name}{tag}{digest}"


def locate(text: str, http: Http, access: Access, patience: Patience | None = None) -> Location:
    """The place that a user named, spelled as skopeo or KServe spell it. Nothing is asked of it yet.

    `registry/repo:tag`, `docker://registry/repo:tag`, `oci://registry/repo:tag`, `oci:PATH[:TAG]` for a layout, or
    `oci-archive:FILE[:TAG]`, where the tag may be a whole reference.

    Args:
        text: What the user typed.
        http: Connections.
        access: How registries are reached.
        patience: How requests are tried again.

    Raises:
        UsageError: It is none of these; which part is wrong.
    """
    if not text.startswith(("oci:", _ARCHIVE)) or text.startswith("oci://"):
        refuse_password(text)
    if text.startswith(_ARCHIVE):
        return _in_archive(text.removeprefix(_ARCHIVE), text)
    if text.startswith("docker-archive:"):
        raise UsageError(f"{text!r} is a Docker archive", f"convert it: skopeo copy {text} oci-archive:FILE")
    if text.startswith("oci:///") or text.startswith("oci://."):
        path = text.removeprefix("oci://")
        raise UsageError(
            f"{text!r} is half a registry's name and half a folder's",
            f"for an OCI layout write oci:{path}, for a registry oci://HOST/REPOSITORY:TAG",
        )
    for scheme in ("docker://", "oci://"):
        if text.startswith(scheme):
            return _in_registry(parse_reference(text.removeprefix(scheme)), http, access, patience or Patience())
    if text.startswith("oci:"):
        return _in_layout(text.removeprefix("oci:"), text)
    if "://" in text:
        raise UsageError(f"{text!r}: {text.partition('://')[0]}:// is no place for images", _SPELLINGS)
    if text.startswith((".", "/", "~")):
        raise UsageError(f"{text!r} is a path", f"for an OCI layout write oci:{text}")
    return _in_registry(parse_reference(text), http, access, patience or Patience())


_ARCHIVE = "oci-archive:"
_SPELLINGS = (
    "write HOST/REPOSITORY:TAG for a registry, oci:PATH:TAG for an OCI layout or oci-archive:FILE:TAG for an archive"
)


def _in_layout(rest: str, text: str) -> Location:
    from modelcar.stores.layout import LayoutStore

    path, tag, digest = _split(rest, text, "names no folder", "oci:PATH:TAG")
    # A layout's names are free text (image-spec, annotations.md), but only tags can move on into a registry.
    if tag is not None:
        _check_tag(tag, text)
    return Location(LayoutStore(path), tag or "", digest)


def _in_archive(rest: str, text: str) -> Location:
    from modelcar.stores.archive import ArchiveStore

    if rest.startswith("//"):
        raise UsageError(f"{text!r}: an archive is a file", f"write {_ARCHIVE}/{rest.lstrip('/')}")
    path, tag, digest = _split(rest, text, "names no file", "oci-archive:FILE:TAG")
    if tag is not None and "/" in tag:
        tag = str(parse_reference(tag if ":" in tag.rpartition("/")[2] else f"{tag}:{DEFAULT_TAG}"))
    elif tag is not None:
        _check_tag(tag, text)
    return Location(ArchiveStore(path), tag or "", digest)


def _split(rest: str, text: str, problem: str, spelling: str) -> tuple[Path, str | None, Digest | None]:
    """`PATH[:TAG][@DIGEST]`."""
    rest, at, digest = rest.partition("@")
    if at and not is_digest(digest):
        raise UsageError(f"{text!r}: after '@' comes a digest, such as sha256: and 64 hex digits, not {digest!r}")
    path, colon, tag = rest.partition(":")
    if not path:
        raise UsageError(f"{text!r} {problem}", f"write {spelling}")
    try:
        expanded = Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{text!r}: there is no home folder {Path(path).parts[0]}") from None
    return expanded, tag if colon else None, Digest(digest) if at else None


def _check_tag(tag: str, text: str) -> None:
    if not is_tag(tag):
        raise UsageError(f"{text!r}: {tag!r} is no tag", "it holds up to 128 letters, digits, _ . and -")


def _in_registry(reference: Reference, http: Http, access: Access, patience: Patience) -> Location:
    from modelcar.stores.registry import RegistryStore

    tag = reference.tag or ("" if reference.digest else DEFAULT_TAG)
    return Location(RegistryStore(reference, http, access, patience), tag, reference.digest)

"""Where model files come from. A kind of source is a module here and a line in `open_source`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from modelcar.errors import UsageError
from modelcar.http import Http
from modelcar.oci.reference import parse_reference, refuse_password
from modelcar.sources.contract import LeftOut, Reader, Snapshot, Source, SourceFile
from modelcar.sources.ranges import Lanes
from modelcar.sources.reading import read_file

__all__ = [
    "Lanes",
    "LeftOut",
    "Reader",
    "Snapshot",
    "Source",
    "SourceFile",
    "open_source",
    "read_file",
    "source_of_page",
]


def open_source(text: str, http: Http) -> Source:
    """The source that a user named: `hf://OWNER/NAME[@REVISION]` or a folder.

    Raises:
        UsageError: It is neither; or it isn't there, and an image may be called so.
    """
    if not text:
        raise UsageError("SOURCE is empty", "sources are hf://OWNER/NAME[@REVISION] and folders")
    scheme, separator, rest = text.partition("://")
    if separator:
        refuse_password(text)
    if scheme in ("http", "https") and rest.startswith("huggingface.co/"):
        raise UsageError(f"{text!r} is a web page", f"write hf://{rest.removeprefix('huggingface.co/')}")
    if scheme == "hf" and separator:
        from modelcar.sources.huggingface import HuggingFaceSource

        return HuggingFaceSource.parse(rest, http)
    if _names_image(text):
        raise UsageError(f"{text!r} looks like an image, and no folder of that name is there", _IMAGES)
    if separator:
        raise UsageError(f"{text!r}: {scheme}:// is no source", "sources are hf://OWNER/NAME[@REVISION] and folders")
    from modelcar.sources.folder import FolderSource

    try:
        return FolderSource(Path(text).expanduser())
    except RuntimeError:
        raise UsageError(f"{text!r}: there is no home folder {Path(text).parts[0]}") from None


_IMAGES = "sources are hf://OWNER/NAME[@REVISION] and folders; inspect, ls, copy and pull take images"


def _names_image(text: str) -> bool:
    """Whether a name that no folder has is spelled as an image's: `quay.io/acme/granite:1`, `oci:./images:granite`."""
    if text.startswith(("oci:", "oci-archive:", "docker://")):
        return not os.path.lexists(text)
    try:
        parse_reference(text)
    except UsageError:
        return False
    return not os.path.lexists(text)


_COMMIT = re.compile("[0-9a-f]{40}")


def source_of_page(url: str, revision: str) -> str | None:
    """The source whose snapshot states this address and this commit; None where no kind of source does."""
    for endpoint in (os.environ.get("HF_ENDPOINT", "").rstrip("/"), "https://huggingface.co"):
        name = url.removeprefix(f"{endpoint}/") if endpoint and url.startswith(f"{endpoint}/") else ""
        if name.count("/") == 1 and _COMMIT.fullmatch(revision):
            return f"hf://{name}@{revision}"
    return None

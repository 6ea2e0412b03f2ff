"""Looking at a model where it is, without loading it: in an image, in a repository of the Hub, in a folder.

One function, `look`, that makes `model.ModelFiles` of each of these: sources are read through `Source.open`, images
through the layer that holds a file.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelcar.errors import ContentMismatch, ModelcarError
from modelcar.http import PIECE, Http
from modelcar.image.blobfile import open_layer, read_as_tar
from modelcar.image.tree import ImageFile, ImageTree, read_tree
from modelcar.model import Facts, ModelFiles, read_facts
from modelcar.oci import Platform, parse_platform
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.sources import Source, SourceFile, open_source
from modelcar.sources.card import LONGEST, license_in_text
from modelcar.stores import locate

_IN_IMAGE = "models/"
_LICENSES = "org.opencontainers.image.licenses"
_LINKS = 8
"""Symbolic links that are followed in a row."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A model where it was looked at.

    Attributes:
        location: The place, pinned: with commit or digest.
        facts: What the model is.
        license: As the image or the model card states it.
    """

    location: str
    facts: Facts
    license: str | None


def look(
    text: str,
    *,
    file: str | None = None,
    platform: str | None = None,
    access: Access | None = None,
    patience: Patience | None = None,
) -> Looked:
    """The facts of a model.

    Args:
        text: An image (`HOST/REPOSITORY:TAG`, `oci:PATH[:TAG]`) or a source (`hf://OWNER/NAME[@REVISION]`, a folder, a
            GGUF file).
        file: Which GGUF model, where there are several.
        platform: Of a multi-platform image; by default its first.
        access: How registries are reached.
        patience: How requests are tried again.

    Raises:
        NotFound: It isn't there, or holds no model.
        UsageError: It holds several.
        ContentMismatch: A file of it is damaged.
        ModelcarError: As sources and stores do.
    """
    access = access or Access()
    http = Http(ca_file=access.ca_file)
    patience = patience or Patience()
    files: ModelFiles
    if is_source(text):
        if Path(text).suffix == ".gguf" and Path(text).is_file():
            file, text = Path(text).name, str(Path(text).parent)
        source = open_source(text, http)
        files = SourceFiles(source, patience)
        snapshot = source.snapshot()
        location, license_ = snapshot.location, snapshot.licenses
    else:
        wanted: Platform | None = parse_platform(platform) if platform else None
        tree = read_tree(locate(text, http, access, patience), wanted)
        files = ImageFiles(tree)
        location = str(tree.location) if tree.location.digest else f"{tree.location}@{tree.digest}"
        license_ = (tree.manifest.annotations or {}).get(_LICENSES) or _license(files)
    try:
        return Looked(location, read_facts(files, file), license_)
    except ModelcarError as error:
        raise type(error)(f"{text}: {error.what}", error.hint) from None


def is_source(text: str) -> bool:
    """Whether a user means a source rather than an image: `hf://…`, a path, a folder that is there."""
    if text.startswith(("oci:", "docker://")):
        return False
    return text.startswith(("hf://", "http://", "https://", ".", "/", "~")) or not text or Path(text).exists()


class SourceFiles:
    """The files of a source, by range."""

    def __init__(self, source: Source, patience: Patience) -> None:
        self._source = source
        self._patience = patience
        self._files = {file.path: file for file in source.snapshot().files}
        self._sizes = {path: file.size for path, file in self._files.items()}

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`. A copy in a cache that turns out damaged is passed over."""
        file = self._files[path]
        try:
            return self._patience.persist(lambda: self._read(file, offset, length), path)
        except ContentMismatch:
            if not self._source.distrust(file):
                raise
            return self._patience.persist(lambda: self._read(file, offset, length), path)

    def _read(self, file: SourceFile, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        with closing(self._source.open(file, offset)) as reader:
            while length and (piece := reader.read(min(length, PIECE))):
                pieces.append(piece)
                length -= len(piece)
        return b"".join(pieces)


class ImageFiles:
    """The files of an image's `/models`, by range.

    Of plain layers only what is asked for is read, of compressed ones all that comes before it.
    """

    def __init__(self, tree: ImageTree) -> None:
        self._tree = tree
        seen = tree.files()
        prefix = _IN_IMAGE if any(path.startswith(_IN_IMAGE) for path in seen) else ""
        found = {path.removeprefix(prefix): _content(tree, seen, path) for path in seen if path.startswith(prefix)}
        self._files = {path: file for path, file in found.items() if file is not None}
        self._sizes = {path: file.size for path, file in self._files.items()}

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`."""
        file = self._files[path]
        descriptor = self._tree.layers[file.layer].descriptor
        store = self._tree.location.store
        length = max(0, min(length, file.size - offset))
        opened, seekable = open_layer(store, descriptor)
        with opened, read_as_tar(f"{path} in the layer {descriptor.digest} of {store.name}"):
            if seekable:
                opened.seek(file.offset + offset)
            else:
                _pass_over(opened, file.offset + offset)
            return opened.read(length)


def _content(tree: ImageTree, seen: Mapping[str, ImageFile], path: str) -> ImageFile | None:
    """The file that stands behind a name, through links within the image."""
    found: ImageFile | None = seen[path]
    for _ in range(_LINKS):
        if found is None or found.kind == "file":
            return found
        if found.kind == "symlink":
            target = posixpath.normpath(posixpath.join("/", posixpath.dirname(found.path), found.target))
            found = seen.get(target.lstrip("/"))
        else:
            found = tree.content_of(found) if found.kind == "hardlink" else None
    return None


def _pass_over(opened: BinaryIO, length: int) -> None:
    while length > 0:
        piece = opened.read(min(length, PIECE))
        if not piece:
            raise EOFError("it ends before the file does")
        length -= len(piece)


def _license(files: ModelFiles) -> str | None:
    if "README.md" not in files.sizes:
        return None
    return license_in_text(files.read("README.md", 0, LONGEST))

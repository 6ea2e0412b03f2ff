"""Looking at a model where it is, without loading it: in an image, in a repository of the Hub, in a folder.

One function, `look`, that makes `model.ModelFiles` of each of these: sources are read through `Source.open`, images
through the layer that holds a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from modelcar.errors import ContentMismatch, ModelcarError, NetworkError
from modelcar.http import PIECE, Http
from modelcar.image import ImageFile, ImageFiles, ImageTree, read_head
from modelcar.image.lookup import MODELS
from modelcar.model import Facts, ModelFiles, read_facts
from modelcar.oci import parse_platform
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.sources import Source, SourceFile, open_source, read_file
from modelcar.sources.card import LONGEST, license_in_text
from modelcar.stores import locate

_LICENSES = "org.opencontainers.image.licenses"


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
    place = open_place(text, platform=platform, access=access, patience=patience)
    try:
        return Looked(place.location, read_facts(place.files, file or place.file), place.license())
    except ModelcarError as error:
        raise type(error)(f"{text}: {error.what}", error.hint) from None


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """A source, to look at.

    Attributes:
        source: Itself.
        files: All of its files.
        file: The GGUF file that was meant, where a user named one.
    """

    source: Source
    files: SourceFiles
    file: str | None = None

    @property
    def location(self) -> str:
        """The source, pinned."""
        return self.source.snapshot().location

    def license(self) -> str | None:
        """As the source states it."""
        return self.source.snapshot().licenses


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """An image, to look at.

    Attributes:
        files: The files of its model.
        file: See `SourcePlace`.
    """

    files: FilesOfImage
    file: str | None = None

    @property
    def location(self) -> str:
        """The image, pinned."""
        head = self.files.tree
        return str(head.location) if head.location.digest else f"{head.location}@{head.digest}"

    def license(self) -> str | None:
        """As the image states it, or else the model card in it."""
        return self.files.tree.stated(_LICENSES) or _license(self.files)


def open_place(
    text: str,
    *,
    platform: str | None = None,
    access: Access | None = None,
    patience: Patience | None = None,
    depth: int | None = None,
) -> SourcePlace | ImagePlace:
    """A source or an image, its files listed.

    Args:
        text: As for `look`.
        platform: Of a multi-platform image; by default its first.
        access: How registries are reached.
        patience: How requests are tried again.
        depth: See `ImageFiles`.

    Raises:
        ModelcarError: As sources and stores do.
    """
    access = access or Access()
    http = Http(ca_file=access.ca_file)
    patience = patience or Patience()
    if is_source(text):
        file = None
        if Path(text).suffix == ".gguf" and Path(text).is_file():
            file, text = Path(text).name, str(Path(text).parent)
        source = open_source(text, http)
        return SourcePlace(source, SourceFiles(source, patience), file)
    wanted = parse_platform(platform) if platform else None
    head = read_head(locate(text, http, access, patience), wanted)
    return ImagePlace(FilesOfImage(ImageFiles(head, patience, depth=depth)))


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

    def stream(self, path: str) -> Iterator[bytes]:
        """A whole file, checked against what the source states of it. Raises as `read_file`."""
        return read_file(self._source, self._files[path], self._patience)

    def _read(self, file: SourceFile, offset: int, length: int) -> bytes:
        missing = max(0, min(length, file.size - offset))
        pieces: list[bytes] = []
        with closing(self._source.open(file, offset, missing)) as reader:
            while missing and (piece := reader.read(min(missing, PIECE))):
                pieces.append(piece)
                missing -= len(piece)
        if missing:
            raise NetworkError(f"{file.path}: the source ended {missing:,} bytes too early")
        return b"".join(pieces)


class FilesOfImage:
    """The files of an image's `/models`, or of all of it where it has none, by range.

    Attributes:
        tree: All that the image holds.
        entries: Where the content of each file is, by its path as in `sizes`.
    """

    def __init__(self, image: ImageFiles) -> None:
        self._image = image
        self.tree = tree = image.tree()
        seen = tree.files()
        prefix = MODELS if any(path.startswith(MODELS) for path in seen) else ""
        found = {path.removeprefix(prefix): _followed(tree, path) for path in seen if path.startswith(prefix)}
        self.entries = {path: file for path, file in found.items() if file is not None and file.kind == "file"}
        self._sizes = {path: file.size for path, file in self.entries.items()}

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`."""
        return self._image.read_range(self.entries[path], offset, length)

    def stream(self, path: str) -> Iterator[bytes]:
        """A whole file. Raises as `ImageFiles.stream`."""
        return self._image.stream(self.entries[path])


def _followed(tree: ImageTree, path: str) -> ImageFile | None:
    """What a path leads to; None for a link that leads nowhere, or in a circle."""
    with suppress(ContentMismatch):
        return tree.follow(path)
    return None


def _license(files: ModelFiles) -> str | None:
    if "README.md" not in files.sizes:
        return None
    return license_in_text(files.read("README.md", 0, LONGEST))

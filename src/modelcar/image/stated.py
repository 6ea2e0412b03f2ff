"""What the source of an image's files states of them: the Hub for a commit, or a folder that is at hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from modelcar.errors import ModelcarError, NotFound
from modelcar.http import Http
from modelcar.image.check import ROOT
from modelcar.parallel import side_by_side
from modelcar.retry import Patience
from modelcar.sources import Source, SourceFile, open_source, read_file, source_of_page

_SOURCE = "org.opencontainers.image.source"
_REVISION = "org.opencontainers.image.revision"
_TRIES = 2
"""Of a source that the image names: at an air-gapped site there is none, and nobody wants to wait for that."""


@dataclass(frozen=True, slots=True)
class StatedFiles:
    """Files of a source by their path in the image.

    Attributes:
        source: Which, pinned; None where there is none to compare with.
        reason: Why there is none.
        files: What it states. Of a folder's files the digests come when `with_digests` was called.
    """

    source: str | None = None
    reason: str = ""
    files: Mapping[str, SourceFile] = field(default_factory=dict)
    _opened: Source | None = None

    @property
    def kinds(self) -> dict[str, str]:
        """How each file's content is hashed."""
        return {path: (file.digest or "sha256:").partition(":")[0] for path, file in self.files.items()}

    def with_digests(self, paths: Iterable[str], workers: int, patience: Patience) -> StatedFiles:
        """The same, with the digests of those files read where the source states none.

        Raises:
            ModelcarError: As the source does.
        """
        source = self._opened
        unknown = [path for path in paths if path in self.files and self.files[path].digest is None]
        if source is None or not unknown:
            return self
        digests = side_by_side(lambda path: _hash(source, self.files[path], patience), unknown, workers, patience)
        new = {path: replace(self.files[path], digest=digest) for path, digest in zip(unknown, digests, strict=True)}
        return replace(self, files={**self.files, **new})


def read_stated(named: str, http: Http, patience: Patience) -> StatedFiles:
    """What a source that the user named states.

    Raises:
        ModelcarError: It can't be listed.
    """
    source = open_source(named, http)
    snapshot = patience.persist(source.snapshot, "listing the source")
    return StatedFiles(snapshot.location, "", {ROOT + file.path: file for file in snapshot.files}, source)


def read_if_named(annotations: Mapping[str, str], http: Http, patience: Patience, *, required: bool) -> StatedFiles:
    """What the source states that an image names by its annotations, if it names one that can be asked.

    Args:
        annotations: Of the image.
        http: Connections.
        patience: What ends it early.
        required: Whether it is an error that there is none.

    Raises:
        NotFound: `required`, and the image names none.
        ModelcarError: `required`, and it can't be listed.
    """
    page, revision = annotations.get(_SOURCE, ""), annotations.get(_REVISION, "")
    named = source_of_page(page, revision)
    if named is None:
        what = f"the image names no source that can be asked ({page})" if page else "the image names no source"
        if required:
            raise NotFound(what, "name it with --source")
        return StatedFiles(reason=what)
    try:
        return read_stated(named, http, Patience(patience.cancel, patience.listener, tries=_TRIES))
    except ModelcarError as error:
        if required or patience.cancel.is_set():
            raise
        return StatedFiles(reason=error.what)


def _hash(source: Source, file: SourceFile, patience: Patience) -> str:
    sha256 = hashlib.sha256()
    for piece in read_file(source, file, patience):
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"

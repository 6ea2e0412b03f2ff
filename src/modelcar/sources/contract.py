"""What every source of model files is: a thing that pins itself to a `Snapshot` and opens its files at any offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a snapshot.

    Attributes:
        path: Relative to the source's root, with `/`.
        size: Bytes.
        digest: What the source says of the content: `sha256:<hex>`, `git-sha1:<hex>` (a git blob id), or None.
        fingerprint: For files without a digest, a text that changes whenever the content may have changed, so that a
            digest learned once can be remembered. None where there is no such thing.
    """

    path: str
    size: int
    digest: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that stays behind, and why. A folder ends with `/`; its size is not looked for, and 0."""

    file: SourceFile
    reason: str

    @property
    def is_folder(self) -> bool:
        """Whether a whole folder stays behind."""
        return self.file.path.endswith("/")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one source at one immutable revision.

    Attributes:
        location: The source as a user would write it again, pinned: `hf://owner/name@<commit>`.
        files: Sorted by path.
        curated: True when everything here was put here to be served; False for a repository that may hold the same
            weights twice and much that serving doesn't need.
        revision: The commit, or None where there is none.
        url: Where people can look at it; an annotation of the image.
        title: A short name for people.
        licenses: SPDX expression or the model card's own word, where the source knows one.
        left_out: What lies there and is no part of the model, whatever the user wishes.
    """

    location: str
    files: tuple[SourceFile, ...]
    curated: bool
    revision: str | None = None
    url: str | None = None
    title: str | None = None
    licenses: str | None = None
    left_out: tuple[LeftOut, ...] = ()


class Reader(Protocol):
    """Bytes of one file, from some offset on."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, `b""` at the end of the file or range. Raises as `Source.open` does."""
        ...

    def close(self) -> None:
        """Let go of file or connection; may be called twice."""
        ...


class Source(Protocol):
    """A place that lists and reads model files. All methods may be called from several threads.

    Attributes:
        remote: Whether bytes come over a network, where several connections may be faster than one.
    """

    remote: bool

    def snapshot(self) -> Snapshot:
        """What is there now, pinned. A second call gives the same.

        Raises:
            NotFound: The place, or its revision, doesn't exist or is empty.
            Denied: It may not be read.
            NetworkError: It can't be reached.
        """
        ...

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> Reader:
        """Read `file`, one of the snapshot's, from `offset` on. The first bytes are under way when this returns.

        With a `length` no more bytes than that come; fewer may, as when a connection ends too soon.

        Raises:
            NetworkError: It can't be reached, or asks to wait (`RateLimited`); the caller decides what then.
            ContentMismatch: It isn't the file that the snapshot listed any more.
            Denied: It may not be read.
            NotFound: It is gone.
        """
        ...

    def prepare(self, file: SourceFile, offset: int, length: int) -> None:
        """Told that this range will be opened soon: what can be asked for before is asked for now.

        Raises:
            As `open`. But for `RateLimited`, opening it is worth a try all the same.
        """
        ...

    def distrust(self, file: SourceFile) -> bool:
        """Told that the bytes read of `file` were wrong. True when the next `open` reads another copy."""
        ...

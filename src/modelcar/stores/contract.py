"""What every store of images is: blobs, manifests and tags, to read and to write.

Blobs are written from a `Blob`: a thing that can be opened more than once and hashes itself as it is read, so that a
store may send it without knowing its digest before, and start again when an upload breaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from modelcar.errors import ModelcarError, NotFound
from modelcar.oci import Descriptor, Digest, digest_of

GIB = 1024**3


class NotRead(ModelcarError):
    """The digest of a stream was asked for before its end."""


class Ambiguous(NotFound):
    """Several images are there, and which one is meant was not said."""


class BlobStream(Protocol):
    """One pass over a blob's bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """The bytes, in pieces. Whatever goes wrong where they come from is raised here, in our own errors."""
        ...

    @property
    def digest(self) -> Digest:
        """Of all bytes, once they have been read. Raises `NotRead` before."""
        ...

    @property
    def size(self) -> int:
        """Bytes that have been read so far."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Blob(Protocol):
    """Bytes to be stored, that can be read more than once.

    Attributes:
        title: What it is, for people.
        size: Bytes; None where that is known only after reading.
        digest: None where that is known only after reading.
    """

    @property
    def title(self) -> str:
        """See above."""
        ...

    @property
    def size(self) -> int | None:
        """See above."""
        ...

    @property
    def digest(self) -> Digest | None:
        """See above."""
        ...

    def open(self) -> BlobStream:
        """Begin a pass. The first bytes are at hand when this returns, so that an upload needn't wait for them."""
        ...


class Reader(Protocol):
    """Bytes of a stored blob."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, `b""` at the end."""
        ...

    def close(self) -> None:
        """Let go of file or connection; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it lies in a store: its bytes are what its digest is of."""

    content: bytes
    media_type: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store is known to take at the most.

    Attributes:
        blob: Bytes of one blob, None where no limit is known.
        reason: Where the limit comes from, for people.
    """

    blob: int | None = None
    reason: str = ""


class ReadableStore(Protocol):
    """One repository of images, read.

    Attributes:
        name: What it is called, for people and in errors: `quay.io/acme/granite`, `oci:./images`.
        is_path: Whether it is a file or folder of this machine, whose name means nothing elsewhere.
        has_ranges: Whether a part of a blob costs no more than that part. False once a registry has shown that it sends
            whole blobs only.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def is_path(self) -> bool:
        """See above."""
        ...

    @property
    def has_ranges(self) -> bool:
        """See above."""
        ...

    def resolve(self, version: str) -> Descriptor:
        """The manifest that a tag or digest names, without reading it.

        Raises:
            NotFound: There is no such manifest; `Ambiguous` where there are several.
            Denied, NetworkError: As it says.
        """
        ...

    def manifest(self, version: str) -> StoredManifest:
        """The manifest that a tag or digest names, checked where a digest is known. Raises as `resolve`."""
        ...

    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        ...

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """Read a blob from `offset` on, `length` bytes or to its end. What is read is not checked.

        Raises:
            NotFound: It is not there.
            Denied, NetworkError: As it says.
        """
        ...

    def tags(self) -> list[str]:
        """All tags, sorted."""
        ...

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...] | None:
        """The manifests whose subject is `digest`, as the store lists them (distribution-spec v1.1).

        None where it keeps no such lists: then a tag of its own names one, that of `referrers_tag`.

        Raises:
            NetworkError: As it says.
        """
        ...


class Store(ReadableStore, Protocol):
    """One repository of images, read and written. All methods may be called from several threads.

    Attributes:
        limits: What is known of what it takes.
        holds_docker: Whether Docker's manifests have a place there: an OCI layout has none for them.
        keeps_records: Whether the record of an unfinished build belongs here (see `build/record.py`): a store that is
            a folder of this machine keeps finished blobs by itself.
        is_one_file: Whether it holds one image, that a new one replaces as a whole: what is written to it is there
            for others when the manifest is written under its tag, and not before.
    """

    @property
    def limits(self) -> Limits:
        """See above."""
        ...

    @property
    def holds_docker(self) -> bool:
        """See above."""
        ...

    @property
    def keeps_records(self) -> bool:
        """See above."""
        ...

    @property
    def is_one_file(self) -> bool:
        """See above."""
        ...

    def prepare(self) -> None:
        """Check that it can be written to, before anything is read for it.

        Raises:
            Denied, NotFound, Refused, NetworkError: It can't.
        """
        ...

    def write_blob(self, blob: Blob) -> Descriptor:
        """Store a blob; its digest and size as they proved to be. One try: what breaks is raised.

        Raises:
            ContentMismatch: The bytes aren't those of `blob.digest`, or the store says it got others.
            NetworkError: The upload broke; nothing of it is visible.
            Refused, Denied: As it says.
        """
        ...

    def mount_blob(self, digest: Digest, origin: str) -> bool:
        """Take a blob over from the store named `origin` without moving its bytes. False where that can't be."""
        ...

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        """Store a manifest under a tag, or under its digest alone.

        Raises:
            Refused: A tag that must not move, or a manifest the store won't take.
            NotFound: A blob that it names is gone.
            ContentMismatch: The store says that it made another manifest of it.
            Denied, NetworkError: As it says.
        """
        ...

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        """Take a tag away, or if need be the manifest under it. True when it is gone, also where it was before."""
        ...

    def close(self) -> None:
        """Remove what is unfinished and let go of locks."""
        ...


class BytesBlob:
    """A small blob that is at hand: a config."""

    def __init__(self, content: bytes, title: str) -> None:
        self._content = content
        self.title = title
        self.size = len(content)
        self.digest = digest_of(content)

    def described_as(self, media_type: str) -> Descriptor:
        """Its descriptor, as a blob of that type."""
        return Descriptor(media_type, self.digest, self.size)

    def open(self) -> HashedStream:
        """See `Blob.open`."""
        return HashedStream(iter([self._content]))


class HashedStream:
    """A pass over pieces that hashes them: the `BlobStream` of everything uncompressed.

    Args:
        pieces: Where the bytes come from; closed with the stream when it can be.
        algorithm: Of the digest.
    """

    def __init__(self, pieces: Iterator[bytes], algorithm: str = "sha256") -> None:
        self._pieces = pieces
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._done = False
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        """See `BlobStream`."""
        for piece in self._pieces:
            self._hash.update(piece)
            self.size += len(piece)
            yield piece
        self._done = True

    @property
    def digest(self) -> Digest:
        """See `BlobStream`."""
        if not self._done:
            raise NotRead("a digest was asked for before its blob had been read")
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")

    def close(self) -> None:
        """See `BlobStream`."""
        close = getattr(self._pieces, "close", None)
        if close:
            close()

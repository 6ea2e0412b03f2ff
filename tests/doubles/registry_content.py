"""What the registry double holds: blobs, unfinished uploads, manifests and tags. It knows nothing of HTTP."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob; `content` is None where it was hashed and dropped."""

    size: int
    content: bytes | None


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it was pushed."""

    media_type: str
    content: bytes


class Upload:
    """An unfinished upload. Content past `keep_up_to` bytes is hashed and dropped, and has a sha256 digest only.

    `state` is what the query of its latest Location said.
    """

    def __init__(self, repository: str, keep_up_to: int | None) -> None:
        self.id = secrets.token_hex(8)
        self.repository = repository
        self.size = 0
        self.state = ""
        self._keep_up_to = keep_up_to
        self._hash = hashlib.sha256()
        self._kept: list[bytes] | None = []

    def write(self, piece: bytes) -> None:
        """Append this."""
        self.size += len(piece)
        self._hash.update(piece)
        if self._keep_up_to is not None and self.size > self._keep_up_to:
            self._kept = None
        if self._kept is not None:
            self._kept.append(piece)

    def blob(self) -> Blob:
        """What has been written so far, as a blob."""
        return Blob(self.size, None if self._kept is None else b"".join(self._kept))

    def matches(self, digest: str, blob: Blob) -> bool:
        """Whether this is the digest of what was written."""
        algorithm, _, value = digest.partition(":")
        if algorithm == "sha256":
            return self._hash.hexdigest() == value
        if algorithm == "sha512" and blob.content is not None:
            return hashlib.sha512(blob.content).hexdigest() == value
        return False


@dataclass(slots=True)
class _Repository:
    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Content:
    """All repositories, safe to use from many threads.

    As in real registries, a blob can be read from a repository only if it was pushed or mounted there.
    """

    def __init__(self, keep_up_to: int | None) -> None:
        self._keep_up_to = keep_up_to
        self._lock = threading.RLock()
        self._blobs: dict[str, Blob] = {}
        self._repositories: dict[str, _Repository] = {}
        self._uploads: dict[str, Upload] = {}

    def create(self, repository: str) -> None:
        """Let there be this repository."""
        with self._lock:
            self._repositories.setdefault(repository, _Repository())

    def exists(self, repository: str) -> bool:
        """Whether it was created, or something was pushed to it."""
        with self._lock:
            return repository in self._repositories

    def blob(self, digest: str, repository: str | None = None) -> Blob | None:
        """A blob, if it is there: in this repository, or in any."""
        with self._lock:
            if repository is not None and digest not in self._repository(repository).blobs:
                return None
            return self._blobs.get(digest)

    def add_blob(self, repository: str, digest: str, blob: Blob) -> None:
        """Store a blob and link it to the repository."""
        with self._lock:
            self.create(repository)
            self._blobs[digest] = blob
            self._repositories[repository].blobs.add(digest)

    def mount(self, digest: str, source: str, target: str) -> bool:
        """Link a blob of one repository to another; False if it isn't there."""
        with self._lock:
            blob = self.blob(digest, source)
            if blob is not None:
                self.add_blob(target, digest, blob)
            return blob is not None

    def drop_blob(self, digest: str, repository: str | None = None) -> bool:
        """Lose a blob: from one repository, or altogether."""
        with self._lock:
            there = self.blob(digest, repository) is not None
            if repository is None:
                self._blobs.pop(digest, None)
            else:
                self._repository(repository).blobs.discard(digest)
            return there

    def start_upload(self, repository: str) -> Upload:
        """Begin an upload."""
        upload = Upload(repository, self._keep_up_to)
        with self._lock:
            self._uploads[upload.id] = upload
        return upload

    def upload(self, repository: str, name: str) -> Upload | None:
        """An unfinished upload, if it is there."""
        with self._lock:
            upload = self._uploads.get(name)
            return upload if upload and upload.repository == repository else None

    def end_upload(self, upload: Upload) -> None:
        """Forget an upload."""
        with self._lock:
            self._uploads.pop(upload.id, None)

    @property
    def uploads(self) -> int:
        """How many uploads are unfinished."""
        with self._lock:
            return len(self._uploads)

    def manifest(self, repository: str, reference: str) -> tuple[str, StoredManifest] | None:
        """Digest and manifest of a tag or digest."""
        with self._lock:
            home = self._repository(repository)
            digest = home.tags.get(reference, reference)
            manifest = home.manifests.get(digest)
            return (digest, manifest) if manifest else None

    def add_manifest(self, repository: str, digest: str, tag: str | None, manifest: StoredManifest) -> None:
        """Store a manifest, under a tag if there is one."""
        with self._lock:
            self.create(repository)
            home = self._repositories[repository]
            home.manifests[digest] = manifest
            if tag is not None:
                home.tags[tag] = digest

    def delete_manifest(self, repository: str, reference: str) -> bool:
        """Delete a tag, or a manifest with all its tags; False if it isn't there."""
        with self._lock:
            home = self._repository(repository)
            if home.tags.pop(reference, None):
                return True
            home.tags = {tag: digest for tag, digest in home.tags.items() if digest != reference}
            return home.manifests.pop(reference, None) is not None

    def manifests(self, repository: str) -> dict[str, bytes]:
        """The manifests of a repository by digest."""
        with self._lock:
            return {digest: manifest.content for digest, manifest in self._repository(repository).manifests.items()}

    def tags(self, repository: str) -> dict[str, str]:
        """The digests of a repository by tag."""
        with self._lock:
            return dict(self._repository(repository).tags)

    def _repository(self, name: str) -> _Repository:
        return self._repositories.get(name) or _Repository()

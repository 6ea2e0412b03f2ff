"""A source and a store in memory, for tests of what stands between them. They keep the contracts and fail on demand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO

from modelcar.errors import ModelcarError, NotFound
from modelcar.oci import Config, Descriptor, Digest, Manifest, RootFS, digest_of, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import encode
from modelcar.sources import Snapshot, SourceFile
from modelcar.stores import Blob, Limits, Location, StoredManifest
from tests.doubles.content import Bytes, Content, as_content, digest


@dataclass(frozen=True, slots=True)
class Break:
    """Raise this once reading `path` has come to the offset `at`."""

    path: str
    at: int
    error: ModelcarError


class MemorySource:
    """Files in memory or generated as they are read.

    Args:
        files: Their contents by path.
        states: Digests that are stated, by path; all others are the true sha256.
        sizes: Sizes that are stated, by path; all others are the true ones.
        breaks: What goes wrong, each once.
        remote: Whether it counts as one over a network.
    """

    def __init__(
        self,
        files: Mapping[str, bytes | Content],
        *,
        states: Mapping[str, str | None] | None = None,
        sizes: Mapping[str, int] | None = None,
        breaks: tuple[Break, ...] = (),
        remote: bool = False,
    ) -> None:
        self.remote = remote
        self.contents = {path: as_content(content) for path, content in files.items()}
        self.opened: list[tuple[str, int]] = []
        self.open_now = 0
        self._states = states or {}
        self._sizes = sizes or {}
        self._breaks = list(breaks)
        self._lock = threading.Lock()

    @property
    def files(self) -> tuple[SourceFile, ...]:
        return tuple(
            SourceFile(
                path,
                self._sizes.get(path, content.size),
                self._states.get(path, f"sha256:{content.sha256}"),
            )
            for path, content in sorted(self.contents.items())
        )

    def snapshot(self) -> Snapshot:
        return Snapshot("memory", self.files, curated=True)

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> _Reader:
        with self._lock:
            self.opened.append((file.path, offset))
            self.open_now += 1
        return _Reader(self, file.path, offset, length)

    def prepare(self, file: SourceFile, offset: int, length: int) -> None: ...

    def distrust(self, file: SourceFile) -> bool:
        return False

    def check(self, path: str, start: int, stop: int) -> int:
        """How far a read may go from `start`; raises what is to go wrong there."""
        with self._lock:
            for fault in self._breaks:
                if fault.path == path and start <= fault.at <= stop:
                    if fault.at == start:
                        self._breaks.remove(fault)
                        raise fault.error
                    return fault.at
        return stop

    def closed(self) -> None:
        with self._lock:
            self.open_now -= 1


class _Reader:
    def __init__(self, source: MemorySource, path: str, offset: int, length: int | None = None) -> None:
        self._source = source
        self._path = path
        self._at = offset
        size = source.contents[path].size
        self._stop = size if length is None else min(size, offset + length)
        self._is_open = True

    def read(self, size: int, /) -> bytes:
        content = self._source.contents[self._path]
        stop = self._source.check(self._path, self._at, min(self._stop, self._at + size))
        piece = b"".join(content.pieces(self._at, stop)) if self._at < stop else b""
        self._at += len(piece)
        return piece

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._source.closed()


@dataclass
class MemoryStore:
    """A store of everything in memory.

    Attributes:
        mountable: Digests by the store that they can be mounted from.
    """

    name: str = "memory"
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    mountable: Mapping[str, set[Digest]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    holds_docker: bool = True
    keeps_records: bool = False
    is_path: bool = False
    is_one_file: bool = False
    has_ranges: bool = True

    def prepare(self) -> None: ...

    def resolve(self, version: str) -> Descriptor:
        found = self.manifest(version)
        return Descriptor(found.media_type, found.digest, len(found.content))

    def manifest(self, version: str) -> StoredManifest:
        if version not in self.manifests:
            raise NotFound(f"no {version}")
        return self.manifests[version]

    def has_blob(self, digest: Digest) -> bool:
        self.asked.append(digest)
        return digest in self.blobs

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> BytesIO:
        if digest not in self.blobs:
            raise NotFound(f"no {digest}")
        return BytesIO(self.blobs[digest][offset:][:length])

    def tags(self) -> list[str]:
        return sorted(tag for tag in self.manifests if ":" not in tag)

    def referrers(self, digest: Digest) -> None: ...

    def write_blob(self, blob: Blob) -> Descriptor:
        stream = blob.open()
        content = b"".join(stream)
        self.blobs[stream.digest] = content
        return Descriptor("", stream.digest, len(content))

    def mount_blob(self, digest: Digest, origin: str) -> bool:
        return digest in self.mountable.get(origin, set())

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        stored = StoredManifest(content, media_type, digest_of(content))
        self.manifests |= {version: stored, stored.digest: stored}
        return stored.digest

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        return self.manifests.pop(tag, None) is not None

    def close(self) -> None: ...


def put_image(
    store: MemoryStore, *layers: bytes | tuple[str, bytes], tag: str = "1", entrypoint: tuple[str, ...] = ()
) -> Location:
    """An image of these layers, each plain or with its media type, and of this Entrypoint."""
    described = []
    for layer in layers:
        kind, content = layer if isinstance(layer, tuple) else (media.OCI_LAYER, layer)
        described.append(put_blob(store, content, kind))
    rootfs = RootFS("layers", tuple(d.digest for d in described))
    execution = configs.Execution(entrypoint=entrypoint) if entrypoint else None
    config = configs.encode(Config("amd64", "linux", rootfs, execution))
    manifest = Manifest(2, put_blob(store, config, media.OCI_CONFIG), tuple(described), media.OCI_MANIFEST)
    store.write_manifest(encode(manifest), media.OCI_MANIFEST, tag)
    return Location(store, tag)


def put_blob(store: MemoryStore, content: bytes, media_type: str) -> Descriptor:
    """A blob and its descriptor."""
    digest = Digest("sha256:" + sha256(content).hexdigest())
    store.blobs[digest] = content
    return Descriptor(media_type, digest, len(content))


def git_sha1(content: bytes) -> str:
    """What the Hub states of a file outside LFS."""
    return "git-sha1:" + digest(Bytes(content), "sha1", b"blob %d\0" % len(content))

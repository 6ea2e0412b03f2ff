"""A registry's repository as a store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NetworkError, NotFound, Refused
from modelcar.http import PIECE, Http, Response
from modelcar.oci import Descriptor, Digest, Index, Reference, digest_of, is_digest, media
from modelcar.oci.manifest import MAX_MANIFEST, decode, refuse_schema1
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.contract import Blob, Limits, Reader, StoredManifest
from modelcar.stores.registry.client import DELETE, PUSH, Client, Refusal, refusal_of
from modelcar.stores.registry.credentials import find_credentials
from modelcar.stores.registry.upload import Uploader

_RECONNECTS = 4

T = TypeVar("T")


class RegistryStore:
    """A repository of a registry.

    Args:
        reference: Names it.
        http: Connections.
        access: How registries are reached.
        patience: How requests are tried again.
    """

    holds_docker = True
    is_path = False
    is_one_file = False
    keeps_records = True

    def __init__(self, reference: Reference, http: Http, access: Access, patience: Patience) -> None:
        self.name = reference.name
        self._registry = reference.registry
        credentials = find_credentials(reference.registry, reference.repository, access.authfile)
        self._client = Client(reference, http, access, patience, credentials)
        self._uploader = Uploader(self._client)
        self._patience = patience
        self._whole_only = threading.Event()

    @property
    def has_ranges(self) -> bool:
        """See `ReadableStore`: true until the registry has answered a range with a whole blob."""
        return not self._whole_only.is_set()

    @property
    def limits(self) -> Limits:
        """See `Store`."""
        return self._client.quirks.limits

    def resolve(self, version: str) -> Descriptor:
        """See `ReadableStore.resolve`."""
        url = self._client.url(f"manifests/{version}")
        with self._client.ask("HEAD", url, self._named(version), headers={"Accept": media.ACCEPT}) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
            length = response.headers.get("Content-Length", "")
            if response.status == 200 and is_digest(digest) and length.isdigit():
                return Descriptor(_type_of(response), Digest(digest), int(length))
            if response.status == 404:
                raise self._absent(version)
            if response.status in (401, 403):
                raise self._client.error(refusal_of(response), self._named(version))
        stored = self.manifest(version)
        return Descriptor(stored.media_type, stored.digest, len(stored.content))

    def manifest(self, version: str) -> StoredManifest:
        """See `ReadableStore.manifest`."""
        what = self._named(version)
        url = self._client.url(f"manifests/{version}")
        with self._client.ask("GET", url, what, headers={"Accept": media.ACCEPT}) as response:
            if response.status == 404:
                raise self._absent(version)
            if response.status != 200:
                raise self._client.error(refusal_of(response), what)
            content = _manifest_in(response, what)
            stated = version if is_digest(version) else response.headers.get("Docker-Content-Digest", "")
        refuse_schema1(content, what)  # before its digest, which registries make of it without its signatures
        digest = digest_of(content)
        if stated.startswith("sha256:") and stated != digest:
            raise ContentMismatch(f"{what}: the registry sent other bytes than those of {stated}")
        return StoredManifest(content, _type_of(response), Digest(stated) if is_digest(stated) else digest)

    def has_blob(self, digest: Digest) -> bool:
        """See `ReadableStore.has_blob`."""
        what = f"looking for {digest[:19]}"
        with self._client.ask("HEAD", self._client.url(f"blobs/{digest}"), what) as response:
            if response.status >= 400 and response.status != 404:
                raise self._client.error(refusal_of(response), what)
            return response.status < 400

    def open_blob(self, digest: Digest, offset: int = 0, length: int | None = None) -> Reader:
        """See `ReadableStore.open_blob`. A connection that breaks is opened again at the offset reached."""
        return _BlobReader(self._client, self._patience, digest, offset, length, self._whole_only)

    def tags(self) -> list[str]:
        """See `ReadableStore.tags`."""
        tags: list[str] = []
        url = self._client.url("tags/list?n=1000")
        while url:
            with self._client.ask("GET", url, f"the tags of {self.name}") as response:
                if response.status != 200:
                    raise self._client.error(refusal_of(response), f"the tags of {self.name}")
                answer = response.json()
                following = _next_page(response)
            tags += answer.get("tags") or [] if isinstance(answer, dict) else []
            url = self._client.absolute(following, url) if following else ""
        return sorted(tags)

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...] | None:
        """See `ReadableStore.referrers`. A registry without the API should answer 404; some answer otherwise."""
        what = f"what refers to {digest[:19]}"
        found: list[Descriptor] = []
        url = self._client.url(f"referrers/{digest}")
        while url:
            try:
                with self._client.ask("GET", url, what, headers={"Accept": media.OCI_INDEX}) as response:
                    if response.status != 200 or _type_of(response) != media.OCI_INDEX:
                        return None
                    listed = decode(response.read_all(MAX_MANIFEST), media.OCI_INDEX, what)
                    following = _next_page(response)
            except NetworkError as error:
                if error.final:
                    return None
                raise
            found += listed.manifests if isinstance(listed, Index) else ()
            url = self._client.absolute(following, url) if following else ""
        return tuple(found)

    def prepare(self) -> None:
        """See `Store.prepare`."""
        self._uploader.prepare()

    def write_blob(self, blob: Blob) -> Descriptor:
        """See `Store.write_blob`."""
        return self._uploader.send(blob)

    def mount_blob(self, digest: Digest, origin: str) -> bool:
        """See `Store.mount_blob`: between repositories of one registry."""
        registry, _, repository = origin.partition("/")
        if registry != self._registry or not repository or origin == self.name:
            return False
        try:
            return self._uploader.mount(digest, repository)
        except (Denied, NetworkError):
            return False  # perhaps that repository is only not ours to read: whatever it is, the bytes are sent

    def write_manifest(self, content: bytes, media_type: str, version: str) -> Digest:
        """See `Store.write_manifest`."""
        what = self._named(version)
        url = self._client.url(f"manifests/{version}")
        headers = {"Content-Type": media_type}
        digest = digest_of(content)
        with self._client.ask("PUT", url, what, actions=PUSH, headers=headers, body=content) as response:
            if response.status not in (200, 201, 202):
                raise self._manifest_error(refusal_of(response), version)
            answered = response.headers.get("Docker-Content-Digest", digest)
        if answered != digest and answered.startswith("sha256:"):
            raise ContentMismatch(f"{what}: the registry stored {answered}, and {digest} was sent")
        return digest

    def _manifest_error(self, refusal: Refusal, version: str) -> ModelcarError:
        what = self._named(version)
        if refusal.codes & {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}:
            return NotFound(f"{what}: the registry has lost a blob of it{refusal.said}", "run it again")
        words = " ".join((refusal.said, *refusal.codes)).lower()
        is_immutable = "TAG_INVALID" in refusal.codes or "immutable" in words
        if not is_digest(version) and (refusal.status in (409, 412) or is_immutable):
            return Refused(f"{what}: the registry forbids to move the tag{refusal.said}")
        return self._client.error(refusal, what)

    def delete_tag(self, tag: str, digest: Digest) -> bool:
        """See `Store.delete_tag`."""
        for version in (tag, digest):
            url = self._client.url(f"manifests/{version}")
            try:
                with self._client.ask_once("DELETE", url, actions=DELETE) as response:
                    if response.status in (200, 202, 204, 404):
                        return True
            except (Denied, NetworkError):
                continue
        return False

    def close(self) -> None:
        """See `Store.close`: each upload was finished or given up by whoever began it."""

    def _named(self, version: str) -> str:
        return f"{self.name}{'@' if is_digest(version) else ':'}{version}"

    def _absent(self, version: str) -> NotFound:
        return NotFound(f"{self._named(version)} doesn't exist")


class _BlobReader:
    """A blob from some offset on, over as many connections as it takes. A registry without ranges sets `whole_only`."""

    def __init__(
        self,
        client: Client,
        patience: Patience,
        digest: Digest,
        offset: int,
        length: int | None,
        whole_only: threading.Event,
    ) -> None:
        self._client = client
        self._patience = patience
        self._url = client.url(f"blobs/{digest}")
        self._what = f"blob {digest[:19]} of {client.name}"
        self._offset = offset
        self._end = None if length is None else offset + length
        self._failures = 0
        self._whole_only = whole_only
        self._response: Response | None = None
        self._response = self._persistently(self._open)

    def read(self, size: int) -> bytes:
        """See `Reader`."""
        if self._end is not None:
            size = min(size, self._end - self._offset)
        if size <= 0:
            return b""
        piece = self._persistently(lambda: self._read(size))
        self._offset += len(piece)
        return piece

    def close(self) -> None:
        """See `Reader`."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _read(self, size: int) -> bytes:
        if self._response is None:
            self._response = self._open()
        piece = self._response.read(size)
        if not piece and self._end is not None:
            raise NetworkError(f"{self._what}: the registry sent less than was asked for")
        self._failures = 0
        return piece

    def _persistently(self, work: Callable[[], T]) -> T:
        while True:
            try:
                return work()
            except NetworkError as error:
                self._failures += 1
                if error.final or self._failures > _RECONNECTS:
                    raise
                self.close()
                self._patience.pause(self._what, error, self._failures)

    def _open(self) -> Response:
        last = "" if self._end is None else self._end - 1
        headers = {"Range": f"bytes={self._offset}-{last}"} if self._offset or self._end is not None else {}
        response = self._client.open(self._url, self._what, headers)
        try:
            if response.status == 404:
                raise NotFound(f"{self._what} is not there")
            if response.status == 416:
                raise ContentMismatch(f"{self._what} ends before byte {self._offset:,}, and should not")
            if response.status not in (200, 206):
                raise self._client.error(refusal_of(response), self._what)
            if response.status == 200 and headers:
                self._whole_only.set()
                # No ranges here: what lies before is read and dropped.
                left = self._offset
                while left and (piece := response.read(min(PIECE, left))):
                    left -= len(piece)
        except ModelcarError:
            response.close()
            raise
        return response


def _manifest_in(response: Response, what: str) -> bytes:
    try:
        return response.read_all(MAX_MANIFEST)
    except NetworkError as error:
        if not error.final:
            raise
        raise Refused(f"the manifest {what} is larger than {MAX_MANIFEST:,} bytes") from None


def _next_page(response: Response) -> str:
    """The address of a list's next page (distribution-spec v1.1: a `Link` header, RFC 8288); empty at its end."""
    link = response.headers.get("Link", "")
    return link.partition("<")[2].partition(">")[0] if 'rel="next"' in link else ""


def _type_of(response: Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip()

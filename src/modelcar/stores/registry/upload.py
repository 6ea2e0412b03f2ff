"""A blob on its way into a registry: POST, one streaming PATCH, PUT (distribution-spec v1.1, "Pushing blobs").

Registries in the field don't resume inside an upload, so one that breaks starts again, from the source.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from urllib.parse import quote

from modelcar.errors import ContentMismatch, Interrupted, ModelcarError, NetworkError, RateLimited
from modelcar.http import ANSWER, Response, check_status
from modelcar.oci import Descriptor, Digest
from modelcar.stores.contract import Blob, BlobStream
from modelcar.stores.registry.client import PUSH, Client, codes_of

_DISLIKES_PATCH = frozenset({400, 404, 405, 411, 415, 501})
_STREAM = {"Content-Type": "application/octet-stream"}


class Uploader:
    """Uploads to one repository.

    Args:
        client: The repository's API.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._spare: str | None = None
        self._takes_patch = True
        self._has_patched = False

    def prepare(self) -> None:
        """Begin an upload, to see that it may be; the first blob will use it.

        Raises:
            Denied: No right to push.
            NotFound: The repository has to be made first.
            NetworkError: The registry can't be reached.
        """
        with self._lock:
            self._spare = self._spare or self._begin()

    def send(self, blob: Blob) -> Descriptor:
        """Upload a blob, in one try. See `Store.write_blob`."""
        if not self._takes_patch:
            return self._send_whole(blob)
        stream = blob.open()  # the source has answered before the registry is asked to wait for it
        location = None
        try:
            location = self._take_spare() or self._begin()
            location = self._patch(location, stream, blob)
            if location is None:
                self._takes_patch = False
                return self._send_whole(blob)
            self._commit(location, stream.digest, blob)
            return Descriptor("", stream.digest, stream.size)
        except Interrupted:
            raise
        except ModelcarError:
            self._give_up(location)
            raise
        finally:
            stream.close()

    def mount(self, digest: Digest, repository: str) -> bool:
        """Take a blob over from another repository of the same registry; False where the registry doesn't."""
        url = self._client.url(f"blobs/uploads/?mount={digest}&from={quote(repository, safe='')}")
        also = (f"repository:{repository}:pull",)
        with self._client.ask("POST", url, f"mounting {digest[:19]}", actions=PUSH, also=also, body=b"") as response:
            if response.status == 202 and "Location" in response.headers:
                self._give_up(self._client.absolute(response.headers["Location"], url))
            return response.status == 201

    def close(self) -> None:
        """End the upload that was begun and not used."""
        self._give_up(self._take_spare())

    def _take_spare(self) -> str | None:
        with self._lock:
            spare, self._spare = self._spare, None
            return spare

    def _begin(self) -> str:
        url = self._client.url("blobs/uploads/")
        what = f"pushing to {self._client.name}"
        with self._client.ask("POST", url, what, actions=PUSH, body=b"") as response:
            location = response.headers.get("Location")
            if response.status not in (201, 202) or not location:
                raise self._client.failed(response, what)
            return self._client.absolute(location, url)

    def _patch(self, location: str, stream: BlobStream, blob: Blob) -> str | None:
        """Stream the blob. The upload's next address; None where the registry doesn't take streams."""
        length = {} if blob.size is None else {"Content-Length": str(blob.size)}
        response = self._client.ask_once(
            "PATCH", location, actions=PUSH, headers={**_STREAM, **length}, body=iter(stream), silence=ANSWER
        )
        with response:
            if response.status in (201, 202, 204):
                self._has_patched = True
                return self._client.absolute(response.headers.get("Location", location), location)
            if response.status in _DISLIKES_PATCH and not self._has_patched:
                return None
            raise self._error(response, blob)

    def _commit(self, location: str, digest: Digest, blob: Blob, body: Iterator[bytes] | None = None) -> None:
        """The PUT that makes an upload a blob, with all its bytes or after them."""
        if blob.digest is not None and blob.digest != digest:
            raise ContentMismatch(f"{blob.title}: the bytes are those of {digest}, not of {blob.digest}")
        url = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"
        length = str(blob.size) if body is not None and blob.size is not None else None
        headers = {**_STREAM, **({"Content-Length": length} if length else {})}
        try:
            response = self._client.ask_once(
                "PUT", url, actions=PUSH, headers=headers, body=b"" if body is None else body, silence=ANSWER
            )
            with response:
                check_status(response, blob.title)
                if response.status not in (201, 202, 204):
                    raise self._error(response, blob)
                answered = response.headers.get("Docker-Content-Digest", digest)
        except RateLimited:
            raise
        except NetworkError:
            # The answer is lost, but perhaps not the blob.
            if not self._is_there(digest):
                raise
            return
        if answered != digest and answered.startswith("sha256:"):
            raise ContentMismatch(
                f"{blob.title}: the registry got {answered}, and {digest} was sent",
                "run it again; if it stays so, check the network",
            )

    def _send_whole(self, blob: Blob) -> Descriptor:
        """POST and one PUT with the whole body, for registries that take no stream. It needs the digest first."""
        digest = blob.digest or _digest_of(blob)
        location = self._take_spare() or self._begin()
        stream = blob.open()
        try:
            self._commit(location, digest, blob, iter(stream))
            if stream.size == blob.size and stream.digest != digest:
                raise ContentMismatch(f"{blob.title} had other bytes when it was read again", "run it again")
            return Descriptor("", digest, stream.size)
        finally:
            stream.close()

    def _is_there(self, digest: Digest) -> bool:
        url = self._client.url(f"blobs/{digest}")
        with self._client.ask("HEAD", url, f"looking for {digest[:19]}") as response:
            return response.status < 400

    def _error(self, response: Response, blob: Blob) -> ModelcarError:
        check_status(response, blob.title)
        if response.status in (401, 403):
            return self._client.denied(response, blob.title)
        if response.status == 404:
            # The upload is unknown: a load balancer lost it, or it took too long. A new one may do.
            return NetworkError(f"{blob.title}: the registry has lost the upload")
        codes, said = codes_of(response)
        if "DIGEST_INVALID" in codes:
            return ContentMismatch(f"{blob.title}: the registry got other bytes than were sent{said}", "run it again")
        return self._client.failed(response, blob.title)

    def _give_up(self, location: str | None) -> None:
        """Tell the registry that nothing more comes. It would find out by itself, so one try will do."""
        if location is not None:
            with contextlib.suppress(ModelcarError):
                self._client.ask_once("DELETE", location, actions=PUSH, silence=5).close()


def _digest_of(blob: Blob) -> Digest:
    stream = blob.open()
    try:
        for _ in stream:
            pass
        return stream.digest
    finally:
        stream.close()

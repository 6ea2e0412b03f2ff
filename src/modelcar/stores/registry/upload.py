"""A blob on its way into a registry: POST, one streaming PATCH, PUT (distribution-spec v1.1, "Pushing blobs").

Registries in the field don't resume inside an upload, so one that breaks starts again, from the source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from urllib.parse import quote

from modelcar.errors import ContentMismatch, Interrupted, ModelcarError, NetworkError, RateLimited
from modelcar.http import ANSWER, Response, check_status
from modelcar.oci import Descriptor, Digest
from modelcar.stores.contract import Blob, BlobStream
from modelcar.stores.registry.client import PUSH, Client, Refusal, refusal_of

_DISLIKES_STREAM = frozenset({405, 411, 415, 501})
_PERHAPS_DISLIKES = frozenset({400, 404, 416})
"""Said of one upload, it was that one's bad luck; said of the next one too, it is meant for all."""

_LOST = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


class _Lost(NetworkError):
    """The registry knows nothing of an upload that it began."""


class Uploader:
    """Uploads to one repository.

    Args:
        client: The repository's API.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._takes_streams = True
        self._has_taken_one = False
        self._is_in_doubt = False

    def prepare(self) -> None:
        """Begin an upload and give it up, to see that it may be.

        Raises:
            Denied: No right to push.
            NotFound: The repository has to be made first.
            NetworkError: The registry can't be reached.
        """
        url = self._uploads()
        with self._client.ask("POST", url, self._pushing(), actions=PUSH, body=b"") as response:
            location = self._begun(response)
        self._give_up(location)

    def send(self, blob: Blob) -> Descriptor:
        """Upload a blob, in one try. See `Store.write_blob`."""
        if self._takes_streams and (sent := self._send_stream(blob)):
            return sent
        return self._send_whole(blob)

    def mount(self, digest: Digest, repository: str) -> bool:
        """Take a blob over from another repository of the same registry; False where the registry doesn't."""
        url = self._client.url(f"blobs/uploads/?mount={digest}&from={quote(repository, safe='')}")
        also = (f"repository:{repository}:pull",)
        with self._client.ask("POST", url, f"mounting {digest[:19]}", actions=PUSH, also=also, body=b"") as response:
            if response.status == 202 and "Location" in response.headers:
                self._give_up(self._client.absolute(response.headers["Location"], url))
            return response.status == 201

    def _send_stream(self, blob: Blob) -> Descriptor | None:
        """Upload a blob whose digest is known at its end. None where the registry doesn't take streams."""
        # The source has answered before the registry is asked to wait for it.
        with closing(blob.open()) as stream, self._upload() as begun:
            location = self._patch(begun, stream, blob)
            if location is None:
                self._takes_streams = False
                self._give_up(begun)
                return None
            digest = stream.digest
            if blob.digest not in (None, digest):
                raise ContentMismatch(f"{blob.title}: the bytes are those of {digest}, not of {blob.digest}")
            self._patiently_commit(location, digest, blob)
            return Descriptor("", digest, stream.size)

    def _send_whole(self, blob: Blob) -> Descriptor:
        """POST and one PUT with the whole body, for registries that take no stream. It needs the digest first."""
        digest, size = (blob.digest, blob.size) if blob.digest and blob.size is not None else _measured(blob)
        with closing(blob.open()) as stream, self._upload() as location:
            self._commit(location, digest, blob, iter(stream), size)
            return Descriptor("", digest, size)

    @contextmanager
    def _upload(self) -> Iterator[str]:
        """An upload's address. One that fails is given up."""
        location = self._begin()
        try:
            yield location
        except Interrupted:
            raise
        except ModelcarError:
            self._give_up(location)
            raise

    def _begin(self) -> str:
        with self._client.ask_once("POST", self._uploads(), actions=PUSH, body=b"") as response:
            check_status(response, self._pushing())
            return self._begun(response)

    def _begun(self, response: Response) -> str:
        location = response.headers.get("Location")
        if response.status not in (201, 202) or not location:
            raise self._client.error(refusal_of(response), self._pushing())
        return self._client.absolute(location, self._uploads())

    def _uploads(self) -> str:
        return self._client.url("blobs/uploads/")

    def _pushing(self) -> str:
        return f"pushing to {self._client.name}"

    def _patch(self, location: str, stream: BlobStream, blob: Blob) -> str | None:
        """Stream the blob. The upload's next address; None where the registry doesn't take streams."""
        response = self._client.ask_once(
            "PATCH", location, actions=PUSH, headers=_headers(blob.size), body=iter(stream), silence=ANSWER
        )
        with response:
            if response.status in (201, 202, 204):
                self._has_taken_one = True
                return self._client.absolute(response.headers.get("Location", location), location)
            refusal = refusal_of(response)
            if not self._has_taken_one and "BLOB_UPLOAD_UNKNOWN" not in refusal.codes:
                perhaps = refusal.status in _PERHAPS_DISLIKES
                if refusal.status in _DISLIKES_STREAM or (perhaps and self._is_in_doubt):
                    return None
                if perhaps:
                    self._is_in_doubt = True
                    raise _Lost(f"{blob.title}: the registry answered {refusal.status} to the upload{refusal.said}")
            raise self._error(response, refusal, blob)

    def _patiently_commit(self, location: str, digest: Digest, blob: Blob) -> None:
        """`_commit` after a PATCH. The bytes are there already: only an upload that is lost has to begin anew."""
        attempts = count()

        def attempt() -> _Lost | None:
            if next(attempts) and self._is_there(digest):
                return None
            try:
                self._commit(location, digest, blob)
            except _Lost as error:
                return error
            return None

        if lost := self._client.patience.persist(attempt, blob.title):
            raise lost

    def _commit(
        self, location: str, digest: Digest, blob: Blob, body: Iterator[bytes] | bytes = b"", size: int = 0
    ) -> None:
        """The PUT that makes an upload a blob, with all its bytes or after them."""
        url = f"{location}{'&' if '?' in location else '?'}digest={quote(digest, safe='')}"
        try:
            response = self._client.ask_once(
                "PUT", url, actions=PUSH, headers=_headers(size), body=body, silence=ANSWER
            )
            with response:
                if response.status not in (201, 202, 204):
                    raise self._error(response, refusal_of(response), blob)
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

    def _is_there(self, digest: Digest) -> bool:
        url = self._client.url(f"blobs/{digest}")
        with self._client.ask_once("HEAD", url) as response:
            return response.status < 400

    def _error(self, response: Response, refusal: Refusal, blob: Blob) -> ModelcarError:
        check_status(response, blob.title)
        if refusal.status in (404, 416) or refusal.codes & _LOST:
            # A load balancer lost the upload, or it took too long. A new one may do.
            return _Lost(f"{blob.title}: the registry has lost the upload{refusal.said}")
        if "DIGEST_INVALID" in refusal.codes:
            return ContentMismatch(
                f"{blob.title}: the registry got other bytes than were sent{refusal.said}", "run it again"
            )
        return self._client.error(refusal, blob.title)

    def _give_up(self, location: str) -> None:
        """Tell the registry that nothing more comes. It would find out by itself, so one try will do."""
        with contextlib.suppress(ModelcarError):
            self._client.ask_once("DELETE", location, actions=PUSH, silence=5).close()


def _headers(size: int | None) -> dict[str, str]:
    """Of a body; one whose size isn't known is sent in chunks."""
    length = {} if size is None else {"Content-Length": str(size)}
    return {"Content-Type": "application/octet-stream", **length}


def _measured(blob: Blob) -> tuple[Digest, int]:
    """Digest and size of a blob, by reading it."""
    with closing(blob.open()) as stream:
        for _ in stream:
            pass
        return stream.digest, stream.size

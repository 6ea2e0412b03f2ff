"""A registry on loopback that speaks the OCI Distribution Spec v1.1 and misbehaves on demand.

    with Registry(auth=Bearer({"me": "secret"}), quirks=Quirks(mounts=False)) as registry:
        registry.fault(Refuse(429, {"Retry-After": "1"}), "PATCH", times=2)
        push(to=f"{registry.host}/models/tiny:1")
    assert registry.count("PATCH", status=429) == 2

What a registry does for good is in `Quirks`, what happens a few times is a fault (`registry_faults`), who may do what
is in `registry_auth`. A second server stands for another host (a CDN, a token service) under the name `localhost`.
Left out: referrers, the catalog, and content negotiation of manifests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.doubles.registry_api import Api, Quirks, locate, needs
from tests.doubles.registry_auth import Access, Anyone, Auth, Basic, Bearer, TokenRequest
from tests.doubles.registry_content import Blob, Content, StoredManifest
from tests.doubles.registry_faults import (
    Amend,
    CutAnswer,
    CutBody,
    Delay,
    Do,
    Fault,
    LoseAnswer,
    Refuse,
    Script,
    Silence,
)
from tests.doubles.registry_http import Call, Hangup, Listener, Problem, Reply

__all__ = [
    "Access",
    "Amend",
    "Anyone",
    "Auth",
    "Basic",
    "Bearer",
    "CutAnswer",
    "CutBody",
    "Delay",
    "Do",
    "Fault",
    "LoseAnswer",
    "Quirks",
    "Recorded",
    "Refuse",
    "Registry",
    "Silence",
    "TokenRequest",
]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that was handled.

    method: GET, PUT, …
    target: The path with its query.
    status: What was answered; None if the connection was cut instead.
    received: Bytes of the request's body that were read.
    has_authorization: Whether it carried that header.
    user_agent: As sent.
    headers: All headers, by lower-case name.
    host: The host that was asked, with its port.
    """

    method: str
    target: str
    status: int | None
    received: int
    has_authorization: bool
    user_agent: str
    headers: Mapping[str, str]
    host: str


class Registry:
    """The registry. It runs from its making until `close`, or as a context manager.

    auth: Who may do what; by default anyone all.
    quirks: How it differs from other registries.
    keep_up_to: Blobs larger than this are hashed and dropped, so that a huge upload needs no memory. They still count
        as there (HEAD, manifests); a GET gives 501.
    tls: Certificate and key. By default it is plain HTTP.
    """

    def __init__(
        self,
        *,
        auth: Auth | None = None,
        quirks: Quirks | None = None,
        keep_up_to: int | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self._quirks = quirks or Quirks()
        self._auth = auth or Anyone()
        self._content = Content(keep_up_to)
        self._script = Script()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._recorded: list[Recorded] = []
        self._main = Listener(lambda call: self._handle(call, self._registry_host), "127.0.0.1", tls)
        self._other = Listener(lambda call: self._handle(call, self._other_host), "localhost", tls)
        self._api = Api(self._content, self._quirks, self._main.url, self._other.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End both servers and every connection."""
        self._closing.set()
        self._main.close()
        self._other.close()

    @property
    def host(self) -> str:
        """What stands before the repository in a reference: 127.0.0.1:PORT."""
        return self._main.host

    @property
    def url(self) -> str:
        """Scheme and host."""
        return self._main.url

    @property
    def other_host(self) -> str:
        """The second host: localhost:PORT."""
        return self._other.host

    # What a test prepares

    @property
    def quirks(self) -> Quirks:
        """How it differs from other registries; a test may change it at any time."""
        return self._quirks

    def fault(
        self,
        fault: Fault,
        method: str | None = None,
        path: str | Callable[[str], bool] = "",
        *,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Let `fault` happen to the next `times` matching requests (None: to all) after the first `skip` of them.

        `path` is part of the path with query, or a predicate of it. Of several faults, the first added one applies.
        Both hosts take part, the token endpoint too.
        """
        self._script.add(fault, method, path, times, skip)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._script.clear()

    def create(self, repository: str) -> None:
        """Let there be a repository, where `Quirks.must_exist`."""
        self._content.create(repository)

    def drop_blob(self, digest: str) -> None:
        """Lose a blob in all repositories."""
        self._content.drop_blob(digest)

    def expire_links(self) -> None:
        """The signed links handed out so far give 403 from now on (see also `Refuse` for the path `/storage/`)."""
        self._api.expire_links()

    def put_blob(self, repository: str, content: bytes, digest: str = "") -> str:
        """Store a blob without a request, under a wrong digest if need be; its digest."""
        digest = digest or f"sha256:{sha256(content).hexdigest()}"
        self._content.add_blob(repository, digest, Blob(len(content), content))
        return digest

    def put_manifest(self, repository: str, tag: str | None, content: bytes, media_type: str = _MANIFEST) -> str:
        """Store a manifest without a request and without checks; its digest."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        self._content.add_manifest(repository, digest, tag, StoredManifest(media_type, content))
        return digest

    # What a test looks at

    @property
    def requests(self) -> list[Recorded]:
        """The requests so far, to both hosts, in the order in which they were answered."""
        with self._lock:
            return list(self._recorded)

    def forget_requests(self) -> None:
        """Begin the record anew."""
        with self._lock:
            self._recorded.clear()

    def count(self, method: str | None = None, path: str = "", *, status: int | None = None) -> int:
        """How many requests there were of this method, with this in their path or query, answered with this status."""
        return sum(
            method in (None, each.method) and path in each.target and status in (None, each.status)
            for each in self.requests
        )

    @property
    def uploaded(self) -> int:
        """Bytes of blobs that were received, also in uploads that failed."""
        return sum(each.received for each in self.requests if "/blobs/uploads/" in each.target)

    @property
    def leaks(self) -> list[Recorded]:
        """Requests to the other host that carried Authorization, but for those to the token endpoint."""
        return [
            each
            for each in self.requests
            if each.host == self.other_host and each.has_authorization and not each.target.startswith("/token")
        ]

    @property
    def unfinished_uploads(self) -> int:
        """How many uploads were begun and neither finished, cancelled nor lost."""
        return self._content.uploads

    def manifests(self, repository: str) -> dict[str, bytes]:
        """The manifests of a repository by digest."""
        return self._content.manifests(repository)

    def manifest(self, repository: str, reference: str) -> bytes | None:
        """The manifest of a tag or digest."""
        found = self._content.manifest(repository, reference)
        return found[1].content if found else None

    def tags(self, repository: str) -> dict[str, str]:
        """The digests of a repository by tag."""
        return self._content.tags(repository)

    def blob(self, digest: str) -> bytes | None:
        """A blob's content; None where it is missing or was not kept."""
        found = self._content.blob(digest)
        return found.content if found else None

    # Handling

    def _handle(self, call: Call, answer: Callable[[Call], Reply]) -> Reply:
        """Answer with what the faults make of it. Recorded before the client can know the answer."""
        try:
            reply = self._faulty(call, answer)
        except Hangup:
            self._record(call, None)
            raise
        self._record(call, reply.status)
        return reply

    def _faulty(self, call: Call, answer: Callable[[Call], Reply]) -> Reply:
        fault = self._script.take(call.method, call.target)
        self._closing.wait(self._quirks.delay)
        match fault:
            case Refuse():
                if not fault.early:
                    call.body.drain()
                return Reply(fault.status, fault.headers, fault.body)
            case Silence():
                self._closing.wait(fault.seconds)
                raise Hangup
            case Delay():
                self._closing.wait(fault.seconds)
            case CutBody():
                call.body.cut_after = fault.after
            case Do():
                fault.action()
        try:
            reply = answer(call)
        except Problem as problem:
            reply = problem.reply
        match fault:
            case LoseAnswer():
                raise Hangup
            case CutAnswer():
                return replace(reply, cut_after=fault.after)
            case Amend():
                return _amended(reply, fault)
        return reply

    def _registry_host(self, call: Call) -> Reply:
        if call.path == "/token" and self._quirks.token_host == "same":
            return self._auth.token(call)
        place = locate(call.path)
        realm_host = self._main if self._quirks.token_host == "same" else self._other
        self._auth.check(call.authorization, needs(call, place), f"{realm_host.url}/token")
        return self._api.serve(call, place)

    def _other_host(self, call: Call) -> Reply:
        if call.path == "/token" and self._quirks.token_host == "other":
            return self._auth.token(call)
        if call.path.startswith("/storage/"):
            return self._api.storage(call)
        place = locate(call.path)
        if place.kind != "blobs/uploads" or not place.name:
            raise Problem(404, "UNSUPPORTED")
        return self._api.serve(call, place)

    def _record(self, call: Call, status: int | None) -> None:
        headers = {name.lower(): value for name, value in call.headers.items()}
        entry = Recorded(
            call.method,
            call.target,
            status,
            call.body.received,
            call.authorization is not None,
            headers.get("user-agent", ""),
            headers,
            call.host,
        )
        with self._lock:
            self._recorded.append(entry)


def _amended(reply: Reply, fault: Amend) -> Reply:
    headers: dict[str, str] = {}
    for name, value in {**reply.headers, **fault.headers}.items():
        if value is not None:
            headers[name] = value
    return Reply(fault.status or reply.status, headers, reply.body if fault.body is None else fault.body)

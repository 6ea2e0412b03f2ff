"""The OCI Distribution Spec v1.1 as the registry double speaks it, with the quirks that registries have for good."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from tests.doubles.registry_auth import Access
from tests.doubles.registry_content import Blob, Content, StoredManifest, Upload
from tests.doubles.registry_http import Body, Call, Hangup, Problem, Reply

_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATHS = re.compile(
    rf"/v2/(?:(?P<repository>{_NAME}(?:/{_NAME})*)/"
    r"(?P<kind>blobs/uploads|blobs|manifests|tags/list)(?:/(?P<name>[^/]*))?)?"
)
Host = Literal["same", "other"]


@dataclass(slots=True)
class Quirks:
    """How this registry differs from others. A test may change any of it while the registry runs.

    location: Whether an upload's Location is a path or a URL.
    upload_state: A Location carries `?_state=…`, new with each answer; an upload with another one is refused (400).
    upload_host: Where uploads go to. On the other host they need no Authorization.
    token_host: Where the token endpoint is (path `/token`).
    redirects: A blob's GET is sent (307) to the other host, to a signed link; that honours Range.
    resumable: An upload survives a cut connection. docker-registry 2.8 forgets it (404).
    patch_refusal: The status with which every PATCH is refused, its body unread (405, 501, 400).
    chunked: Whether chunked transfer encoding is taken (else 411).
    mounts: Whether mounting works; else always 202 with an upload.
    must_exist: Repositories must be created (`Registry.create`) before a push: 404 NAME_UNKNOWN.
    immutable_tags: The status with which a tag that is there is refused, whatever the digest (ECR 400, quay 409).
    deletion: What can be deleted: all, digests only (a tag gives 405, as docker-registry does), or nothing (405).
    manifest_limit: The size from which on a manifest is refused (413).
    delay: Seconds before each request is handled.
    """

    location: Literal["path", "url"] = "path"
    upload_state: bool = False
    upload_host: Host = "same"
    token_host: Host = "same"
    redirects: bool = False
    resumable: bool = False
    patch_refusal: int | None = None
    chunked: bool = True
    mounts: bool = True
    must_exist: bool = False
    immutable_tags: int | None = None
    deletion: Literal["all", "digest", "none"] = "all"
    manifest_limit: int = 4 << 20
    delay: float = 0


@dataclass(frozen=True, slots=True)
class Place:
    """What a path of the API names: `kind` is base, blobs, blobs/uploads, manifests or tags/list."""

    kind: str
    repository: str
    name: str


def locate(path: str) -> Place:
    """The place that a path names."""
    match = _PATHS.fullmatch(path)
    if match is None:
        raise Problem(404, "NAME_INVALID" if path.startswith("/v2/") else "UNSUPPORTED")
    return Place(match["kind"] or "base", match["repository"] or "", match["name"] or "")


def needs(call: Call, place: Place) -> Iterator[Access]:
    """What the request needs a token for, as distribution's registry asks it."""
    if place.kind == "base":
        return
    if call.method == "DELETE" and place.kind != "blobs/uploads":
        yield Access(place.repository, "delete")
        return
    yield Access(place.repository, "pull")
    if call.method not in ("GET", "HEAD"):
        yield Access(place.repository, "push")
        source = call.parameter("from")
        if source:
            yield Access(source, "pull")


class Api:
    """The API on top of the content. `url` and `other_url` are the beginnings of links to the two hosts."""

    def __init__(self, content: Content, quirks: Quirks, url: str, other_url: str) -> None:
        self._content = content
        self._quirks = quirks
        self._url = url
        self._other_url = other_url
        self._links: dict[str, str] = {}

    def expire_links(self) -> None:
        """The links handed out so far are answered 403 from now on."""
        self._links.clear()

    def storage(self, call: Call) -> Reply:
        """Answer a signed link on the other host."""
        digest = self._links.get(call.parameter("signature") or "")
        if digest is None or call.method not in ("GET", "HEAD"):
            body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            return Reply(403, {"Content-Type": "application/xml"}, body)
        return _ranged(call, self._blob(digest), {"Content-Type": "application/octet-stream"})

    def serve(self, call: Call, place: Place) -> Reply:
        """Answer a request that is allowed."""
        if call.body.chunked and not self._quirks.chunked:
            raise Problem(411, "UNSUPPORTED", "length required")
        if self._quirks.must_exist and not self._content.exists(place.repository) and place.kind != "base":
            raise Problem(404, "NAME_UNKNOWN", f"the repository {place.repository} does not exist")
        match call.method, place.kind:
            case "GET" | "HEAD", "base":
                return Reply(200, {"Content-Type": "application/json"}, b"{}")
            case "GET" | "HEAD", "blobs":
                return self._get_blob(call, place)
            case "DELETE", "blobs":
                return self._delete_blob(place)
            case "POST", "blobs/uploads" if not place.name:
                return self._start_upload(call, place)
            case _, "blobs/uploads" if place.name:
                return self._continue_upload(call, place)
            case "GET" | "HEAD", "manifests":
                return self._get_manifest(place)
            case "PUT", "manifests":
                return self._put_manifest(call, place)
            case "DELETE", "manifests":
                return self._delete_manifest(place)
            case "GET" | "HEAD", "tags/list":
                return self._list_tags(call, place)
        raise Problem(405, "UNSUPPORTED")

    # Blobs

    def _blob(self, digest: str, repository: str | None = None) -> Blob:
        if blob := self._content.blob(digest, repository):
            return blob
        raise Problem(404, "BLOB_UNKNOWN", f"blob unknown to registry: {digest}")

    def _get_blob(self, call: Call, place: Place) -> Reply:
        blob = self._blob(place.name, place.repository)
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": place.name}
        if not self._quirks.redirects or call.method == "HEAD":
            return _ranged(call, blob, headers)
        signature = secrets.token_hex(8)
        self._links[signature] = place.name
        return Reply(307, {"Location": f"{self._other_url}/storage/{place.name}?{urlencode({'signature': signature})}"})

    def _delete_blob(self, place: Place) -> Reply:
        if self._quirks.deletion == "none":
            raise Problem(405, "UNSUPPORTED")
        if not self._content.drop_blob(place.name, place.repository):
            raise Problem(404, "BLOB_UNKNOWN")
        return Reply(202)

    # Uploads

    def _start_upload(self, call: Call, place: Place) -> Reply:
        mount, source, digest = (call.parameter(name) for name in ("mount", "from", "digest"))
        if mount and source and self._quirks.mounts and self._content.mount(mount, source, place.repository):
            return _created(place.repository, mount)
        upload = self._content.start_upload(place.repository)
        if digest:
            return self._finish(call, upload, digest)
        return self._accepted(upload)

    def _continue_upload(self, call: Call, place: Place) -> Reply:
        upload = self._content.upload(place.repository, place.name)
        if upload is None:
            raise Problem(404, "BLOB_UPLOAD_UNKNOWN")
        if self._quirks.upload_state and call.parameter("_state") != upload.state:
            raise Problem(400, "BLOB_UPLOAD_INVALID", "wrong _state")
        match call.method:
            case "GET":
                return self._accepted(upload, 204)
            case "DELETE":
                self._content.end_upload(upload)
                return Reply(204)
            case "PATCH":
                if self._quirks.patch_refusal:
                    raise Problem(self._quirks.patch_refusal, "UNSUPPORTED", "PATCH is not supported")
                self._write(call, upload)
                return self._accepted(upload)
            case "PUT":
                return self._finish(call, upload, call.parameter("digest"))
        raise Problem(405, "UNSUPPORTED")

    def _write(self, call: Call, upload: Upload) -> None:
        stated = re.fullmatch(r"(?:bytes )?(\d+)-\d+(?:/.*)?", call.headers.get("Content-Range", ""))
        if stated and int(stated[1]) != upload.size:
            raise Problem(416, "BLOB_UPLOAD_INVALID", "wrong offset", self._progress(upload))
        try:
            for piece in call.body.pieces():
                upload.write(piece)
        except Hangup:
            if not self._quirks.resumable:
                self._content.end_upload(upload)
            raise

    def _finish(self, call: Call, upload: Upload, digest: str | None) -> Reply:
        if digest is None or not _DIGEST.fullmatch(digest):
            raise Problem(400, "DIGEST_INVALID", f"not a digest: {digest}")
        self._write(call, upload)
        self._content.end_upload(upload)
        blob = upload.blob()
        if not upload.matches(digest, blob):
            raise Problem(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self._content.add_blob(upload.repository, digest, blob)
        return _created(upload.repository, digest)

    def _accepted(self, upload: Upload, status: int = 202) -> Reply:
        return Reply(status, self._progress(upload))

    def _progress(self, upload: Upload) -> dict[str, str]:
        location = f"/v2/{upload.repository}/blobs/uploads/{upload.id}"
        if self._quirks.upload_state:
            upload.state = secrets.token_hex(4)
            location += f"?{urlencode({'_state': upload.state})}"
        if self._quirks.upload_host == "other":
            location = self._other_url + location
        elif self._quirks.location == "url":
            location = self._url + location
        return {"Location": location, "Range": f"0-{max(upload.size - 1, 0)}", "Docker-Upload-UUID": upload.id}

    # Manifests

    def _get_manifest(self, place: Place) -> Reply:
        found = self._content.manifest(place.repository, place.name)
        if found is None:
            raise Problem(404, "MANIFEST_UNKNOWN", f"unknown manifest {place.name}")
        digest, manifest = found
        return Reply(200, {"Content-Type": manifest.media_type, "Docker-Content-Digest": digest}, manifest.content)

    def _put_manifest(self, call: Call, place: Place) -> Reply:
        content = _limited(call.body, self._quirks.manifest_limit)
        by_digest = ":" in place.name
        if not by_digest and self._quirks.immutable_tags and place.name in self._content.tags(place.repository):
            raise Problem(self._quirks.immutable_tags, "TAG_INVALID", f"the tag {place.name} is immutable")
        algorithm = "sha512" if place.name.startswith("sha512:") else "sha256"
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        if by_digest and place.name != digest:
            raise Problem(400, "DIGEST_INVALID", f"the content's digest is {digest}")
        media_type = self._checked(place.repository, content, call.headers.get("Content-Type"))
        tag = None if by_digest else place.name
        self._content.add_manifest(place.repository, digest, tag, StoredManifest(media_type, content))
        location = f"/v2/{place.repository}/manifests/{digest}"
        return Reply(201, {"Location": location, "Docker-Content-Digest": digest})

    def _checked(self, repository: str, content: bytes, content_type: str | None) -> str:
        """The manifest's media type, if what it refers to is here."""
        try:
            manifest = json.loads(content)
            media_type = str(content_type or manifest["mediaType"])
            if media_type in _INDEXES:
                missing = [
                    each["digest"]
                    for each in manifest["manifests"]
                    if self._content.manifest(repository, each["digest"]) is None
                ]
            else:
                missing = [
                    each["digest"]
                    for each in (manifest["config"], *manifest["layers"])
                    if self._content.blob(each["digest"], repository) is None and not each.get("urls")
                ]
        except (ValueError, KeyError, TypeError) as error:
            raise Problem(400, "MANIFEST_INVALID", repr(error)) from None
        if missing:
            raise Problem(400, "MANIFEST_BLOB_UNKNOWN", f"unknown to registry: {', '.join(missing)}")
        return media_type

    def _delete_manifest(self, place: Place) -> Reply:
        deletion = self._quirks.deletion
        if deletion == "none" or (deletion == "digest" and ":" not in place.name):
            raise Problem(405, "UNSUPPORTED", "the operation is unsupported")
        if not self._content.delete_manifest(place.repository, place.name):
            raise Problem(404, "MANIFEST_UNKNOWN")
        return Reply(202)

    def _list_tags(self, call: Call, place: Place) -> Reply:
        if not self._content.exists(place.repository):
            raise Problem(404, "NAME_UNKNOWN")
        last, limit = call.parameter("last") or "", call.parameter("n")
        tags = sorted(tag for tag in self._content.tags(place.repository) if tag > last)
        headers = {"Content-Type": "application/json"}
        if limit and int(limit) < len(tags):
            tags = tags[: int(limit)]
            query = urlencode({"n": limit, "last": tags[-1] if tags else last})
            headers["Link"] = f'<{call.path}?{query}>; rel="next"'
        return Reply(200, headers, json.dumps({"name": place.repository, "tags": tags}).encode())


def _created(repository: str, digest: str) -> Reply:
    return Reply(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})


def _limited(body: Body, limit: int) -> bytes:
    content = bytearray()
    for piece in body.pieces():
        content += piece
        if len(content) > limit:
            raise Problem(413, "MANIFEST_INVALID", f"the manifest is larger than {limit} bytes")
    return bytes(content)


def _ranged(call: Call, blob: Blob, headers: dict[str, str]) -> Reply:
    headers = {**headers, "Accept-Ranges": "bytes"}
    if call.method == "HEAD":
        return Reply(200, {**headers, "Content-Length": str(blob.size)})
    if blob.content is None:
        raise Problem(501, "UNSUPPORTED", "this blob's content was not kept")
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("Range", ""))
    if asked is None or not any(asked.groups()):
        return Reply(200, headers, blob.content)
    first, last = asked.groups()
    start = int(first) if first else max(blob.size - int(last), 0)
    stop = min(int(last) + 1, blob.size) if first and last else blob.size
    if start >= stop:
        raise Problem(416, "SIZE_INVALID", headers={"Content-Range": f"bytes */{blob.size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    return Reply(206, headers, blob.content[start:stop])

"""The registry double speaks the real protocol with skopeo and crane, and misbehaves as it is told."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import urllib3

from tests import peers
from tests.doubles.registry import (
    Amend,
    Auth,
    Basic,
    Bearer,
    CutAnswer,
    CutBody,
    Delay,
    Do,
    LoseAnswer,
    Quirks,
    Refuse,
    Registry,
    Silence,
)

Answer = urllib3.BaseHTTPResponse
REPO = "models/tiny"
USERS = {"me": "secret"}
ME = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}
BLOB = b"weights" * 1000
WAYS: dict[str, Callable[[], Auth | None]] = {
    "open": lambda: None,
    "basic": lambda: Basic(USERS),
    "bearer": lambda: Bearer(USERS),
}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def ask(
    registry: Registry,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
    redirect: bool = False,
) -> Answer:
    """One request, to a path of the registry or a URL, without retries."""
    url = path if "://" in path else registry.url + path
    with urllib3.PoolManager() as pool:
        once = urllib3.Retry(connect=0, read=0, other=0, redirect=1)
        return pool.request(method, url, body=body, headers=headers or {}, redirect=redirect, retries=once, timeout=5)


def start(registry: Registry, query: str = "", headers: dict[str, str] | None = None) -> str:
    answer = ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/{query}", headers=headers)
    assert answer.status == 202, answer.data
    return answer.headers["Location"]


def code_of(answer: Answer) -> str:
    code = json.loads(answer.data)["errors"][0]["code"]
    assert isinstance(code, str)
    return code


def finish(location: str, content: bytes) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest_of(content)}"


def manifest_of(*layers: bytes, config: bytes = b"{}") -> bytes:
    def descriptor(content: bytes) -> dict[str, object]:
        return {"mediaType": "application/octet-stream", "digest": digest_of(content), "size": len(content)}

    kind = "application/vnd.oci.image.manifest.v1+json"
    described = {"config": descriptor(config), "layers": [descriptor(layer) for layer in layers]}
    return json.dumps({"schemaVersion": 2, "mediaType": kind, **described}).encode()


def put_manifest(registry: Registry, reference: str, content: bytes) -> Answer:
    return ask(registry, "PUT", f"/v2/{REPO}/manifests/{reference}", content)


def seeded(registry: Registry) -> bytes:
    """A manifest whose blobs are in the registry."""
    registry.put_blob(REPO, BLOB)
    registry.put_blob(REPO, b"{}")
    return manifest_of(BLOB)


# Real clients


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """The name of a small image in an OCI layout."""
    peers.require("buildah", "skopeo")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "a.bin").write_bytes(BLOB)
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY models /models\n")
    buildah = ("buildah", "--root", tmp_path / "r", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    peers.run(*buildah, "build", "--isolation", "chroot", "--quiet", "--tag", "tiny", tmp_path)
    peers.run(*buildah, "push", "tiny", f"oci:{tmp_path}/layout:tiny")
    return f"oci:{tmp_path}/layout:tiny"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(),
        Quirks(location="url", upload_state=True, mounts=False, deletion="digest", resumable=True),
        Quirks(upload_host="other", upload_state=True, token_host="other", redirects=True),
    ],
    ids=["plain", "state", "hosts"],
)
def test_skopeo_and_crane_push_and_pull(layout: str, tmp_path: Path, way: str, quirks: Quirks) -> None:
    with Registry(auth=WAYS[way](), quirks=quirks) as registry:
        login = peers.credentials(tmp_path, registry.host, "me", "secret")
        image = f"{registry.host}/{REPO}:1"
        peers.skopeo_copy(layout, f"docker://{image}", login=login)
        assert peers.skopeo_inspect(f"docker://{image}", login=login)["Digest"] == registry.tags(REPO)["1"]
        peers.skopeo_copy(f"docker://{image}", f"oci:{tmp_path}/back:tiny", login=login)
        assert peers.umoci_files(tmp_path / "back", "tiny") == {"/models/a.bin": BLOB}
        assert peers.podman_files(f"docker://{image}", login=login) == {"/models/a.bin": BLOB}
        peers.require("crane")
        crane, env = peers.crane(), {"DOCKER_CONFIG": str(login)}
        assert crane is not None
        assert peers.crane_files(image, login=login) == {"/models/a.bin": BLOB}
        peers.run(crane, "copy", "--insecure", image, f"{registry.host}/copied/{REPO}:2", env=env)
        assert list(registry.manifests(f"copied/{REPO}")) == list(registry.manifests(REPO))
        assert peers.run(crane, "ls", "--insecure", f"{registry.host}/{REPO}", env=env) == "1\n"
        digest = peers.run(crane, "digest", "--insecure", image, env=env).strip()
        peers.run(crane, "delete", "--insecure", f"{registry.host}/{REPO}@{digest}", env=env)
        assert registry.tags(REPO) == {}
        assert registry.count("PATCH", status=202) > 0
        # skopeo 1.9 does send its token to an upload's other host (crane does not).
        assert [leak for leak in registry.leaks if leak.target.startswith("/storage/")] == []


def test_skopeo_deletes_with_a_token_for_it(layout: str, tmp_path: Path) -> None:
    auth = Bearer(USERS)
    with Registry(auth=auth) as registry:
        login = peers.credentials(tmp_path, registry.host, "me", "secret")
        image = f"docker://{registry.host}/{REPO}:1"
        peers.skopeo_copy(layout, image, login=login)
        peers.run("skopeo", "delete", "--tls-verify=false", image, env={"REGISTRY_AUTH_FILE": f"{login}/config.json"})
        assert registry.manifests(REPO) == {}
        assert any("delete" in scope or "*" in scope for request in auth.asked for scope in request.scopes)


def test_skopeo_pushes_over_tls(layout: str, tmp_path: Path) -> None:
    made = peers.self_signed(tmp_path)
    with Registry(tls=made.server) as registry:
        peers.skopeo_copy(layout, f"docker://{registry.host}/{REPO}:1")
        with urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=made.ca)) as pool:
            assert pool.request("GET", f"{registry.url}/v2/{REPO}/tags/list").json()["tags"] == ["1"]


# The protocol


def test_streaming_chunked_and_ranged_uploads(registry: Registry) -> None:
    location = start(registry)
    assert ask(registry, "PATCH", location, iter([BLOB[:1000], BLOB[1000:2000]])).headers["Range"] == "0-1999"
    assert ask(registry, "PATCH", location, BLOB, {"Content-Range": "5-7004"}).status == 416
    span = {"Content-Range": f"2000-{len(BLOB) - 1}"}
    assert ask(registry, "PATCH", location, BLOB[2000:], span).status == 202
    assert ask(registry, "GET", location).status == 204
    assert ask(registry, "PUT", finish(location, BLOB)).headers["Docker-Content-Digest"] == digest_of(BLOB)
    assert registry.blob(digest_of(BLOB)) == BLOB
    assert registry.uploaded == len(BLOB)
    assert [each.received for each in registry.requests] == [0, 2000, 0, 5000, 0, 0]
    assert registry.requests[1].headers["transfer-encoding"] == "chunked"


def test_whole_uploads_and_wrong_digests(registry: Registry) -> None:
    whole = ask(registry, "POST", finish(f"/v2/{REPO}/blobs/uploads/", BLOB), BLOB)
    assert whole.status == 201
    assert ask(registry, "PUT", finish(start(registry), b"other"), b"other").status == 201
    wrong = ask(registry, "PUT", finish(start(registry), b"other"), BLOB)
    assert (wrong.status, code_of(wrong)) == (400, "DIGEST_INVALID")
    assert registry.unfinished_uploads == 0
    assert ask(registry, "DELETE", start(registry)).status == 204
    assert registry.unfinished_uploads == 0


def test_blobs_by_range_and_mounted(registry: Registry) -> None:
    digest = registry.put_blob("elsewhere", BLOB)
    blob = f"/v2/{REPO}/blobs/{digest}"
    assert ask(registry, "GET", blob).status == 404
    assert ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/?mount={digest}&from=elsewhere").status == 201
    head = ask(registry, "HEAD", blob)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(BLOB)))
    part = ask(registry, "GET", blob, headers={"Range": "bytes=7-13"})
    assert (part.status, part.data, part.headers["Content-Range"]) == (206, b"weights", f"bytes 7-13/{len(BLOB)}")
    assert ask(registry, "GET", blob, headers={"Range": "bytes=-7"}).data == b"weights"
    assert ask(registry, "GET", blob, headers={"Range": f"bytes={len(BLOB)}-"}).status == 416
    registry.quirks.mounts = False
    assert start(registry, f"?mount={digest}&from=elsewhere")


def test_manifests_and_tags(registry: Registry) -> None:
    content = manifest_of(BLOB)
    refused = put_manifest(registry, "1", content)
    assert (refused.status, code_of(refused)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert seeded(registry) == content
    for tag in ("1", "2", "3"):
        assert put_manifest(registry, tag, content).headers["Docker-Content-Digest"] == digest_of(content)
    assert code_of(put_manifest(registry, digest_of(b""), content)) == "DIGEST_INVALID"
    assert code_of(put_manifest(registry, "4", b"[]")) == "MANIFEST_INVALID"
    assert ask(registry, "GET", f"/v2/{REPO}/manifests/{digest_of(content)}").data == content
    assert ask(registry, "HEAD", f"/v2/{REPO}/manifests/1").headers["Content-Length"] == str(len(content))
    page = ask(registry, "GET", f"/v2/{REPO}/tags/list?n=2")
    assert page.json()["tags"] == ["1", "2"]
    assert ask(registry, "GET", page.headers["Link"].split(">")[0][1:]).json()["tags"] == ["3"]
    assert ask(registry, "DELETE", f"/v2/{REPO}/manifests/1").status == 202
    assert sorted(registry.tags(REPO)) == ["2", "3"]
    assert ask(registry, "DELETE", f"/v2/{REPO}/manifests/{digest_of(content)}").status == 202
    assert code_of(ask(registry, "GET", f"/v2/{REPO}/manifests/2")) == "MANIFEST_UNKNOWN"


def test_an_index_needs_its_manifests(registry: Registry) -> None:
    content = seeded(registry)
    kind = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [{"digest": digest_of(content)}]}).encode()
    assert code_of(put_manifest(registry, "all", index)) == "MANIFEST_BLOB_UNKNOWN"
    assert put_manifest(registry, digest_of(content), content).status == 201
    assert put_manifest(registry, "all", index).status == 201


def test_large_blobs_need_no_memory() -> None:
    with Registry(keep_up_to=1000) as registry:
        big, total = bytes(1 << 20), 64
        hashed = sha256()
        for _ in range(total):
            hashed.update(big)
        location, digest = start(registry), f"sha256:{hashed.hexdigest()}"
        assert ask(registry, "PATCH", location, (big for _ in range(total))).status == 202
        assert ask(registry, "PUT", f"{location}?digest={digest}").status == 201
        head = ask(registry, "HEAD", f"/v2/{REPO}/blobs/{digest}")
        assert head.headers["Content-Length"] == str(total << 20)
        assert ask(registry, "GET", f"/v2/{REPO}/blobs/{digest}").status == 501
        assert registry.blob(registry.put_blob(REPO, b"small")) == b"small"


def test_a_connection_serves_many_requests(registry: Registry) -> None:
    with urllib3.HTTPConnectionPool(registry.host) as pool:
        assert {pool.request("GET", "/v2/").status for _ in range(5)} == {200}
        assert pool.num_connections == 1


# Who may do what


@pytest.mark.parametrize("wrong", [401, 403])
def test_basic(wrong: int) -> None:
    auth = Basic(USERS, denies=lambda access: access.action == "push", wrong=wrong)
    with Registry(auth=auth) as registry:
        assert ask(registry, "GET", "/v2/").headers["WWW-Authenticate"].startswith("Basic ")
        assert ask(registry, "GET", "/v2/", headers={"Authorization": "Basic bWU6bm8="}).status == wrong
        assert ask(registry, "GET", "/v2/", headers=ME).status == 200
        denied = ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/", headers=ME)
        assert (denied.status, code_of(denied)) == (403, "DENIED")


def challenged(answer: Answer) -> dict[str, str]:
    assert answer.status == 401
    return dict(re.findall(r'(\w+)="([^"]*)"', answer.headers["WWW-Authenticate"]))


def token(registry: Registry, challenge: dict[str, str], **more: str) -> dict[str, str]:
    fields = {"service": challenge["service"], "scope": challenge["scope"], **more}
    with urllib3.PoolManager() as pool:
        answer = pool.request("GET", challenge["realm"], fields=fields, headers=ME)
    assert answer.status == 200
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def test_bearer_tokens_are_for_what_they_were_asked_for() -> None:
    auth = Bearer(USERS)
    with Registry(auth=auth, quirks=Quirks(token_host="other")) as registry:
        pull = challenged(ask(registry, "GET", f"/v2/{REPO}/tags/list"))
        assert pull["scope"] == f"repository:{REPO}:pull"
        assert registry.other_host in pull["realm"]
        reader = token(registry, pull)
        assert ask(registry, "GET", f"/v2/{REPO}/tags/list", headers=reader).status == 404
        push = challenged(ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/?mount=x&from=base", headers=reader))
        assert push["scope"] == f"repository:{REPO}:pull,push repository:base:pull"
        assert push["error"] == "insufficient_scope"
        writer = token(registry, push)
        assert start(registry, headers=writer)
        delete = challenged(ask(registry, "DELETE", f"/v2/{REPO}/manifests/1", headers=writer))
        assert delete["scope"] == f"repository:{REPO}:delete"
        assert [request.scopes for request in auth.asked][1] == tuple(push["scope"].split())
        assert registry.leaks == []
        auth.revoke()
        assert challenged(ask(registry, "GET", "/v2/", headers=writer))["error"] == "invalid_token"


@pytest.mark.parametrize(("uses", "lifetime"), [(1, None), (None, 0.0)])
def test_tokens_end(uses: int | None, lifetime: float | None) -> None:
    with Registry(auth=Bearer(USERS, uses=uses, lifetime=lifetime)) as registry:
        path = f"/v2/{REPO}/tags/list"
        held = token(registry, challenged(ask(registry, "GET", path)))
        statuses = [ask(registry, "GET", path, headers=held).status for _ in range(2)]
        assert statuses == ([404, 401] if uses else [401, 401])


def test_the_refresh_token_flow() -> None:
    auth = Bearer(USERS, refresh_tokens={"lasting": "me"})
    with Registry(auth=auth) as registry, urllib3.PoolManager() as pool:
        form = {"grant_type": "refresh_token", "service": "x", "client_id": "x", "scope": f"repository:{REPO}:pull"}
        form["refresh_token"] = "lasting"
        answer = pool.request("POST", f"{registry.url}/token", fields=form, encode_multipart=False)
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert ask(registry, "GET", f"/v2/{REPO}/tags/list", headers=bearer).status == 404
        form["refresh_token"] = "unknown"
        refused = pool.request("POST", f"{registry.url}/token", fields=form, encode_multipart=False, retries=False)
        assert refused.status == 401
        assert [(request.grant, request.user) for request in auth.asked] == [
            ("refresh_token", "me"),
            ("refresh_token", None),
        ]
        offline = pool.request("GET", f"{registry.url}/token?offline_token=true", headers=ME).json()
        form["refresh_token"] = offline["refresh_token"]
        assert pool.request("POST", f"{registry.url}/token", fields=form, encode_multipart=False).status == 200


def test_bearer_denies_and_lets_anyone_pull() -> None:
    auth = Bearer(USERS, anonymous={"pull"}, denies=lambda access: access.action == "push", wrong=403)
    with Registry(auth=auth) as registry:
        held = token(registry, challenged(ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/")))
        assert code_of(ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/", headers=held)) == "DENIED"
        assert ask(registry, "GET", "/token", headers={"Authorization": "Basic bWU6bm8="}).status == 403
        anyone = ask(registry, "GET", f"/token?scope=repository:{REPO}:pull,push").json()["token"]
        bearer = {"Authorization": f"Bearer {anyone}"}
        assert ask(registry, "GET", f"/v2/{REPO}/tags/list", headers=bearer).status == 404
    with Registry(auth=Bearer(USERS, posts=False)) as registry:
        assert ask(registry, "POST", "/token", b"grant_type=refresh_token").status == 405


# Quirks


def test_uploads_on_another_host_with_a_state() -> None:
    quirks = Quirks(upload_host="other", upload_state=True)
    with Registry(auth=Basic(USERS), quirks=quirks) as registry:
        first = start(registry, headers=ME)
        assert first.startswith(f"http://{registry.other_host}/")
        assert "?_state=" in first
        second = ask(registry, "PATCH", first, BLOB, ME).headers["Location"]
        stale = ask(registry, "PUT", finish(first, BLOB))
        assert (stale.status, code_of(stale)) == (400, "BLOB_UPLOAD_INVALID")
        assert ask(registry, "PUT", finish(second, BLOB)).status == 201
        assert [leak.method for leak in registry.leaks] == ["PATCH"]
        assert ask(registry, "GET", f"http://{registry.other_host}/v2/{REPO}/tags/list", headers=ME).status == 404


def test_location_as_url() -> None:
    with Registry(quirks=Quirks(location="url")) as registry:
        assert start(registry).startswith(registry.url)


def test_blobs_from_another_host(registry: Registry) -> None:
    registry.quirks.redirects = True
    blob = f"/v2/{REPO}/blobs/{registry.put_blob(REPO, BLOB)}"
    span = {"Range": "bytes=0-6"}
    redirect = ask(registry, "GET", blob, headers=span)
    link = redirect.headers["Location"]
    assert redirect.status == 307
    assert link.startswith(f"http://{registry.other_host}/storage/")
    assert ask(registry, "GET", link, headers=span).data == b"weights"
    assert registry.leaks == []
    ask(registry, "GET", link, headers=ME)
    assert len(registry.leaks) == 1
    registry.expire_links()
    assert ask(registry, "GET", link).status == 403
    registry.fault(Refuse(403), path="/storage/")
    assert ask(registry, "GET", blob, redirect=True).status == 403
    assert ask(registry, "GET", blob, redirect=True).data == BLOB


@pytest.mark.parametrize("status", [405, 501, 400])
def test_streaming_refused(registry: Registry, status: int) -> None:
    registry.quirks.patch_refusal = status
    location = start(registry)
    refused = ask(registry, "PATCH", location, BLOB)
    assert (refused.status, code_of(refused)) == (status, "UNSUPPORTED")
    assert ask(registry, "PUT", finish(location, BLOB), BLOB).status == 201


def test_chunked_refused(registry: Registry) -> None:
    registry.quirks.chunked = False
    location = start(registry)
    assert ask(registry, "PATCH", location, iter([BLOB])).status == 411
    assert ask(registry, "PATCH", location, BLOB).status == 202


def test_repositories_created_first(registry: Registry) -> None:
    registry.quirks.must_exist = True
    assert code_of(ask(registry, "POST", f"/v2/{REPO}/blobs/uploads/")) == "NAME_UNKNOWN"
    registry.create(REPO)
    assert start(registry)


def test_immutable_tags_and_refused_deletion(registry: Registry) -> None:
    content = seeded(registry)
    registry.put_manifest(REPO, "1", content)
    registry.quirks.immutable_tags = 409
    refused = put_manifest(registry, "1", content)
    assert (refused.status, code_of(refused)) == (409, "TAG_INVALID")
    assert put_manifest(registry, "2", content).status == 201
    registry.quirks.deletion = "digest"
    assert code_of(ask(registry, "DELETE", f"/v2/{REPO}/manifests/1")) == "UNSUPPORTED"
    registry.quirks.deletion = "none"
    assert ask(registry, "DELETE", f"/v2/{REPO}/manifests/{digest_of(content)}").status == 405


def test_manifests_have_a_largest_size(registry: Registry) -> None:
    assert put_manifest(registry, "1", bytes((4 << 20) + 1)).status == 413


# Faults


def test_an_answer_that_refuses(registry: Registry) -> None:
    location = start(registry)
    registry.fault(Refuse(429, {"Retry-After": "7"}, b"slow down"), "PATCH", "/uploads/", times=2)
    registry.fault(Refuse(507, early=True), "PATCH", lambda target: target == location)
    first = ask(registry, "PATCH", location, BLOB)
    assert (first.status, first.headers["Retry-After"], first.data) == (429, "7", b"slow down")
    assert [ask(registry, "PATCH", location, BLOB).status for _ in range(3)] == [429, 507, 202]
    assert registry.count("PATCH", status=429) == 2
    assert [each.received for each in registry.requests if each.status == 507] == [0]


def test_faults_that_wait_their_turn_and_stay(registry: Registry) -> None:
    registry.fault(Refuse(503), times=None, skip=1)
    assert [ask(registry, "GET", "/v2/").status for _ in range(3)] == [200, 503, 503]
    registry.clear_faults()
    assert ask(registry, "GET", "/v2/").status == 200


@pytest.mark.parametrize("resumable", [False, True])
def test_a_body_cut_in_the_middle(registry: Registry, resumable: bool) -> None:
    registry.quirks.resumable = resumable
    location = start(registry)
    registry.fault(CutBody(3000), "PATCH")
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(registry, "PATCH", location, BLOB)
    cut = registry.requests[-1]
    assert (cut.status, cut.received) == (None, 3000)
    answer = ask(registry, "GET", location)
    assert (answer.status, answer.headers.get("Range")) == ((204, "0-2999") if resumable else (404, None))


def test_answers_lost_cut_and_wrong(registry: Registry) -> None:
    location = start(registry)
    registry.fault(LoseAnswer(), "PUT")
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(registry, "PUT", finish(location, BLOB), BLOB)
    assert registry.blob(digest_of(BLOB)) == BLOB
    registry.fault(CutAnswer(100), "GET")
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(registry, "GET", f"/v2/{REPO}/blobs/{digest_of(BLOB)}")
    registry.fault(Amend(headers={"Docker-Content-Digest": digest_of(b""), "Accept-Ranges": None}), "HEAD")
    wrong = ask(registry, "HEAD", f"/v2/{REPO}/blobs/{digest_of(BLOB)}")
    assert wrong.headers["Docker-Content-Digest"] == digest_of(b"")
    assert "Accept-Ranges" not in wrong.headers
    location = start(registry)
    registry.fault(Amend(201), "PATCH")
    assert ask(registry, "PATCH", location, BLOB).status == 201
    assert ask(registry, "PUT", finish(location, BLOB)).status == 201


def test_a_blob_that_vanishes(registry: Registry) -> None:
    content = seeded(registry)
    registry.fault(Do(lambda: registry.drop_blob(digest_of(BLOB))), "PUT", "/manifests/")
    assert code_of(put_manifest(registry, "1", content)) == "MANIFEST_BLOB_UNKNOWN"
    assert ask(registry, "HEAD", f"/v2/{REPO}/blobs/{digest_of(BLOB)}").status == 404


def test_waiting(registry: Registry) -> None:
    registry.fault(Delay(0.1))
    registry.quirks.delay = 0.1
    began = time.monotonic()
    assert ask(registry, "GET", "/v2/").status == 200
    assert time.monotonic() - began > 0.2


def test_silence_ends_with_the_registry() -> None:
    registry = Registry()
    registry.fault(Silence(60))
    outcome: list[Exception] = []

    def wait() -> None:
        try:
            ask(registry, "GET", "/v2/")
        except urllib3.exceptions.HTTPError as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.1)
    began = time.monotonic()
    registry.close()
    waiting.join()
    assert outcome
    assert time.monotonic() - began < 1


def test_what_is_recorded(registry: Registry) -> None:
    ask(registry, "GET", "/v2/?x=1", headers={**ME, "User-Agent": "modelcar/1"})
    (only,) = registry.requests
    assert (only.method, only.target, only.status, only.has_authorization) == ("GET", "/v2/?x=1", 200, True)
    assert (only.user_agent, only.host) == ("modelcar/1", registry.host)
    registry.forget_requests()
    assert registry.requests == []

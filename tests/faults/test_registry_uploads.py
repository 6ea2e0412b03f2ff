"""Blobs on their way into a registry that misbehaves: each build ends as it should, and sends no more than it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelcar.build import BuildOptions, build_image
from modelcar.errors import NetworkError
from modelcar.events import Event, LayerStarted, Waiting
from modelcar.oci import Digest, digest_of
from modelcar.stores import HashedStream
from tests.doubles.registry import Amend, CutBody, LoseAnswer, Quirks, Refuse, Registry, Silence
from tests.models import model_files, write_files
from tests.pushing import QUICK, REPO, SHARD, blobs, layers_sent, push, pushed, refusal, store_at

LAYER = SHARD + 2048
"""Bytes of a weights layer, about."""

WHOLE = pytest.approx(LAYER, rel=0.01)
"""A weights layer that came in as a whole."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files(shard_size=SHARD))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


class UnmeasuredBlob:
    """A blob of which nothing is known before it is read, as of a compressed layer."""

    title = "a blob"
    size: int | None = None
    digest: Digest | None = None

    def __init__(self, content: bytes) -> None:
        self._content = content

    def open(self) -> HashedStream:
        return HashedStream(iter([self._content[:1000], self._content[1000:]]))


# What is answered


@pytest.mark.parametrize("location", ["path", "url"])
@pytest.mark.parametrize("state", [False, True])
def test_each_kind_of_location_is_followed(model: Path, location: str, state: bool) -> None:
    with Registry(quirks=Quirks(location="url" if location == "url" else "path", upload_state=state)) as registry:
        digest = push(model, registry)
        assert registry.uploaded == sum(blobs(registry, digest).values())


def test_uploads_on_another_host_get_no_credentials(model: Path) -> None:
    with Registry(quirks=Quirks(upload_host="other", upload_state=True)) as registry:
        push(model, registry)
        elsewhere = [each for each in registry.requests if each.host == registry.other_host]
        assert {each.method for each in elsewhere} >= {"PATCH", "PUT"}
        assert registry.leaks == []


@pytest.mark.parametrize("status", [201, 204])
def test_a_patch_may_be_answered_with_another_success(model: Path, registry: Registry, status: int) -> None:
    registry.fault(Amend(status=status), "PATCH", times=None)
    push(model, registry)
    assert layers_sent(registry) == [WHOLE, WHOLE]


def test_another_digest_in_the_answer_ends_the_build(model: Path, registry: Registry) -> None:
    registry.fault(Amend(headers={"Docker-Content-Digest": digest_of(b"other")}), "PUT", "/blobs/uploads/")
    line = refusal(model, registry, 5)
    assert f"the registry got {digest_of(b'other')}" in line


def test_a_registry_that_says_it_got_other_bytes_ends_the_build(model: Path, registry: Registry) -> None:
    body = b'{"errors": [{"code": "DIGEST_INVALID", "message": "provided digest did not match"}]}'
    registry.fault(Refuse(400, {"Content-Type": "application/json"}, body), "PUT", "/blobs/uploads/")
    assert "provided digest did not match" in refusal(model, registry, 5)


@pytest.mark.parametrize("early", [False, True])
def test_a_blob_that_is_too_large_names_the_option(model: Path, registry: Registry, early: bool) -> None:
    registry.fault(Refuse(413, early=early), "PATCH")
    line = refusal(model, registry, 6)
    assert "too large" in line
    assert "--max-layer-size" in line
    assert registry.count("PATCH") == 1


def test_405_to_the_first_request_says_who_answered_what(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(405), "POST")
    assert f"{registry.host} answered 405" in refusal(model, registry, 6)
    assert registry.uploaded == 0


# What is tried again


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_429_waits_as_long_as_it_says(model: Path, registry: Registry, method: str) -> None:
    registry.fault(Refuse(429, {"Retry-After": "0"}), method, "/blobs/uploads/")
    events: list[Event] = []
    push(model, registry, events=events)
    assert [each.seconds for each in events if isinstance(each, Waiting)] == [0]
    assert registry.count(method, status=429) == 1


def test_429_after_the_bytes_sends_them_no_second_time(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(429, {"Retry-After": "0"}), "PUT", "/blobs/uploads/", times=2)
    push(model, registry)
    assert layers_sent(registry) == [WHOLE, WHOLE]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_5xx_is_tried_again(model: Path, registry: Registry, method: str, status: int) -> None:
    registry.fault(Refuse(status), method, "/blobs/")
    push(model, registry)
    assert registry.count(method, status=status) == 1


def test_5xx_that_stays_gives_up(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(502), "POST", times=None)
    assert f"{registry.host} answered 502" in refusal(model, registry, 7)
    assert registry.count("POST", status=502) == 1 + QUICK.retry


def test_an_upload_that_can_not_begin_is_tried_by_its_caller_alone(model: Path, registry: Registry) -> None:
    """The first POST is the check that one may push."""
    registry.fault(Refuse(502), "POST", skip=1, times=None)
    assert f"{registry.host} answered 502" in refusal(model, registry, 7, record=False)
    assert registry.count("POST", status=502) == 1 + QUICK.retry


def test_an_upload_that_is_cut_is_sent_again_and_the_finished_ones_stand(model: Path, registry: Registry) -> None:
    registry.fault(CutBody(SHARD // 2), "PATCH", skip=1)
    events: list[Event] = []
    push(model, registry, events=events)
    assert layers_sent(registry) == [WHOLE, SHARD // 2, WHOLE]
    starts = [(each.layer, each.attempt) for each in events if isinstance(each, LayerStarted)]
    assert len(starts) == 4
    assert len({layer for layer, attempt in starts if attempt == 2}) == 1


def test_a_compressed_layer_that_is_cut_is_compressed_and_sent_again(model: Path, registry: Registry) -> None:
    untroubled = push(model, registry, replace(QUICK, compression="gzip"))
    with Registry() as other:
        other.fault(CutBody(SHARD // 2), "PATCH", skip=1)
        events: list[Event] = []
        assert push(model, other, replace(QUICK, compression="gzip"), events) == untroubled
        assert other.count("PATCH") == registry.count("PATCH") + 1
        assert max(e.attempt for e in events if isinstance(e, LayerStarted)) == 2


def test_an_upload_that_is_always_cut_gives_up(model: Path, registry: Registry) -> None:
    registry.fault(CutBody(SHARD // 2), "PATCH", times=None)
    assert "broke" in refusal(model, registry, 7)
    assert layers_sent(registry) == [SHARD // 2] * (1 + QUICK.retry)


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_an_upload_that_the_registry_lost_is_begun_anew(
    model: Path, registry: Registry, method: str, code: str
) -> None:
    """As behind a load balancer; PATCH stays in use."""
    body = b'{"errors": [{"code": "%s"}]}' % code.encode()
    registry.fault(Refuse(404 if "UNKNOWN" in code else 400, {}, body), method, "/blobs/uploads/", skip=1)
    push(model, registry)
    assert layers_sent(registry) == [WHOLE] * 3


def test_an_upload_lost_at_the_very_first_is_no_dislike_of_streams(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(404, {}, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}'), "PATCH")
    push(model, registry)
    assert layers_sent(registry) == [WHOLE, WHOLE, WHOLE]
    assert registry.count("PUT", "/blobs/uploads/", status=201) == registry.count("PATCH", status=202)


def test_a_put_whose_answer_is_lost_is_looked_for_before_anything_is_sent_again(
    model: Path, registry: Registry
) -> None:
    registry.fault(LoseAnswer(), "PUT", "/blobs/uploads/")
    push(model, registry)
    assert layers_sent(registry) == [WHOLE, WHOLE]
    lost = next(n for n, each in enumerate(registry.requests) if each.method == "PUT" and each.status is None)
    assert registry.requests[lost + 1].method == "HEAD"


def test_a_put_that_did_not_arrive_is_asked_for_again_without_the_layer(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(500), "PUT", "/blobs/uploads/", times=2)
    push(model, registry)
    assert layers_sent(registry) == [WHOLE, WHOLE]
    assert registry.count("PATCH") == registry.count("PUT", "/blobs/uploads/", status=201)


def test_a_put_that_never_arrives_gives_the_upload_up(registry: Registry) -> None:
    registry.fault(Refuse(500), "PUT", "/blobs/uploads/", times=None)
    with pytest.raises(NetworkError, match="answered 500"):
        store_at(registry, tries=3).write_blob(UnmeasuredBlob(b"weights"))
    assert (registry.count("PATCH"), registry.count("PUT")) == (1, 3)
    assert registry.unfinished_uploads == 0


def test_a_failed_upload_is_given_up(model: Path, registry: Registry) -> None:
    registry.fault(Refuse(413), "PATCH")
    refusal(model, registry, 6)
    assert registry.unfinished_uploads == 0


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_silent_registry_is_not_waited_for_forever(registry: Registry, method: str) -> None:
    registry.fault(Silence(60), method, times=None)
    store = store_at(registry, silence=0.1)
    with pytest.raises(NetworkError, match="went silent"):
        store.prepare() if method == "POST" else store.has_blob(digest_of(b""))
    assert registry.count(method) <= 2


# Registries that take no stream


@pytest.mark.parametrize(("status", "asked"), [(400, 2), (404, 2), (405, 1), (416, 2), (501, 1)])
def test_a_registry_without_patch_gets_whole_bodies(model: Path, status: int, asked: int) -> None:
    """It is asked once, or twice where the first answer may be bad luck; the digest is learned by reading first."""
    with Registry(quirks=Quirks(patch_refusal=status)) as registry:
        digest = push(model, registry)
        assert registry.count("PATCH") == asked
        puts = [each for each in registry.requests if each.method == "PUT" and "/blobs/uploads/" in each.target]
        assert sum(each.received for each in puts) == sum(blobs(registry, digest).values())


@pytest.mark.parametrize("status", [400, 404, 416])
def test_bad_luck_with_the_first_stream_is_no_dislike(model: Path, registry: Registry, status: int) -> None:
    registry.fault(Refuse(status), "PATCH")
    push(model, registry)
    assert registry.count("PUT", "/blobs/uploads/", status=201) == registry.count("PATCH", status=202)


def test_a_registry_without_patch_is_sent_to_again_when_it_breaks(model: Path) -> None:
    with Registry(quirks=Quirks(patch_refusal=405)) as registry:
        registry.fault(CutBody(SHARD // 2), "PUT", "/blobs/uploads/", skip=1)
        push(model, registry)


def test_a_registry_without_chunks_gets_sizes(model: Path) -> None:
    with Registry(quirks=Quirks(chunked=False)) as registry:
        push(model, registry)
        assert layers_sent(registry) == [WHOLE, WHOLE]


def test_a_registry_without_chunks_takes_what_has_to_be_measured_first() -> None:
    with Registry(quirks=Quirks(chunked=False)) as registry:
        content = b"weights" * 100_000
        stored = store_at(registry).write_blob(UnmeasuredBlob(content))
        assert (stored.digest, stored.size) == (digest_of(content), len(content))
        assert registry.blob(digest_of(content)) == content
        assert registry.unfinished_uploads == 0


def test_what_can_not_be_measured_is_sent_in_chunks(registry: Registry) -> None:
    content = b"weights" * 100_000
    assert store_at(registry).write_blob(UnmeasuredBlob(content)).size == len(content)
    patch = next(each for each in registry.requests if each.method == "PATCH")
    assert patch.headers["transfer-encoding"] == "chunked"


# Mounts


def other_place(registry: Registry) -> str:
    return f"{registry.host}/acme/other:1"


def test_layers_of_a_neighbour_are_mounted(model: Path, registry: Registry) -> None:
    push(model, registry)
    registry.forget_requests()
    mounted = replace(QUICK, cache_from=(f"{registry.host}/{REPO}:1",), cache_dir=None)
    assert rebuilt(model, registry, mounted) == 0
    assert registry.count("POST", "mount=", status=201) == 3
    assert layers_sent(registry) == []


def test_where_mounting_does_not_work_layers_are_sent(model: Path, registry: Registry) -> None:
    push(model, registry)
    registry.forget_requests()
    registry.quirks.mounts = False
    rebuilt(model, registry, replace(QUICK, cache_from=(f"{registry.host}/{REPO}:1",), cache_dir=None))
    assert layers_sent(registry) == [WHOLE, WHOLE]
    assert registry.unfinished_uploads == 0


@pytest.mark.parametrize(("status", "asked"), [(501, 1), (500, 1 + QUICK.retry)])
def test_a_mount_that_fails_is_no_failure_of_the_build(
    model: Path, registry: Registry, status: int, asked: int
) -> None:
    """501 says that it will never work."""
    digest = Digest(registry.put_blob("acme/other", b"weights"))
    registry.fault(Refuse(status), "POST", "mount=", times=None)
    assert not store_at(registry, tries=1 + QUICK.retry).mount_blob(digest, f"{registry.host}/acme/other")
    assert registry.count("POST", "mount=") == asked
    push(model, registry)


def rebuilt(model: Path, registry: Registry, options: BuildOptions) -> int:
    """Build into the other repository; bytes of layers that were sent for it."""
    result = build_image(str(model), other_place(registry), options)
    assert registry.tags("acme/other")["1"] == result.digest
    return result.sent


def test_memory_finds_what_to_mount(model: Path, registry: Registry) -> None:
    """Our machine remembers in which repository a layer is: no flag is needed."""
    push(model, registry)
    registry.forget_requests()
    assert rebuilt(model, registry, QUICK) == 0
    assert registry.count("POST", "mount=", status=201) == 3


# Repositories that must be there


def test_a_repository_that_must_be_created_first_says_so(model: Path) -> None:
    with Registry(quirks=Quirks(must_exist=True)) as registry:
        line = refusal(model, registry, 3)
        assert "acme/tiny doesn't exist" in line
        assert "want it made first" in line
        assert registry.uploaded == 0
        registry.create(REPO)
        assert pushed(model, registry).digest

"""The last steps of a build: blobs that have gone, tags that must not move, records that can't be deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelcar.build import plan_image
from modelcar.errors import ContentMismatch, Denied, NotFound, Refused
from modelcar.events import Event, Warned
from modelcar.oci import digest_of, media
from tests.cli import modelcar
from tests.doubles.registry import Access, Amend, Auth, Basic, Bearer, Do, Refuse, Registry
from tests.models import model_files, write_files
from tests.pushing import ME, QUICK, REPO, blobs, place, push, pushed, pushed_files, refusal, store_at, write_login

MANIFEST = media.OCI_MANIFEST


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The model's next version."""
    return write_files(tmp_path / "changed", model_files(seed=1))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def weights_layer(registry: Registry, digest: str) -> str:
    return max(blobs(registry, digest), key=lambda each: blobs(registry, digest)[each])


def lose(registry: Registry) -> Callable[[], None]:
    """Lose every blob of the repository that was uploaded so far."""

    def action() -> None:
        for each in registry.requests:
            if each.method == "PUT" and each.status == 201 and "digest=" in each.target:
                registry.drop_blob(each.target.partition("digest=")[2].replace("%3A", ":"))

    return action


# Blobs that have gone


def test_a_blob_gone_before_the_manifest_is_sent_again(model: Path, registry: Registry) -> None:
    """All layers were sent, and are lost before the end asks for them."""
    registry.fault(Do(lose(registry)), "HEAD", "/manifests/1")
    events: list[Event] = []
    push(model, registry, events=events)
    assert sum("has lost the layer" in each.message for each in events if isinstance(each, Warned)) == 3


def test_a_blob_gone_when_the_manifest_arrives_is_sent_again(model: Path, registry: Registry) -> None:
    registry.fault(Do(lose(registry)), "PUT", "/manifests/")
    push(model, registry)
    assert registry.count("PUT", "/manifests/", status=400) == 1


def test_a_blob_that_goes_each_time_ends_the_build(model: Path, registry: Registry) -> None:
    registry.fault(Do(lose(registry)), "PUT", "/manifests/", times=None)
    line = refusal(model, registry, 3)
    assert "has lost a blob" in line
    assert "run it again" in line


def test_a_rebuild_finds_what_was_lost_since(model: Path, registry: Registry) -> None:
    digest = push(model, registry)
    registry.drop_blob(weights_layer(registry, digest))
    assert push(model, registry) == digest


# Manifests


def test_a_manifest_that_the_registry_changes_is_no_success(registry: Registry) -> None:
    registry.put_blob(REPO, b"{}")
    content = json.dumps({"schemaVersion": 2, "config": {"digest": digest_of(b"{}")}, "layers": []}).encode()
    registry.fault(Amend(headers={"Docker-Content-Digest": digest_of(b"other")}), "PUT", "/manifests/")
    with pytest.raises(ContentMismatch, match="the registry stored sha256"):
        store_at(registry).write_manifest(content, MANIFEST, "1")


def test_a_manifest_that_comes_changed_is_not_read(model: Path, registry: Registry) -> None:
    digest = push(model, registry)
    for version in ("1", digest):
        registry.fault(Amend(body=b'{"schemaVersion": 2}', headers={"Content-Length": "20"}), "GET", "/manifests/")
        with pytest.raises(ContentMismatch, match="sent other bytes"):
            store_at(registry).manifest(version)


def test_a_manifest_may_be_redirected(model: Path, registry: Registry) -> None:
    """As by registry.k8s.io, a front that only knows where images are."""
    digest = push(model, registry)
    registry.fault(Refuse(307, {"Location": f"/v2/{REPO}/manifests/{digest}"}), None, "/manifests/1", times=2)
    store = store_at(registry)
    assert store.resolve("1").digest == digest


def test_what_the_registry_says_of_a_manifest_is_told(registry: Registry) -> None:
    registry.quirks.manifest_limit = 10
    with pytest.raises(Refused, match="the manifest is larger than 10 bytes"):
        store_at(registry).write_manifest(b'{"schemaVersion": 2}', MANIFEST, "1")
    registry.quirks.manifest_limit = 100
    with pytest.raises(Refused, match=r"answered 400 \(KeyError"):
        store_at(registry).write_manifest(b'{"schemaVersion": 2}', MANIFEST, "1")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_manifest_is_sent_again(model: Path, registry: Registry, status: int) -> None:
    registry.fault(Refuse(status, {"Retry-After": "0"}), "PUT", "/manifests/1")
    push(model, registry)
    assert registry.count("PUT", "/manifests/1") == 2


def test_a_missing_manifest_is_told_by_its_whole_name(registry: Registry) -> None:
    for version in ("2", digest_of(b"")):
        with pytest.raises(NotFound, match=rf"{registry.host}/{REPO}[:@]{version} doesn't exist"):
            store_at(registry).resolve(version)


def test_tags_come_page_by_page(registry: Registry) -> None:
    tags = [f"v{number:04}" for number in range(1001)]
    for tag in tags:
        registry.put_manifest(REPO, tag, b"{}")
    assert store_at(registry).tags() == tags
    assert registry.count("GET", "tags/list") == 2


# Tags that must not move


@pytest.mark.parametrize("status", [400, 409, 412])
def test_an_immutable_tag_that_names_the_image_already_is_left_alone(
    model: Path, registry: Registry, status: int
) -> None:
    digest = push(model, registry)
    registry.quirks.immutable_tags = status
    registry.forget_requests()
    assert push(model, registry) == digest
    assert registry.count("PUT") == 0


@pytest.mark.parametrize("status", [400, 409, 412])
def test_an_immutable_tag_with_another_image_gives_a_digest_to_deploy(
    model: Path, changed: Path, registry: Registry, status: int
) -> None:
    push(model, registry)
    registry.quirks.immutable_tags = status
    line = refusal(changed, registry, 6)
    assert "forbids to move the tag" in line
    reference = line.rpartition(" ")[2]
    assert reference.startswith(f"{registry.host}/{REPO}@sha256:")
    digest = reference.partition("@")[2]
    assert pushed_files(registry, digest)["models/config.json"] == (changed / "config.json").read_bytes()


@pytest.mark.parametrize(
    "error",
    ['{"code": "DENIED", "message": "the tag 1 is immutable"}', '{"code": "TAG_IMMUTABLE", "message": "no"}'],
)
def test_a_403_that_speaks_of_immutable_tags_is_no_want_of_credentials(registry: Registry, error: str) -> None:
    registry.fault(Refuse(403, {}, b'{"errors": [%s]}' % error.encode()), "PUT", "/manifests/1")
    with pytest.raises(Refused, match="forbids to move the tag"):
        store_at(registry).write_manifest(b"{}", MANIFEST, "1")


def test_any_other_403_to_a_manifest_asks_for_credentials(registry: Registry) -> None:
    registry.fault(Refuse(403), "PUT", "/manifests/1")
    with pytest.raises(Denied, match="wants credentials"):
        store_at(registry).write_manifest(b"{}", MANIFEST, "1")


def test_a_tag_that_exists_is_not_moved_with_no_clobber(model: Path, changed: Path, registry: Registry) -> None:
    push(model, registry)
    sent = registry.uploaded
    assert "--no-clobber" in refusal(changed, registry, 6, no_clobber=True)
    assert registry.uploaded == sent


def test_a_failure_before_the_last_step_leaves_the_tag(model: Path, changed: Path, registry: Registry) -> None:
    push(model, registry)
    registry.fault(Refuse(500), "PUT", "/manifests/1", times=None)
    refusal(changed, registry, 7)


# Records


def recorded(model: Path, registry: Registry) -> str:
    """Leave the record of an unfinished build. Returns its tag."""
    digest = pushed(model, registry, cache_dir=None).digest
    index = json.loads(registry.manifest(REPO, str(digest)) or b"")
    manifest = registry.manifest(REPO, index["manifests"][0]["digest"]) or b""
    record = f"modelcar-partial-{plan_image(str(model)).plan.id[:12]}"
    registry.put_manifest(REPO, record, manifest + b" ")
    store = store_at(registry)
    assert store.delete_tag("1", digest_of(b""))
    registry.forget_requests()
    return record


@pytest.mark.parametrize("deletion", ["all", "digest"])
def test_a_record_is_deleted_by_tag_or_by_digest(model: Path, registry: Registry, deletion: str) -> None:
    record = recorded(model, registry)
    registry.quirks.deletion = "all" if deletion == "all" else "digest"
    push(model, registry)
    assert record not in registry.tags(REPO)
    assert registry.count("DELETE", f"/manifests/{record}") == 1
    assert registry.count("DELETE", "/manifests/sha256") == (0 if deletion == "all" else 1)


@pytest.mark.parametrize("how", ["405", "403", "500"])
def test_deletion_refused_names_the_tag_that_stays(model: Path, registry: Registry, how: str) -> None:
    record = recorded(model, registry)
    registry.fault(Refuse(int(how)), "DELETE", "/manifests/", times=None)
    done = modelcar("build", "--retry", "1", "--retry-delay", "0.01", model, place(registry))
    assert done.code == 0, done.err
    assert [line for line in done.err.splitlines() if "tag" in line] == [
        f"warning: {registry.host}/{REPO} refuses to delete: the tag {record} stays, and can go any time"
    ]
    assert record in registry.tags(REPO)
    assert registry.tags(REPO)["1"] in done.out
    assert registry.count("DELETE", "/manifests/") == 2


def test_a_record_that_is_gone_already_is_no_error(model: Path, registry: Registry) -> None:
    record = recorded(model, registry)
    registry.fault(Refuse(404), "DELETE", f"/manifests/{record}")
    events: list[Event] = []
    push(model, registry, events=events)
    assert not [each for each in events if isinstance(each, Warned)]


def test_deletion_has_a_token_of_its_own(model: Path) -> None:
    auth = Bearer(ME)
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        record = recorded(model, registry)
        push(model, registry)
        assert record not in registry.tags(REPO)
        assert (f"repository:{REPO}:delete",) in [each.scopes for each in auth.asked]


def no_delete(access: Access) -> bool:
    return access.action == "delete"


@pytest.mark.parametrize("auth", [Basic(ME, denies=no_delete), Bearer(ME, denies=no_delete)], ids=["basic", "bearer"])
def test_no_right_to_delete_is_no_failure(model: Path, auth: Auth) -> None:
    with Registry(auth=auth) as registry:
        write_login(registry.host)
        digest = pushed(model, registry).digest
        assert digest is not None
        assert not store_at(registry).delete_tag("1", digest)
        assert registry.tags(REPO)["1"] == digest


def test_records_are_not_asked_for_with_no_record(model: Path, registry: Registry) -> None:
    push(model, registry, replace(QUICK, record=False))
    assert registry.count(None, "modelcar-partial") == 0

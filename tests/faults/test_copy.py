"""What goes wrong while an image is copied, on either side. Over real sockets."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from modelcar import CopyOptions, CopyResult, ModelcarError, copy_image
from modelcar.events import Event, LayerStarted, Warned
from modelcar.oci import Digest, media
from modelcar.oci.attached import cosign_tags
from tests.artifacts import listed, place, put_artifact
from tests.cli import end_of, image, modelcar, started, wait_for
from tests.disks import mounted_disk
from tests.doubles.registry import Amend, Basic, CutAnswer, CutBody, Delay, Do, Quirks, Refuse, Registry
from tests.models import model_files, write_files

REPO = "acme/tiny"
SIZE = 2_000_000
QUICK = CopyOptions(retry=2, retry_delay=0.01, workers=1)


@pytest.fixture
def source() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def target() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def original(source: Registry, tmp_path: Path) -> str:
    """An image of two large layers and a small one in the source; its reference."""
    model = write_files(tmp_path / "model", model_files(shard_size=SIZE))
    image(model, f"{source.host}/{REPO}:1", platforms=("linux/amd64", "linux/arm64"))
    source.forget_requests()
    return f"{source.host}/{REPO}:1"


def copied(original: str, target: Registry, events: list[Event] | None = None, **wishes: object) -> CopyResult:
    """Copy, and check that all of it is there, under the same digests."""
    listener = events.append if events is not None else lambda _: None
    result = copy_image(original, f"{target.host}/{REPO}:1", replace(QUICK, **wishes), listener=listener)  # type: ignore[arg-type]
    assert target.tags(REPO)["1"] == result.digest
    store = place(original).store
    for manifest in (result.digest, *(each["digest"] for each in children(store.manifest(result.digest).content))):
        assert target.manifest(REPO, manifest) == store.manifest(manifest).content
    assert target.unfinished_uploads == 0
    return result


def children(index: bytes) -> list[dict[str, str]]:
    found = json.loads(index)["manifests"]
    assert isinstance(found, list)
    return found


def layers_of(original: str) -> list[dict[str, object]]:
    """The layers, the largest first."""
    store = place(original).store
    first = children(store.manifest("1").content)[0]["digest"]
    return sorted(json.loads(store.manifest(first).content)["layers"], key=lambda layer: -layer["size"])


def fails(original: str, target: Registry, code: int, **wishes: object) -> str:
    """Copy, and expect one line and no tag. Returns the line."""
    before = target.tags(REPO)
    with pytest.raises(ModelcarError) as raised:
        copy_image(original, f"{target.host}/{REPO}:1", replace(QUICK, **wishes))  # type: ignore[arg-type]
    assert raised.value.exit_code == code, raised.value
    assert "\n" not in str(raised.value)
    assert target.tags(REPO) == before
    return str(raised.value)


# Bytes that aren't what they should be


def test_a_layer_with_other_bytes_is_neither_kept_nor_tagged(source: Registry, target: Registry, original: str) -> None:
    layer = layers_of(original)[0]
    digest = str(layer["digest"])
    source.fault(other_body(int(str(layer["size"]))), "GET", f"/blobs/{digest}", times=None)
    line = fails(original, target, 5)
    assert digest[:19] in line
    assert source.host in line
    assert target.blob(digest) is None


def other_body(size: int) -> Amend:

    return Amend(body=b"x" * size)


def test_a_truncated_layer_is_named(source: Registry, target: Registry, original: str) -> None:
    digest = str(layers_of(original)[0]["digest"])
    source.fault(other_body(1000), "GET", f"/blobs/{digest}", times=None)
    line = fails(original, target, 5)
    assert f"has 1,000 of the {layers_of(original)[0]['size']:,} bytes stated" in line
    assert target.blob(digest) is None


def test_a_manifest_with_other_bytes_ends_it(source: Registry, target: Registry, original: str) -> None:
    child = children(place(original).store.manifest("1").content)[0]["digest"]
    source.fault(other_body(500), "GET", f"/manifests/{child}", times=None)
    assert "other bytes" in fails(original, target, 5)
    assert target.uploaded == 0


def test_an_index_that_names_a_missing_manifest(source: Registry, target: Registry, original: str) -> None:
    child = children(place(original).store.manifest("1").content)[1]["digest"]
    source.fault(Refuse(404), "GET", f"/manifests/{child}", times=None)
    line = fails(original, target, 3)
    assert child in line
    assert "that is not there" in line
    assert target.uploaded == 0


def test_a_missing_blob_is_named(source: Registry, target: Registry, original: str) -> None:
    digest = str(layers_of(original)[0]["digest"])
    source.drop_blob(digest)
    line = fails(original, target, 3)
    assert digest[:19] in line
    assert source.host in line


def test_a_manifest_over_4_mib_is_refused(source: Registry, target: Registry) -> None:
    source.put_manifest(REPO, "1", b" " * (4 * 1024**2 + 1))
    assert "larger than 4,194,304 bytes" in fails(f"{source.host}/{REPO}:1", target, 6)


def test_schema_1_is_refused(source: Registry, target: Registry) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    source.put_manifest(REPO, "1", b'{"schemaVersion": 1, "name": "x", "fsLayers": []}', kind)
    assert "schema 1" in fails(f"{source.host}/{REPO}:1", target, 6)


# Connections


def test_a_cut_download_goes_on_at_its_offset(source: Registry, target: Registry, original: str) -> None:
    digest = layers_of(original)[0]["digest"]
    source.fault(CutAnswer(700_000), "GET", f"/blobs/{digest}")
    events: list[Event] = []
    copied(original, target, events)
    ranges = [each.headers.get("range") for each in source.requests if f"/blobs/{digest}" in each.target]
    assert ranges[0] is None
    assert int(str(ranges[1]).removeprefix("bytes=").rstrip("-")) > 0
    assert sum(isinstance(event, LayerStarted) for event in events) == target.count("PATCH")


def test_a_cut_upload_starts_its_blob_again(source: Registry, target: Registry, original: str) -> None:
    target.fault(CutBody(700_000), "PATCH")
    copied(original, target)
    first = layers_of(original)[0]["digest"]
    assert source.count("GET", f"/blobs/{first}") == 2


def test_a_network_that_stays_away_ends_it_and_the_rest_is_kept(
    source: Registry, target: Registry, original: str
) -> None:
    target.fault(CutBody(700_000), "PATCH", skip=1, times=None)
    fails(original, target, 7)
    target.clear_faults()
    first = layers_of(original)[0]["digest"]
    source.forget_requests()
    assert copied(original, target).there == layers_of(original)[0]["size"]
    assert source.count("GET", f"/blobs/{first}") == 0


# Rights


def test_the_side_that_wants_credentials_is_named(source: Registry, original: str) -> None:
    with Registry(auth=Basic({"me": "secret"})) as locked:
        assert f"{locked.host} wants credentials" in fails(original, locked, 4)
        with pytest.raises(ModelcarError, match=f"{locked.host} wants credentials"):
            copy_image(f"{locked.host}/{REPO}:1", f"{source.host}/other:1", QUICK)


# Mounts


def test_what_cannot_be_mounted_is_sent(source: Registry, original: str) -> None:
    source.quirks.mounts = False
    result = copy_image(original, f"{source.host}/acme/other:1", QUICK)
    assert (result.mounted, result.sent > 2 * SIZE) == (0, True)
    assert source.unfinished_uploads == 0


def test_a_blob_that_vanishes_before_the_manifest_is_sent_again(target: Registry, original: str) -> None:
    digest = str(layers_of(original)[0]["digest"])
    target.fault(Do(lambda: target.drop_blob(digest)), "PUT", "/manifests/")
    copied(original, target)
    assert target.blob(digest) is not None


# Tags


def test_no_clobber_moves_no_tag(target: Registry, original: str, tmp_path: Path) -> None:
    other = image(write_files(tmp_path / "other", {"a": b"a"}), f"{target.host}/{REPO}:1")
    target.forget_requests()
    assert "--no-clobber forbids" in fails(original, target, 6, no_clobber=True)
    assert target.uploaded == 0
    assert copied(original, target).digest != other
    assert copied(original, target, no_clobber=True).sent == 0  # the same image is no other one


def test_an_immutable_tag_leaves_the_image_under_its_digest(target: Registry, original: str, tmp_path: Path) -> None:
    image(write_files(tmp_path / "other", {"a": b"a"}), f"{target.host}/{REPO}:1")
    target.quirks.immutable_tags = 409
    digest = place(original).store.resolve("1").digest
    line = fails(original, target, 6)
    assert f"can be deployed as {target.host}/{REPO}@{digest}" in line
    assert target.manifest(REPO, digest) is not None


# What refers to an image


def test_a_registry_whose_referrers_api_answers_404_has_its_list_under_a_tag(
    source: Registry, target: Registry, original: str
) -> None:
    store = place(original).store
    root = store.resolve("1")
    sbom = put_artifact(store, b"parts", subject=root)
    copied(original, target)  # nobody listed it: it isn't found
    assert target.manifest(REPO, sbom) is None
    index = {
        "schemaVersion": 2,
        "mediaType": media.OCI_INDEX,
        "manifests": [
            {"mediaType": media.OCI_MANIFEST, "digest": sbom, "size": len(source.manifest(REPO, sbom) or b"")},
            {"mediaType": media.OCI_MANIFEST, "digest": f"sha256:{'0' * 64}", "size": 5},
        ],
    }
    source.put_manifest(REPO, root.digest.replace(":", "-"), json.dumps(index).encode(), media.OCI_INDEX)
    events: list[Event] = []
    assert copied(original, target, events).referrers == 1
    assert listed(place(f"{target.host}/{REPO}:1").store, root.digest) == {sbom: "application/x-sbom"}
    assert target.count("GET", "/referrers/", status=404)
    assert [event.message for event in events if isinstance(event, Warned)] == [
        f"{source.host}/{REPO} lists sha256:{'0' * 64} as referring to {root.digest[:19]}, and has it not"
    ]


def test_no_clobber_leaves_signatures_that_are_there(target: Registry, original: str) -> None:
    digest = Digest(place(original).store.resolve("1").digest)
    tag = cosign_tags(digest)[0]
    copied(original, target)
    theirs = put_artifact(place(f"{target.host}/{REPO}:1").store, b"theirs", tag=tag)
    put_artifact(place(original).store, b"ours", tag=tag)
    events: list[Event] = []
    copied(original, target, events, no_clobber=True)
    assert target.tags(REPO)[tag] == theirs
    assert any(isinstance(event, Warned) and tag in event.message for event in events)


# Stopped, full, at once


def test_a_killed_copy_goes_on_where_it_was(source: Registry, target: Registry, original: str) -> None:
    target.fault(Delay(60), "PUT", lambda path: "/blobs/uploads/" in path, skip=1, times=None)
    with started("copy", "--workers", "1", original, f"{target.host}/{REPO}:1") as process:
        wait_for(lambda: target.count("PUT", "/blobs/uploads/", status=201), process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert target.tags(REPO) == {}
    target.clear_faults()
    # Nobody could give up the upload that was under way: the registry finds out by itself.
    result = copy_image(original, f"{target.host}/{REPO}:1", QUICK)
    assert result.there >= SIZE
    assert target.tags(REPO) == {"1": result.digest}


def test_a_stopped_copy_says_so(target: Registry, original: str) -> None:
    target.fault(Delay(60), "PUT", "/blobs/uploads/", times=None)
    with started("copy", original, f"{target.host}/{REPO}:1") as process:
        wait_for(lambda: target.count("PATCH"), process)
        process.send_signal(signal.SIGINT)
        done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert done.error.startswith("stopped; run it again to go on")
    assert target.tags(REPO) == {}


def test_a_full_disk_keeps_what_is_whole(original: str, tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "3m") as disk:
        done = modelcar("copy", "--workers", "1", original, f"oci:{disk}/out:1")
        assert done.code == 6
        assert done.error.startswith(f"oci:{disk}/out: the disk is full; free some space")
        whole = list((disk / "out" / "blobs" / "sha256").iterdir())
        assert len(whole) == 1
        assert hashlib.sha256(whole[0].read_bytes()).hexdigest() == whole[0].name
        assert {path.name for path in (disk / "out").iterdir()} == {"blobs", "index.json", "oci-layout"}
        subprocess.run(["mount", "-o", "remount,size=9m", disk], check=True)
        assert modelcar("copy", original, f"oci:{disk}/out:1").code == 0


def test_two_writers_of_one_layout_at_once_lose_nothing(original: str, tmp_path: Path) -> None:
    layout = f"oci:{tmp_path}/out"
    tags = [f"{number}" for number in range(6)]
    threads = [Thread(target=copy_image, args=(original, f"{layout}:{tag}", QUICK)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place(layout).store.tags() == tags
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"blobs", "index.json", "oci-layout"}


def test_a_registry_without_streams_is_copied_to(original: str) -> None:
    with Registry(quirks=Quirks(patch_refusal=405)) as registry:
        copied(original, registry)


def test_a_digest_as_target_must_be_the_sources(target: Registry, original: str) -> None:
    digest = place(original).store.resolve("1").digest
    assert copy_image(original, f"{target.host}/{REPO}@{digest}", QUICK).digest == digest
    assert target.tags(REPO) == {}
    with pytest.raises(ModelcarError, match="names another digest"):
        copy_image(original, f"{target.host}/{REPO}@sha256:{'0' * 64}", QUICK)

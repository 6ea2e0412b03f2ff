"""`copy` between real registries, layouts and archives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from modelcar import CopyOptions, copy_image
from modelcar.oci import Digest
from modelcar.oci.attached import cosign_tags, referrers_tag
from tests.artifacts import listed, place, put_artifact
from tests.cli import image, modelcar
from tests.models import model_files, write_files
from tests.peers import (
    Peer,
    crane,
    crane_files,
    docker_registry,
    oras,
    podman_files,
    referrers_registry,
    require,
    run,
    skopeo_copy,
)

_QUICK = CopyOptions(retry=1, retry_delay=0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("model"), model_files())


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """A registry without the referrers API: Debian's docker-registry 2.8."""
    with docker_registry(tmp_path_factory.mktemp("old")) as peer:
        yield peer


@pytest.fixture
def new(tmp_path: Path) -> Iterator[str]:
    """A registry with it."""
    with referrers_registry(tmp_path) as host:
        yield host


def test_an_image_goes_round_all_kinds_of_places_and_stays_the_same(
    model: Path, old: Peer, new: str, tmp_path: Path
) -> None:
    first = f"{old.host}/round/model:1"
    digest = image(model, first)
    stations = [first, f"{new}/a/b:1", f"oci:{tmp_path}/layout:x", f"oci-archive:{tmp_path}/image.tar:1", f"{new}/c:9"]
    for before, after in pairwise(stations):
        done = modelcar("copy", before, after)
        assert done.code == 0, done.err
        assert done.out.strip() == f"{after}@{digest}"
    files = {f"/models/{path}": content for path, content in model_files().items()}
    if crane():
        assert crane_files(f"{new}/c:9") == files
    assert modelcar("copy", "-q", first, f"oci:{tmp_path}/layout:x").err == ""


def test_the_summary_says_what_was_sent_mounted_and_there(model: Path, old: Peer) -> None:
    image(model, f"{old.host}/sum/model:1")
    first = modelcar("copy", f"{old.host}/sum/model:1", f"{old.host}/sum/other:1")
    assert "sent 0 B, mounted 2" in first.err
    again = modelcar("copy", "--format", "json", f"{old.host}/sum/model:1", f"{old.host}/sum/other:1")
    last = json.loads(again.out.splitlines()[-1])
    assert (last["event"], last["sent"], last["mounted"]) == ("Copied", 0, 0)
    assert last["there"] > 200_000


def test_images_of_other_tools_stay_as_they_are(old: Peer, model: Path, tmp_path: Path) -> None:
    """Docker's media types, gzip layers: what skopeo makes of an image."""
    image(model, f"oci:{tmp_path}/ours:1", platforms=("linux/amd64",))
    source = f"{old.host}/docker/model:2"
    skopeo_copy(f"oci:{tmp_path}/ours:1", f"docker://{source}", "--format", "v2s2")
    for target in (f"oci:{tmp_path}/theirs:2", f"oci-archive:{tmp_path}/theirs.tar:2", f"{old.host}/docker/copy:2"):
        result = copy_image(source, target, _QUICK)
        stored = place(target).store.manifest("2")
        assert (stored.digest, stored.media_type) == (result.digest, place(source).store.manifest("2").media_type)
        assert stored.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    files = {f"/models/{path}": content for path, content in model_files().items()}
    assert podman_files(f"oci-archive:{tmp_path}/theirs.tar") == files


def test_one_platform_alone(model: Path, old: Peer, tmp_path: Path) -> None:
    image(model, f"{old.host}/one/model:1")
    done = modelcar("copy", "--platform", "linux/arm64", f"{old.host}/one/model:1", f"oci:{tmp_path}/arm:1")
    assert done.code == 0, done.err
    assert json.loads(modelcar("ls", "--format", "json", f"oci:{tmp_path}/arm:1").out)["platforms"] == ["linux/arm64"]
    missing = modelcar("copy", "--platform", "linux/riscv64", f"{old.host}/one/model:1", f"oci:{tmp_path}/x:1")
    assert missing.code == 3
    assert "it is for linux/amd64" in missing.error


# What refers to an image


def signed(reference: str) -> dict[str, str]:
    """Let an SBOM refer to an image, a signature to one of its platforms, and another to the SBOM; and cosign's tags.

    Returns the digests by a word for each.
    """
    location = place(reference)
    store = location.store
    root = store.resolve(location.version)
    child = json.loads(store.manifest(root.digest).content)["manifests"][0]
    platform = store.resolve(child["digest"])
    sbom = put_artifact(store, b"parts", subject=root)
    made: dict[str, str] = {
        "image": root.digest,
        "platform": platform.digest,
        "sbom": sbom,
        "of-sbom": put_artifact(store, b"sig-of-sbom", subject=store.resolve(sbom), kind="application/x-sig"),
        "of-platform": put_artifact(store, b"sig", subject=platform, kind="application/x-sig"),
    }
    for tag, content in zip(cosign_tags(root.digest), (b"cosign-sig", b"cosign-att", b"cosign-sbom"), strict=True):
        made[tag] = put_artifact(store, content, tag=tag)
    return made


def check_signed(reference: str, made: dict[str, str]) -> None:
    store = place(reference).store
    assert listed(store, made["image"]) == {made["sbom"]: "application/x-sbom"}
    assert listed(store, made["platform"]) == {made["of-platform"]: "application/x-sig"}
    assert listed(store, made["sbom"]) == {made["of-sbom"]: "application/x-sig"}
    for tag in cosign_tags(Digest(made["image"])):
        assert store.resolve(tag).digest == made[tag]


def test_referrers_go_from_a_registry_with_the_api_to_one_without_and_back(
    model: Path, old: Peer, new: str, tmp_path: Path
) -> None:
    image(model, f"{new}/signed:1")
    made = signed(f"{new}/signed:1")
    steps = [
        f"{new}/signed:1",
        f"{old.host}/signed/model:1",
        f"oci:{tmp_path}/layout:1",
        f"oci-archive:{tmp_path}/image.tar:1",
        f"{new}/back:1",
    ]
    check_signed(steps[0], made)
    for before, after in pairwise(steps):
        assert copy_image(before, after, _QUICK).referrers == 6
        check_signed(after, made)
    assert place(steps[1]).store.referrers(Digest(made["image"])) is None
    assert referrers_tag(Digest(made["image"])) not in place(steps[-1]).store.tags()
    # What hangs on an image is none: the layout's only image needs no name.
    assert place(f"oci:{tmp_path}/layout").store.resolve("").digest == made["image"]


def test_a_list_under_a_tag_is_added_to(model: Path, old: Peer, new: str) -> None:
    reference = f"{old.host}/added/model:1"
    image(model, reference)
    copy_image(reference, f"{new}/added:1", _QUICK)
    store, there = place(f"{new}/added:1").store, place(reference).store
    root = there.resolve("1")
    theirs = put_artifact(store, b"theirs", subject=root)
    copy_image(f"{new}/added:1", reference, _QUICK)
    more = put_artifact(store, b"more", subject=root)
    copy_image(f"{new}/added:1", reference, _QUICK)
    assert listed(there, root.digest) == {theirs: "application/x-sbom", more: "application/x-sbom"}


def test_no_referrers_leaves_them_out(model: Path, new: str, tmp_path: Path) -> None:
    image(model, f"{new}/bare:1")
    signed(f"{new}/bare:1")
    done = modelcar("copy", "--no-referrers", f"{new}/bare:1", f"oci:{tmp_path}/bare:1")
    assert done.code == 0, done.err
    assert place(f"oci:{tmp_path}/bare").store.tags() == ["1"]


def test_an_artifact_that_is_copied_by_itself_is_listed(model: Path, old: Peer, new: str) -> None:
    image(model, f"{new}/alone:1")
    made = signed(f"{new}/alone:1")
    image(model, f"{old.host}/alone/model:1")
    copy_image(f"{new}/alone@{made['sbom']}", f"{old.host}/alone/model@{made['sbom']}", _QUICK)
    assert listed(place(f"{old.host}/alone/model:1").store, made["image"]) == {made["sbom"]: "application/x-sbom"}


def test_crane_makes_cosign_tags_that_go_along(model: Path, old: Peer, tmp_path: Path) -> None:
    require("crane")
    digest = image(model, f"{old.host}/cosign/model:1")
    (tmp_path / "payload").write_bytes(b"signature")
    tag = f"{old.host}/cosign/model:{cosign_tags(Digest(digest))[0]}"
    run("tar", "-C", tmp_path, "-cf", tmp_path / "layer.tar", "payload")
    run(str(crane()), "append", "--insecure", "-f", tmp_path / "layer.tar", "-t", tag)
    assert copy_image(f"{old.host}/cosign/model:1", f"{old.host}/cosign/copy:1", _QUICK).referrers == 1
    assert run(str(crane()), "digest", tag.replace("/model:", "/copy:")) == run(str(crane()), "digest", tag)


def test_oras_finds_what_it_attached_in_the_copy(model: Path, old: Peer, new: str, tmp_path: Path) -> None:
    require("oras")
    (tmp_path / "sbom.json").write_text("{}")
    image(model, f"{old.host}/oras/model:1")
    attach = ("attach", "--plain-http", "--artifact-type", "application/x-sbom", f"{old.host}/oras/model:1")
    run(str(oras()), *attach, "sbom.json", cwd=tmp_path)
    for target in (f"{new}/oras:1", f"{old.host}/oras/copy:1"):
        assert copy_image(f"{old.host}/oras/model:1", target, _QUICK).referrers == 1
        assert len(discovered("--plain-http", target)) == 1
    copy_image(f"{new}/oras:1", f"oci:{tmp_path}/layout:1", _QUICK)
    assert len(discovered("--oci-layout", f"{tmp_path}/layout:1")) == 1


def discovered(*args: str) -> list[object]:
    """What oras says refers to an image."""
    found = json.loads(run(str(oras()), "discover", "--format", "json", *args))["manifests"]
    assert isinstance(found, list)
    return found

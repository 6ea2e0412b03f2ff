"""What goes wrong with an OCI layout, and with the names of targets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcar import Access, ContentMismatch, NotFound, Refused, UsageError, plan_image, read_image
from modelcar.http import Http
from modelcar.stores import locate
from tests.cli import Done, built, end_of, image, modelcar, started
from tests.disks import mounted_disk, without_rights
from tests.doubles.registry import Registry
from tests.models import model_files, read_files, write_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


def index_of(layout: Path) -> dict[str, str]:
    """The digests of a layout's images by tag."""
    manifests = json.loads((layout / "index.json").read_bytes())["manifests"]
    return {each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"] for each in manifests}


# Full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for one of the shards and not for two."""
    with mounted_disk(tmp_path / "disk", "3m") as disk:
        yield disk


def test_a_full_disk_ends_a_build_and_what_is_finished_stays(small_disk: Path, tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", model_files(shard_size=2_000_000))
    layout = small_disk / "out"
    done = modelcar("build", model, f"oci:{layout}:1", "--workers", "1")
    assert (done.code, done.out) == (6, "")
    assert done.error.startswith(f"oci:{layout}: the disk is full; free some space")
    assert index_of(layout) == {}
    (blob,) = (layout / "blobs" / "sha256").iterdir()
    whole = blob.stat().st_mtime_ns
    assert {path.name for path in layout.iterdir()} == {"blobs", "index.json", "oci-layout"}

    subprocess.run(["mount", "-o", "remount,size=9m", small_disk], check=True)
    digest = built(model, f"oci:{layout}:1")
    assert index_of(layout) == {"1": digest}
    assert blob.stat().st_mtime_ns == whole


def test_a_full_disk_ends_a_pull_without_half_a_file(small_disk: Path, tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", model_files(shard_size=2_000_000))
    image(model, f"oci:{tmp_path}/out:1")
    done = modelcar("pull", f"oci:{tmp_path}/out:1", small_disk / "models")
    assert done.code == 6
    assert done.error.startswith(f"the disk under {small_disk}/models is full: 4.")
    assert "; free some space and run it again" in done.error
    pulled = read_files(small_disk / "models")
    assert pulled.items() < read_files(model).items()


# Folders that aren't ours


@pytest.mark.parametrize("path", ["locked", "locked/new"])
def test_a_folder_without_write_permission(model: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    done = modelcar("build", model, f"oci:{tmp_path}/{path}:1", wrap=without_rights())
    assert (done.code, done.out) == (4, "")
    assert done.error == f"oci:{tmp_path}/{path} can't be written: Permission denied; check the folder's permissions"
    assert [*(tmp_path / "locked").iterdir()] == []


def test_a_layout_that_became_read_only_can_still_be_read(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    image(model, f"oci:{layout}:1")
    for folder in (layout, layout / "blobs", layout / "blobs" / "sha256"):
        folder.chmod(0o555)
    rights = without_rights()
    assert modelcar("build", model, f"oci:{layout}:2", wrap=rights).code == 4
    assert modelcar("ls", f"oci:{layout}:1", wrap=rights).code == 0
    assert index_of(layout).keys() == {"1"}


def test_a_layout_that_may_not_be_read(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    image(model, f"oci:{layout}:1")
    (layout / "index.json").chmod(0)
    done = modelcar("ls", f"oci:{layout}:1", wrap=without_rights())
    assert done.code == 4
    assert done.error == f"oci:{layout} can't be read: Permission denied; check the folder's permissions"


def test_a_folder_that_holds_something_else(model: Path, tmp_path: Path) -> None:
    before = read_files(model)
    done = modelcar("build", model, f"oci:{model}:1")
    assert (done.code, done.out) == (6, "")
    assert done.error == (
        f"the folder {model} holds something else than an OCI layout (README.md, …); name an empty or a new folder"
    )
    assert read_files(model) == before


@pytest.mark.parametrize("path", ["model/config.json", "model/config.json/below"])
def test_a_file_where_the_folder_should_be(model: Path, tmp_path: Path, path: str) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/{path}:1")
    assert (done.code, done.out) == (6, "")
    assert done.error == (
        f"{tmp_path}/model/config.json is a file, not a folder; name another folder for the OCI layout"
    )


@pytest.mark.parametrize("stated", ['{"imageLayoutVersion": "2.0.0"}', "{}", "[]", "no JSON"])
def test_a_layout_of_an_unknown_version(model: Path, tmp_path: Path, stated: str) -> None:
    layout = tmp_path / "out"
    image(model, f"oci:{layout}:1")
    (layout / "oci-layout").write_text(stated)
    with pytest.raises(Refused, match=f"{layout}/oci-layout states no version 1 of the OCI layout"):
        image(model, f"oci:{layout}:2")
    assert index_of(layout).keys() == {"1"}


@pytest.mark.parametrize("content", ["no JSON", '{"schemaVersion": 2, "manifests": [{"digest": "x"}]}', "[]"])
def test_an_index_that_is_none(model: Path, tmp_path: Path, content: str) -> None:
    layout = tmp_path / "out"
    image(model, f"oci:{layout}:1")
    (layout / "index.json").write_text(content)
    with pytest.raises(ContentMismatch, match=r"index\.json"):
        read_image(f"oci:{layout}:1")


# Writers and readers


def test_two_builds_into_one_layout_at_once(tmp_path: Path) -> None:
    layout = tmp_path / "out"
    models = [write_files(tmp_path / f"model {n}", model_files(n)) for n in (1, 2)]
    calls = [("build", model, f"oci:{layout}:{n}") for n, model in enumerate(models, 1)]
    with started(*calls[0]) as one, started(*calls[1]) as two:
        digests = [_digest(end_of(process)) for process in (one, two)]
    assert index_of(layout) == {"1": digests[0], "2": digests[1]}
    assert {path.name for path in layout.iterdir()} == {"blobs", "index.json", "oci-layout"}
    for number, model in enumerate(models, 1):
        assert modelcar("pull", f"oci:{layout}:{number}", tmp_path / str(number)).code == 0
        assert read_files(tmp_path / str(number)) == read_files(model)


def _digest(done: Done) -> str:
    assert done.code == 0, done.err
    return done.out.strip().rpartition("@")[2]


def test_a_damaged_layer_is_not_pulled(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    image(model, f"oci:{layout}:1")
    blob = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[50_000] ^= 1
    blob.write_bytes(content)
    done = modelcar("pull", f"oci:{layout}:1", tmp_path / "pulled")
    assert done.code == 5
    assert done.error.startswith(f"the layer sha256:{blob.name} of oci:{layout} has other bytes than its digest says")
    pulled = read_files(tmp_path / "pulled")
    assert pulled.items() < read_files(model).items()


def test_a_damaged_manifest_is_not_read(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    digest = image(model, f"oci:{layout}:1")
    (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_text("{}")
    done = modelcar("ls", f"oci:{layout}:1")
    assert done.code == 5
    assert done.error == f"the manifest {digest} in oci:{layout} has other bytes than its digest says"


def test_a_layer_that_is_gone_is_written_again(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    digest = image(model, f"oci:{layout}:1")
    blob = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    content = blob.read_bytes()
    blob.unlink()
    assert modelcar("pull", f"oci:{layout}:1", tmp_path / "pulled").code == 3
    assert image(model, f"oci:{layout}:1") == digest
    assert blob.read_bytes() == content


# Names


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("oci:", "'oci:' names no folder; write oci:PATH:TAG"),
        ("oci::1", "'oci::1' names no folder; write oci:PATH:TAG"),
        ("oci:///images:1", "for an OCI layout write oci:/images:1, for a registry oci://HOST/REPOSITORY:TAG"),
        ("oci://./images", "for an OCI layout write oci:./images, for a registry oci://HOST/REPOSITORY:TAG"),
        ("oci:x:a/b", "'a/b' is no tag"),
        ("oci:x:-1", "'-1' is no tag"),
        ("oci:x:", "'' is no tag"),
        ("oci:x:" + "a" * 129, "is no tag; it holds up to 128 letters"),
        ("oci:x@sha256:12", "after '@' comes a digest"),
        ("./images:1", "'./images:1' is a path; for an OCI layout write oci:./images:1"),
        ("/images", "'/images' is a path; for an OCI layout write oci:/images"),
        ("docker://x", "'x' names no registry; write it as HOST/REPOSITORY:TAG"),
        ("oci://x", "'x' names no registry; write it as HOST/REPOSITORY:TAG"),
        ("acme/granite:1", "names no registry; write it as HOST/REPOSITORY:TAG, for example docker.io/acme/granite:1"),
        ("quay.io/Acme/x:1", "'Acme/x' is no repository name; it holds lower-case letters"),
        ("quay.io/acme/x:a b", "'a b' is no tag"),
        ("quay.io/acme/x:", "'' is no tag"),
        ("quay.io/acme/x@sha256:12", "after '@' comes a digest, such as sha256: and 64 hex digits, not 'sha256:12'"),
        ("me@quay.io/acme/x:1", "a reference names no user: write it as quay.io/acme/x:1"),
        ("quay..io/acme/x:1", "'quay..io' is no registry host"),
        ("s3://bucket/x", "s3:// is no place for images; write HOST/REPOSITORY:TAG for a registry, oci:PATH:TAG"),
        ("oci:~nobody-here/x", "~nobody-here"),
        ("", "'' names no registry"),
    ],
)
def test_a_bad_name_says_which_part_is_wrong(target: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        locate(target, Http(), Access())
    assert says in str(raised.value)


def test_a_bad_name_ends_in_one_line(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, "oci:///images:1", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.error == (
        "'oci:///images:1' is half a registry's name and half a folder's; "
        "for an OCI layout write oci:/images:1, for a registry oci://HOST/REPOSITORY:TAG"
    )
    assert [*tmp_path.iterdir()] == [model]


@pytest.mark.parametrize("target", ["oci:x", "quay.io/acme/x:1"])
def test_a_target_has_no_digest(model: Path, tmp_path: Path, target: str) -> None:
    done = modelcar("build", model, f"{target}@sha256:{'0' * 64}", cwd=tmp_path)
    assert done.code == 2
    assert "names a digest, and a build makes its own; name a tag" in done.error


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("out:2", "holds no image '2'; it has 1, old"),
        ("out", "holds 2 images and none was named; it has 1, old"),
        ("model", "is not an OCI layout: it has no index.json"),
        ("none", "there is no OCI layout at"),
        (f"out@sha256:{'0' * 64}", f"has no blob sha256:{'0' * 64}"),
    ],
)
def test_an_image_that_is_not_there(model: Path, tmp_path: Path, reference: str, says: str) -> None:
    image(model, f"oci:{tmp_path}/out:1")
    image(model, f"oci:{tmp_path}/out:old", labels={"a": "b"})
    with pytest.raises(NotFound, match=re.escape(says)):
        read_image(f"oci:{tmp_path}/{reference}")


# What must not be touched


def test_no_clobber_leaves_the_tag_of_a_layout(model: Path, tmp_path: Path) -> None:
    layout = tmp_path / "out"
    digest = image(model, f"oci:{layout}:1", no_clobber=True)
    before = read_files(layout)
    other = write_files(tmp_path / "other", model_files(7))
    (other / "config.json").write_bytes(b" " * 50_000)
    done = modelcar("build", other, f"oci:{layout}:1", "--no-clobber")
    assert (done.code, done.out) == (6, "")
    assert "hashing" not in done.err  # that is known without a digest
    assert done.error == f"oci:{layout}:1 exists ({digest}) and --no-clobber forbids to move it; choose another tag"
    assert read_files(layout) == before


def test_no_clobber_is_checked_before_any_upload(model: Path) -> None:
    with Registry() as registry:
        target = f"{registry.host}/acme/tiny:1"
        digest = image(model, target, no_clobber=True)
        registry.forget_requests()
        done = modelcar("build", model, target, "--no-clobber", "--no-cache")
        assert (done.code, done.out) == (6, "")
        assert f"exists ({digest}) and --no-clobber forbids" in done.error
        assert registry.tags("acme/tiny") == {"1": digest}
        assert {request.method for request in registry.requests} <= {"HEAD", "GET"}


def test_a_dry_run_writes_nothing_into_a_layout(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci:{tmp_path}/out:1", "--dry-run")
    assert done.code == 0
    assert "model-00001-of-00002.safetensors  new" in done.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["acme/tiny:2", "acme/other:1"])
def test_a_dry_run_sends_nothing(model: Path, target: str) -> None:
    with Registry() as registry:
        image(model, f"{registry.host}/acme/tiny:1")
        registry.forget_requests()
        plan_image(str(model), f"{registry.host}/{target}")
        image(model, f"{registry.host}/{target}", dry_run=True)
        assert {request.method for request in registry.requests} <= {"HEAD", "GET"}

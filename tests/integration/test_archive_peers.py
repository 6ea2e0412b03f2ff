"""OCI archives between modelcar and the container tools, both ways."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from modelcar import pull_image, read_image
from tests import peers
from tests.cli import built, end_of, image, modelcar, started
from tests.doubles.registry import Registry
from tests.models import model_files, read_files, write_files

NAME = "quay.io/acme/granite:1"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


def image_files(model: Path) -> dict[str, bytes]:
    return {f"/models/{path}": content for path, content in read_files(model).items()}


def pulled(reference: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        pull_image(reference, folder)
        return read_files(Path(folder))


def names_in(archive: Path) -> dict[str, str]:
    """The annotations of the only image in its index."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile(next(member for member in tar if member.name.endswith("index.json")))
        assert file
        (described,) = json.loads(file.read())["manifests"]
        annotations: dict[str, str] = described.get("annotations", {})
        return annotations


def as_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_build_list_and_pull(model: Path, tmp_path: Path) -> None:
    target = f"oci-archive:{tmp_path}/x.tar:{NAME}"
    done = modelcar("build", model, target)
    assert done.code == 0, done.err
    digest = image(model, f"oci:{tmp_path}/layout:1")
    assert done.out == f"{target}@{digest}\n"
    for reference in (target, done.out.strip(), f"oci-archive:{tmp_path}/x.tar", f"oci-archive:{tmp_path}/x.tar:1"):
        assert modelcar("ls", reference).code == 0
        assert pulled(reference) == read_files(model)
    assert names_in(tmp_path / "x.tar") == {
        "org.opencontainers.image.ref.name": "1",
        "io.containerd.image.name": NAME,
    }
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_tag_alone_and_no_tag(model: Path, tmp_path: Path) -> None:
    image(model, f"oci-archive:{tmp_path}/x.tar:1")
    assert names_in(tmp_path / "x.tar") == {"org.opencontainers.image.ref.name": "1"}
    image(model, f"oci-archive:{tmp_path}/y.tar")
    assert names_in(tmp_path / "y.tar") == {}


def test_the_same_image_makes_the_same_archive(model: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        image(model, f"oci-archive:{tmp_path}/{name}.tar:1", workers=1, base="embedded", cache_dir=None)
    assert as_digest(tmp_path / "x.tar") == as_digest(tmp_path / "y.tar")
    with tarfile.open(tmp_path / "x.tar") as tar:
        members = tar.getmembers()
    assert {(m.uid, m.gid, m.mtime) for m in members} == {(0, 0, 0)}
    assert {m.mode for m in members if m.isfile()} == {0o644}
    assert (members[0].name, members[-1].name) == ("oci-layout", "index.json")


def test_workers_write_side_by_side(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", model_files(shards=12, shard_size=3_000_000))
    digest = image(model, f"oci-archive:{tmp_path}/x.tar:1", workers=8)
    assert digest == image(model, f"oci:{tmp_path}/layout:1")
    assert pulled(f"oci-archive:{tmp_path}/x.tar:1") == read_files(model)
    subprocess.run(["tar", "-tf", tmp_path / "x.tar"], check=True, capture_output=True)


def test_a_rebuild_reads_nothing_and_a_changed_one_only_what_is_new(model: Path, tmp_path: Path) -> None:
    target = f"oci-archive:{tmp_path}/x.tar:1"
    digest = built(model, target)
    before = (tmp_path / "x.tar").stat()
    done = modelcar("build", model, target)
    assert "read 0 B, sent 0 B" in done.err
    assert done.out.endswith(f"{digest}\n")
    after = (tmp_path / "x.tar").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    done = modelcar("build", model, target, "--label", "a=b")
    assert "read 0 B, sent 0 B" in done.err
    assert not done.out.endswith(f"{digest}\n")
    assert pulled(target) == read_files(model)
    done = modelcar("build", model, target, "--no-cache")
    assert done.out.endswith(f"{digest}\n")
    assert pulled(target) == read_files(model)


def test_an_archive_in_the_models_own_folder_is_no_part_of_the_model(model: Path) -> None:
    digest = built(".", "oci-archive:x.tar:1", cwd=model)
    assert built(".", "oci-archive:x.tar:1", cwd=model) == digest


def test_a_link_stays_and_what_it_leads_to_is_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "x.tar").symlink_to("there/y.tar")
    image(model, f"oci-archive:{tmp_path}/x.tar:1")
    assert (tmp_path / "x.tar").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["y.tar"]


def test_two_builds_into_one_archive_at_once(tmp_path: Path) -> None:
    models = [write_files(tmp_path / f"model {n}", model_files(n)) for n in (1, 2)]
    calls = [("build", model, f"oci-archive:{tmp_path}/out/x.tar:{n}") for n, model in enumerate(models, 1)]
    with started(*calls[0]) as one, started(*calls[1]) as two:
        assert [end_of(process).code for process in (one, two)] == [0, 0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.tar"]
    assert pulled(f"oci-archive:{tmp_path}/out/x.tar") in [read_files(model) for model in models]


def test_another_tag_replaces_the_archive_and_copies_its_layers(model: Path, tmp_path: Path) -> None:
    digest = built(model, f"oci-archive:{tmp_path}/x.tar:1", "--workers", "1")
    content = (tmp_path / "x.tar").read_bytes()
    done = modelcar("build", model, f"oci-archive:{tmp_path}/x.tar:2")
    assert "read 0 B, sent 0 B" in done.err
    assert names_in(tmp_path / "x.tar") == {"org.opencontainers.image.ref.name": "2"}
    assert (tmp_path / "x.tar").read_bytes() == content.replace(b'"1"', b'"2"')
    assert modelcar("ls", f"oci-archive:{tmp_path}/x.tar:2@{digest}").code == 0


def test_an_archive_is_a_base(model: Path, tmp_path: Path) -> None:
    built(model, f"oci-archive:{tmp_path}/base.tar:1", "--base", "embedded", "--platform", "linux/amd64")
    other = write_files(tmp_path / "other", {"more.safetensors": b"more"})
    for target in (f"oci:{tmp_path}/layout:1", f"oci-archive:{tmp_path}/x.tar:1"):
        image(other, target, base=f"oci-archive:{tmp_path}/base.tar:1")
        assert pulled(target) == {**read_files(model), **read_files(other)}


def test_skopeo_keeps_the_digest(model: Path, tmp_path: Path) -> None:
    digest = image(model, f"oci-archive:{tmp_path}/x.tar:1")
    source = f"oci-archive:{tmp_path}/x.tar:1"
    assert peers.skopeo_inspect(source)["Digest"] == digest
    with Registry() as registry:
        copied = f"docker://{registry.host}/acme/granite:1"
        peers.skopeo_copy(source, copied, "--all", "--preserve-digests")
        assert registry.tags("acme/granite") == {"1": digest}
    peers.skopeo_copy(source, f"oci-archive:{tmp_path}/y.tar:1", "--all", "--preserve-digests")
    assert read_image(f"oci-archive:{tmp_path}/y.tar:1").files() == read_image(source).files()
    assert modelcar("ls", f"oci-archive:{tmp_path}/y.tar:1@{digest}").code == 0
    assert pulled(f"oci-archive:{tmp_path}/y.tar") == read_files(model)


def test_podman_pulls_it(model: Path, tmp_path: Path) -> None:
    image(model, f"oci-archive:{tmp_path}/x.tar:{NAME}")
    assert peers.podman_files(f"oci-archive:{tmp_path}/x.tar").items() >= image_files(model).items()


def test_podman_loads_it_under_its_name_and_saves_one_that_is_read(model: Path, tmp_path: Path) -> None:
    peers.require("podman")
    image(model, f"oci-archive:{tmp_path}/x.tar:{NAME}")
    # A short path: podman refuses a runroot of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="pm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        podman = ("podman", "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        assert NAME in peers.run(*podman, "load", "-i", tmp_path / "x.tar")
        assert peers.run(*podman, "images", "--format", "{{.Repository}}:{{.Tag}}").split() == [NAME]
        peers.run(*podman, "save", "--format", "oci-archive", "-o", tmp_path / "saved.tar", NAME)
    for version in ("", f":{NAME}", ":1"):
        assert pulled(f"oci-archive:{tmp_path}/saved.tar{version}") == read_files(model)


def test_what_skopeo_writes_is_read(model: Path, tmp_path: Path) -> None:
    image(model, f"oci:{tmp_path}/layout:1")
    peers.skopeo_copy(f"oci:{tmp_path}/layout:1", f"oci-archive:{tmp_path}/x.tar:{NAME}")
    for version in ("", f":{NAME}"):
        assert pulled(f"oci-archive:{tmp_path}/x.tar{version}") == read_files(model)
    assert modelcar("ls", f"oci-archive:{tmp_path}/x.tar:2").code == 3


@pytest.mark.parametrize("form", ["gnu", "posix", "ustar"])
def test_a_tarred_layout_is_read(model: Path, tmp_path: Path, form: str) -> None:
    digest = image(model, f"oci:{tmp_path}/layout:1")
    subprocess.run(["tar", f"--format={form}", "-C", tmp_path / "layout", "-cf", tmp_path / "x.tar", "."], check=True)
    assert pulled(f"oci-archive:{tmp_path}/x.tar:1@{digest}") == read_files(model)
    # It can be built into, too.
    done = modelcar("build", model, f"oci-archive:{tmp_path}/x.tar:2")
    assert "read 0 B, sent 0 B" in done.err


def test_unpacked_it_is_a_layout(model: Path, tmp_path: Path) -> None:
    digest = image(model, f"oci-archive:{tmp_path}/x.tar:1", platforms=("linux/amd64",))
    (tmp_path / "layout").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "layout", "-xf", tmp_path / "x.tar"], check=True)
    assert peers.umoci_files(tmp_path / "layout", "1") == image_files(model)
    assert image(model, f"oci:{tmp_path}/layout:1", platforms=("linux/amd64",)) == digest
    with peers.crane_registry(tmp_path) as registry:
        peers.run(str(peers.crane()), "push", "--insecure", tmp_path / "layout", f"{registry.host}/tiny:1")
        assert peers.crane_files(f"{registry.host}/tiny:1") == image_files(model)

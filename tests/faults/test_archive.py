"""What goes wrong with an OCI archive, written or read."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcar import Access, NotFound, Refused, UsageError, read_image
from modelcar.http import Http
from modelcar.stores import locate
from tests.cli import built, end_of, image, modelcar, started, wait_for
from tests.disks import mounted_disk, without_rights
from tests.doubles.faults import slow
from tests.doubles.hub import Hub
from tests.models import model_files, read_files, write_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


@pytest.fixture
def archive(model: Path, tmp_path: Path) -> Path:
    """An archive with the image `1`."""
    (tmp_path / "out").mkdir()
    image(model, f"oci-archive:{tmp_path}/out/x.tar:1")
    return tmp_path / "out" / "x.tar"


def repack(archive: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Change an archive's files."""
    with tarfile.open(archive) as tar:
        files = {m.name: file.read() for m in tar if (file := tar.extractfile(m))}
    change(files)
    pack(archive, list(files.items()))


def pack(archive: Path, files: list[tuple[str, bytes]], kind: bytes = tarfile.REGTYPE) -> None:
    """Write a tar."""
    with tarfile.open(archive, "w") as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size, member.type = len(content), kind
            tar.addfile(member, io.BytesIO(content))


def error_of(archive: Path, version: str = "") -> tuple[int, str]:
    """How `ls` of it ends."""
    done = modelcar("ls", f"oci-archive:{archive}{version}")
    assert done.out == ""
    return done.code, done.error


# Writing


def test_a_full_disk_ends_a_build_and_leaves_nothing(tmp_path: Path) -> None:
    model = write_files(tmp_path / "model", model_files(shard_size=2_000_000))
    with mounted_disk(tmp_path / "disk", "3m") as disk:
        done = modelcar("build", model, f"oci-archive:{disk}/x.tar:1")
        assert (done.code, done.out) == (6, "")
        assert done.error == (
            f"oci-archive:{disk}/x.tar: the disk is full; free some space and run it again: an archive starts again"
        )
        assert [*disk.iterdir()] == []


def test_a_full_disk_leaves_the_archive_that_was_there(model: Path, tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "3m") as disk:
        digest = image(model, f"oci-archive:{disk}/x.tar:1")
        large = write_files(tmp_path / "large", model_files(shard_size=2_000_000))
        assert modelcar("build", large, f"oci-archive:{disk}/x.tar:1").code == 6
        assert [path.name for path in disk.iterdir()] == ["x.tar"]
        assert read_image(f"oci-archive:{disk}/x.tar:1").location.digest in (None, digest)


@pytest.mark.parametrize("path", ["locked", "locked/new"])
def test_a_folder_without_write_permission(model: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    done = modelcar("build", model, f"oci-archive:{tmp_path}/{path}/x.tar:1", wrap=without_rights())
    assert (done.code, done.out) == (4, "")
    assert done.error == (
        f"oci-archive:{tmp_path}/{path}/x.tar can't be written: Permission denied; check the folder's permissions"
    )
    assert [*(tmp_path / "locked").iterdir()] == []


def test_an_archive_that_may_not_be_read(archive: Path) -> None:
    archive.chmod(0)
    done = modelcar("ls", f"oci-archive:{archive}:1", wrap=without_rights())
    assert done.code == 4
    assert done.error == f"oci-archive:{archive} can't be read: Permission denied; check the folder's permissions"


def test_a_killed_build_leaves_nothing_under_the_name_and_the_next_one_cleans_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = "model-00002-of-00002.safetensors"
    out = tmp_path / "out"
    with Hub() as hub:
        hub.repo("acme/tiny", model_files())
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.fault(slow(50), last, where="cdn")
        call = ("build", "hf://acme/tiny", f"oci-archive:{out}/x.tar:1", "--workers", "1")
        with started(*call) as process:
            wait_for(lambda: not hub.pending_faults and hub.bytes_sent(last) > 0, process)
            process.kill()
        (left,) = out.iterdir()
        assert left.name.startswith(".modelcar-x.tar-")
        hub.fault(slow(50), last, where="cdn")
        with started(*call) as process:
            wait_for(lambda: not hub.pending_faults and not left.exists(), process)
            (work,) = out.iterdir()
            # A build beside it leaves the file of a living one alone.
            image(write_files(tmp_path / "other", model_files(3)), f"oci-archive:{out}/x.tar:other")
            assert {path.name for path in out.iterdir()} == {work.name, "x.tar"}
            process.kill()
        digest = built(*call[1:])
        assert [path.name for path in out.iterdir()] == ["x.tar"]
        again = image("hf://acme/tiny", f"oci-archive:{tmp_path}/again.tar:1")
        assert again == digest


def test_a_stopped_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = "model-00002-of-00002.safetensors"
    with Hub() as hub:
        hub.repo("acme/tiny", model_files())
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.fault(slow(50), last, where="cdn")
        with started("build", "hf://acme/tiny", f"oci-archive:{tmp_path}/x.tar:1") as process:
            wait_for(lambda: not hub.pending_faults and hub.bytes_sent(last) > 0, process)
            process.send_signal(signal.SIGINT)
            done = end_of(process)
    assert (done.code, done.out) == (130, "")
    assert done.error == "stopped; an archive starts again"
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["pipe", "-", "/dev/null", "/dev/stdout"])
def test_a_pipe_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    built_into = modelcar("build", model, f"oci-archive:{name}:1", cwd=tmp_path)
    listed = modelcar("ls", f"oci-archive:{name}:1", cwd=tmp_path)
    for done in (built_into, listed):
        assert (done.code, done.out) == (6, "")
        assert "name a file" in done.error
        assert "a pipe" in done.error or "no pipe" in done.error or "a device" in done.error
    assert {path.name for path in tmp_path.iterdir()} == {"model", "pipe"}


def test_a_folder_is_no_archive(model: Path, tmp_path: Path) -> None:
    done = modelcar("build", model, f"oci-archive:{model}:1")
    assert done.code == 6
    assert done.error.startswith(f"{model} is a folder, not an OCI archive; ")
    done = modelcar("build", model, f"oci-archive:{model}/config.json/x.tar")
    assert (done.code, done.error) == (
        6,
        f"{model}/config.json/x.tar lies below a file, not a folder; name another file",
    )


@pytest.mark.parametrize("content", [b"GGUF" + bytes(5000), b"short", b"\x1f\x8b" + bytes(600)])
def test_a_file_that_is_something_else_is_not_replaced(model: Path, tmp_path: Path, content: bytes) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(content)
    done = modelcar("build", model, f"oci-archive:{other}:1")
    assert (done.code, done.out) == (6, "")
    assert done.error.endswith("; name another file: what is no OCI archive isn't replaced by one")
    assert other.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"model", "other.gguf"}


@pytest.mark.parametrize("size", [0, 50_000])
def test_an_empty_file_and_a_cut_archive_are_replaced(model: Path, archive: Path, size: int) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[:size])
    image(model, f"oci-archive:{archive}:1", workers=1)
    pulled = archive.parent / "pulled"
    assert modelcar("pull", f"oci-archive:{archive}:1", pulled).code == 0
    assert read_files(pulled) == read_files(model)


def test_no_clobber_keeps_an_archive_with_another_image(model: Path, archive: Path, tmp_path: Path) -> None:
    before = archive.read_bytes()
    image(model, f"oci-archive:{archive}:1", no_clobber=True)
    other = write_files(tmp_path / "other", model_files(7))
    for version in (":1", ":2", ""):
        done = modelcar("build", other, f"oci-archive:{archive}{version}", "--no-clobber")
        assert (done.code, done.out) == (6, "")
        assert done.error.startswith(f"oci-archive:{archive} exists (with sha256:")
        assert done.error.endswith(" and --no-clobber forbids to replace it; choose another file")
    assert archive.read_bytes() == before
    assert [*archive.parent.iterdir()] == [archive]


def test_a_dry_run_writes_nothing(model: Path, tmp_path: Path) -> None:
    image(model, f"oci-archive:{tmp_path}/out/x.tar:1", dry_run=True)
    assert not (tmp_path / "out").exists()


def test_a_layer_that_is_gone_is_written_again(model: Path, archive: Path) -> None:
    whole = archive.read_bytes()

    def lose(files: dict[str, bytes]) -> None:
        del files[max(files, key=lambda name: len(files[name]))]

    repack(archive, lose)
    assert modelcar("pull", f"oci-archive:{archive}:1", archive.parent / "pulled").code == 3
    image(model, f"oci-archive:{archive}:1")
    assert modelcar("pull", f"oci-archive:{archive}:1", archive.parent / "pulled").code == 0
    assert len(archive.read_bytes()) == len(whole)


# Reading


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (700, "is cut: it ends at byte 700 and oci-layout goes on to byte 1,024"),
        (50_000, "is cut: it ends at byte 50,000 and blobs/sha256/"),
        (1024, "is cut: it ends at byte 1,024 without a tar's end"),
        (1100, "is cut: it ends at byte 1,100 "),
    ],
)
def test_a_cut_archive_says_where(archive: Path, size: int, says: str) -> None:
    archive.write_bytes(archive.read_bytes()[:size])
    code, error = error_of(archive)
    assert code == 5
    assert error.startswith(f"{archive} {says}")
    assert error.endswith("; copy it again")


def test_a_damaged_header(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[2048 + 100] ^= 1
    archive.write_bytes(content)
    assert error_of(archive) == (
        5,
        f"{archive} is damaged at byte 2,048: there is no header of a member; copy it again",
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"GGUF" + bytes(range(256)) * 4, "is no tar, and so no OCI archive"),
        (b"no tar", "is no tar, and so no OCI archive: it has 6 bytes"),
        (b"", "is empty, and no OCI archive"),
    ],
)
def test_a_file_that_is_no_tar(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    assert error_of(tmp_path / "x.tar") == (6, f"{tmp_path}/x.tar {says}")


@pytest.mark.parametrize(("program", "suffix"), [("gzip", ".tar.gz"), ("xz", ".tar.xz"), ("bzip2", ".tar.bz2")])
def test_a_compressed_archive_says_how_to_unpack_it(archive: Path, program: str, suffix: str) -> None:
    subprocess.run([program, archive], check=True)
    packed = archive.with_suffix(suffix)
    says = f"{packed} is compressed ({program}); unpack it first: {program} -dc {packed} > {archive}"
    assert error_of(packed, ":1") == (6, says)
    subprocess.run(["bash", "-c", says.partition("unpack it first: ")[2]], check=True)
    assert modelcar("ls", f"oci-archive:{archive}:1").code == 0


def test_a_docker_archive_says_how_to_convert_it(tmp_path: Path) -> None:
    pack(tmp_path / "x.tar", [("abc.json", b"{}"), ("manifest.json", b"[]")])
    assert error_of(tmp_path / "x.tar") == (
        6,
        f"{tmp_path}/x.tar is a Docker archive, not an OCI archive; "
        f"convert it: skopeo copy docker-archive:{tmp_path}/x.tar oci-archive:x-oci.tar",
    )
    with pytest.raises(UsageError, match=r"convert it: skopeo copy docker-archive:x\.tar oci-archive:FILE"):
        locate("docker-archive:x.tar", Http(), Access())


def test_any_other_tar(tmp_path: Path) -> None:
    pack(tmp_path / "x.tar", [("README", b"")])
    assert error_of(tmp_path / "x.tar") == (3, f"{tmp_path}/x.tar is no OCI archive: it has no index.json")
    assert error_of(tmp_path / "none.tar") == (3, f"there is no OCI archive at {tmp_path}/none.tar")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("oci-layout", "holds oci-layout twice"),
        ("./oci-layout", "holds oci-layout twice"),
        ("../x", "holds a member that leads out of it: '../x'"),
        ("/etc/passwd", "holds a member that leads out of it: '/etc/passwd'"),
        ("blobs/../../x", "holds a member that leads out of it"),
    ],
)
def test_members_that_no_honest_archive_has(archive: Path, name: str, says: str) -> None:
    with tarfile.open(archive, "a") as tar:
        tar.addfile(tarfile.TarInfo(name))
    code, error = error_of(archive)
    assert code == 6
    assert error.startswith(f"{archive} {says}")


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_a_sparse_member(tmp_path: Path, form: str) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(10_000_000)
        file.write(b"x")
    subprocess.run(["tar", "-cSf", "x.tar", f"--format={form}", "holes"], cwd=tmp_path, check=True)
    code, error = error_of(tmp_path / "x.tar")
    assert code == 6
    assert error == f"{tmp_path}/x.tar: the member holes is sparse; pack it again without --sparse"


def test_a_header_that_claims_to_be_huge(tmp_path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    (tmp_path / "x.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    code, error = error_of(tmp_path / "x.tar")
    assert code == 5
    assert error.startswith(f"{tmp_path}/x.tar is a damaged tar: a header of 1,")


def test_an_index_that_is_none(archive: Path) -> None:
    repack(archive, lambda files: files.update({"index.json": b"no JSON"}))
    code, error = error_of(archive)
    assert code == 5
    assert "index.json" in error


def test_several_images_and_none_named(model: Path, archive: Path) -> None:
    def twice(files: dict[str, bytes]) -> None:
        index = json.loads(files["index.json"])
        (one,) = index["manifests"]
        names = {"org.opencontainers.image.ref.name": "old", "io.containerd.image.name": "quay.io/acme/x:old"}
        index["manifests"] = [one, {**one, "annotations": names}]
        files["index.json"] = json.dumps(index).encode()

    repack(archive, twice)
    says = f"oci-archive:{archive} holds 2 images and none was named; it has 1, quay.io/acme/x:old"
    assert error_of(archive) == (3, says)
    assert error_of(archive, ":2") == (3, f"oci-archive:{archive} holds no image '2'; it has 1, quay.io/acme/x:old")
    for version in ("1", "old", "quay.io/acme/x:old"):
        assert modelcar("ls", f"oci-archive:{archive}:{version}").code == 0
    with pytest.raises(NotFound):
        read_image(f"oci-archive:{archive}:quay.io/other/x:old")
    done = modelcar("build", model, f"oci-archive:{archive}:2", "--no-clobber")
    assert done.code == 6
    assert done.error == (
        f"oci-archive:{archive} holds several images and --no-clobber forbids to replace them; choose another file"
    )


def test_a_damaged_layer_is_not_pulled(model: Path, archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[60_000] ^= 1
    archive.write_bytes(content)
    done = modelcar("pull", f"oci-archive:{archive}:1", archive.parent / "pulled")
    assert done.code == 5
    assert f"of oci-archive:{archive} has other bytes than its digest says" in done.error


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("oci-archive:", "'oci-archive:' names no file; write oci-archive:FILE:TAG"),
        ("oci-archive::1", "'oci-archive::1' names no file; write oci-archive:FILE:TAG"),
        ("oci-archive:///x.tar", "'oci-archive:///x.tar': an archive is a file; write oci-archive:/x.tar"),
        ("oci-archive:x.tar:-1", "'-1' is no tag"),
        ("oci-archive:x.tar:", "'' is no tag"),
        ("oci-archive:x.tar:acme/granite:1", "'acme/granite:1' names no registry"),
        ("oci-archive:x.tar:quay.io/Acme/x:1", "'Acme/x' is no repository name"),
        ("oci-archive:x.tar@sha256:12", "after '@' comes a digest"),
    ],
)
def test_a_bad_name_says_which_part_is_wrong(target: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        locate(target, Http(), Access())
    assert says in str(raised.value)


def test_a_tag_can_not_be_taken_away(archive: Path) -> None:
    store = locate(f"oci-archive:{archive}:1", Http(), Access()).store
    with pytest.raises(Refused, match="is one file"):
        store.delete_tag("1", store.resolve("1").digest)

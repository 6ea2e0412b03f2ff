"""What goes wrong in a pull, over a real socket: nothing wrong is kept, nothing right is fetched twice."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from modelcar import ContentMismatch, NetworkError, PullOptions, Refused, pull_image
from modelcar.events import Event, FilePulled, Warned
from modelcar.image.parts import NAME, Parts
from modelcar.image.pull import _check_names, _io_error
from modelcar.oci import digest_of, media
from tests.cli import modelcar, started, wait_for
from tests.disks import mounted_disk
from tests.doubles.registry import Amend, CutAnswer, Do, Refuse, Registry
from tests.images import publish
from tests.models import read_files, write_files
from tests.pushing import REPO
from tests.unit.image.tars import COMPRESSIONS, Layer, file, link, tar

WEIGHTS = Random(1).randbytes(4_000_000)
OTHER = Random(2).randbytes(3_000_000)
CONFIG = b'{"model_type": "tests"}'
ONE = tar(file("models/one.safetensors", WEIGHTS))
TWO = tar(file("models/two.safetensors", OTHER))
SMALL = tar(file("models/config.json", CONFIG), file("models/tokenizer.json", b"{}" * 50_000))
FILES = {
    "one.safetensors": WEIGHTS, "two.safetensors": OTHER, "config.json": CONFIG, "tokenizer.json": b"{}" * 50_000
}  # fmt: skip


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def place(registry: Registry) -> str:
    return publish(registry, SMALL, ONE, TWO)


def fetched(registry: Registry) -> int:
    """Bytes of blobs that were asked for, as far as their ranges say."""
    total = 0
    for each in registry.requests:
        if "/blobs/" in each.target and each.method == "GET" and "range" in each.headers:
            start, _, end = each.headers["range"].removeprefix("bytes=").partition("-")
            total += int(end) + 1 - int(start)
    return total


# Wrong content


@pytest.mark.parametrize("compress", [*COMPRESSIONS][::2])
def test_a_layer_that_is_not_what_its_digest_says(registry: Registry, tmp_path: Path, compress: str) -> None:
    """All of it arrives, with one byte changed. Files that were there before stay as they were."""
    wrong = bytearray(TWO)
    wrong[700_000] ^= 1
    (kind, content), (_, served) = layer(compress, TWO), layer(compress, bytes(wrong))
    place = publish(registry, SMALL, (kind, content))
    registry.put_blob(REPO, served, digest_of(content))
    write_files(tmp_path, {"two.safetensors": b"mine"})
    done = modelcar("pull", place, tmp_path)
    assert done.code == 5
    assert digest_of(content) in done.error
    assert read_files(tmp_path)["two.safetensors"] == b"mine"
    assert NAME not in {path.name for path in tmp_path.iterdir()}


def layer(compress: str, content: bytes) -> tuple[str, bytes]:
    made = COMPRESSIONS[compress](content)
    return made if isinstance(made, tuple) else (media.OCI_LAYER, made)


@pytest.mark.parametrize("compress", [*COMPRESSIONS][::2])
def test_a_layer_that_is_shorter_than_stated(registry: Registry, tmp_path: Path, compress: str) -> None:
    kind, content = layer(compress, TWO)
    place = publish(registry, (kind, content))
    registry.put_blob(REPO, content[:2_000_000], digest_of(content))
    done = modelcar("pull", place, tmp_path)
    assert done.code in (5, 7)
    assert digest_of(content)[:19] in done.error
    assert read_files(tmp_path) == {}


# What must never be made


def test_devices_pipes_and_special_bits_are_not_made(registry: Registry, tmp_path: Path) -> None:
    setuid, content = file("models/setuid", b"x")
    setuid.mode = 0o6777
    device = link("models/device", "", tarfile.CHRTYPE)
    place = publish(registry, tar((setuid, content), device, link("models/pipe", "", tarfile.FIFOTYPE)))
    events: list[Event] = []
    assert pull_image(place, tmp_path, listener=events.append) == ["setuid"]
    assert not (tmp_path / "setuid").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111)
    assert [path.name for path in tmp_path.iterdir()] == ["setuid"]
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "/models/device is a device or a pipe, not a file: left out",
        "/models/pipe is a device or a pipe, not a file: left out",
    ]


@pytest.mark.parametrize(
    "entry",
    [file("models/../../x", b"1"), file("../x", b"1"), link("models/a", "/etc/passwd"), link("models/a", "../x")],
)
def test_members_outside_the_folder(registry: Registry, tmp_path: Path, entry: tuple[tarfile.TarInfo, bytes]) -> None:
    done = modelcar("pull", publish(registry, tar(file("models/b", b"1"), entry)), tmp_path / "out")
    assert done.code == 6
    assert "would land outside the folder" in done.error
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out"])
    assert not (tmp_path / "out" / "a").is_symlink()


def test_names_that_are_one_on_the_target(tmp_path: Path) -> None:
    """A file system that doesn't tell case apart is one that says so when it is tried out."""

    class Folding(Parts):
        def is_one_name(self, one: str, other: str) -> bool:
            return True

    with Folding(tmp_path) as parts, pytest.raises(Refused, match="/models/A and /models/a are one file on the file"):
        _check_names(["models/A", "models/b", "models/a"], tmp_path, parts)
    with Parts(tmp_path) as parts:
        _check_names(["models/A", "models/b", "models/a"], tmp_path, parts)
        assert parts.is_one_name("models/a", "models/a")
        assert not parts.is_one_name("models/a", "models/A")


def test_case_collisions_on_a_real_file_system(registry: Registry, tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    image.write_bytes(bytes(2_000_000))
    for command in (["mkfs.vfat", str(image)], ["mount", "-o", "loop", str(image), str(disk)]):
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no such file system can be made here: {error}")
    try:
        done = modelcar("pull", publish(registry, tar(file("models/A", b"1"), file("models/a", b"2"))), disk / "out")
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.code == 6
    assert "/models/A and /models/a are one file" in done.error


# Disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", "5m") as disk:
        yield disk


def test_a_disk_that_is_too_small_is_known_before(place: str, registry: Registry, small_disk: Path) -> None:
    registry.forget_requests()
    done = modelcar("pull", place, small_disk / "out")
    assert done.code == 6
    assert done.error.startswith(f"the disk under {small_disk}/out is full: 7.1 MB are needed and ")
    assert fetched(registry) < 100_000
    assert read_files(small_disk) == {}


def test_a_disk_that_becomes_full(place: str, registry: Registry, small_disk: Path) -> None:
    """Another program takes the room meanwhile."""
    larger = publish(registry, SMALL, TWO, tag="2")
    registry.fault(Do(lambda: (small_disk / "mine").write_bytes(bytes(3_500_000))), "GET", digest_of(TWO), skip=2)
    done = modelcar("pull", larger, small_disk / "out")
    assert done.code == 6
    assert done.error == f"the disk under {small_disk}/out is full; free some space and run it again"
    assert {*read_files(small_disk / "out")} <= {"config.json", "tokenizer.json"}


def test_errors_of_the_disk_in_one_line(tmp_path: Path) -> None:
    for number in (errno.EACCES, errno.ENOSPC, errno.ENAMETOOLONG, errno.EIO):
        assert str(tmp_path) in str(_io_error(OSError(number, os.strerror(number)), tmp_path))


def test_a_second_pull_into_the_same_folder(place: str, tmp_path: Path) -> None:
    with Parts(tmp_path):
        done = modelcar("pull", place, tmp_path)
    assert (done.code, done.error) == (6, f"another pull is writing to {tmp_path}; wait for its end")
    assert modelcar("pull", place, tmp_path).code == 0


# Going on


def test_a_killed_pull_goes_on_where_it_was(place: str, registry: Registry, tmp_path: Path) -> None:
    part_of_one = lambda: [p for p in (tmp_path / NAME).glob("*") if p.stat().st_size >= 2_000_000]  # noqa: E731
    # After two ranges of headers come most of the content, and then nothing.
    registry.fault(CutAnswer(3_000_000), "GET", digest_of(ONE), skip=2)
    held = threading.Event()
    registry.fault(Do(lambda: held.wait(20)), "GET", digest_of(ONE), skip=2)
    with started("pull", place, tmp_path, "--workers", "1") as process:
        wait_for(part_of_one, process)
        process.kill()
        process.wait()
        held.set()
    assert (tmp_path / NAME).is_dir()
    assert "one.safetensors" not in {path.name for path in tmp_path.iterdir()}
    registry.clear_faults()
    registry.forget_requests()
    assert modelcar("pull", place, tmp_path).code == 0
    assert read_files(tmp_path) == FILES
    assert fetched(registry) < len(ONE) + len(TWO) + len(SMALL) - 1_900_000


def test_a_part_with_wrong_bytes_is_fetched_anew(place: str, registry: Registry, tmp_path: Path) -> None:
    registry.fault(Refuse(500), "GET", digest_of(ONE), times=None, skip=2)
    with pytest.raises(NetworkError):
        pull_image(place, tmp_path, PullOptions(workers=1))
    registry.clear_faults()
    (tmp_path / NAME).mkdir(exist_ok=True)
    digest = digest_of(ONE).replace(":", "-")
    (tmp_path / NAME / f"{digest}-512").write_bytes(b"no bytes of that layer")
    pull_image(place, tmp_path)
    assert read_files(tmp_path) == FILES


def test_right_files_are_not_fetched_again(place: str, registry: Registry, tmp_path: Path) -> None:
    """That is known from the layer's digest, over headers from the registry and files from the folder."""
    assert modelcar("pull", place, tmp_path).code == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    registry.forget_requests()
    done = modelcar("pull", place, tmp_path)
    assert done.out.count("(unchanged)") == 4
    assert fetched(registry) < 100_000
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before

    changed = bytearray(OTHER)
    changed[5] ^= 1
    (tmp_path / "two.safetensors").write_bytes(changed)
    registry.forget_requests()
    done = modelcar("pull", place, tmp_path, "--no-clobber")
    assert (done.code, done.error.partition(" and ")[0]) == (6, f"{tmp_path}/two.safetensors is there")
    assert (tmp_path / "two.safetensors").read_bytes() == changed
    assert fetched(registry) < 100_000
    done = modelcar("pull", place, tmp_path)
    assert (done.out.count("(unchanged)"), done.out.count("two.safetensors  (replaced)")) == (3, 1)
    assert "7.1 MB, 4.1 MB of it unchanged, 1 file replaced, into" in done.err
    assert read_files(tmp_path) == FILES


def test_globs_fetch_only_what_they_choose(place: str, registry: Registry, tmp_path: Path) -> None:
    registry.forget_requests()
    done = modelcar("pull", place, tmp_path, "--include", "*.json", "--exclude", "tokenizer*")
    assert done.code == 0
    assert read_files(tmp_path) == {"config.json": CONFIG}
    assert fetched(registry) < 50_000
    assert "(unchecked)" in done.out
    assert done.err.splitlines()[-1].startswith("note: ")
    done = modelcar("pull", place, tmp_path, "--include", "*.safetensors")
    assert "(unchecked)" not in done.out
    assert read_files(tmp_path) == {name: FILES[name] for name in FILES if name != "tokenizer.json"}
    done = modelcar("pull", place, tmp_path, "--include", "nothing")
    assert (done.code, done.error.partition(" is left")[0]) == (3, f"no file of {place}")


def test_all_of_a_layer_is_checked_where_no_glob_says_otherwise(registry: Registry, tmp_path: Path) -> None:
    """A file that a later layer replaces is read for the sake of the digest; a wrong byte in it is found."""
    both = tar(file("models/one.safetensors", WEIGHTS), file("models/config.json", CONFIG))
    place = publish(registry, both, TWO, tar(file("models/one.safetensors", b"new")))
    done = modelcar("pull", place, tmp_path / "out")
    assert (done.code, done.out.count("unchecked")) == (0, 0)
    wrong = bytearray(both)
    wrong[1_000_000] ^= 1
    registry.put_blob(REPO, bytes(wrong), digest_of(both))
    done = modelcar("pull", place, tmp_path / "again")
    assert done.code == 5
    assert digest_of(both) in done.error
    assert modelcar("pull", place, tmp_path / "some", "--include", "config.json").code == 0


def test_a_part_that_is_too_long_or_a_link_is_not_taken_up(place: str, tmp_path: Path) -> None:
    (tmp_path / "x" / NAME).mkdir(parents=True)
    (tmp_path / "mine").write_bytes(b"mine")
    part = tmp_path / "x" / NAME / f"{digest_of(ONE).replace(':', '-')}-512"
    part.write_bytes(WEIGHTS + b"more")
    (part.parent / f"{digest_of(TWO).replace(':', '-')}-512").symlink_to(tmp_path / "mine")
    pull_image(place, tmp_path / "x")
    assert read_files(tmp_path / "x") == FILES
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_registry_without_ranges(registry: Registry, place: str, tmp_path: Path) -> None:
    for blob in (ONE, TWO, SMALL):
        headers = {"Content-Length": str(len(blob)), "Content-Range": None}
        registry.fault(Amend(status=200, body=blob, headers=headers), "GET", digest_of(blob), times=None)
    done = modelcar("pull", place, tmp_path)
    assert done.code == 0, done.err
    assert "sends no part of a blob, only all" in done.err
    assert read_files(tmp_path) == FILES
    assert modelcar("pull", place, tmp_path, "--include", "config.json").code == 0


def test_layers_come_side_by_side_and_events_one_at_a_time(place: str, tmp_path: Path) -> None:
    events: list[Event] = []
    pull_image(place, tmp_path, PullOptions(workers=8), listener=events.append)
    assert {event.path: event.size for event in events if isinstance(event, FilePulled)} == {
        path: len(content) for path, content in FILES.items()
    }


def test_a_hash_of_other_kinds_of_layers(registry: Registry, tmp_path: Path) -> None:
    """Compressed layers are read as they come, and are checked too."""
    layers: list[Layer] = [COMPRESSIONS["gzip"](ONE), COMPRESSIONS["zstd"](TWO), SMALL]
    place = publish(registry, *layers)
    for _ in range(2):
        assert modelcar("pull", place, tmp_path).code == 0
        assert read_files(tmp_path) == FILES
    registry.put_blob(REPO, b"", digest_of(layers[0][1] if isinstance(layers[0], tuple) else b""))
    with pytest.raises((ContentMismatch, NetworkError)):
        pull_image(place, tmp_path / "new")

"""Archives in pieces: `copy --split`, and pieces that are missing, cut or mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelcar import CopyOptions, copy_image, pull_image, verify_image
from tests.artifacts import place
from tests.cli import image, modelcar
from tests.models import model_files, read_files, write_files

SIZE = 100_000


@pytest.fixture
def original(tmp_path: Path) -> str:
    image(write_files(tmp_path / "model", model_files(shard_size=200_000)), f"oci:{tmp_path}/in:1")
    return f"oci:{tmp_path}/in:1"


@pytest.fixture
def pieces(original: str, tmp_path: Path) -> list[Path]:
    """The archive in pieces."""
    done = modelcar("copy", "--split", "100kB", original, f"oci-archive:{tmp_path}/out/x.tar:1")
    assert done.code == 0, done.err
    return sorted((tmp_path / "out").iterdir())


def test_pieces_are_read_as_one(original: str, pieces: list[Path], tmp_path: Path) -> None:
    assert [path.name for path in pieces] == [f"x.tar.part{number:03}" for number in range(1, len(pieces) + 1)]
    assert len(pieces) > 4
    assert {path.stat().st_size for path in pieces[:-1]} == {SIZE}
    archive = f"oci-archive:{tmp_path}/out/x.tar"
    assert verify_image(archive).problems == ()
    pull_image(archive, tmp_path / "pulled")
    assert read_files(tmp_path / "pulled") == model_files(shard_size=200_000)
    digest = place(original).store.resolve("1").digest
    assert copy_image(archive, f"oci:{tmp_path}/back:1").digest == digest
    # Put together, they are what skopeo and podman read.
    whole = tmp_path / "whole.tar"
    whole.write_bytes(b"".join(path.read_bytes() for path in pieces))
    assert place(f"oci-archive:{whole}").store.resolve("").digest == digest


def test_a_second_copy_writes_nothing_and_another_replaces_them(
    original: str, pieces: list[Path], tmp_path: Path
) -> None:
    before = [path.stat().st_mtime_ns for path in pieces]
    target = f"oci-archive:{tmp_path}/out/x.tar:1"
    assert copy_image(original, target, CopyOptions(split=SIZE)).sent == 0
    assert [path.stat().st_mtime_ns for path in pieces] == before
    image(write_files(tmp_path / "small-model", {"a": b"a"}), f"oci:{tmp_path}/small:1")
    copy_image(f"oci:{tmp_path}/small:1", target, CopyOptions(split=SIZE))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.tar"]


def test_another_size_and_one_file_again(original: str, pieces: list[Path], tmp_path: Path) -> None:
    target = f"oci-archive:{tmp_path}/out/x.tar:1"
    done = modelcar("copy", "--split", "200kB", original, target)
    smaller = sorted((tmp_path / "out").iterdir())
    assert len(smaller) < len(pieces)
    assert f"in {len(smaller)} pieces: x.tar.part001 to x.tar.part00{len(smaller)}" in done.err
    assert modelcar("copy", original, target).code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.tar"]
    assert verify_image(target).problems == ()


@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_piece_is_no_archive_of_its_own(pieces: list[Path], original: str, tmp_path: Path, number: int) -> None:
    """Nor is it one that may be replaced."""
    piece, before = pieces[number], pieces[number].read_bytes()
    done = modelcar("ls", f"oci-archive:{piece}")
    assert (done.code, done.error) == (
        6,
        f"{piece} is a piece of an archive, which is read as a whole; "
        f"with all its pieces in one folder write oci-archive:{tmp_path}/out/x.tar",
    )
    done = modelcar("copy", original, f"oci-archive:{piece}:1")
    assert (done.code, done.error.partition(",")[0]) == (6, f"{piece} is a piece of an archive")
    assert piece.read_bytes() == before


def test_an_archive_may_be_called_like_a_piece(original: str, tmp_path: Path) -> None:
    copy_image(original, f"oci-archive:{tmp_path}/x.part001:1")
    assert verify_image(f"oci-archive:{tmp_path}/x.part001").problems == ()


def test_a_missing_piece_is_named(pieces: list[Path], tmp_path: Path) -> None:
    pieces[1].unlink()
    done = modelcar("verify", f"oci-archive:{tmp_path}/out/x.tar")
    assert done.code == 5
    assert done.error.endswith("x.tar is in pieces, and x.tar.part002 is not there; copy it here, too")


def test_a_cut_piece_is_named(pieces: list[Path], tmp_path: Path) -> None:
    pieces[2].write_bytes(pieces[2].read_bytes()[:-1])
    done = modelcar("ls", f"oci-archive:{tmp_path}/out/x.tar")
    assert done.code == 5
    assert "x.tar.part003 has another size" in done.error


def test_the_last_piece_is_missing(pieces: list[Path], tmp_path: Path) -> None:
    pieces[-1].unlink()
    done = modelcar("ls", f"oci-archive:{tmp_path}/out/x.tar")
    assert done.code == 5
    assert "is cut: it ends at byte" in done.error


def test_damaged_pieces_are_replaced_by_the_next_copy(original: str, pieces: list[Path], tmp_path: Path) -> None:
    pieces[1].unlink()
    target = f"oci-archive:{tmp_path}/out/x.tar:1"
    copy_image(original, target, CopyOptions(split=SIZE))
    assert verify_image(target).problems == ()


def test_only_archives_are_split(original: str, tmp_path: Path) -> None:
    done = modelcar("copy", "--split", "1MB", original, f"oci:{tmp_path}/other:1")
    assert done.code == 2
    assert "--split cuts an archive" in done.error
    assert not (tmp_path / "other").exists()


def test_too_many_pieces_are_refused(original: str, tmp_path: Path) -> None:
    done = modelcar("copy", "--split", "100", original, f"oci-archive:{tmp_path}/x.tar:1")
    assert done.code == 6
    assert "more than 999 pieces" in done.error

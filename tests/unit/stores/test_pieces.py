"""A file in pieces reads as the whole does."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ContentMismatch
from modelcar.stores.pieces import MOST_PIECES, Pieces, open_whole, piece, pieces_of, split, whole_of


@given(st.integers(1, 4000), st.integers(1, 500), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000))))
def test_reads_by_position_and_in_turn_are_those_of_the_whole(
    total: int, size: int, reads: list[tuple[int, int]]
) -> None:
    content = Random(total).randbytes(total)
    size = max(size, -(-total // MOST_PIECES))  # what would make more pieces is refused before
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(content)
        names = split(path, size)
        assert b"".join(name.read_bytes() for name in names) == content
        assert all(name.stat().st_size <= size for name in names)
        if len(names) == 1:
            assert names == [path]
            return
        with Pieces(pieces_of(path), path) as opened:
            for offset, length in reads:
                assert opened.read_at(length, offset) == content[offset : offset + length]
                opened.seek(offset)
                assert opened.read(length) == content[offset : offset + length]
                assert opened.tell() == offset + len(content[offset : offset + length])


def test_splitting_again_leaves_no_old_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x"
    piece(path, 7).write_bytes(b"old")
    path.write_bytes(b"0123456789")
    assert split(path, 4) == [piece(path, 1), piece(path, 2), piece(path, 3)]
    assert pieces_of(path) == [piece(path, 1), piece(path, 2), piece(path, 3)]


def test_the_whole_comes_before_pieces_of_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"whole")
    piece(tmp_path / "x", 1).write_bytes(b"piece")
    with open_whole(tmp_path / "x") as opened:
        assert opened.read() == b"whole"
    with pytest.raises(FileNotFoundError):
        open_whole(tmp_path / "none" / "x")


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({2: b"ab"}, "part001 is not there"),
        ({1: b"ab", 2: b"a", 3: b"ab"}, "part002 has"),
        ({1: b"a", 2: b"ab"}, "2 has"),
    ],
)
def test_pieces_that_do_not_belong_together(tmp_path: Path, contents: dict[int, bytes], said: str) -> None:
    for number, content in contents.items():
        piece(tmp_path / "x", number).write_bytes(content)
    with pytest.raises(ContentMismatch, match=said):
        open_whole(tmp_path / "x")


def test_the_whole_that_a_piece_belongs_to() -> None:
    assert whole_of(piece(Path("/a/x.tar"), 7)) == Path("/a/x.tar")
    for name in ("x.tar", "x.tar.part1", "x.tar.part0001", ".part001", "x.part00a"):
        assert whole_of(Path(name)) is None

"""A range of a local file: the contract of `Source.open`, though nothing reads folders in ranges."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from modelcar.sources.folder import FolderSource

CONTENT = bytes(range(200))


@pytest.mark.parametrize(
    ("offset", "length"), [(0, None), (5, None), (0, 7), (5, 7), (190, 10), (190, 50), (200, 1), (5, 0)]
)
def test_a_range_of_a_file(tmp_path: Path, offset: int, length: int | None) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    source = FolderSource(tmp_path)
    (file,) = source.snapshot().files
    with closing(source.open(file, offset, length)) as reader:
        content = b"".join(iter(lambda: reader.read(3), b""))
    stop = None if length is None else offset + length
    assert content == CONTENT[offset:stop]
    assert not source.remote

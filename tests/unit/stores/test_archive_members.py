"""Finding the files of a tar: right offsets in every format, and nothing but our errors for what is damaged."""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ModelcarError
from modelcar.oci.tar import Member, header
from modelcar.stores.archive.members import Members, open_file, read_members

FORMATS = pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
FILES = {
    "oci-layout": b"{}",
    "blobs/sha256/" + "a" * 64: b"x" * 700,
    "blobs/sha512/" + "b" * 128: b"",
    "index.json": b"!",
}


def tar_of(files: dict[str, bytes], form: int, prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        folder = tarfile.TarInfo(prefix or "blobs")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            member.mtime = 0.5 if form == tarfile.PAX_FORMAT else 0
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def members_of(content: bytes) -> Members:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.tar")
        path.write_bytes(content)
        with open_file(path) as opened:
            return read_members(opened, path)


@FORMATS
@pytest.mark.parametrize("prefix", ["", "./"])
def test_every_format(form: int, prefix: str) -> None:
    files = {name: content for name, content in FILES.items() if len(name) < 100 or form != tarfile.USTAR_FORMAT}
    content = tar_of(files, form, prefix)
    places = members_of(content).places
    assert {name: content[p.offset : p.offset + p.size] for name, p in places.items()} == files


def test_links_are_no_files() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            link = tarfile.TarInfo("index.json")
            link.type, link.linkname = kind, "/etc/passwd"
            tar.addfile(link)
    assert members_of(buffer.getvalue()).places == {}


def test_a_blob_of_more_than_8_gib(tmp_path: Path) -> None:
    size = 9 * 1024**3
    first = header(Member("blobs/sha256/" + "a" * 64, size))
    with (tmp_path / "x.tar").open("wb") as file:
        file.write(first)
        file.truncate(len(first) + size + 1024)
    with open_file(tmp_path / "x.tar") as opened:
        (place,) = read_members(opened, tmp_path / "x.tar").places.values()
    assert (place.offset, place.size) == (512, size)


@FORMATS
def test_a_tar_that_is_cut_anywhere_is_refused(form: int) -> None:
    content = tar_of({"oci-layout": b"{}", "index.json": b"x" * 600}, form)
    end = len(content.rstrip(b"\0"))
    # From the first block of zeros on it is whole: GNU tar takes that, too.
    for size in [*range(0, end, 97), end - 1]:
        with pytest.raises(ModelcarError):
            members_of(content[:size])


@given(st.data(), st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_a_damaged_tar_ends_in_an_error_of_ours_or_is_read(data: st.DataObject, form: int) -> None:
    content = bytearray(tar_of({"a" * 150 if form != tarfile.USTAR_FORMAT else "a": b"x" * 10, "b": b"y"}, form))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content.rstrip(b"\0"))))
        content[at] = data.draw(st.integers(0, 255))
        # A header is believed only with its checksum.
        block = at // 512 * 512
        if data.draw(st.booleans()):
            total = sum(content[block : block + 148]) + 256 + sum(content[block + 156 : block + 512])
            content[block + 148 : block + 156] = b"%06o\0 " % total
    try:
        places = members_of(bytes(content)).places
    except ModelcarError:
        return
    assert all(0 <= place.offset <= place.offset + place.size <= len(content) for place in places.values())

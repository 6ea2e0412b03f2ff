"""Layers of any bytes end in a list of files or in an error of ours, and never run on for ever."""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ContentMismatch, ModelcarError
from modelcar.image.pull import pull
from modelcar.image.tree import read_tree
from modelcar.oci import media
from tests.doubles.in_memory import MemoryStore, put_image
from tests.unit.image.tars import file, folder, hard, link, tar

LAYER = tar(
    folder("models"),
    file("models/" + "é" * 120, b"x" * 700),
    file("models/a", b"y" * 100),
    link("models/l", "a"),
    hard("models/h", "models/a"),
)
GNU = tar(file("models/" + "b" * 150, b"1"), file("models/c", b"2"), format=tarfile.GNU_FORMAT)


def look(kind: str, content: bytes) -> None:
    """List and pull."""
    location = put_image(MemoryStore(), (kind, content))
    with contextlib.suppress(ModelcarError):
        assert read_tree(location).files() is not None
    with tempfile.TemporaryDirectory() as folder_, contextlib.suppress(ModelcarError):
        assert pull(location, Path(folder_))


@st.composite
def damaged(draw: st.DrawFn, *wholes: bytes) -> bytes:
    """Some bytes of something whole changed, some gone, or something else behind."""
    content = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(content) - 1))
        content[at : at + draw(st.integers(0, 12))] = draw(st.binary(max_size=12))
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content) + draw(st.binary(max_size=600))


def with_checksums(content: bytes) -> bytes:
    """The same with right checksums in all blocks that look like headers, so that readers look further."""
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    return b"".join(map(_with_checksum, blocks))


def _with_checksum(block: bytes) -> bytes:
    if len(block) < 512 or b"ustar" not in block[257:263]:
        return block
    bare = block[:148] + b" " * 8 + block[156:]
    return bare[:148] + b"%06o\0 " % sum(bare) + bare[156:]


@given(st.binary(max_size=2000) | damaged(LAYER, GNU) | damaged(LAYER, GNU).map(with_checksums))
def test_any_bytes_as_a_plain_layer(content: bytes) -> None:
    look(media.OCI_LAYER, content)


@given(st.binary(max_size=500) | damaged(gzip.compress(LAYER)) | damaged(LAYER).map(with_checksums).map(gzip.compress))
def test_any_bytes_as_a_gzip_layer(content: bytes) -> None:
    look(media.OCI_LAYER_GZIP, content)


@given(st.binary(max_size=500) | damaged(zstandard.compress(LAYER)))
def test_any_bytes_as_a_zstd_layer(content: bytes) -> None:
    look(media.OCI_LAYER_ZSTD, content)


PAX = st.dictionaries(
    st.sampled_from(["size", "path", "mtime", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.size", "hdrcharset",
                     "GNU.sparse.map", "GNU.sparse.realsize", "GNU.sparse.numblocks", "GNU.sparse.name", "linkpath"]),
    st.sampled_from(["0", "1", "-1", "99999999999999999999", "x", "", "../../x", "nan", "0,1,2", "1,x"]),
)  # fmt: skip


@given(PAX, st.binary(max_size=1100))
def test_any_pax_header(headers: dict[str, str], content: bytes) -> None:
    info, _ = file("models/a")
    info.size, info.pax_headers = len(content), headers
    made = tar((info, content))
    look(media.OCI_LAYER, made)
    look(media.OCI_LAYER_GZIP, gzip.compress(made))


def test_a_sparse_file_that_claims_to_be_huge(tmp_path: Path) -> None:
    info, _ = file("models/a")
    info.size = 512
    info.pax_headers = {
        "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "models/a",
        "GNU.sparse.realsize": str(2**60),
    }  # fmt: skip
    location = put_image(MemoryStore(), tar((info, b"0\n".ljust(512, b"\0"))))
    assert read_tree(location).files()["models/a"].size == 2**60
    with pytest.raises(ContentMismatch, match="/models/a of memory:1 is a sparse file"):
        pull(location, tmp_path)


@pytest.mark.parametrize("size", [-512, -1024, -1, -(2**40), 2**62])
def test_sizes_that_no_file_has(size: int) -> None:
    """A negative size leads Python's tarfile back to the header it comes from (CVE-2025-8194)."""
    block = bytearray(tar(file("models/a", b"1")))
    block[124:136] = (size % 2**96).to_bytes(12, "big") if size < 0 else b"\x80" + size.to_bytes(11, "big")
    made = with_checksums(bytes(block))
    for kind, content in ((media.OCI_LAYER, made), (media.OCI_LAYER_GZIP, gzip.compress(made))):
        with pytest.raises(ContentMismatch, match="can't be read"):
            read_tree(put_image(MemoryStore(), (kind, content)))


def test_a_blob_shorter_than_its_descriptor_says() -> None:
    store = MemoryStore()
    location = put_image(store, LAYER)
    for digest in [digest for digest, content in store.blobs.items() if content == LAYER]:
        store.blobs[digest] = LAYER[:512]  # to the end of a header: as a tar it is whole
    with pytest.raises(ContentMismatch, match="stated"):
        read_tree(location)


def test_a_window_larger_than_decoders_take() -> None:
    """A zstd frame that asks for 2 GiB of memory."""
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(31 - 10) << 3]) + b"\x01\x00\x00"
    with pytest.raises(ContentMismatch, match="its zstd stream can't be read"):
        read_tree(put_image(MemoryStore(), (media.OCI_LAYER_ZSTD, frame)))

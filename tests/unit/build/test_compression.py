"""Compressed layers: which there are, that they are the same every time, and what they say of themselves."""

from __future__ import annotations

import gzip
import hashlib
import random
import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import pytest
import zstandard

from modelcar.build.compression import PLAIN, CompressedStream, Compression, parse_compression
from modelcar.build.options import BuildOptions
from modelcar.build.plan import PlannedLayer
from modelcar.errors import ModelcarError, UsageError
from modelcar.oci import media
from modelcar.sources import SourceFile

MIB = 1024**2
NOISE = random.Random(5).randbytes(2 * MIB)
CONTENT = NOISE + b"text " * MIB
EACH = ["gzip:1", "gzip", "gzip:9", "zstd:1", "zstd", "zstd:19"]


def pieces(content: bytes = CONTENT, size: int = MIB) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


def compressed(compression: Compression, size: int = MIB) -> bytes:
    return b"".join(CompressedStream(pieces(size=size), compression))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("none", PLAIN),
        ("gzip", Compression("gzip", 6)),
        ("gzip:9", Compression("gzip", 9)),
        ("zstd", Compression("zstd", 3)),
        ("zstd:19", Compression("zstd", 19)),
    ],
)
def test_a_compression_is_named_with_or_without_its_level(text: str, meant: Compression) -> None:
    assert parse_compression(text) == meant
    assert parse_compression(str(meant)) == meant


@pytest.mark.parametrize("text", ["", "lz4", "xz:3", "GZIP", "gzip6"])
def test_an_unknown_compressor_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(UsageError, match=r"none, gzip\[:1-9\] or zstd\[:1-19\]"):
        parse_compression(text)


@pytest.mark.parametrize("text", ["gzip:0", "gzip:10", "zstd:20", "zstd:22", "zstd:-1", "gzip:", "zstd:fast", "gzip:٣"])
def test_an_unknown_level_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(UsageError, match="it has 1 to "):
        parse_compression(text)


@pytest.mark.parametrize("text", EACH)
def test_its_bytes_depend_on_neither_the_time_nor_the_pieces_and_read_back(text: str) -> None:
    compression = parse_compression(text)
    packed = compressed(compression)
    assert packed == compressed(compression) == compressed(compression, 300_000)
    if compression.kind == "gzip":
        assert gzip.decompress(packed) == CONTENT
        assert packed[4:8] == bytes(4)  # no time
    else:
        assert zstandard.ZstdDecompressor(max_window_size=4 * MIB).decompressobj().decompress(packed) == CONTENT


@pytest.mark.parametrize("text", ["gzip", "zstd"])
def test_a_stream_knows_both_digests(text: str) -> None:
    told: list[int] = []
    stream = CompressedStream(pieces(), parse_compression(text), told.append)
    with closing(stream):
        with pytest.raises(ModelcarError):
            _ = stream.diff_id
        packed = b"".join(stream)
        assert stream.digest == "sha256:" + hashlib.sha256(packed).hexdigest()
        assert stream.diff_id == "sha256:" + hashlib.sha256(CONTENT).hexdigest()
        assert stream.size == sum(told) == len(packed)


def test_a_stream_that_is_let_go_lets_go_of_what_it_reads() -> None:
    closed = []

    def reading() -> Iterator[bytes]:
        try:
            yield from pieces()
        finally:
            closed.append(True)

    with closing(CompressedStream(reading(), parse_compression("gzip"))) as stream:
        next(iter(stream))
    assert closed == [True]


@pytest.mark.parametrize("text", ["gzip:9", "zstd:19"])
def test_memory_does_not_grow_with_the_layer(text: str) -> None:
    def peak(count: int) -> int:
        stream = CompressedStream((NOISE[:MIB] for _ in range(count)), parse_compression(text))
        tracemalloc.start()
        for _ in stream:
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(12) < peak(2) + 4 * MIB


@pytest.mark.parametrize("text", EACH)
@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 2 * MIB])
def test_what_will_not_shrink_keeps_to_the_room(text: str, size: int) -> None:
    compression = parse_compression(text)
    tar = compression.room(size)
    assert tar <= size
    assert len(b"".join(CompressedStream(iter([NOISE[:tar]]), compression))) <= size or tar == 0


def test_plain_layers_have_all_the_room_there_is() -> None:
    assert PLAIN.room(10_000) == 10_000


FILES = (SourceFile("a.safetensors", 5, "sha256:1"),)


def test_compressor_and_level_are_part_of_a_layer_s_key() -> None:
    keys = {PlannedLayer(FILES, parse_compression(text)).key for text in ["none", *EACH]}
    assert len(keys) == 1 + len(EACH)
    assert PlannedLayer(FILES).key == PlannedLayer(FILES, parse_compression("none")).key


def test_the_key_of_a_plain_layer_is_what_it_always_was() -> None:
    """Images in the field carry it: another one would send all of them again."""
    lines = "modelcar layer 1\nnone\na.safetensors\x005\x00sha256:1"
    assert PlannedLayer(FILES).key == hashlib.sha256(lines.encode()).hexdigest()


def test_media_types() -> None:
    types = {text: parse_compression(text).media_type for text in ("none", "gzip", "zstd")}
    assert types == {"none": media.OCI_LAYER, "gzip": media.OCI_LAYER_GZIP, "zstd": media.OCI_LAYER_ZSTD}


def test_only_zstd_has_a_warning() -> None:
    assert "fetch mode" in parse_compression("zstd").warning
    assert not parse_compression("gzip").warning


@pytest.mark.parametrize(
    ("image_format", "compression", "chosen"),
    [("oci", None, "none"), ("docker", None, "gzip:6"), ("docker", "gzip:9", "gzip:9"), ("oci", "zstd:5", "zstd:5")],
)
def test_the_format_decides_where_nothing_is_said(image_format: str, compression: str | None, chosen: str) -> None:
    options = BuildOptions(image_format=image_format, compression=compression)
    assert str(options.layer_compression) == chosen


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_docker_s_format_takes_gzip_alone(compression: str) -> None:
    with pytest.raises(UsageError, match=f"docker takes no --compression {compression}; its layers are gzip"):
        BuildOptions(image_format="docker", compression=compression)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="it is oci or docker"):
        BuildOptions(image_format="schema1")

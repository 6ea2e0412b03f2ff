"""Headers of safetensors files: read by range, and refused where they contradict themselves."""

from __future__ import annotations

import json

import pytest

from modelcar.errors import ContentMismatch, NotFound
from modelcar.model.safetensors import INDEX, checkpoint_files, read_checkpoint, read_header
from modelcar.model.tensors import Tensor
from tests.checkpoints import Files, Spec, header


def one(text: bytes, data: int = 0, length: int | None = None) -> Files:
    start = (len(text) if length is None else length).to_bytes(8, "little") + text
    return Files({"m.safetensors": start}, {"m.safetensors": 8 + len(text) + data})


def entry(dtype: object = "BF16", shape: object = (2, 2), offsets: object = (0, 8)) -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


def test_name_type_shape_and_bytes() -> None:
    assert read_header(one(entry(), 8), "m.safetensors") == [Tensor("a", "BF16", (2, 2), 8)]


def test_four_bits_take_half_a_byte() -> None:
    start, size = header([("a", "F4", [3, 6])])
    (tensor,) = read_header(Files({"m": start}, {"m": size}), "m")
    assert (tensor.elements, tensor.size) == (18, 9)


def test_only_the_header_is_read() -> None:
    start, size = header([(f"layers.{n}.weight", "BF16", [4096, 4096]) for n in range(3000)])
    files = Files({"m": start}, {"m": size})
    assert len(read_header(files, "m")) == 3000
    assert files.bytes_read <= len(start) + 64 * 1024
    assert len(files.asked) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (one(b"", length=2**63), "cut off"),
        (Files({"m.safetensors": b"abc"}), "no safetensors file"),
        (Files({"m.safetensors": b""}), "no safetensors file"),
        (Files({"m.safetensors": (2**27).to_bytes(8, "little")}, {"m.safetensors": 2**28}), "more than safetensors"),
        (one(b"{]"), "can't be read"),
        (one(b"\xff\xff"), "can't be read"),
        (one(b"[" * 100_000), "can't be read"),
        (one(b'{"a": 1}'), "can't be read"),
        (one(entry(shape=[-1, 2]), 8), "can't"),
        (one(entry(shape=[2**60, 2**60]), 8), "can't have the shape"),
        (one(entry(shape=[2**62] * 2000), 8), "can't have the shape"),
        (one(entry(offsets=[0, 9]), 9), "can't be its own"),
        (one(entry(offsets=[8, 16]), 16), "can't be its own"),
        (one(entry(offsets=[8, 0]), 8), "can't be its own"),
        (one(entry(), 4), "has 4 bytes of tensors, its header says 8; get the file again"),
        (one(entry(), 80), "has 80 bytes"),
    ],
)
def test_what_makes_no_sense_is_refused(files: Files, message: str) -> None:
    with pytest.raises(ContentMismatch, match=message):
        read_header(files, "m.safetensors")


def sharded(weights: object, *names: str) -> Files:
    contents = {name: b"".join(header([(name, "BF16", [2])])[:1]) + bytes(4) for name in names}
    return Files({**contents, INDEX: json.dumps({"weight_map": weights}).encode()})


def test_the_index_says_which_files_count() -> None:
    files = sharded({"x": "b.safetensors", "y": "a.safetensors"}, "a.safetensors", "b.safetensors", "other.safetensors")
    paths = checkpoint_files(files)
    assert paths == ["a.safetensors", "b.safetensors"]
    assert [tensor.name for tensor in read_checkpoint(files, paths)] == paths


def test_a_file_that_the_index_names_is_missing() -> None:
    with pytest.raises(NotFound, match=r"names b\.safetensors, which isn't there; the checkpoint is not complete"):
        checkpoint_files(sharded({"x": "b.safetensors"}, "a.safetensors"))


@pytest.mark.parametrize("weights", [None, [], {"x": 1}])
def test_an_index_that_is_none(weights: object) -> None:
    with pytest.raises(ContentMismatch, match="weight_map"):
        checkpoint_files(sharded(weights, "a.safetensors"))


def test_the_same_weights_once_more_dont_count() -> None:
    contents = dict.fromkeys(["consolidated.safetensors", "model-1.safetensors", "onnx/model.safetensors"], b"")
    assert checkpoint_files(Files(contents)) == ["model-1.safetensors"]
    assert checkpoint_files(Files({"consolidated.safetensors": b""})) == ["consolidated.safetensors"]


def test_a_tensor_without_elements() -> None:
    tensors: list[Spec] = [("a", "BF16", [0, 5]), ("b", "F32", [])]
    start, size = header(tensors)
    found = read_header(Files({"m": start}, {"m": size}), "m")
    assert [(tensor.elements, tensor.size) for tensor in found] == [(0, 0), (1, 4)]

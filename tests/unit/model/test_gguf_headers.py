"""Headers of GGUF files, by growing ranges."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, NotFound, Refused, UsageError
from modelcar.model import read_facts
from modelcar.model.gguf import gguf_models, read_gguf
from modelcar.model.kv import bytes_per_token
from tests.checkpoints import Files, gguf

META: dict[str, Any] = {
    "general.architecture": "llama", "llama.block_count": 2, "llama.embedding_length": 256,
    "llama.attention.head_count": 8, "llama.attention.head_count_kv": 2, "llama.context_length": 4096,
    "llama.feed_forward_length": 512, "tokenizer.chat_template": "{{ messages }}",
}  # fmt: skip
Q4_K, F32, Q6_K = 12, 0, 14
TENSORS = [
    ("token_embd.weight", [256, 100], Q6_K, 0),
    ("blk.0.attn_q.weight", [256, 256], Q4_K, 21_000),
    ("blk.1.attn_norm.weight", [256], F32, 21_000 + 36_864),
    ("rope_freqs.weight", [16], F32, 21_000 + 36_864 + 1024),
]
END = 21_000 + 36_864 + 1024 + 64


def model(metadata: dict[str, Any] = META, tensors: Any = TENSORS, end: int = END, version: int = 3) -> Files:
    start = gguf(metadata, tensors, version)
    return Files({"m.gguf": start}, {"m.gguf": len(start) + end})


@pytest.mark.parametrize("version", [2, 3])
def test_facts_of_a_gguf_model(version: int) -> None:
    facts = read_facts(model(version=version))
    assert facts.format == "gguf"
    assert facts.parameters == 25_600 + 65_536 + 256
    assert facts.weight_bytes == END
    assert str(facts.quantization) == "gguf Q4_K"
    assert facts.chat_template == "m.gguf: tokenizer.chat_template"
    assert facts.architecture is not None
    assert (facts.architecture.context, facts.architecture.tied) == (4096, True)
    assert bytes_per_token(facts.architecture.layers or ()) == 2 * 2 * 2 * 32 * 2


def test_vocabularies_are_passed_over() -> None:
    tokens = ["token" * 3] * 50_000
    files = model({"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": [1] * 50_000, **META})
    facts = read_facts(files)
    assert facts.architecture is not None
    assert facts.architecture.vocabulary == 50_000
    assert max(length for _, _, length in files.asked) <= 4 * 1024 * 1024


def test_a_text_that_is_too_long_is_passed_over() -> None:
    files = model({"tokenizer.huggingface.json": "x" * 2_000_000, **META})
    assert read_facts(files).chat_template == "m.gguf: tokenizer.chat_template"


def test_a_state_space_hybrid() -> None:
    metadata = {
        "general.architecture": "granitehybrid", "granitehybrid.block_count": 4, "granitehybrid.embedding_length": 1536,
        "granitehybrid.attention.head_count": 12, "granitehybrid.attention.head_count_kv": [0, 0, 4, 0],
        "granitehybrid.context_length": 131072, "granitehybrid.ssm.conv_kernel": 4, "granitehybrid.ssm.state_size": 128,
        "granitehybrid.ssm.group_count": 1, "granitehybrid.ssm.inner_size": 3072,
        "granitehybrid.ssm.time_step_rank": 48,
    }  # fmt: skip
    architecture = read_facts(model(metadata, [], 0)).architecture
    assert architecture is not None
    layers = architecture.layers or ()
    assert [layer.kind for layer in layers] == ["mamba2", "mamba2", "full", "mamba2"]
    assert layers[0].size() == 806_400  # type: ignore[union-attr]  # as granite-4.0-h-tiny's


def test_parts_are_read_together() -> None:
    first, second = gguf({**META, "split.count": 2}, TENSORS[:1]), gguf({"split.no": 1}, [("b", [32], F32, 0)])
    names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    contents = dict(zip(names, (first + bytes(21_000), second + bytes(128)), strict=True))
    assert read_facts(Files(contents)).parameters == 25_600 + 32
    with pytest.raises(NotFound, match="1 of 2 parts are there; get the others"):
        read_facts(Files({names[0]: contents[names[0]]}))


def test_several_models_have_to_be_told_apart() -> None:
    files = Files({"a-Q4.gguf": gguf(META, []), "a-Q8.gguf": gguf(META, []), "mmproj-a.gguf": b"x"})
    with pytest.raises(UsageError, match=r"2 GGUF models are there: a-Q4\.gguf, a-Q8\.gguf; name one of them: --file"):
        read_facts(files)
    assert read_facts(files, "a-Q8.gguf").parameters == 0
    with pytest.raises(NotFound, match="there is no b"):
        read_facts(files, "b.gguf")
    assert gguf_models(["x/imatrix.gguf", "y.bin"]) == {}


def test_a_type_that_is_new_takes_the_bytes_up_to_the_next() -> None:
    header = read_gguf(model(META, [("a", [64], 99, 0), ("b", [8], F32, 48)], 80), ["m.gguf"])
    assert [(tensor.dtype, tensor.size) for tensor in header.tensors] == [("GGML type 99", 48), ("F32", 32)]


def raw(*parts: bytes) -> Files:
    return Files({"m.gguf": b"".join(parts)})


HEAD = b"GGUF" + struct.pack("<I", 3)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (raw(b"GGML"), ContentMismatch, "no GGUF file"),
        (raw(b"GG"), ContentMismatch, "ends within its header"),
        (raw(b"GGUF", struct.pack("<I", 1)), Refused, "version 1"),
        (raw(b"GGUF", struct.pack(">I", 3)), Refused, "big endian"),
        (raw(HEAD, struct.pack("<QQ", 2**60, 0)), ContentMismatch, "claims"),
        (raw(HEAD, struct.pack("<QQ", 0, 2**60)), ContentMismatch, "claims"),
        (raw(HEAD, struct.pack("<QQQ", 0, 1, 2**62)), ContentMismatch, "a name of"),
        (raw(HEAD, struct.pack("<QQQ", 0, 1, 100)), ContentMismatch, "ends within"),
        (raw(HEAD, struct.pack("<QQQIQ", 0, 1, 0, 8, 2**62)), ContentMismatch, "ends within"),
        (raw(HEAD, struct.pack("<QQQI", 0, 1, 0, 77)), ContentMismatch, "unknown type 77"),
        (raw(HEAD, struct.pack("<QQQIIQ", 0, 1, 0, 9, 8, 2**60)), ContentMismatch, "an array of"),
        (raw(HEAD, struct.pack("<QQQIIQ", 0, 1, 0, 9, 4, 2**60)), ContentMismatch, "ends within"),
        (
            raw(HEAD, struct.pack("<QQQ", 0, 1, 0), struct.pack("<I", 9), struct.pack("<IQ", 9, 1) * 6),
            ContentMismatch,
            "unknown type 9",
        ),
        (raw(HEAD, struct.pack("<QQQI", 1, 0, 0, 500)), ContentMismatch, "500 dimensions"),
        (model(META, [("a", [2**40, 2**40], F32, 0)]), ContentMismatch, "can't have the shape"),
        (model(end=END - 1), ContentMismatch, "ends before its tensor 'rope_freqs.weight' does; get the file again"),
        (model({"general.alignment": 0}, []), ContentMismatch, "an alignment of 0"),
        (model({"general.architecture": "llama", "llama.block_count": 10**6}, []), ContentMismatch, "1,000,000 layers"),
    ],
)
def test_what_makes_no_sense_is_refused(files: Files, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_facts(files)

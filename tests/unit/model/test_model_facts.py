"""Facts of whole models: weights packed in every way, layers left out, tensors that contradict the configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, NotFound, UsageError
from modelcar.model import Facts, read_facts
from modelcar.model.kv import bytes_per_token
from tests.checkpoints import LLAMA, Files, Spec, checkpoint, decoder

LOGICAL = 4096 * 1024
"""Weights of one packed projection."""


def facts(tensors: list[Spec], quantization: dict[str, Any] | None = None, **fields: Any) -> Facts:
    config = {**LLAMA, **fields, **({"quantization_config": quantization} if quantization else {})}
    return read_facts(checkpoint(config, tensors))


def small(*parts: tuple[str, str, list[int]]) -> list[Spec]:
    return [(f"model.layers.0.mlp.up_proj.{name}", dtype, shape) for name, dtype, shape in parts]


PACKED: dict[str, tuple[dict[str, Any] | None, list[Spec], str]] = {
    "awq": ({"quant_method": "awq", "bits": 4, "version": "gemm"}, small(
        ("qweight", "I32", [4096, 128]), ("qzeros", "I32", [32, 128]), ("scales", "F16", [32, 1024])),
        "awq gemm (4 bits)"),
    "gptq": ({"quant_method": "gptq", "bits": 4}, small(
        ("qweight", "I32", [512, 1024]), ("qzeros", "I32", [32, 128]), ("scales", "F16", [32, 1024]),
        ("g_idx", "I32", [4096])), "gptq (4 bits)"),
    "gptq, 8 bits": ({"quant_method": "gptq", "bits": 8}, small(("qweight", "I32", [1024, 1024])), "gptq (8 bits)"),
    "gptq, 3 bits": ({"quant_method": "gptq", "bits": 3}, small(("qweight", "I32", [384, 1024])), "gptq (3 bits)"),
    "fp8 in blocks": ({"quant_method": "fp8", "fmt": "e4m3"}, small(
        ("weight", "F8_E4M3", [4096, 1024]), ("weight_scale_inv", "F32", [32, 8])), "fp8 e4m3 (8 bits)"),
    "compressed-tensors, packed": (
        {"quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}, small(
        ("weight_packed", "I32", [4096, 128]), ("weight_scale", "BF16", [4096, 8]), ("weight_shape", "I64", [2]),
        ("weight_zero_point", "I32", [512, 8]), ("weight_g_idx", "I32", [1024])),
        "compressed-tensors pack-quantized (4 bits)"),
    "compressed-tensors, NVFP4": (
        {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}, small(
        ("weight_packed", "U8", [4096, 512]), ("weight_scale", "F8_E4M3", [4096, 64]),
        ("weight_global_scale", "F32", [1]), ("input_global_scale", "F32", [1])),
        "compressed-tensors nvfp4-pack-quantized (4 bits)"),
    "compressed-tensors, 8 bits": (
        {"quant_method": "compressed-tensors", "format": "int-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 8}}}}, small(
        ("weight", "I8", [4096, 1024]), ("weight_scale", "BF16", [4096, 1])),
        "compressed-tensors int-quantized (8 bits)"),
    "bitsandbytes, nf4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, small(
        ("weight", "U8", [LOGICAL // 2, 1]), ("weight.absmax", "U8", [65536]), ("weight.quant_map", "F32", [16]),
        ("weight.nested_absmax", "F32", [256]), ("weight.nested_quant_map", "F32", [256]),
        ("weight.quant_state.bitsandbytes__nf4", "U8", [94])), "bitsandbytes nf4 (4 bits)"),
    "bitsandbytes, int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, small(
        ("weight", "I8", [4096, 1024]), ("SCB", "F32", [4096]), ("weight_format", "U8", [])),
        "bitsandbytes int8 (8 bits)"),
    "mxfp4": ({"quant_method": "mxfp4"}, [
        ("model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", [4, 1024, 32, 16]),
        ("model.layers.0.mlp.experts.gate_up_proj_scales", "U8", [4, 1024, 32])], "mxfp4 (4 bits)"),
    "modelopt, NVFP4": ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, small(
        ("weight", "U8", [4096, 512]), ("weight_scale", "F8_E4M3", [4096, 64]), ("weight_scale_2", "F32", []),
        ("input_scale", "F32", [])), "modelopt NVFP4 (4 bits)"),
    "quark, MXFP4": ({"quant_method": "quark"}, small(
        ("weight", "U8", [4096, 512]), ("weight_scale", "U8", [4096, 32])), "quark"),
    "nothing said, NF4": (None, small(
        ("weight", "U8", [LOGICAL // 2, 1]), ("weight.absmax", "U8", [65536]),
        ("weight.quant_state.bitsandbytes__nf4", "U8", [94])), "bitsandbytes nf4 (4 bits)"),
    "nothing said, FP8": (None, small(("weight", "F8_E4M3", [4096, 1024]), ("weight_scale", "F32", [])),
        "fp8 (8 bits)"),
}  # fmt: skip


@pytest.mark.parametrize(("quantization", "tensors", "name"), PACKED.values(), ids=PACKED)
def test_packed_weights_count_each(quantization: dict[str, Any] | None, tensors: list[Spec], name: str) -> None:
    embedding: Spec = ("model.embed_tokens.weight", "BF16", [100, 64])
    found = facts([embedding, *tensors], quantization)
    assert found.parameters == 6400 + LOGICAL
    assert str(found.quantization) == name


def test_all_that_is_stored_are_the_weights_bytes() -> None:
    quantization, tensors, _ = PACKED["awq"]
    assert facts(tensors, quantization).weight_bytes == 4096 * 128 * 4 + 32 * 128 * 4 + 32 * 1024 * 2


def test_what_can_not_be_counted_is_not_guessed() -> None:
    found = facts(small(("codes", "I16", [8, 8])), {"quant_method": "aqlm"})
    assert found.parameters is None
    assert "how many weights aqlm packs" in found.notes[0]


def test_an_fp8_cache_that_the_checkpoint_asks_for() -> None:
    scheme = {"kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    found = facts(decoder(), {"quant_method": "compressed-tensors", "format": "float-quantized", **scheme})
    assert found.quantization is not None
    assert found.quantization.kv_cache
    config, hf = json.dumps(LLAMA).encode(), {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    files = checkpoint(None, decoder(), config__json=config, hf_quant_config__json=json.dumps(hf).encode())
    assert read_facts(files).quantization == type(found.quantization)("modelopt", 8, "FP8", kv_cache=True)


def test_the_language_model_may_state_its_quantisation_itself() -> None:
    quantization, tensors, name = PACKED["compressed-tensors, packed"]
    config = {"model_type": "kimi_vl", "text_config": {**LLAMA, "quantization_config": quantization}}
    assert str(read_facts(checkpoint(config, tensors)).quantization) == name


def test_buffers_are_no_parameters() -> None:
    buffers: list[Spec] = [
        ("model.layers.0.mlp.gate.e_score_correction_bias", "F32", [256]),
        ("model.rotary_emb.inv_freq", "F32", [64]),
        ("h.0.attn.bias", "F32", [1, 1, 1024, 1024]),
        ("model.position_ids", "I64", [1, 512]),
    ]
    plain = facts(decoder())
    found = facts([*decoder(), *buffers])
    assert found.parameters == plain.parameters
    assert found.weight_bytes == (plain.weight_bytes or 0) + 4 * (256 + 64 + 1024 * 1024) + 8 * 512


def test_a_tied_output_counts_once_and_is_stored_twice() -> None:
    once, twice = facts(decoder(), tie_word_embeddings=True), facts(decoder(), tie_word_embeddings=False)
    assert (twice.parameters or 0) - (once.parameters or 0) == 256 * 64
    assert once.weight_bytes == twice.weight_bytes


MTP: dict[str, tuple[dict[str, Any], list[Spec]]] = {
    "a layer behind the last": ({"num_nextn_predict_layers": 1}, [
        ("model.layers.2.eh_proj.weight", "BF16", [64, 128]), ("model.layers.2.enorm.weight", "BF16", [64]),
        ("model.layers.2.self_attn.k_proj.weight", "BF16", [16, 64])]),
    "one that only its tensors show": ({}, [
        ("model.layers.2.eh_proj.weight", "BF16", [64, 128]),
        ("model.layers.2.self_attn.k_proj.weight", "BF16", [16, 64]),
        ("model.layers.2.embed_tokens.weight", "BF16", [64])]),
    "by name": ({"mtp_num_hidden_layers": 1}, [
        ("mtp.fc.weight", "BF16", [64, 128]), ("mtp.layers.0.self_attn.k_proj.weight", "BF16", [16, 64])]),
    "inside the model": ({}, [("model.mtp_layers.0.self_attn.k_proj.weight", "BF16", [16, 64])]),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "tensors"), MTP.values(), ids=MTP)
def test_layers_for_multi_token_prediction_are_left_out(fields: dict[str, Any], tensors: list[Spec]) -> None:
    plain, found = facts(decoder()), facts([*decoder(), *tensors], **fields)
    assert (found.parameters, found.weight_bytes) == (plain.parameters, plain.weight_bytes)
    assert found.mtp_bytes > 0
    assert found.architecture is not None
    assert bytes_per_token(found.architecture.layers or ()) == 128


# Tensors win over the configuration


def test_heads_as_the_tensors_have_them() -> None:
    found = facts(decoder(keys=32))
    assert found.architecture is not None
    assert bytes_per_token(found.architecture.layers or ()) == 2 * 2 * 32 * 2
    assert found.notes == ("config.json and the tensors differ in KV heads: the tensors count",)


def test_layers_of_which_only_some_are_plain_enough_to_tell() -> None:
    packed: list[Spec] = [("model.layers.1.self_attn.k_proj.qweight", "I32", [8, 16])]
    plain = [spec for spec in decoder() if ".layers.1." not in spec[0]]
    found = facts([*plain, *packed], {"quant_method": "gptq", "bits": 4})
    assert found.architecture is not None
    assert (len(found.architecture.layers or ()), found.notes) == (2, ())
    nothing = facts([("model.layers.0.self_attn.k_proj.weight", "BF16", [0, 64])], num_hidden_layers=1)
    assert nothing.notes == ()


def test_layers_as_the_tensors_have_them() -> None:
    found = facts(decoder(layers=3))
    assert found.architecture is not None
    assert len(found.architecture.layers or ()) == 3
    assert found.notes == ("config.json says 2 layers, the tensors have 3: these count",)


def test_the_type_that_most_weights_have() -> None:
    found = facts([*decoder(dtype="F16"), ("model.norm.weight", "F32", [64])])
    assert (found.dtype, list(found.dtypes)) == ("F16", ["F16", "F32"])


def test_a_type_that_nobody_knows_is_read_as_a_plain_decoder_and_says_so() -> None:
    found = facts(decoder(), model_type="novel", architectures=["NovelForCausalLM"])
    assert found.notes == ("novel is not known to modelcar: read as a plain decoder",)
    assert found.architecture is not None
    assert len(found.architecture.layers or ()) == 2


def test_encoders_for_images_count_as_weights_and_have_no_cache() -> None:
    tower: list[Spec] = [("vision_tower.encoder.layers.5.self_attn.k_proj.weight", "BF16", [99, 99])]
    config = {"model_type": "llava", "text_config": LLAMA, "vision_config": {"hidden_size": 99}}
    found = read_facts(checkpoint(config, [*decoder(), *tower]))
    assert found.parameters == (facts(decoder()).parameters or 0) + 99 * 99
    assert found.architecture is not None
    assert found.architecture.multimodal
    assert len(found.architecture.layers or ()) == 2


# What is there


def test_the_chat_template() -> None:
    def place(**others: bytes) -> str | None:
        return read_facts(checkpoint(LLAMA, decoder(), **others)).chat_template

    assert place() is None
    assert place(chat_template__jinja=b"{{ x }}") == "chat_template.jinja"
    assert place(tokenizer_config__json=b'{"chat_template": "{{ x }}"}') == "tokenizer_config.json"
    assert place(tokenizer_config__json=b"{}") is None


def test_a_model_in_a_folder_of_its_own() -> None:
    inner = checkpoint(LLAMA, decoder())
    moved = Files(
        {f"granite/{path}": content for path, content in inner.contents.items()} | {"README.md": b""},
        {f"granite/{path}": size for path, size in inner.sizes.items()},
    )
    assert (read_facts(moved).folder, read_facts(moved).parameters) == ("granite", read_facts(inner).parameters)
    with pytest.raises(UsageError, match="several models are there: a, b"):
        read_facts(Files({"a/config.json": b"{}", "b/config.json": b"{}"}))
    with pytest.raises(NotFound, match="no model is there"):
        read_facts(Files({"README.md": b""}))


def test_weights_that_are_pickles_are_not_opened() -> None:
    files = Files({"config.json": json.dumps(LLAMA).encode()}, {"pytorch_model.bin": 1000, "training_args.bin": 7})
    found = read_facts(files)
    assert (found.format, found.parameters, found.weight_bytes) == ("pickle", None, 1000)
    assert "pickles" in found.notes[0]


def test_an_adapter_and_a_configuration_alone() -> None:
    adapter = Files({"adapter_config.json": b"{}", "adapter_model.safetensors": b"", "config.json": b"{}"})
    assert "an adapter for another model" in read_facts(adapter).notes[0]
    assert read_facts(Files({"config.json": json.dumps(LLAMA).encode()})).notes == ("no weights are there",)


def test_a_diffusion_pipeline() -> None:
    inner = checkpoint(None, [("conv.weight", "F16", [8, 8])])
    files = Files({"model_index.json": b"{}", "unet/a.safetensors": inner.contents["model.safetensors"]},
        {"unet/a.safetensors": inner.sizes["model.safetensors"]})  # fmt: skip
    found = read_facts(files)
    assert (found.parameters, found.weight_bytes, found.architecture) == (64, 128, None)
    assert "a diffusion pipeline" in found.notes[0]


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 5000])
def test_a_configuration_that_is_none(content: bytes) -> None:
    with pytest.raises(ContentMismatch, match=r"^config\.json (is no JSON|holds no JSON object)"):
        read_facts(Files({"config.json": content}))


def test_a_configuration_with_infinity() -> None:
    """Mamba's have it, though JSON doesn't."""
    config = json.dumps({**LLAMA, "time_step_limit": [0.0, float("inf")]})
    assert "Infinity" in config
    assert read_facts(Files({"config.json": config.encode()})).architecture is not None


def test_a_configuration_of_any_size_is_not_read() -> None:
    with pytest.raises(ContentMismatch, match="more than the 100,000,000"):
        read_facts(Files({"config.json": b"{}"}, {"config.json": 10**9}))
    with pytest.raises(ContentMismatch, match="ends at 2 of 10 bytes"):
        read_facts(Files({"config.json": b"{}"}, {"config.json": 10}))

"""What the layers of each kind of model keep, from configurations as they are published: vLLM 0.33.0's rules."""

from __future__ import annotations

from typing import Any

import pytest

from modelcar.errors import ContentMismatch
from modelcar.model import Architecture
from modelcar.model.config import mistral_config, read_architecture
from modelcar.model.kv import CachePlan, bytes_per_token, plan_cache
from modelcar.model.layers import CacheLayer, StateLayer
from tests.checkpoints import LLAMA

IN_FLIGHT = 16_384
MIB = 1024**2


def model(model_type: str, **fields: Any) -> Architecture:
    return read_architecture({"model_type": model_type, "architectures": ["XForCausalLM"], **fields})


def layers(model_type: str, **fields: Any) -> tuple[CacheLayer, ...]:
    found = model(model_type, **fields)
    assert found.layers is not None, found.unknown
    return found.layers


def kinds(model_type: str, **fields: Any) -> str:
    """One letter a layer."""
    letters = {"full": "F", "sliding": "S", "chunked": "C", "mla": "L", "indexer": "i"}
    return "".join(letters.get(layer.kind, "m") for layer in layers(model_type, **fields))


def of_states(found: tuple[CacheLayer, ...]) -> StateLayer:
    return next(layer for layer in found if isinstance(layer, StateLayer))


def blocks(plan: CachePlan) -> list[int]:
    return sorted(group.layers for group in plan.groups)


# Attention


def test_grouped_queries() -> None:
    found = layers(**LLAMA)
    assert bytes_per_token(found) == 2 * 2 * (8 + 8) * 2
    assert bytes_per_token(found, width=1) == 64
    assert bytes_per_token(found, tensor_parallel=2) == 64
    assert bytes_per_token(found, tensor_parallel=8) == 64  # a KV head is copied rather than cut


@pytest.mark.parametrize(
    ("model_type", "fields", "heads", "size"),
    [
        ("llama", {"num_attention_heads": 12, "hidden_size": 1536}, 12, 128),
        ("mistral", {"num_attention_heads": 32, "hidden_size": 4096}, 8, 128),
        ("qwen3_moe", {"num_attention_heads": 32, "hidden_size": 2048, "head_dim": 128}, 4, 128),
        ("gemma", {"num_attention_heads": 8, "hidden_size": 2048, "num_key_value_heads": 1}, 1, 256),
        ("gemma", {"num_attention_heads": 8, "hidden_size": 2048, "head_dim": None}, 16, 256),
        ("falcon", {"num_attention_heads": 71, "hidden_size": 4544, "multi_query": True}, 1, 64),
        ("falcon", {"n_head": 128, "hidden_size": 8192, "new_decoder_architecture": True, "num_kv_heads": 8}, 8, 64),
        ("gpt_bigcode", {"n_head": 48, "n_embd": 6144, "n_layer": 40}, 1, 128),
        ("gpt2", {"n_head": 12, "n_embd": 768, "n_layer": 12}, 12, 64),
        ("mpt", {"n_heads": 32, "d_model": 4096, "n_layers": 32, "attn_config": {"alibi": True}}, 32, 128),
        (
            "zamba2",
            {"num_attention_heads": 32, "hidden_size": 2560, "kv_channels": 80, "hybrid_layer_ids": [0]},
            32,
            160,
        ),
        ("dbrx", {"n_heads": 48, "d_model": 6144, "n_layers": 40, "attn_config": {"kv_n_heads": 8}}, 8, 128),
        (
            "chatglm",
            {"num_attention_heads": 32, "hidden_size": 4096, "num_layers": 28, "multi_query_group_num": 2},
            2,
            128,
        ),
    ],
)
def test_heads_and_their_sizes(model_type: str, fields: dict[str, Any], heads: int, size: int) -> None:
    first = layers(model_type, **fields)[0]
    assert (first.kind, first.kv_heads, first.key_size) in {(kind, heads, size) for kind in ("full", "sliding")}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("model_type", "fields", "expected"),
    [
        ("mistral", {"num_hidden_layers": 3}, "SSS"),  # a missing field is the class's 4,096
        ("mistral", {"num_hidden_layers": 3, "sliding_window": None}, "FFF"),
        ("mixtral", {"num_hidden_layers": 3}, "FFF"),
        ("starcoder2", {"num_hidden_layers": 2, "sliding_window": 4096}, "SS"),
        ("qwen2", {"num_hidden_layers": 3, "sliding_window": 131_072, "use_sliding_window": False}, "FFF"),
        ("qwen2", {"num_hidden_layers": 4, "sliding_window": 4096, "use_sliding_window": True,
            "max_window_layers": 3}, "FFFS"),
        ("gemma2", {"num_hidden_layers": 4}, "SFSF"),
        ("gemma3_text", {"num_hidden_layers": 7}, "SSSSSFS"),
        ("gemma3_text", {"num_hidden_layers": 4, "sliding_window_pattern": 2}, "SFSF"),
        ("gemma3n_text", {"num_hidden_layers": 10, "num_kv_shared_layers": 5}, "SSSSF"),
        ("gemma4_text", {"num_hidden_layers": 8}, "SSSSSFSF"),
        ("cohere2", {"num_hidden_layers": 5}, "SSSFS"),
        ("olmo3", {"num_hidden_layers": 4}, "SSSF"),
        ("exaone4", {"num_hidden_layers": 8, "sliding_window": 4096, "sliding_window_pattern": "LLLG"}, "SSSFSSSF"),
        ("exaone4", {"num_hidden_layers": 3, "sliding_window": None}, "FFF"),
        ("llama4_text", {"num_hidden_layers": 8}, "CCCFCCCF"),
        ("llama4_text", {"num_hidden_layers": 4, "attention_chunk_size": None}, "FFFF"),
        ("llama4_text", {"num_hidden_layers": 2, "no_rope_layers": [0, 1]}, "FC"),
        ("gpt_oss", {"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}, "FS"),
        ("ministral", {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": None}, "FF"),
        ("deepseek_v3", {"num_hidden_layers": 2, "kv_lora_rank": 512, "qk_rope_head_dim": 64}, "LL"),
        ("deepseek_v32", {"num_hidden_layers": 2, "kv_lora_rank": 512, "qk_rope_head_dim": 64}, "LiLi"),
        ("longcat_flash", {"num_layers": 1, "kv_lora_rank": 512, "qk_rope_head_dim": 64}, "LL"),
        ("minicpm3", {**LLAMA, "model_type": "minicpm3", "kv_lora_rank": 256, "qk_rope_head_dim": 32}, "FF"),
        ("jamba", {"num_hidden_layers": 8}, "mmmmFmmm"),
        ("bamba", {"num_hidden_layers": 4, "attn_layer_indices": [2]}, "mmFm"),
        ("nemotron_h", {"hybrid_override_pattern": "M-M*-E"}, "mmF"),
        ("nemotron_h", {"layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"]}, "mF"),
        ("granitemoehybrid", {"num_hidden_layers": 3, "layer_types": ["mamba", "attention", "mamba"]}, "mFm"),
        ("falcon_h1", {"num_hidden_layers": 2}, "FmFm"),
        ("zamba2", {"num_hidden_layers": 3, "hybrid_layer_ids": [1]}, "mFmm"),
        ("qwen3_next", {"num_hidden_layers": 5}, "mmmFm"),
        ("minimax", {"num_hidden_layers": 3, "attn_type_list": [0, 0, 1]}, "mmF"),
        ("lfm2", {"num_hidden_layers": 3, "full_attn_idxs": [2]}, "mmF"),
        ("mamba", {"num_hidden_layers": 2}, "mm"),
    ],
)  # fmt: skip
def test_which_kind_each_layer_is(model_type: str, fields: dict[str, Any], expected: str) -> None:
    assert kinds(model_type, **{name: value for name, value in fields.items() if name != "model_type"}) == expected


def test_latent_attention_keeps_one_vector_for_all_heads() -> None:
    found = layers("deepseek_v3", num_hidden_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
    assert bytes_per_token(found) == 61 * (512 + 64) * 2
    assert bytes_per_token(found, tensor_parallel=8) == 61 * 1152  # on every GPU
    sparse = layers("deepseek_v32", num_hidden_layers=61, kv_lora_rank=512, qk_rope_head_dim=64, index_head_dim=128)
    assert bytes_per_token(sparse) == 61 * (1152 + 132)
    assert blocks(plan_cache(sparse)) == [122]


def test_layers_that_differ_in_heads() -> None:
    blocks_of = [
        {"attention": {"n_heads_in_group": 8}},
        {"attention": {"no_op": True}},
        {"attention": {"n_heads_in_group": 16}},
    ]
    found = layers(
        "nemotron-nas", num_attention_heads=64, hidden_size=8192, num_hidden_layers=3, block_configs=blocks_of
    )
    assert bytes_per_token(found) == (8 + 4) * 2 * 128 * 2
    plan = plan_cache(found)
    assert (blocks(plan), plan.block_bytes) == ([2], 16 * bytes_per_token(found))


def test_pages_of_different_sizes_become_equal_by_larger_blocks() -> None:
    found = layers(
        "gemma4_text", num_hidden_layers=6, head_dim=256, global_head_dim=512, num_key_value_heads=16,
        num_global_key_value_heads=4, attention_k_eq_v=True, sliding_window=1024,
    )  # fmt: skip
    plan = plan_cache(found)
    assert {(group.layer.kind, group.block) for group in plan.groups} == {("sliding", 16), ("full", 32)}
    assert plan.request_blocks(4096, IN_FLIGHT) == 5 * 257 + 128


def test_kinds_that_are_nearly_as_many_share_the_larger_size() -> None:
    types = ["sliding_attention"] * 12 + ["full_attention"] * 13
    plan = plan_cache(layers("gpt_oss", num_hidden_layers=25, layer_types=types))
    assert blocks(plan) == [12, 13]
    assert plan.block_bytes == 13 * 16 * 2048


# States


def test_nemotron_h_keeps_its_state_in_float32() -> None:
    """Nemotron-H-56B: 54 Mamba-2 and 10 attention layers take 70 slots."""
    found = layers(
        "nemotron_h", hybrid_override_pattern="M-" * 54 + "*" * 10, hidden_size=8192, num_attention_heads=64,
        num_key_value_heads=8, head_dim=128, mamba_num_heads=256, mamba_head_dim=64, ssm_state_size=256, n_groups=8,
        conv_kernel=4,
    )  # fmt: skip
    assert of_states(found).size() == 3 * (256 * 64 + 2 * 8 * 256) * 2 + 256 * 64 * 256 * 4
    plan = plan_cache(found)
    assert sum(10 for _ in plan.groups) == 70
    assert plan.groups[0].block % 16 == 0
    assert plan.groups[0].block * 4096 >= of_states(found).size()
    half = layers("nemotron_h", hybrid_override_pattern="M*", mamba_ssm_cache_dtype="bfloat16")
    whole = layers("nemotron_h", hybrid_override_pattern="M*", mamba_ssm_cache_dtype="float32")
    assert of_states(half).arrays[1].size() * 2 == of_states(whole).arrays[1].size()


def test_copies_of_a_state() -> None:
    """Prefix caching keeps three of Mamba-2, two of others; models of states alone don't have it."""
    mamba1 = plan_cache(layers("jamba", num_hidden_layers=8))
    mamba2 = plan_cache(layers("bamba", num_hidden_layers=8, attn_layer_indices=[3]))
    assert mamba1.request_blocks(1, 1) == 7 * 2 + 1
    assert mamba2.request_blocks(1, 1) == 7 * 3 + 1
    alone = plan_cache(layers("falcon_mamba", num_hidden_layers=4, hidden_size=4096, state_size=16))
    assert alone.request_bytes(10**6, IN_FLIGHT) == 4 * 8192 * (3 + 16) * 2


@pytest.mark.parametrize(
    ("model_type", "fields", "size"),
    [
        ("qwen3_next", {"num_hidden_layers": 4}, 3 * (2 * 16 * 128 + 32 * 128) * 2 + 32 * 128 * 128 * 2),
        ("qwen3_5_text", {"num_hidden_layers": 4, "mamba_ssm_dtype": "float32"},
            3 * (2 * 16 * 128 + 32 * 128) * 2 + 32 * 128 * 128 * 4),
        ("kimi_linear", {"linear_attn_config": {"num_heads": 32, "head_dim": 128, "short_conv_kernel_size": 4,
            "full_attn_layers": [2], "kda_layers": [1]}}, 3 * 3 * 4096 * 2 + 32 * 128 * 128 * 4),
        ("falcon_mamba", {"hidden_size": 4096, "expand": 16, "intermediate_size": 8192}, 8192 * (3 + 16) * 2),
        ("minimax", {"num_attention_heads": 64, "head_dim": 128, "attn_type_list": [0, 1]}, 64 * 128 * 128 * 2),
        ("lfm2", {"hidden_size": 2048, "conv_L_cache": 3, "full_attn_idxs": [1]}, 2 * 2048 * 2),
        ("zamba2", {"hybrid_layer_ids": [1], "n_mamba_heads": 8, "mamba_headdim": 640},
            3 * (5120 + 2 * 64) * 2 + 8 * 640 * 64 * 2),
    ],
)  # fmt: skip
def test_states_of_other_kinds(model_type: str, fields: dict[str, Any], size: int) -> None:
    assert of_states(layers(model_type, **{"num_hidden_layers": 2, **fields})).size() == size


def test_a_state_of_nothing() -> None:
    plan = plan_cache(layers("lfm2", num_hidden_layers=1, full_attn_idxs=[], conv_L_cache=1))
    assert (plan.request_bytes(1, 1), plan.sequences(1000, 1, 1), plan.longest(1000, 10, 1)) == (0, 0, 0)


def test_a_state_on_several_gpus() -> None:
    """Heads are divided; a group is copied where there are fewer than GPUs."""
    state = of_states(layers("bamba", num_hidden_layers=2, attn_layer_indices=[1]))
    convolution, temporal = state.arrays
    assert convolution.size(2) == 3 * (8192 + 2 * 2 * 256) // 2 * 2
    assert temporal.size(2) * 2 == temporal.size()


# What isn't known

NOVEL = {"model_type": "novel", "architectures": ["NovelForCausalLM"]}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "bert", "num_hidden_layers": 12}, "an encoder"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "an encoder"),
        ({"model_type": "whisper", "is_encoder_decoder": True}, "cross-attention"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "cross-attention"),
        (
            {**NOVEL, "model_type": "recurrent_gemma", "num_hidden_layers": 2, "lru_width": 2560},
            "keeps states of a kind",
        ),
        ({**NOVEL, "model_type": "rwkv7", "num_hidden_layers": 2, "hidden_size": 8}, "keeps states of a kind"),
        ({**NOVEL, "layer_types": ["warp_drive"]}, "'warp_drive' are not known"),
        ({**NOVEL, "layer_types": ["linear_attention"]}, "state that a layer"),
        ({**NOVEL}, "how many layers"),
        ({**NOVEL, "num_hidden_layers": 2}, "attention heads"),
        ({"model_type": "sam", "architectures": ["SamMaskGenerator"], "num_hidden_layers": 2}, "SamMaskGenerator"),
        ({"model_type": "clip", "architectures": ["CLIPModel"], "num_hidden_layers": 2}, "an encoder"),
        ({"model_type": "hiera", "num_hidden_layers": 2, "num_heads": [1, 2]}, "what a hiera keeps"),
        ({}, "what a model without a type keeps"),
        ({**NOVEL, "layer_types": ["sliding_attention"], "kv_lora_rank": 8, "qk_rope_head_dim": 8}, "latent attention"),
        ({"model_type": "deepseek_v3", "kv_lora_rank": 0, "qk_rope_head_dim": 0}, "without a latent"),
        ({**NOVEL, "num_hidden_layers": 4, "cross_attention_layers": [1]}, "cross-attention layers"),
        ({"model_type": "nemotron_h"}, "which layers of the hybrid"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "MX"}, "'X' are not known"),
    ],
)
def test_it_says_what_it_does_not_know(config: dict[str, Any], why: str) -> None:
    found = read_architecture(config)
    assert why in found.unknown
    assert not found.layers
    assert found.context is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_hidden_layers": "32"}, "num_hidden_layers is '32', not a whole number"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_hidden_layers": 10**9}, "1,000,000,000 layers"),
        ({"hidden_size": 2**60}, "hidden_size is"),
        ({"layer_types": "full"}, "layer_types is 'full', not a list"),
        ({"layer_types": ["full_attention"], "num_hidden_layers": 3}, "layer_types names 1 layers of 3"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no', not true or false"),
        ({"rope_scaling": 3}, "rope_scaling is 3, not an object"),
    ],
)
def test_a_configuration_that_contradicts_itself(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ContentMismatch, match=message):
        read_architecture({**LLAMA, **fields})


# Context length


@pytest.mark.parametrize(
    ("model_type", "fields", "tokens"),
    [
        ("llama", {"max_position_embeddings": 8192}, 8192),
        ("llama", {}, 2048),
        ("mamba", {"num_hidden_layers": 2}, 2048),
        ("gpt2", {"n_positions": 1024}, 1024),
        ("cohere", {"max_position_embeddings": 8192, "model_max_length": 131_072}, 131_072),
        ("llama", {"max_position_embeddings": 8192, "rope_scaling": {"type": "linear", "factor": 4.0}}, 32_768),
        ("llama", {"max_position_embeddings": 8192, "rope_scaling": {"type": "dynamic", "factor": 2}}, 16_384),
        ("llama", {"max_position_embeddings": 131_072, "rope_scaling": {"rope_type": "llama3", "factor": 8}}, 131_072),
        ("qwen2", {"max_position_embeddings": 32_768, "rope_scaling": {"type": "yarn", "factor": 4.0,
            "original_max_position_embeddings": 32_768}}, 131_072),
        ("phi3", {"max_position_embeddings": 131_072, "original_max_position_embeddings": 4096,
            "rope_scaling": {"type": "longrope"}}, 4096),
        ("gemma3_text", {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 131_072),
        ("gemma3_text", {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}}}, 131_072),
        ("qwen2_vl", {"max_position_embeddings": 32_768, "num_hidden_layers": 2,
            "rope_scaling": {"type": "mrope"}}, 32_768),
    ],
)  # fmt: skip
def test_context_length(model_type: str, fields: dict[str, Any], tokens: int) -> None:
    assert model(model_type, **fields).context == tokens


# Where the configuration is


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava", "text_config": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}},
        {
            "model_type": "x",
            "architectures": ["XForConditionalGeneration"],
            "llm_config": {**LLAMA},
            "vision_config": {},
        },
        {"model_type": "x", "thinker_config": {"text_config": {**LLAMA}}},
    ],
)
def test_the_language_model_inside_another(config: dict[str, Any]) -> None:
    found = read_architecture(config)
    assert (found.model_type, len(found.layers or ())) == ("llama", 2)


def test_mistrals_own_file() -> None:
    params = {"dim": 4096, "n_layers": 2, "head_dim": 128, "hidden_dim": 14_336, "n_heads": 32, "n_kv_heads": 8}
    assert bytes_per_token(read_architecture(mistral_config(params)).layers or ()) == 2 * 8 * 256 * 2
    moe = mistral_config({**params, "moe": {"num_experts": 8, "num_experts_per_tok": 2}, "sliding_window": 4096})
    found = read_architecture(moe)
    assert (found.model_type, found.experts, found.experts_used) == ("mixtral", 8, 2)
    with pytest.raises(ContentMismatch, match=r"params\.json is not one of Mistral's"):
        mistral_config({"x": 1})

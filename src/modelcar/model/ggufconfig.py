"""GGUF metadata in the words of a config.json, so that one set of rules reads both (gguf-py, `constants.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TYPES = {
    "llama": "llama", "qwen2": "qwen2", "qwen2moe": "qwen2_moe", "qwen3": "qwen3", "qwen3moe": "qwen3_moe",
    "qwen3next": "qwen3_next", "gemma": "gemma", "gemma2": "gemma2", "gemma3": "gemma3_text", "gemma3n": "gemma3n_text",
    "phi2": "phi", "phi3": "phi3", "gpt-oss": "gpt_oss", "llama4": "llama4_text", "deepseek2": "deepseek_v3",
    "command-r": "cohere", "cohere2": "cohere2", "granite": "granite", "granitemoe": "granitemoe",
    "granitehybrid": "granitemoehybrid", "falcon": "falcon", "falcon-h1": "falcon_h1", "mamba": "mamba",
    "mamba2": "mamba2", "jamba": "jamba", "nemotron_h": "nemotron_h", "olmo2": "olmo2", "starcoder2": "starcoder2",
    "gpt2": "gpt2", "gptneox": "gpt_neox", "bloom": "bloom", "mpt": "mpt", "stablelm": "stablelm", "exaone4": "exaone4",
    "smollm3": "smollm3", "glm4": "glm4", "glm4moe": "glm4_moe", "lfm2": "lfm2", "minimax-m2": "minimax_m2",
    "ernie4_5": "ernie4_5", "seed_oss": "seed_oss", "bert": "bert", "nomic-bert": "nomic_bert", "dots1": "dots1",
}  # fmt: skip
"""llama.cpp's architectures as transformers' types."""

_NAMES = {
    "num_hidden_layers": "block_count", "hidden_size": "embedding_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length", "intermediate_size": "feed_forward_length",
    "sliding_window": "attention.sliding_window", "kv_lora_rank": "attention.kv_lora_rank",
    "num_local_experts": "expert_count", "num_experts_per_tok": "expert_used_count", "vocab_size": "vocab_size",
    "moe_intermediate_size": "expert_feed_forward_length", "num_nextn_predict_layers": "nextn_predict_layers",
    "conv_kernel": "ssm.conv_kernel", "ssm_state_size": "ssm.state_size", "n_groups": "ssm.group_count",
    "attention_chunk_size": "attention.chunk_size", "conv_L_cache": "shortconv.l_cache",
}  # fmt: skip
_STATE_TYPES = {"mamba", "mamba2", "jamba", "granitemoehybrid", "nemotron_h", "falcon_h1", "lfm2"}


def gguf_config(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a config.json of the same model would say."""
    architecture = str(metadata.get("general.architecture", ""))
    found = {name: metadata.get(f"{architecture}.{key}") for name, key in _NAMES.items()}
    config = {name: value for name, value in found.items() if value is not None}
    model_type = _TYPES.get(architecture, architecture)
    config |= {"model_type": model_type, "architectures": ["" if "bert" in architecture else "ForCausalLM"]}
    for name in ("num_attention_heads", "intermediate_size"):
        if isinstance(config.get(name), list):
            config[name] = max((value for value in config[name] if isinstance(value, int)), default=0)
    if "kv_lora_rank" in config:
        config["qk_rope_head_dim"] = metadata.get(f"{architecture}.rope.dimension_count")
    if "vocab_size" not in config:
        config["vocab_size"] = metadata.get("tokenizer.ggml.tokens.length")
    if isinstance(mtp := config.get("num_nextn_predict_layers"), int) and isinstance(
        config.get("num_hidden_layers"), int
    ):
        config["num_hidden_layers"] = max(config["num_hidden_layers"] - mtp, 0)
    if model_type in _STATE_TYPES:
        config |= _states(metadata, architecture, model_type, config)
    return config


def _states(
    metadata: Mapping[str, Any], architecture: str, model_type: str, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Sizes of state layers, and which they are: those without KV heads."""
    found: dict[str, Any] = {}
    inner, count = metadata.get(f"{architecture}.ssm.inner_size"), metadata.get(f"{architecture}.ssm.time_step_rank")
    hidden = config.get("hidden_size")
    if isinstance(inner, int) and isinstance(hidden, int) and hidden:
        found["mamba_expand"] = inner / hidden
        found["mamba_d_ssm"] = inner
        if isinstance(count, int) and count:
            found |= {"mamba_num_heads": count, "mamba_head_dim": inner // count}
            if model_type == "mamba2":
                found["head_dim"] = inner // count
    kv = config.get("num_key_value_heads")
    if isinstance(kv, list):
        kinds = ["attention" if isinstance(n, int) and n else _empty(model_type) for n in kv]
        found["layer_types"] = found["layers_block_type"] = kinds
        found["attn_layer_indices"] = [number for number, kind in enumerate(kinds) if kind == "attention"]
        found["num_key_value_heads"] = max((n for n in kv if isinstance(n, int)), default=0)
    return found


def _empty(model_type: str) -> str:
    return "conv" if model_type == "lfm2" else "mamba"

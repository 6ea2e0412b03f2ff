"""Which kind each layer of a model is: the rules of vLLM 0.33.0's model classes and of transformers' configurations."""

from __future__ import annotations

import re
from collections.abc import Callable

from modelcar.model.defaults import DEFAULTS, Defaults
from modelcar.model.fields import MAX_LAYERS, Fields

_KINDS = {
    "full_attention": "full", "attention": "full", "global": "full",
    "global_attention": "full", "indexed_attention": "full",
    "sliding_attention": "sliding", "sliding": "sliding", "local": "sliding", "chunked_attention": "chunked",
    "linear_attention": "state", "mamba": "state", "conv": "state", "short_conv": "state", "recurrent": "state",
    "hybrid": "both", "mlp": "none", "moe": "none", "dense": "none",
}  # fmt: skip
"""Words for layers in `layer_types` and `layers_block_type`."""

_PATTERNS = {
    "gemma2": 2, "vaultgemma": 2, "gemma3_text": 6, "gemma3n_text": 5, "gemma4_text": 6, "cohere2": 4, "olmo3": 4,
    "exaone4": 4, "gpt_oss": 2, "afmoe": 4, "cwm": 4,
}  # fmt: skip
"""Types with sliding windows in all layers but every n-th (their configuration classes in transformers 5.24.0)."""

_NO_WINDOW_UNLESS_ASKED = {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen2_vl_text", "qwen2_5_vl_text", "smollm3"}
"""Types whose `sliding_window` counts only where `use_sliding_window` is true, which it isn't by default."""


_PLAIN = {
    "aquila", "baichuan", "chatglm", "cohere_text", "deepseek", "exaone", "internlm", "internlm2", "kimi_k2", "minicpm",
    "minicpm3", "orion", "phimoe", "qwen", "solar", "yi", "xverse", "pangu_ultra_moe", "axk1", "mimo",
    "cohere2_moe", "exaone_moe", "glm4v_text", "glm4v_moe_text", "granite_swa", "granitemoe_swa", "hy_v3",
    "qwen2_5_omni_text", "qwen3_omni_moe_text",
}  # fmt: skip
"""Other types of decoders that need no rule: what they are is in their configuration."""

_STATEFUL = re.compile(r"mamba|ssm|rwkv|xlstm|recurrent|linear_attn|conv_kernel|lru_width|block_types")
"""Names of fields, or parts of types, of models that keep states."""


class Unknown(Exception):
    """What the model keeps can't be told; the text says why."""


def layer_count(fields: Fields, defaults: Defaults) -> int:
    """Layers, without those for multi-token prediction."""
    count = fields.number("num_hidden_layers", "n_layer", "n_layers", "num_layers", default=defaults.layers)
    if count > MAX_LAYERS:
        raise fields.wrong(f"{count:,} layers are no model")
    return count


def heads(fields: Fields, defaults: Defaults) -> int:
    """Attention heads of the whole model; 0 where there are none."""
    return fields.number("num_attention_heads", "n_head", "n_heads", "num_heads", default=defaults.heads)


def hidden_size(fields: Fields, defaults: Defaults) -> int:
    """Elements of a hidden state."""
    return fields.number("hidden_size", "n_embd", "d_model", "n_embed", default=defaults.hidden)


def known(model_type: str) -> bool:
    """Whether there are rules or defaults for a type; others are read as plain decoders."""
    return model_type in DEFAULTS or model_type in _RULES or model_type in _PLAIN


def layer_kinds(fields: Fields, model_type: str, defaults: Defaults) -> list[str]:
    """`full`, `sliding`, `chunked`, `state`, `both` or `none` of every layer."""
    if rule := _RULES.get(model_type):
        return rule(fields, defaults)
    if not known(model_type) and _STATEFUL.search(" ".join((model_type, *fields.values))):
        raise Unknown(f"a {model_type or 'nameless'} model keeps states of a kind that is not known to modelcar")
    if fields.numbers("cross_attention_layers"):
        raise Unknown("what its cross-attention layers keep of an image is not known to modelcar")
    if types := fields.words("layer_types") or fields.words("layers_block_type"):
        return _from_words(types, fields, defaults)
    count = layer_count(fields, defaults)
    if not count:
        raise Unknown(f"config.json doesn't say how many layers a {model_type or 'nameless'} model has")
    if model_type in _PATTERNS:
        return _every_nth(fields, model_type, count)
    window = _window(fields, model_type, defaults)
    if model_type in _NO_WINDOW_UNLESS_ASKED and window:
        first = fields.number("max_window_layers", default=28)
        return ["sliding" if number >= first else "full" for number in range(count)]
    return ["sliding" if window else "full"] * count


def _from_words(words: list[str], fields: Fields, defaults: Defaults) -> list[str]:
    unknown = sorted({word for word in words if word not in _KINDS})
    if unknown:
        raise Unknown(f"layers of type {unknown[0][:60]!r} are not known to modelcar")
    count = layer_count(fields, defaults) if fields.given("num_hidden_layers") else len(words)
    if len(words) < count:
        raise fields.wrong(f"layer_types names {len(words)} layers of {count}")
    return [_KINDS[word] for word in words[:count]]


def _every_nth(fields: Fields, model_type: str, count: int) -> list[str]:
    """Sliding windows but for every n-th layer, or as a pattern of letters says (Exaone 4: `LLLG`)."""
    pattern = fields.values.get("sliding_window_pattern", fields.values.get("_sliding_window_pattern"))
    if isinstance(pattern, str) and pattern and len(pattern) <= count:
        kinds = ["sliding" if pattern[number % len(pattern)] == "L" else "full" for number in range(count)]
        return [*kinds[:-1], "full"]
    if fields.has("sliding_window") and not fields.number("sliding_window"):
        return ["full"] * count
    every = fields.number(
        "sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers", default=_PATTERNS[model_type]
    )
    kinds = ["sliding" if every and (number + 1) % every else "full" for number in range(count)]
    return [*kinds[:-1], "full"] if model_type == "gemma4_text" else kinds


def _llama4(fields: Fields, defaults: Defaults) -> list[str]:
    """Layers with rotary positions look at their chunk only; every fourth has none and looks at all."""
    count = layer_count(fields, defaults)
    chunk = fields.number("attention_chunk_size", default=0 if fields.has("attention_chunk_size") else 8192)
    every = fields.number("no_rope_layer_interval", default=4)
    rotary = fields.numbers("no_rope_layers") or [int(not every or (n + 1) % every != 0) for n in range(count)]
    return ["chunked" if number < len(rotary) and rotary[number] and chunk else "full" for number in range(count)]


def _jamba(fields: Fields, defaults: Defaults) -> list[str]:
    period, offset = fields.number("attn_layer_period", default=8), fields.number("attn_layer_offset", default=4)
    return ["full" if period and n % period == offset else "state" for n in range(layer_count(fields, defaults))]


def _bamba(fields: Fields, defaults: Defaults) -> list[str]:
    attention = set(fields.numbers("attn_layer_indices"))
    return ["full" if number in attention else "state" for number in range(layer_count(fields, defaults))]


def _nemotron_h(fields: Fields, defaults: Defaults) -> list[str]:
    """`M` is Mamba-2, `*` attention, `-` and `E` layers without a cache."""
    if pattern := fields.text("hybrid_override_pattern"):
        if unknown := set(pattern) - set("M*-E|"):
            raise Unknown(f"layers of type {min(unknown)!r} are not known to modelcar")
        return [{"M": "state", "*": "full"}.get(letter, "none") for letter in pattern.replace("|", "")[:MAX_LAYERS]]
    words = fields.words("layers_block_type") or fields.words("layer_types")
    if not words:
        raise Unknown("config.json doesn't say which layers of the hybrid model have attention")
    return _from_words(words, Fields({}), defaults)


def _granite_hybrid(fields: Fields, defaults: Defaults) -> list[str]:
    words = fields.words("layer_types") or fields.words("layers_block_type")
    return _from_words(words, fields, defaults) if words else ["state"] * layer_count(fields, defaults)


def _zamba2(fields: Fields, defaults: Defaults) -> list[str]:
    """Every layer has a state, the hybrid ones attention as well."""
    words = fields.words("layers_block_type") or fields.words("layer_types")
    if words:
        return ["both" if word in ("hybrid", "full_attention") else "state" for word in words]
    hybrid = set(fields.numbers("hybrid_layer_ids"))
    return ["both" if number in hybrid else "state" for number in range(layer_count(fields, defaults))]


def _linear(fields: Fields, defaults: Defaults) -> list[str]:
    """Qwen3-Next: every n-th layer has attention."""
    if words := fields.words("layer_types") or fields.words("layers_block_type"):
        return _from_words(words, fields, defaults)
    every = fields.number("full_attention_interval", default=4)
    return ["state" if every and (n + 1) % every else "full" for n in range(layer_count(fields, defaults))]


def _minimax(fields: Fields, defaults: Defaults) -> list[str]:
    if words := fields.words("layer_types"):
        return _from_words(words, fields, defaults)
    if types := fields.numbers("attn_type_list"):
        return ["full" if kind else "state" for kind in types]
    return ["state" if number % 2 else "full" for number in range(layer_count(fields, defaults))]


def _kimi_linear(fields: Fields, defaults: Defaults) -> list[str]:
    """Layers are counted from 1."""
    if words := fields.words("layer_types"):
        return _from_words(words, fields, defaults)
    linear = fields.inner("linear_attn_config")
    full = set(linear.numbers("full_attn_layers")) if linear else set()
    return ["full" if number + 1 in full else "state" for number in range(layer_count(fields, defaults))]


def _lfm2(fields: Fields, defaults: Defaults) -> list[str]:
    if words := fields.words("layer_types"):
        return _from_words(words, fields, defaults)
    count = layer_count(fields, defaults)
    full = set(fields.numbers("full_attn_idxs") if fields.given("full_attn_idxs") else range(count))
    return ["full" if number in full else "state" for number in range(count)]


def _all_states(fields: Fields, defaults: Defaults) -> list[str]:
    return ["state"] * layer_count(fields, defaults)


def _parallel(fields: Fields, defaults: Defaults) -> list[str]:
    """Attention and Mamba side by side in every layer."""
    return ["both"] * layer_count(fields, defaults)


def _deci(fields: Fields, _defaults: Defaults) -> list[str]:
    """Nemotron-NAS: each block says itself whether it has attention."""
    kinds = []
    for block in fields.objects("block_configs"):
        attention = block.inner("attention")
        kinds.append(
            "none" if attention and (attention.flag("no_op") or attention.flag("replace_with_linear")) else "full"
        )
    return kinds


def _mimo(fields: Fields, defaults: Defaults) -> list[str]:
    pattern = fields.numbers("hybrid_layer_pattern")
    return ["sliding" if kind else "full" for kind in pattern] or ["full"] * layer_count(fields, defaults)


_RULES: dict[str, Callable[[Fields, Defaults], list[str]]] = {
    "llama4_text": _llama4, "jamba": _jamba, "bamba": _bamba, "nemotron_h": _nemotron_h,
    "granitemoehybrid": _granite_hybrid, "falcon_h1": _parallel, "zamba2": _zamba2, "qwen3_next": _linear,
    "qwen3_5_text": _linear, "qwen3_5_moe_text": _linear, "kimi_linear": _kimi_linear, "minimax": _minimax,
    "minimax_text_01": _minimax, "lfm2": _lfm2, "lfm2_moe": _lfm2, "mamba": _all_states, "mamba2": _all_states,
    "falcon_mamba": _all_states, "nemotron-nas": _deci, "mimo_v2_flash": _mimo,
}  # fmt: skip
"""Types whose layers follow a rule of their own."""


def _window(fields: Fields, model_type: str, defaults: Defaults) -> int:
    """Tokens of a sliding window; 0 where the model has none. A null says that, a missing field need not."""
    if model_type in _NO_WINDOW_UNLESS_ASKED and not fields.flag("use_sliding_window"):
        return 0
    if fields.has("sliding_window"):
        return fields.number("sliding_window")
    return fields.number("sliding_window_size", "window_size", default=defaults.window)

"""What config.json says of a model: its architecture, its layers, its context length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelcar.errors import ContentMismatch
from modelcar.model.attention import cache_layers
from modelcar.model.defaults import DEFAULTS, TEXT_TYPES, Defaults
from modelcar.model.fields import Fields
from modelcar.model.kinds import Unknown, heads, hidden_size, known, layer_count
from modelcar.model.layers import AttentionLayer, CacheLayer

_TEXT_NAMES = ("text_config", "llm_config", "language_config", "language_model_config")
_CONTEXT_NAMES = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
_NOTHING_FOUND = 2048
"""vLLM's context length for a configuration that names none (`config/model.py`)."""

_ENCODERS = re.compile(
    r"(xlm-roberta|(distil|ro|al|de|camem|modern|nomic_|mobile)?bert[a-z_-]*|electra|mpnet|t5_encoder|gte|new|clip|"
    r"siglip\w*|vit\w*|dinov\d\w*|wav2vec2\w*|hubert|esm)"
)
"""Types without generation: nothing is kept from token to token."""

_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_NO_DECODER = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForImageClassification")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model as its configuration describes it.

    Attributes:
        name: The class of transformers, `LlamaForCausalLM`.
        model_type: The language model's type.
        layers: What each layer keeps for a sequence; None where that isn't known.
        unknown: Why not; also why there is nothing to keep.
        context: Tokens: vLLM's default for `max_model_len`; None where it makes no sense.
        hidden: Elements of a hidden state.
        heads: Attention heads.
        depth: Layers, without those for multi-token prediction.
        mtp: Layers for multi-token prediction.
        width: Elements of the widest intermediate result of a layer.
        vocabulary: Tokens.
        experts: Routed experts of a layer; 0 for a dense model.
        experts_used: Of them for each token.
        tied: Whether the output layer is the embedding.
        multimodal: Whether there is an encoder for images or sound.
    """

    name: str
    model_type: str
    layers: tuple[CacheLayer, ...] | None
    unknown: str
    context: int | None
    hidden: int
    heads: int
    depth: int
    mtp: int
    width: int
    vocabulary: int
    experts: int
    experts_used: int
    tied: bool
    multimodal: bool


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """A model's architecture.

    Raises:
        ContentMismatch: A field isn't what it should be.
    """
    top = Fields(config)
    fields, model_type = text_part(top)
    defaults = DEFAULTS.get(model_type, Defaults())
    names = top.words("architectures") or fields.words("architectures")
    name = names[0] if names else ""
    layers, unknown = _layers(top, fields, model_type, name)
    if layers is None:
        # Nobody knows what the fields of such a configuration mean.
        fields = fields.only(
            "hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers", "tie_word_embeddings"
        )
        defaults = Defaults()
    return Architecture(
        name=name,
        model_type=model_type,
        layers=layers,
        unknown=unknown,
        context=context_length(fields, model_type, defaults) if layers is not None and not unknown else None,
        hidden=hidden_size(fields, defaults),
        heads=heads(fields, defaults)
        if layers is None or any(isinstance(layer, AttentionLayer) for layer in layers)
        else 0,
        depth=_depth(fields, defaults),
        mtp=fields.number("num_nextn_predict_layers", "num_mtp_layers", "mtp_num_hidden_layers"),
        width=_width(fields),
        vocabulary=fields.number("vocab_size", "padded_vocab_size", default=defaults.vocab),
        experts=fields.number("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
        experts_used=fields.number("num_experts_per_tok", "experts_per_token", "moe_topk", "moe_k", "top_k_experts"),
        tied=_tied(top, fields, defaults),
        multimodal=any(top.given(part) for part in ("vision_config", "audio_config", "vision_tower", "visual")),
    )


def text_part(top: Fields) -> tuple[Fields, str]:
    """The configuration of the language model, and its type."""
    fields, outer = top, top.text("model_type")
    if thinker := top.inner("thinker_config"):
        fields = thinker
    for name in _TEXT_NAMES:
        if inner := fields.inner(name):
            inherited = {key: value for key, value in top.values.items() if key in ("tie_word_embeddings",)}
            fields = Fields({**inherited, **inner.values}, f"config.json: {name}")
            return fields, inner.text("model_type") or TEXT_TYPES.get(outer, outer)
    if outer in TEXT_TYPES and not fields.given("num_hidden_layers"):
        outer = TEXT_TYPES[outer]
    return fields, TEXT_TYPES.get(outer, outer) if outer.startswith(("qwen2_vl", "qwen2_5_vl")) else outer


def _layers(top: Fields, fields: Fields, model_type: str, name: str) -> tuple[tuple[CacheLayer, ...] | None, str]:
    """What layers keep, or why that isn't known or is nothing."""
    if top.flag("is_encoder_decoder") or fields.flag("is_encoder_decoder"):
        return None, "an encoder-decoder model: its cross-attention is not known to modelcar"
    if (_ENCODERS.fullmatch(model_type) and "decoder" not in model_type) or name.endswith(_NO_DECODER):
        return (), "an encoder: it keeps nothing from token to token"
    if not known(model_type) and not name.endswith(_GENERATES):
        return (
            None,
            f"what a {name or model_type or 'model without a type'} keeps for a sequence is not known to modelcar",
        )
    try:
        return cache_layers(fields, model_type), ""
    except Unknown as error:
        return None, str(error)


def _depth(fields: Fields, defaults: Defaults) -> int:
    if pattern := fields.values.get("hybrid_override_pattern"):
        return len(str(pattern).replace("|", ""))
    return layer_count(fields, defaults) or len(fields.words("layers_block_type"))


def _width(fields: Fields) -> int:
    """Gate and up projections side by side, of the dense layer or of the experts that one token takes."""
    inner = fields.largest("intermediate_size") or fields.number("n_inner", "ffn_dim")
    used = fields.number("num_experts_per_tok", "experts_per_token", default=1)
    return 2 * max(inner, fields.largest("moe_intermediate_size") * used)


def _tied(top: Fields, fields: Fields, defaults: Defaults) -> bool:
    return fields.flag("tie_word_embeddings", top.flag("tie_word_embeddings", defaults.tied))


def context_length(fields: Fields, model_type: str, defaults: Defaults) -> int:
    """VLLM's default for `max_model_len` (`config/model.py`, `_get_and_verify_max_len`).

    The shortest that the configuration names, times the factor of a scaled rotary embedding, but for `llama3` and for
    Gemma 3, whose length is the scaled one already. `yarn` starts from the original length; `longrope` stays at it.
    """
    named = [fields.number(name) for name in _CONTEXT_NAMES if fields.given(name)]
    length = min(named, default=defaults.context or _NOTHING_FOUND)
    if fields.given("model_max_length"):
        length = fields.number("model_max_length")
    factor = 1.0
    for rope in _ropes(fields):
        kind = rope.text("rope_type") or rope.text("type")
        original = rope.number("original_max_position_embeddings", default=0)
        if kind in ("su", "longrope"):
            return fields.number("original_max_position_embeddings", default=original) or length
        if kind in ("llama3", "") or "gemma3" in model_type:
            continue
        factor = rope.ratio("factor", default=factor)
        if kind in ("yarn", "deepseek_yarn") and original:
            length = original
    return int(length * factor)


def _ropes(fields: Fields) -> Iterator[Fields]:
    """The rotary embeddings: one, or one for each type of layer."""
    rope = fields.inner("rope_parameters") or fields.inner("rope_scaling")
    if rope is None:
        return
    inner = [name for name, value in rope.values.items() if isinstance(value, dict)]
    if not inner:
        yield rope
    for name in inner:
        if (found := rope.inner(name)) is not None:
            yield found


def mistral_config(params: Mapping[str, Any]) -> dict[str, Any]:
    """Mistral's own params.json in the words of a config.json.

    Raises:
        ContentMismatch: It is something else.
    """
    names = {
        "hidden_size": "dim", "num_hidden_layers": "n_layers", "head_dim": "head_dim", "num_attention_heads": "n_heads",
        "num_key_value_heads": "n_kv_heads", "intermediate_size": "hidden_dim", "vocab_size": "vocab_size",
        "tie_word_embeddings": "tied_embeddings",
    }  # fmt: skip
    if "dim" not in params or "n_layers" not in params:
        raise ContentMismatch("params.json is not one of Mistral's")
    config = {name: params[other] for name, other in names.items() if other in params}
    config["sliding_window"] = params.get("sliding_window")
    config["max_position_embeddings"] = params.get("max_position_embeddings", params.get("max_seq_len", 128_000))
    moe = params.get("moe")
    if isinstance(moe, dict):
        config |= {"num_local_experts": moe.get("num_experts"), "num_experts_per_tok": moe.get("num_experts_per_tok")}
    return {"model_type": "mixtral" if moe else "mistral", "tie_word_embeddings": False, **config}

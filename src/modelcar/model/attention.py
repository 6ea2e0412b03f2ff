"""What the layers of a model keep for a sequence: from its configuration, by the rules of vLLM 0.33.0."""

from __future__ import annotations

from modelcar.model import state
from modelcar.model.defaults import DEFAULTS, Defaults
from modelcar.model.fields import Fields
from modelcar.model.kinds import Unknown, heads, hidden_size, layer_count, layer_kinds
from modelcar.model.layers import AttentionLayer, CacheLayer

_NOT_MLA = {"minicpm3"}
"""Types with a latent that vLLM decompresses before it keeps keys and values."""

_INDEXED = {"deepseek_v32", "glm_moe_dsa"}


def cache_layers(fields: Fields, model_type: str) -> tuple[CacheLayer, ...]:
    """What each layer keeps, in the model's order; a layer with both attention and a state gives two.

    Args:
        fields: The configuration of the language model.
        model_type: Its type.

    Raises:
        Unknown: It can't be told.
        ContentMismatch: The configuration contradicts itself.
    """
    defaults = DEFAULTS.get(model_type, Defaults())
    kinds = layer_kinds(fields, model_type, defaults)
    attention = _Attention(fields, model_type, defaults)
    state_layer = state.state_layer(fields, model_type, defaults) if {"state", "both"} & set(kinds) else None
    if state_layer is None and {"state", "both"} & set(kinds):
        raise Unknown(f"the state that a layer of a {model_type or 'nameless'} model keeps is not known to modelcar")
    layers: list[CacheLayer] = []
    for number, kind in enumerate(kinds):
        if kind not in ("state", "none"):
            layers += attention.layers(number, "full" if kind == "both" else kind)
        if kind in ("state", "both") and state_layer is not None:
            layers.append(state_layer)
    return tuple(layers)


class _Attention:
    """The sizes of a model's heads."""

    def __init__(self, fields: Fields, model_type: str, defaults: Defaults) -> None:
        self._fields = fields
        self._type = model_type
        self._defaults = defaults
        self._heads = heads(fields, defaults)

    def layers(self, number: int, kind: str) -> list[CacheLayer]:
        """What the attention of one layer keeps: nothing where it looks at the keys and values of another."""
        fields = self._fields
        shared = fields.number("num_kv_shared_layers", default=15 if self._type == "gemma3n_text" else 0)
        if shared and number >= layer_count(fields, self._defaults) - shared:
            return []
        if fields.given("kv_lora_rank") and fields.given("qk_rope_head_dim") and self._type not in _NOT_MLA:
            if kind != "full":
                raise Unknown(f"latent attention with a window, as {self._type} has it, is not known to modelcar")
            return self._latent()
        window = 0
        if kind == "sliding":
            window = fields.number("sliding_window", default=self._absent("sliding_window", self._defaults.window))
        elif kind == "chunked":
            window = fields.number("attention_chunk_size", default=self._absent("attention_chunk_size", 8192))
        if kind != "full" and not window:
            kind = "full"
        kv_heads = self._kv_heads(number, kind)
        key, value = self._sizes(number, kind)
        if not kv_heads or not key:
            raise Unknown(f"config.json doesn't give the attention heads of a {self._type or 'nameless'} model")
        return [AttentionLayer(kind, kv_heads, key, value, window)]

    def _absent(self, name: str, default: int) -> int:
        """The default of a field that isn't there; null is no absence."""
        return 0 if self._fields.has(name) else default

    def _latent(self) -> list[CacheLayer]:
        fields = self._fields
        if not fields.number("kv_lora_rank"):
            raise Unknown("config.json has latent attention without a latent")
        latent = AttentionLayer("mla", 1, fields.number("kv_lora_rank") + fields.number("qk_rope_head_dim"), 0)
        twice = 2 if self._type.startswith("longcat_flash") else 1
        if self._type in _INDEXED or fields.given("index_head_dim"):
            # An FP8 key and one float32 scale for each 128 elements (vLLM, DeepseekV32IndexerCache).
            size = fields.number("index_head_dim", default=128)
            return [latent, AttentionLayer("indexer", 1, size, 0, fixed=size + -(-size // 128) * 4)]
        return [latent] * twice

    def _kv_heads(self, number: int, kind: str) -> int:
        """As vLLM's `get_total_num_kv_heads`."""
        fields = self._fields
        if self._type == "mimo_v2_flash" and kind == "sliding":
            return fields.number("swa_num_key_value_heads", "num_key_value_heads")
        if self._type == "gemma4_text" and kind == "full" and fields.flag("attention_k_eq_v"):
            return fields.number("num_global_key_value_heads", "num_key_value_heads", default=self._defaults.kv)
        if self._type == "nemotron-nas":
            attention = fields.objects("block_configs")[number].inner("attention")
            shared = attention.number("n_heads_in_group") if attention else 0
            return self._heads // shared if shared else 0
        for name in ("num_key_value_heads", "num_kv_heads"):
            if isinstance(fields.values.get(name), list):
                per_layer = fields.numbers(name)
                return per_layer[number] if number < len(per_layer) else 0
        if self._type == "falcon" and fields.flag("new_decoder_architecture"):
            return fields.number("num_kv_heads", "n_head_kv", default=self._heads)
        if fields.flag("multi_query", self._type in ("falcon", "gpt_bigcode")):
            return 1
        if inner := fields.inner("attn_config"):
            return inner.number("kv_n_heads", default=self._heads)
        given = fields.number("n_head_kv", "num_key_value_heads", "num_kv_heads", "multi_query_group_num")
        return given or self._absent("num_key_value_heads", self._defaults.kv) or self._heads

    def _sizes(self, number: int, kind: str) -> tuple[int, int]:
        """Elements of a head's key and of its value."""
        fields, names = self._fields, ["head_dim", "attention_head_dim", "kv_channels", "hidden_size_per_head"]
        if self._type == "mimo_v2_flash":
            names = ["swa_head_dim", "head_dim"] if kind == "sliding" else names
            values = ["swa_v_head_dim", "v_head_dim"] if kind == "sliding" else ["v_head_dim"]
            return fields.number(*names), fields.number(*values, *names)
        if self._type == "gemma4_text" and kind == "full":
            size = fields.number("global_head_dim", default=512)
            return size, size
        if self._type == "zamba2":
            # Its attention looks at the hidden state and the embedding side by side.
            size = 2 * hidden_size(fields, self._defaults) // self._heads if self._heads else 0
            return (fields.number("attention_head_dim", default=size),) * 2
        size = fields.number(*names, default=self._absent("head_dim", self._defaults.head_dim))
        if not size and self._heads:
            size = hidden_size(fields, self._defaults) // self._heads
        if self._type in _NOT_MLA and fields.given("qk_nope_head_dim"):
            size = fields.number("qk_nope_head_dim") + fields.number("qk_rope_head_dim")
        return size, size

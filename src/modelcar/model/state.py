"""The states of layers without attention, by vLLM 0.33.0's `MambaStateShapeCalculator` and its model classes.

A state has the type of the model (16 bits), but for those that a model keeps in float32.
"""

from __future__ import annotations

from modelcar.model.defaults import Defaults
from modelcar.model.fields import Fields
from modelcar.model.layers import StateArray, StateLayer

_WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2, "auto": 2, "": 2}
_COPIES_MAMBA2 = 3
"""One more than others: it saves a checkpoint within a prefill (vLLM, `mamba_mixer2.py`)."""

_MAMBA1 = {"mamba", "falcon_mamba", "jamba"}
_MAMBA2 = {"mamba2", "bamba", "granitemoehybrid", "falcon_h1", "nemotron_h", "zamba2"}
_GATED_DELTA = {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}


def state_layer(fields: Fields, model_type: str, defaults: Defaults) -> StateLayer | None:
    """What a state layer of such a model keeps; None for types that aren't known."""
    if model_type in _MAMBA1:
        return _mamba1(fields, model_type, defaults)
    if model_type in _MAMBA2:
        return _mamba2(fields, model_type, defaults)
    if model_type in _GATED_DELTA:
        return _gated_delta(fields, model_type)
    if model_type == "kimi_linear":
        return _delta(fields)
    if model_type in ("minimax", "minimax_text_01"):
        return _lightning(fields, defaults)
    if model_type in ("lfm2", "lfm2_moe"):
        return _convolution(fields, defaults)
    return None


def _hidden(fields: Fields, defaults: Defaults) -> int:
    return fields.number("hidden_size", "d_model", default=defaults.hidden)


def _expanded(fields: Fields, defaults: Defaults) -> int:
    return int(fields.ratio("mamba_expand", "expand", default=2) * _hidden(fields, defaults))


def _mamba1(fields: Fields, model_type: str, defaults: Defaults) -> StateLayer:
    """Convolution and state of each channel. Falcon Mamba's `expand` isn't what its tensors have."""
    inner = _expanded(fields, defaults)
    if model_type != "jamba":
        inner = fields.number("intermediate_size", default=inner)
    kernel = fields.number("mamba_d_conv", "conv_kernel", default=4)
    size = fields.number("mamba_d_state", "state_size", default=16)
    return StateLayer("mamba1", (StateArray(inner, max(kernel - 1, 0), 2), StateArray(inner, size, 2)))


def _mamba2(fields: Fields, model_type: str, defaults: Defaults) -> StateLayer:
    """A convolution over x, B and C, the last two by groups; a state of heads × head × state size."""
    nemotron = model_type == "nemotron_h"
    default_state = {"nemotron_h": 128, "mamba2": 128, "zamba2": 64}.get(model_type, 256)
    default_groups = {"nemotron_h": 8, "mamba2": 8}.get(model_type, 1)
    count = fields.number("mamba_num_heads", "mamba_n_heads", "n_mamba_heads", "num_heads", default=128)
    stated = fields.values.get("mamba_d_head", fields.values.get("mamba_headdim"))
    size = 0 if stated == "auto" else fields.number("mamba_head_dim", "mamba_d_head", "mamba_headdim", "mamba_hd")
    if model_type == "mamba2":
        size = fields.number("head_dim", default=64)
    elif not size and stated != "auto" and nemotron:
        size = 64
    inner = _expanded(fields, defaults)
    size = size or (inner // count if count else 0)
    if nemotron:
        inner = count * size
    elif model_type == "falcon_h1":
        inner = fields.number("mamba_d_ssm", default=0 if fields.has("mamba_d_ssm") else 1024) or inner
    state = fields.number("ssm_state_size", "mamba_d_state", "state_size", default=default_state)
    groups = fields.number("n_groups", "mamba_n_groups", "mamba_ngroups", default=default_groups)
    kernel = fields.number("conv_kernel", "mamba_d_conv", default=4)
    word = fields.text("mamba_ssm_cache_dtype")
    width = _WIDTHS.get(word or "float32", 4) if nemotron else 2
    convolution = StateArray(inner, max(kernel - 1, 0), 2, groups=groups, group=2 * state)
    return StateLayer("mamba2", (convolution, StateArray(count, size * state, width)), _COPIES_MAMBA2)


def _gated_delta(fields: Fields, model_type: str) -> StateLayer:
    """The gated delta rule of Qwen3-Next and Qwen 3.5, of which vLLM lets the latter say its state's type."""
    keys = fields.number("linear_num_key_heads", default=16)
    values = fields.number("linear_num_value_heads", default=32)
    key, value = fields.number("linear_key_head_dim", default=128), fields.number("linear_value_head_dim", default=128)
    kernel = fields.number("linear_conv_kernel_dim", default=4)
    width = _WIDTHS.get(fields.text("mamba_ssm_dtype"), 4) if model_type.startswith("qwen3_5") else 2
    convolution = StateArray(key * keys * 2 + value * values, max(kernel - 1, 0), 2)
    return StateLayer("linear attention", (convolution, StateArray(values, value * key, width)))


def _delta(fields: Fields) -> StateLayer:
    """Kimi's delta attention: the recurrent state is float32."""
    linear = fields.inner("linear_attn_config") or fields
    count = linear.number("num_heads", "linear_num_heads", default=32)
    size = (
        linear.number("head_dim", "linear_head_dim", default=128)
        if linear is not fields
        else fields.number("linear_head_dim", default=128)
    )
    kernel = linear.number("short_conv_kernel_size", "linear_conv_kernel_dim", default=4)
    convolution = StateArray(count * size * 3, max(kernel - 1, 0), 2)
    return StateLayer("linear attention", (convolution, StateArray(count, size * size, 4)))


def _lightning(fields: Fields, defaults: Defaults) -> StateLayer:
    """MiniMax's lightning attention."""
    count = fields.number("num_attention_heads", default=defaults.heads)
    size = fields.number("head_dim") or (_hidden(fields, defaults) // count if count else 0)
    return StateLayer("linear attention", (StateArray(count, size * size, 2),))


def _convolution(fields: Fields, defaults: Defaults) -> StateLayer:
    """LFM2's short convolutions."""
    inner = fields.number("conv_dim", default=_hidden(fields, defaults))
    return StateLayer("convolution", (StateArray(inner, max(fields.number("conv_L_cache", default=3) - 1, 0), 2),))

"""How a checkpoint is quantised, and how many weights its packed tensors stand for.

A packed tensor counts as the weights in it. Scales, zero points and other helpers of the decoder count as nothing, and
neither do buffers, which a model computes or adjusts without training them (transformers' `register_buffer`).

The layouts are those of the programs that write them: AutoAWQ, GPTQModel, compressed-tensors, bitsandbytes, TensorRT
Model Optimizer, the MXFP4 of gpt-oss, the FP8 blocks of DeepSeek-V3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelcar.errors import ContentMismatch
from modelcar.model.tensors import Tensor

_INTEGERS = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
_FP8 = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}

_HELPERS = (
    "qzeros", "scales", "g_idx", "scale", "weight_scale", "weight_scale_inv", "weight_scale_2", "scale_inv",
    "weight_zero_point", "weight_shape", "weight_g_idx", "weight_global_scale", "input_global_scale", "input_scale",
    "output_scale", "activation_scale", "act_scale", "k_scale", "v_scale", "q_scale", "prob_scale", "kv_scale",
    "input_zero_point", "output_zero_point", "absmax", "quant_map", "nested_absmax", "nested_quant_map", "SCB",
    "weight_format", "bitmask", "shape", "row_offsets", "meta", "pre_quant_scale", "smooth_factor",
)  # fmt: skip
"""Last parts of the names of tensors that only help to decode others."""

_BUFFERS = (
    "inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", "attn.masked_bias", "position_ids",
    "num_batches_tracked", "running_mean", "running_var", "exp_probs_b.bias", "router.expert_bias",
    "feed_forward.expert_bias",
)  # fmt: skip
"""Last parts of the names of buffers."""

_ROTARY = ("rope_freqs", "rope_factors_long", "rope_factors_short")
"""GGUF keeps the factors of a rotary embedding as weights."""

_UNCOUNTABLE = {"aqlm", "vptq", "quip", "exl2", "exl3", "hqq", "spqr", "higgs", "torchao", "eetq", "bitnet"}
"""Methods whose packed tensors don't say how many weights they hold, or in a layout that we don't know."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """What the weights are stored as, where that isn't plain numbers.

    Attributes:
        method: `awq`, `gptq`, `fp8`, `compressed-tensors`, `bitsandbytes`, `mxfp4`, `modelopt`, `gguf` …
        bits: Of a packed weight, where it is known.
        scheme: The method's own word for its format: `pack-quantized`, `nf4`, `Q4_K_M` …
        kv_cache: True when the checkpoint asks for an FP8 KV cache, which vLLM then uses.
    """

    method: str
    bits: int | None = None
    scheme: str = ""
    kv_cache: bool = False

    def __str__(self) -> str:
        bits = f"{self.bits} bits" if self.bits else ""
        return " ".join(part for part in (self.method, self.scheme, f"({bits})" if bits else "") if part)


def read_quantization(config: Mapping[str, Any], modelopt: Mapping[str, Any] | None = None) -> Quantization | None:
    """What `quantization_config` (or Model Optimizer's `hf_quant_config.json`) says; None where there is none.

    Raises:
        ContentMismatch: It is not what it should be.
    """
    stated = config.get("quantization_config") or config.get("compression_config")
    if stated is None and modelopt:
        stated = {"quant_method": "modelopt", **_object(modelopt.get("quantization"), "quantization")}
    if stated is None:
        return None
    stated = _object(stated, "quantization_config")
    method = str(stated.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in stated else "unknown"))
    if method == "modelopt":
        return _modelopt(stated)
    if method == "compressed-tensors":
        return _compressed(stated)
    if method == "bitsandbytes":
        four = bool(stated.get("load_in_4bit"))
        return Quantization(method, 4 if four else 8, str(stated.get("bnb_4bit_quant_type", "fp4")) if four else "int8")
    bits = stated.get("bits", stated.get("w_bit"))
    if method in ("fp8", "fbgemm_fp8", "mxfp4"):
        bits = {"mxfp4": 4}.get(method, 8)
    return Quantization(method.lower(), _small(bits), str(stated.get("fmt", stated.get("version", ""))))


def _modelopt(stated: Mapping[str, Any]) -> Quantization:
    algorithm = str(stated.get("quant_algo", ""))
    bits = 4 if "4" in algorithm.upper().split("A")[0] else 8
    cache = str(stated.get("kv_cache_quant_algo") or stated.get("kv_cache_scheme") or "")
    return Quantization("modelopt", bits if algorithm else None, algorithm, kv_cache=bool(cache))


def _compressed(stated: Mapping[str, Any]) -> Quantization:
    bits = None
    for group in _object(stated.get("config_groups") or {}, "config_groups").values():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            bits = _small(weights.get("num_bits"))
    return Quantization(
        "compressed-tensors", bits, str(stated.get("format", "")), kv_cache=bool(stated.get("kv_cache_scheme"))
    )


def parameters(tensors: Iterable[Tensor], quantization: Quantization | None, *, tied: bool) -> int | None:
    """The logical weights of a checkpoint; None where its packing doesn't tell.

    Args:
        tensors: All that count for the model: without MTP layers.
        quantization: As the configuration states it. What the tensors show goes before it.
        tied: Whether the output layer is the embedding, so that a copy of it in the file counts once.
    """
    if quantization is not None and quantization.method in _UNCOUNTABLE:
        return None
    by_name = {tensor.name: tensor for tensor in tensors}
    total = 0
    embedding = any(name.endswith(("embed_tokens.weight", "wte.weight", "word_embeddings.weight")) for name in by_name)
    for name, tensor in by_name.items():
        if tied and embedding and name.endswith("lm_head.weight"):
            continue
        total += _weights_in(tensor, by_name, quantization)
    return total


def _weights_in(tensor: Tensor, others: Mapping[str, Tensor], quantization: Quantization | None) -> int:
    """How many weights one tensor stands for."""
    stem, _, last = tensor.name.rpartition(".")
    bits = (quantization.bits if quantization else None) or 4
    if last == "weight" and tensor.dtype not in _INTEGERS and not stem.endswith(_ROTARY):
        return tensor.elements
    if last == "qweight" and tensor.dtype in ("I32", "U32"):
        return tensor.elements * 32 // bits
    if last == "weight_packed":
        sparse = 2 if quantization and quantization.scheme == "marlin-24" else 1
        return tensor.elements * (32 if tensor.dtype in ("I32", "U32") else 8) // bits * sparse
    if last.endswith("_blocks") and tensor.name.removesuffix("_blocks") + "_scales" in others:
        return tensor.elements * 2  # two 4-bit values a byte (OCP MX, gpt-oss)
    if last == "compressed":
        return others[f"{stem}.bitmask"].elements * 8 if f"{stem}.bitmask" in others else tensor.elements
    if _helps(tensor, last, others) or _is_buffer(tensor):
        return 0
    if tensor.dtype in ("U8", "I8") and last not in ("bias",):
        return tensor.elements * (2 if _two_a_byte(tensor, others, quantization) else 1)
    return 0 if tensor.dtype in _INTEGERS else tensor.elements


def _helps(tensor: Tensor, last: str, others: Mapping[str, Tensor]) -> bool:
    """Whether a tensor only helps to decode another one."""
    if last in _HELPERS:
        # `scale` and `shape` are also names of weights: a helper has what it helps beside it.
        stem = tensor.name.rpartition(".")[0]
        beside = ("weight", "qweight", "weight_packed", "compressed")
        return (
            last not in ("scale", "shape", "scales", "meta")
            or any(f"{stem}.{name}" in others for name in beside)
            or (stem in others)
        )
    if last.startswith("bitsandbytes__"):
        return True
    for ending in ("_scales", "_scale_inv", "_scale", "_scale_2", "_zero_point", "_input_scale", "_weight_scale"):
        if last.endswith(ending) and (
            (whole := tensor.name.removesuffix(ending)) in others or f"{whole}_blocks" in others
        ):
            return True
    return False


def _is_buffer(tensor: Tensor) -> bool:
    name = tensor.name
    if name.removesuffix(".weight").endswith(_ROTARY):
        return True
    if name.endswith("e_score_correction_bias"):
        return not name.endswith("moe_statics.e_score_correction_bias")  # a parameter in Ernie 4.5
    if name.endswith(_BUFFERS):
        return True
    return name.endswith("attn.bias") and len(tensor.shape) == 4  # GPT-2's causal mask


def _two_a_byte(tensor: Tensor, others: Mapping[str, Tensor], quantization: Quantization | None) -> bool:
    """Whether a tensor of bytes holds two weights in each."""
    name = tensor.name
    if f"{name}.absmax" in others or f"{name}_scale_2" in others:
        return True  # bitsandbytes with 4 bits; NVFP4
    if tensor.dtype == "I8":
        return False
    if (scale := others.get(f"{name}_scale")) is not None and len(scale.shape) == len(tensor.shape) > 1:
        return tensor.elements * 2 in (scale.elements * 16, scale.elements * 32)  # one for 16 or 32 weights
    return quantization is not None and quantization.bits == 4


def dtypes(tensors: Iterable[Tensor]) -> dict[str, int]:
    """Bytes of each type, most first."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.size
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def quantization_seen(tensors: Iterable[Tensor]) -> Quantization | None:
    """What the tensors themselves show, where no configuration says it."""
    for tensor in tensors:
        last = tensor.name.rpartition(".")[2]
        if last.startswith("bitsandbytes__"):
            return Quantization("bitsandbytes", 4, last.removeprefix("bitsandbytes__"))
        if last == "weight_packed":
            return Quantization("compressed-tensors", 4)
        if last.endswith("_blocks") and tensor.dtype == "U8":
            return Quantization("mxfp4", 4)
        if last == "weight_scale_2":
            return Quantization("modelopt", 4, "NVFP4")
        if last == "qweight":
            return Quantization("gptq or awq", None)
    return Quantization("fp8", 8) if any(tensor.dtype in _FP8 for tensor in tensors) else None


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ContentMismatch(f"config.json: {what} is no object")
    return value


def _small(value: object) -> int | None:
    """A number of bits, where it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 16 else None

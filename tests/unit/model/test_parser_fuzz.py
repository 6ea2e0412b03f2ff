"""Whatever bytes come, the parsers end in a value or a `ModelcarError`, soon and within little memory."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import ModelcarError
from modelcar.model import read_facts
from modelcar.model.config import mistral_config, read_architecture
from modelcar.model.fit import Wish, fit
from modelcar.model.kv import bytes_per_token, plan_cache
from tests.checkpoints import LLAMA, Files, checkpoint, decoder, gguf
from tests.unit.model.test_gguf_headers import META, TENSORS

_MEMORY = 64 * 1024 * 1024

numbers = st.one_of(st.integers(-(2**70), 2**70), st.integers(0, 300), st.floats(), st.booleans(), st.none())
words = st.sampled_from(
    ["full_attention", "sliding_attention", "mamba", "linear_attention", "yarn", "longrope", "auto", ""]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(numbers, words, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)
TYPES = [
    "llama", "qwen2", "gemma2", "gemma3", "gemma3n_text", "gemma4_text", "llama4", "gpt_oss", "deepseek_v3",
    "deepseek_v32",
    "mamba", "mamba2", "jamba", "bamba", "nemotron_h", "granitemoehybrid", "falcon_h1", "zamba2", "qwen3_next",
    "kimi_linear", "minimax", "lfm2", "falcon", "exaone4", "nemotron-nas", "mimo_v2_flash", "bert", "chatglm", "rwkv6",
]  # fmt: skip
NAMES = [
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "sliding_window",
    "layer_types", "layers_block_type", "rope_scaling", "rope_parameters", "max_position_embeddings", "text_config",
    "quantization_config", "kv_lora_rank", "qk_rope_head_dim", "hybrid_override_pattern", "attn_layer_indices",
    "attn_layer_period", "mamba_n_heads", "mamba_d_head", "mamba_expand", "mamba_d_state", "n_groups", "num_heads",
    "no_rope_layers", "attention_chunk_size", "linear_attn_config", "block_configs", "attn_config", "architectures",
    "num_nextn_predict_layers", "num_kv_shared_layers", "sliding_window_pattern", "intermediate_size", "attn_type_list",
    "tie_word_embeddings", "use_sliding_window", "multi_query", "hybrid_layer_pattern", "full_attn_idxs",
    "vision_config",
]  # fmt: skip
configs = st.builds(
    lambda kind, fields: {"model_type": kind, **fields},
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(NAMES), values, max_size=8),
)


def ends_well(files: Files) -> None:
    tracemalloc.start()
    try:
        fit(read_facts(files), Wish(context=4096))
    except ModelcarError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < _MEMORY


@given(configs)
def test_any_configuration(config: dict[str, Any]) -> None:
    ends_well(checkpoint(json.loads(json.dumps(config)), decoder()))


@given(st.binary(max_size=200))
def test_any_bytes_as_configuration(content: bytes) -> None:
    ends_well(Files({"config.json": content}))
    ends_well(Files({"config.json": b"{}", "model.safetensors.index.json": content, "a.safetensors": b""}))
    ends_well(Files({"params.json": content, "tokenizer_config.json": content}))


@given(st.binary(max_size=300), st.integers(0, 2**40))
def test_any_bytes_as_safetensors(content: bytes, more: int) -> None:
    ends_well(Files({"model.safetensors": content}, {"model.safetensors": len(content) + more}))
    header = len(content).to_bytes(8, "little") + content
    ends_well(Files({"model.safetensors": header}, {"model.safetensors": len(header) + more}))


@given(values, values, values)
def test_any_entry_of_a_safetensors_header(dtype: object, shape: object, offsets: object) -> None:
    text = json.dumps({"a.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    content = len(text).to_bytes(8, "little") + text + bytes(64)
    ends_well(Files({"model.safetensors": content, "config.json": json.dumps(LLAMA).encode()}))


@given(st.binary(max_size=300), st.integers(0, 2**40))
def test_any_bytes_as_gguf(content: bytes, more: int) -> None:
    for start in (content, b"GGUF\3\0\0\0" + content):
        ends_well(Files({"m.gguf": start}, {"m.gguf": len(start) + more}))


@given(st.data())
def test_a_damaged_gguf(data: st.DataObject) -> None:
    content = bytearray(gguf({**META, "a": ["x", "y"], "b": [1, 2], "c": True, "d": 0.5}, TENSORS) + bytes(59_000))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    size = data.draw(st.integers(0, len(content)))
    ends_well(Files({"m.gguf": bytes(content[:size])}, {"m.gguf": data.draw(st.sampled_from([size, len(content)]))}))


@given(configs, st.integers(1, 2**40), st.integers(1, 2**20), st.sampled_from([1, 2, 3, 8, 64]))
def test_any_plan_of_a_cache(config: dict[str, Any], tokens: int, in_flight: int, parallel: int) -> None:
    try:
        layers = read_architecture(config).layers or ()
    except ModelcarError:
        return
    plan = plan_cache(layers, 2, parallel)
    assert plan.request_bytes(tokens, in_flight) >= 0
    assert plan.sequences(2**40, tokens, in_flight) >= 0
    assert bytes_per_token(layers) >= 0


@given(st.dictionaries(st.sampled_from(["dim", "n_layers", "n_heads", "moe", "sliding_window", "head_dim"]), values))
def test_any_configuration_of_mistrals_own(params: dict[str, Any]) -> None:
    with contextlib.suppress(ModelcarError):
        read_architecture(mistral_config(params))

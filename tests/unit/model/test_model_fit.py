"""Whether a model fits, on how many GPUs, and what remains."""

from __future__ import annotations

from typing import Any

import pytest

from modelcar.errors import UsageError
from modelcar.model import Facts, read_facts
from modelcar.model.fit import Fit, Wish, fit
from modelcar.model.gpus import GIB, MIB, parse_gpu
from tests.checkpoints import LLAMA, Spec, checkpoint, decoder

BIG = {
    **LLAMA, "hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
    "head_dim": 128, "intermediate_size": 28_672, "vocab_size": 128_256, "max_position_embeddings": 131_072,
}  # fmt: skip
WEIGHTS: list[Spec] = [("model.embed_tokens.weight", "BF16", [35_276_853, 2000])]
"""70.55 B parameters, as Llama 3.1 70B has."""


def big(**fields: Any) -> Facts:
    return read_facts(checkpoint({**BIG, **fields}, WEIGHTS))


def on(gpu: str, count: int = 1, facts: Facts | None = None, **wish: Any) -> Fit:
    return fit(facts or big(), Wish(parse_gpu(gpu), count, **wish))


@pytest.mark.parametrize(
    ("text", "memory", "batched", "sequences"),
    [
        ("H100", 81_559 * MIB, 8192, 1024),
        ("h100-80gb", 81_559 * MIB, 8192, 1024),
        ("NVIDIA H200", 143_771 * MIB, 8192, 1024),
        ("B200", 183_359 * MIB, 16_384, 1024),
        ("MI300X", 196_592 * MIB, 16_384, 1024),
        ("A100", 81_920 * MIB, 2048, 256),
        ("A100-40GB", 40_960 * MIB, 2048, 256),
        ("L40S", 46_068 * MIB, 2048, 256),
        ("T4", 15_360 * MIB, 2048, 256),
        ("24GiB", 24 * GIB, 2048, 256),
        ("24GB", 24 * 10**9, 2048, 256),
        ("80 GiB", 80 * GIB, 8192, 1024),
        ("3g.40gb", 39 * GIB, 2048, 256),
        ("nvidia.com/mig-1g.10gb", int(9.75 * GIB), 2048, 256),
        ("A100-SXM4-80GB MIG 7g.80gb", 78 * GIB, 2048, 256),
    ],
)
def test_gpus_and_what_vllm_sets_for_them(text: str, memory: int, batched: int, sequences: int) -> None:
    gpu = parse_gpu(text)
    assert (gpu.memory, gpu.batched_tokens, gpu.sequences) == (memory, batched, sequences)


@pytest.mark.parametrize("text", ["", "H1000", "24", "0GiB", "-3GiB", "GiB", "x" * 1000])
def test_what_is_no_gpu(text: str) -> None:
    with pytest.raises(UsageError, match="name its memory, as 24GiB, or one of"):
        parse_gpu(text)


def test_the_smallest_number_of_gpus_that_fits() -> None:
    assert on("H100").placement.fits is False
    assert [placement.fits for placement in on("H100", 8).tried] == [False, False, True, True]
    assert on("H100", 8).placement.tensor_parallel == 4
    assert on("H200", 8, cache_dtype="fp8").placement.tensor_parallel == 2


def test_gpus_have_to_divide_the_heads() -> None:
    assert [p.tensor_parallel for p in on("H100", 12).tried] == [1, 2, 4, 8]
    odd = big(num_attention_heads=28, num_key_value_heads=4)
    assert [p.tensor_parallel for p in on("H100", 28, odd).tried] == [1, 2, 4, 28]


def test_what_remains_is_the_longest_that_fits() -> None:
    placement = on("H100", 4).placement
    assert placement.longest == 131_072
    tight = on("H100", 2, context=4096).placement
    assert tight.longest is not None
    assert 0 <= tight.longest < 131_072
    assert on("H100", 4, context=8192, sequences=placement.most or 1).placement.fits
    short = on("L40S", 8, context=32_768, sequences=2).placement
    assert on("L40S", 8, context=short.longest, sequences=2).placement.fits
    assert not on("L40S", 4, context=(short.longest or 0) + 16, sequences=2).placement.fits


def test_more_sequences_than_fit() -> None:
    most = on("H100", 4).placement.most or 0
    assert on("H100", 4, sequences=most).placement.fits
    assert on("H100", 4, sequences=most + 1).placement.tensor_parallel == 4
    assert on("H100", 4, sequences=most + 1).placement.fits is False


def test_each_line_is_explained_and_estimates_say_so() -> None:
    lines = on("H100", 4).placement.lines
    assert [(line.name, line.estimate) for line in lines] == [
        ("weights", False), ("KV cache", False), ("activations", True), ("CUDA graphs", True), ("runtime", True),
    ]  # fmt: skip
    assert all(line.why and line.size for line in lines)
    assert lines[0].size == -(-141_107_412_000 // 4)
    assert lines[1].size == 131_072 * 80 * 2 * 2 * 128 * 2


def test_batched_tokens_follow_the_gpu() -> None:
    """They decide what a layer with a window reserves."""
    gemma = read_facts(checkpoint({"model_type": "gemma2", "num_hidden_layers": 2, "sliding_window": 1024}, []))
    tokens = {gpu: on(gpu, facts=gemma, context=65_536).one_request for gpu in ("B200", "H100", "L4")}
    page, full = 16 * 2 * 4 * 256 * 2, 65_536 // 16
    windows = {"B200": 1023 + 32_768, "H100": 1023 + 16_384, "L4": 1023 + 4096}
    assert tokens == {gpu: (full + -(-length // 16) + 1) * page for gpu, length in windows.items()}
    assert fit(gemma, Wish(context=65_536)).one_request == tokens["H100"]


def test_a_cache_of_eight_bits() -> None:
    assert on("H100", cache_dtype="fp8").one_request == (on("H100").one_request or 0) // 2
    assert on("H100", cache_dtype="fp8").per_token == on("H100").per_token
    asked = big(quantization_config={"quant_method": "fp8", "kv_cache_scheme": {}})
    assert on("H100", facts=asked).placement.lines[1].why.endswith("16 bits")
    scheme = {"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8}}
    cache = on("H100", facts=big(quantization_config=scheme)).placement.lines[1]
    assert cache.why.endswith("fp8, as the checkpoint asks")
    with pytest.raises(UsageError, match="'int3' is no type of a KV cache"):
        on("H100", cache_dtype="int3")


def test_a_context_that_the_model_does_not_have() -> None:
    assert "131,073 tokens are more than the model's 131,072: vLLM refuses that" in on("H100", context=131_073).notes


def test_what_is_not_known_is_not_reckoned() -> None:
    config = {"model_type": "whisper", "is_encoder_decoder": True, "hidden_size": 64}
    whisper = read_facts(checkpoint(config, decoder()))
    result = on("H100", facts=whisper)
    assert (result.per_token, result.one_request, result.placement.fits) == (None, None, None)
    cache = result.placement.lines[1]
    assert (cache.size, cache.why.partition(":")[0]) == (None, "not known")
    huge = read_facts(checkpoint(config, WEIGHTS))
    assert on("H100", facts=huge).placement.fits is False
    bare = read_facts(checkpoint(None, decoder()))
    assert on("H100", facts=bare).placement.lines[1].why == "not known: there is no config.json"


def test_an_encoder_keeps_nothing() -> None:
    result = on("T4", facts=read_facts(checkpoint({"model_type": "bert", "hidden_size": 768}, decoder())))
    assert (result.per_token, result.placement.fits, result.placement.most) == (0, True, None)
    assert result.placement.lines[1].why.startswith("none: an encoder")


def test_without_a_gpu_only_the_need_is_told() -> None:
    result = fit(big(), Wish())
    assert (result.placement.fits, result.placement.budget, result.batched_tokens) == (None, None, 8192)
    assert result.per_token == 80 * 4096
    assert result.one_request == 131_072 * 80 * 4096


def test_states_are_a_line_of_their_own() -> None:
    facts = read_facts(checkpoint({"model_type": "bamba", "num_hidden_layers": 4, "attn_layer_indices": [1]}, []))
    result = fit(facts, Wish(context=4096, sequences=3))
    lines = {line.name: line for line in result.placement.lines}
    assert "3 copies each" in lines["states"].why
    assert (lines["states"].size or 0) + (lines["KV cache"].size or 0) == 3 * (result.one_request or 0)
    alone = fit(read_facts(checkpoint({"model_type": "mamba2", "num_hidden_layers": 4}, [])), Wish())
    assert [line.name for line in alone.placement.lines][:2] == ["weights", "states"]
    assert "one copy" in alone.placement.lines[1].why
    assert alone.state == alone.one_request

"""Whether a model fits onto GPUs, at which tensor parallelism, and what context and how many sequences remain."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelcar.errors import UsageError
from modelcar.model.facts import Facts
from modelcar.model.gpus import Gpu
from modelcar.model.kv import BATCHES_IN_FLIGHT, DEFAULT_BATCHED_TOKENS, CachePlan, bytes_per_token, plan_cache
from modelcar.model.layers import AttentionLayer, StateLayer
from modelcar.model.memory import UTILIZATION, Line, cache_lines, overhead_lines, weight_line

CACHE_WIDTHS = {"bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
"""Bytes of an element of the cache, by vLLM's `--kv-cache-dtype`."""

_DEFAULT_REQUESTS = 1024


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be served, and on what.

    Attributes:
        gpu: None to ask only what is needed.
        count: GPUs at hand.
        context: Tokens of a sequence; None for the model's own length.
        sequences: At a time.
        cache_dtype: vLLM's `--kv-cache-dtype`; `auto` is 16 bits, or FP8 where the checkpoint asks for it.
    """

    gpu: Gpu | None = None
    count: int = 1
    context: int | None = None
    sequences: int = 1
    cache_dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Placement:
    """The model on so many GPUs that share each layer.

    Attributes:
        tensor_parallel: How many.
        lines: What each GPU holds.
        budget: Bytes of each GPU that vLLM uses; None without a GPU.
        fits: Whether it fits; None where that can't be told.
        longest: Tokens of the longest sequence of which as many as wished fit, up to what the model has; None where it
            can't be told.
        most: Sequences of the wished length that fit at a time; None where it can't be told.
    """

    tensor_parallel: int
    lines: tuple[Line, ...]
    budget: int | None
    fits: bool | None
    longest: int | None
    most: int | None

    @property
    def needed(self) -> int:
        """Bytes in all, of what is known."""
        return sum(line.size or 0 for line in self.lines)


@dataclass(frozen=True, slots=True)
class Fit:
    """The answer.

    Attributes:
        wish: What was asked.
        placement: The smallest that fits, else the largest there could be.
        tried: All of them.
        context: Tokens that were reckoned with; None where the model has no cache that we know.
        batched_tokens: Of one forward pass.
        per_token: Bytes of a token's keys and values, 16 bits each, one GPU; None where they aren't known.
        state: Bytes of one copy of a sequence's states, one GPU.
        one_request: Bytes that vLLM wants for one request of `context` tokens on one GPU; None where that isn't known.
        notes: What a reader should know besides.
    """

    wish: Wish
    placement: Placement
    tried: tuple[Placement, ...]
    context: int | None
    batched_tokens: int
    per_token: int | None
    state: int | None
    one_request: int | None
    notes: tuple[str, ...]


def fit(facts: Facts, wish: Wish) -> Fit:
    """Reckon what serving a model takes.

    Raises:
        UsageError: The wish makes no sense: GPUs that can't share the model, a type that isn't one.
    """
    if wish.cache_dtype != "auto" and wish.cache_dtype not in CACHE_WIDTHS:
        raise UsageError(f"{wish.cache_dtype!r} is no type of a KV cache", f"there are auto, {', '.join(CACHE_WIDTHS)}")
    architecture = facts.architecture
    layers = architecture.layers if architecture else None
    batched = wish.gpu.batched_tokens if wish.gpu else DEFAULT_BATCHED_TOKENS
    context = wish.context or (architecture.context if architecture else None)
    in_flight = BATCHES_IN_FLIGHT * batched
    one_request = None
    if layers and context:
        one_request = plan_cache(layers, CACHE_WIDTHS.get(wish.cache_dtype, 2)).request_bytes(context, in_flight)
    tried = tuple(_place(facts, wish, parallel, context) for parallel in _parallelisms(facts, wish))
    chosen = next((placement for placement in tried if placement.fits), tried[-1])
    return Fit(
        wish=wish,
        placement=chosen,
        tried=tried,
        context=context if layers else None,
        batched_tokens=batched,
        per_token=None if layers is None else bytes_per_token(layers),
        state=None if layers is None else sum(layer.size() for layer in layers if isinstance(layer, StateLayer)),
        one_request=one_request,
        notes=tuple(_notes(facts, context)),
    )


def wants_half(facts: Facts, gpu: Gpu) -> bool:
    """Whether the weights are bfloat16 on a GPU known to lack it, where vLLM wants `--dtype=half`."""
    return not gpu.has_bfloat16 and "BF16" in facts.dtypes


def longer_than_the_model(facts: Facts, context: int | None) -> str:
    """That a context is more than the model has (vLLM's `_get_and_verify_max_len`); empty where it isn't."""
    own = facts.architecture.context if facts.architecture else None
    if not own or not context or context <= own:
        return ""
    return f"{context:,} tokens are more than the model's {own:,}: vLLM refuses that"


def _parallelisms(facts: Facts, wish: Wish) -> list[int]:
    """The numbers of GPUs that can share each layer: they divide its heads, and KV heads are divided or copied whole.

    Raises:
        UsageError: There is none.
    """
    architecture = facts.architecture
    layers = (architecture.layers if architecture else None) or ()
    heads = architecture.heads if architecture else 0
    divided = [heads] if heads else []
    divided += [array.split for layer in layers if isinstance(layer, StateLayer) for array in layer.arrays[-1:]]
    copied = [layer.kv_heads for layer in layers if isinstance(layer, AttentionLayer) and layer.kind in _DIVIDED]
    common = math.gcd(*divided) if divided else 0
    found = [
        number
        for number in range(1, wish.count + 1)
        if common % number == 0 and all(kv % number == 0 or number % kv == 0 for kv in set(copied))
    ]
    return found if wish.gpu else found[-1:]


_DIVIDED = {"full", "sliding", "chunked"}


def _place(facts: Facts, wish: Wish, parallel: int, context: int | None) -> Placement:
    """The model on `parallel` GPUs."""
    architecture = facts.architecture
    layers = architecture.layers if architecture else None
    batched = wish.gpu.batched_tokens if wish.gpu else DEFAULT_BATCHED_TOKENS
    requests = wish.gpu.sequences if wish.gpu else _DEFAULT_REQUESTS
    graphs = wish.gpu.graph_tokens if wish.gpu else 512
    dtype, width = _cache_type(facts, wish)
    plan = plan_cache(layers or (), width, parallel)
    fixed = [
        weight_line(facts.weight_bytes, parallel),
        *overhead_lines(architecture, batched, requests, graphs, parallel),
    ]
    in_flight = BATCHES_IN_FLIGHT * batched
    cache: list[Line] = []
    if layers is None:
        why = architecture.unknown if architecture else "there is no config.json"
        cache = [Line("KV cache", None, f"not known: {why}")]
    elif not layers:
        cache = [Line("KV cache", 0, f"none: {architecture.unknown if architecture else ''}")]
    elif context:
        cache = cache_lines(plan, context, wish.sequences, in_flight, dtype)
    lines = (fixed[0], *cache, *fixed[1:])
    if wish.gpu is None:
        return Placement(parallel, lines, None, None, None, None)
    budget = math.ceil(wish.gpu.memory * UTILIZATION)
    available = budget - sum(line.size or 0 for line in fixed)
    unknown = any(line.size is None for line in lines)
    fits: bool = available >= 0
    longest: int | None = None
    most: int | None = None
    if layers:
        fits, longest, most = _room(plan, wish, context, in_flight, available, facts)
    # What is too large without what isn't known is too large with it.
    return Placement(parallel, lines, budget, None if unknown and fits else fits, longest, most)


def _room(
    plan: CachePlan, wish: Wish, context: int | None, in_flight: int, available: int, facts: Facts
) -> tuple[bool, int, int]:
    """Whether the wish fits into what is left, the longest sequences that would, and how many of the wished ones."""
    tokens = context or 1
    most = plan.sequences(available, tokens, in_flight)
    own = facts.architecture.context if facts.architecture and facts.architecture.context else tokens
    longest = plan.longest(available, own, in_flight, wish.sequences)
    return most >= wish.sequences, longest, most


def _cache_type(facts: Facts, wish: Wish) -> tuple[str, int]:
    if wish.cache_dtype != "auto":
        return wish.cache_dtype, CACHE_WIDTHS[wish.cache_dtype]
    if facts.quantization and facts.quantization.kv_cache:
        return "fp8, as the checkpoint asks", 1
    return "16 bits", 2


def _notes(facts: Facts, context: int | None) -> list[str]:
    notes = list(facts.notes)
    if too_long := longer_than_the_model(facts, context):
        notes.append(too_long)
    if facts.mtp_bytes:
        notes.append(
            f"{facts.mtp_bytes:,} B of layers for multi-token prediction are left out: vLLM loads them on request"
        )
    if facts.format == "gguf":
        notes.append("the rules are vLLM's; llama.cpp keeps the same keys and values, in blocks of its own")
    if facts.quantization and facts.quantization.method in ("bitsandbytes", "gguf"):
        notes.append("kernels for this quantisation may unpack a layer at a time, which takes more than stated")
    return notes

"""The memory that serving a model takes on each GPU, line by line, as vLLM 0.33.0 spends it.

Weights and cache follow from the files and vLLM's rules. What a forward pass, CUDA graphs and the runtime take vLLM
measures when it starts; here they are estimates, and say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.model.config import Architecture
from modelcar.model.gpus import GIB, MIB
from modelcar.model.kv import CachePlan
from modelcar.model.layers import StateLayer

UTILIZATION = 0.92
"""vLLM's default for `gpu_memory_utilization` (`config/cache.py`)."""

_ACTIVATION = 2
"""Bytes of an element."""

_LOGIT = 2 + 4 + 4
"""Bytes that the sampler has for a logit: as computed, in float32, and sorted or as probability."""

_GRAPH_OF_A_LAYER = 0.25 * MIB
_RUNTIME = int(0.6 * GIB)
_COMMUNICATION = int(0.5 * GIB)


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the memory of a GPU.

    Attributes:
        name: `weights`, `KV cache`, `states`, `activations`, `CUDA graphs` or `runtime`.
        size: Bytes; None where it isn't known.
        why: What it is made of.
        estimate: Whether it is an estimate.
    """

    name: str
    size: int | None
    why: str
    estimate: bool = False


def weight_line(size: int | None, tensor_parallel: int) -> Line:
    """The weights, as stored."""
    if size is None:
        return Line("weights", None, "not known: the files have none that can be read")
    shared = f", 1/{tensor_parallel} of {size:,} B" if tensor_parallel > 1 else ""
    return Line("weights", -(-size // tensor_parallel), f"the tensors as stored{shared}")


def cache_lines(plan: CachePlan, tokens: int, sequences: int, in_flight: int, dtype: str) -> list[Line]:
    """Keys and values, and states, of so many sequences of so many tokens."""
    blocks = {True: 0, False: 0}
    for group in plan.groups:
        part = CachePlan((group,), plan.block_bytes, plan.only_states)
        blocks[isinstance(group.layer, StateLayer)] += part.request_blocks(tokens, in_flight)
    of = f"{sequences:,} {'sequence' if sequences == 1 else 'sequences'} of {tokens:,} tokens"
    lines = []
    if blocks[False]:
        lines.append(Line("KV cache", blocks[False] * plan.block_bytes * sequences, f"{of}, {dtype}"))
    if blocks[True]:
        copies = next(group.layer.copies for group in plan.groups if isinstance(group.layer, StateLayer))
        copied = "one copy" if plan.only_states else f"{copies} copies each, for prefix caching"
        size = blocks[True] * plan.block_bytes * sequences
        lines.append(Line("states", size, f"of state-space layers, whatever the length; {copied}"))
    return lines


def overhead_lines(
    architecture: Architecture | None, batched: int, requests: int, graph_tokens: int, tensor_parallel: int
) -> list[Line]:
    """What vLLM measures at its start, estimated.

    Args:
        architecture: The model; without it little can be said.
        batched: Tokens of one forward pass, `max_num_batched_tokens`.
        requests: Sequences at a time, `max_num_seqs`.
        graph_tokens: The largest batch with a CUDA graph.
        tensor_parallel: GPUs that share each layer.
    """
    runtime = _RUNTIME + (_COMMUNICATION if tensor_parallel > 1 else 0)
    kinds = "CUDA context and libraries" + (", NCCL's buffers" if tensor_parallel > 1 else "")
    lines = [Line("runtime", runtime, kinds, estimate=True)]
    if architecture is None or not architecture.hidden:
        return [Line("activations", None, "not known without the sizes of the layers"), *lines]
    wide = 4 * architecture.hidden + int(1.5 * architecture.width) // tensor_parallel
    forward = batched * wide * _ACTIVATION
    logits = min(requests, batched) * architecture.vocabulary * _LOGIT
    more = "; the encoder for images or sound comes on top" if architecture.multimodal else ""
    why = f"a forward pass of {batched:,} tokens" if forward >= logits else f"the logits of {requests:,} sequences"
    graphs = int(_captured(min(2 * requests, graph_tokens)) * architecture.depth * _GRAPH_OF_A_LAYER)
    return [
        Line("activations", max(forward, logits), why + more, estimate=True),
        Line("CUDA graphs", graphs, f"of batches up to {min(2 * requests, graph_tokens):,} tokens", estimate=True),
        *lines,
    ]


def _captured(largest: int) -> int:
    """How many batch sizes get a CUDA graph: 1, 2, 4, then every 8 below 256, then every 16 (`config/vllm.py`)."""
    return 3 + min(largest, 248) // 8 + max(0, (largest - 256) // 16 + 1)

"""The KV cache as vLLM 0.33.0 lays it out: pages, groups of layers, blocks of a request.

Rules, with their places in vLLM:

- A page holds one layer's keys and values of 16 tokens (`config/cache.py`, `DEFAULT_BLOCK_SIZE`).
- Beside state layers a page is enlarged, by multiples of 16 tokens, until it holds one state; states are padded to
  it (`platforms/interface.py`, `_align_hybrid_block_size`).
- Layers that need the same token slots are one group. Else page sizes are made equal by larger blocks, layers with
  equal pages are cut into groups as large as the smallest kind, or as the largest where that is less than 1.5 times as
  large, and one block spans the largest group (`v1/core/kv_cache_planning.py`).
- A request takes blocks of each group (`v1/kv_cache_interface.py`), as `_blocks` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from modelcar.model.layers import AttentionLayer, CacheLayer, StateLayer

VLLM = "0.33.0"
"""The version whose rules these are."""

BLOCK = 16
"""Tokens."""

DEFAULT_BATCHED_TOKENS = 8192
BATCHES_IN_FLIGHT = 2
"""With async scheduling, vLLM's default (`config/vllm.py`, `max_in_flight_tokens`)."""

_ENOUGH_ALIKE = 1.5


@dataclass(frozen=True, slots=True)
class Group:
    """Layers that share a table of blocks.

    Attributes:
        layer: One of them.
        layers: How many.
        block: Tokens of a block.
    """

    layer: CacheLayer
    layers: int
    block: int


@dataclass(frozen=True)
class CachePlan:
    """How the cache of one GPU is divided.

    Attributes:
        groups: Groups of layers.
        block_bytes: Bytes of one block of the pool, which any group may take.
        only_states: True where no layer has attention: then prefix caching is off, and a sequence has one state.
    """

    groups: tuple[Group, ...]
    block_bytes: int
    only_states: bool = False

    def request_blocks(self, tokens: int, in_flight: int) -> int:
        """Blocks that vLLM wants for one request of up to `tokens` tokens.

        Args:
            tokens: vLLM's `max_model_len`.
            in_flight: Tokens that may be scheduled and not finished yet, `max_in_flight_tokens`.
        """
        return sum(self._blocks(group, tokens, in_flight) for group in self.groups)

    def request_bytes(self, tokens: int, in_flight: int) -> int:
        """The same in bytes."""
        return self.request_blocks(tokens, in_flight) * self.block_bytes

    def _blocks(self, group: Group, tokens: int, in_flight: int) -> int:
        layer = group.layer
        if isinstance(layer, StateLayer):
            return 1 if self.only_states else layer.copies
        if layer.kind == "sliding":
            return _divide(min(layer.window - 1 + in_flight, tokens), group.block) + 1
        if layer.kind == "chunked":
            return _divide(min(layer.window + in_flight, tokens), group.block)
        return _divide(tokens, group.block)

    def sequences(self, available: int, tokens: int, in_flight: int) -> int:
        """How many requests of `tokens` tokens fit into so many bytes at a time; one block is always kept back."""
        wanted = self.request_blocks(tokens, in_flight)
        if not wanted or not self.block_bytes:
            return 0
        return max(0, available // self.block_bytes - 1) // wanted

    def longest(self, available: int, most: int, in_flight: int, sequences: int = 1) -> int:
        """The longest request, up to `most` tokens, of which `sequences` fit into so many bytes; 0 where none does."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.sequences(available, middle, in_flight) >= sequences:
                low = middle
            else:
                high = middle - 1
        return low


@dataclass(frozen=True)
class _Spec:
    """A layer with its page: what vLLM compares to tell which layers are alike."""

    layer: CacheLayer
    block: int
    page: int

    @cached_property
    def slots(self) -> tuple[str, int]:
        """Layers with the same one need the same token slots, whatever their sizes."""
        if isinstance(self.layer, StateLayer):
            return (self.layer.kind, 0)
        kind = "full" if self.layer.kind in ("mla", "indexer") else self.layer.kind
        return (kind, self.layer.window)


def bytes_per_token(layers: Sequence[CacheLayer], width: int = 2, tensor_parallel: int = 1) -> int:
    """Keys and values of one token in all attention layers, as if none had a window."""
    return sum(layer.bytes_per_token(width, tensor_parallel) for layer in layers if isinstance(layer, AttentionLayer))


def plan_cache(layers: Sequence[CacheLayer], width: int = 2, tensor_parallel: int = 1) -> CachePlan:
    """How vLLM divides the cache of one GPU.

    Args:
        layers: In the model's order.
        width: Bytes of an element of keys and values.
        tensor_parallel: GPUs that share each layer.
    """
    specs = _specs(layers, width, tensor_parallel)
    if not specs:
        return CachePlan((), 0)
    only_states = all(isinstance(spec.layer, StateLayer) for spec in specs)
    if len({spec.slots for spec in specs}) == 1:
        return CachePlan((_whole(specs),), sum(spec.page for spec in specs), only_states)
    unified = _unify(specs)
    if unified is None:
        full = [replace(spec, layer=_as_full(spec.layer)) for spec in specs]
        return CachePlan((_whole(full),), sum(spec.page for spec in full))
    return _grouped(unified, only_states)


def _specs(layers: Sequence[CacheLayer], width: int, tensor_parallel: int) -> list[_Spec]:
    """Each layer with its page, enlarged to hold a state where there are some."""
    tokens = [layer.bytes_per_token(width, tensor_parallel) for layer in layers if isinstance(layer, AttentionLayer)]
    states = [layer.size(tensor_parallel) for layer in layers if isinstance(layer, StateLayer)]
    block = BLOCK
    if tokens and states:
        block = BLOCK * max(1, _divide(max(states), BLOCK * max(tokens)))
    specs = []
    for layer in layers:
        if isinstance(layer, StateLayer):
            page = block * max(tokens) if tokens else layer.size(tensor_parallel)
        else:
            page = block * layer.bytes_per_token(width, tensor_parallel)
        specs.append(_Spec(layer, block, page))
    return specs


def _unify(specs: list[_Spec]) -> list[_Spec] | None:
    """The same pages for all, by larger blocks; None where they don't divide each other and all may be full ones."""
    largest = max(spec.page for spec in specs)
    if any(largest % spec.page for spec in specs if isinstance(spec.layer, AttentionLayer)):
        return None if all(isinstance(spec.layer, AttentionLayer) for spec in specs) else specs
    return [
        replace(spec, page=largest)
        if isinstance(spec.layer, StateLayer)
        else replace(spec, page=largest, block=spec.block * (largest // spec.page))
        for spec in specs
    ]


def _grouped(specs: list[_Spec], only_states: bool) -> CachePlan:
    """Groups of equal pages. Groups that have fewer layers than the largest leave part of their blocks empty."""
    alike: dict[tuple[CacheLayer, int], int] = {}
    for spec in specs:
        alike[spec.layer, spec.block] = alike.get((spec.layer, spec.block), 0) + 1
    smallest, largest = min(alike.values()), max(alike.values())
    size = largest if largest < smallest * _ENOUGH_ALIKE else smallest
    groups: list[Group] = []
    for (layer, block), count in alike.items():
        parts = _divide(count, size)
        groups += [Group(layer, len(range(part, count, parts)), block) for part in range(parts)]
    page = max(spec.page for spec in specs)
    return CachePlan(tuple(groups), max(group.layers for group in groups) * page, only_states)


def _whole(specs: list[_Spec]) -> Group:
    return Group(specs[0].layer, len(specs), specs[0].block)


def _as_full(layer: CacheLayer) -> CacheLayer:
    return replace(layer, kind="full", window=0) if isinstance(layer, AttentionLayer) else layer


def _divide(number: int, by: int) -> int:
    """Rounded up."""
    return -(-number // by)

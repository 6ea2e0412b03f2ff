"""What each layer of a model keeps for a sequence while it is served: keys and values, or a state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """A layer with keys and values of every token that it may still look at.

    Attributes:
        kind: `full`, `sliding` (the last `window` tokens), `chunked` (chunks of `window` tokens), `mla` (one latent
            vector for all heads) or `indexer` (what picks the tokens of sparse attention).
        kv_heads: Of the whole model; 1 for `mla`.
        key_size: Elements of one head's key.
        value_size: Elements of one head's value; 0 for `mla`, where the latent serves as both.
        window: Tokens.
        fixed: Bytes a token whatever the cache's type, for what isn't kept in that.
    """

    kind: str
    kv_heads: int
    key_size: int
    value_size: int
    window: int = 0
    fixed: int = 0

    def bytes_per_token(self, width: int, tensor_parallel: int = 1) -> int:
        """Bytes on each GPU. Heads are divided, but each GPU has one at least; a latent is on every GPU whole."""
        if self.fixed:
            return self.fixed
        return max(1, self.kv_heads // tensor_parallel) * (self.key_size + self.value_size) * width


@dataclass(frozen=True, slots=True)
class StateArray:
    """One array of a layer's state (vLLM, `MambaStateShapeCalculator`).

    Attributes:
        split: Elements along the dimension that tensor parallelism divides.
        rest: Product of the other dimensions.
        width: Bytes of an element.
        groups: Groups in that dimension besides `split`, each GPU having one at least, as Mamba-2's B and C.
        group: Elements of each.
    """

    split: int
    rest: int
    width: int
    groups: int = 0
    group: int = 0

    def size(self, tensor_parallel: int = 1) -> int:
        """Bytes on each GPU."""
        groups = self.groups
        if groups % tensor_parallel:
            groups = max(groups, tensor_parallel)
        return -(-(self.split + groups * self.group) // tensor_parallel) * self.rest * self.width


@dataclass(frozen=True, slots=True)
class StateLayer:
    """A layer with a state of fixed size for each sequence, however long that is.

    Attributes:
        kind: `mamba1`, `mamba2`, `linear attention` or `convolution`.
        arrays: What the state is made of.
        copies: Copies that vLLM reserves for a sequence while prefix caching is on.
    """

    kind: str
    arrays: tuple[StateArray, ...]
    copies: int = 2

    def size(self, tensor_parallel: int = 1) -> int:
        """Bytes of one copy on each GPU."""
        return sum(array.size(tensor_parallel) for array in self.arrays)


CacheLayer = AttentionLayer | StateLayer

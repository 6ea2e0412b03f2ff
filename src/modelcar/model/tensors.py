"""Tensors as a checkpoint lists them: name, type and shape, never their values."""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.errors import ContentMismatch

MAX_ELEMENTS = 2**62
"""Elements of one tensor: more is no model, but a header that lies."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a checkpoint.

    Attributes:
        name: As the checkpoint has it.
        dtype: In safetensors' words (`BF16`, `F8_E4M3`, `I32`), or GGML's (`Q4_K`).
        shape: Outermost dimension first.
        size: Bytes as stored.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int

    @property
    def elements(self) -> int:
        """How many values it holds, as stored."""
        return product(self.shape, self.name)


def product(shape: tuple[int, ...] | list[int], what: str) -> int:
    """The elements of a shape.

    Raises:
        ContentMismatch: There can't be so many.
    """
    if 0 in shape:
        return 0
    elements = 1
    for length in shape:
        elements *= length
        if elements > MAX_ELEMENTS or length < 0:
            raise ContentMismatch(f"the tensor {what[:200]!r} can't have the shape {list(shape[:8])}")
    return elements

"""Quantities, as Kubernetes writes memory and processors (k8s.io/apimachinery, pkg/api/resource, `Quantity`)."""

from __future__ import annotations

import re
from decimal import Decimal

from modelcar.errors import UsageError

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?")
_SUFFIX = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}  # fmt: skip


def parse_quantity(text: str, what: str) -> Decimal:
    """The value of a quantity: bytes of memory, or processors.

    Args:
        text: `4Gi`, `500m`, `2`, `1e3`.
        what: The option or field it stands in, for the error.

    Raises:
        UsageError: It is none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"{what}: {text!r} is no quantity", "write it as 4Gi, 500m or 2")
    value = Decimal(found[1])
    if found[2]:
        return value * _SUFFIX[found[2]]
    return value.scaleb(int(found[3])) if found[3] else value


def is_quantity(text: str) -> bool:
    """Whether Kubernetes reads `text` as a quantity."""
    return _FORM.fullmatch(text) is not None

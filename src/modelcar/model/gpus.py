"""GPUs by name or memory, and what vLLM sets by default for each (`engine/arg_utils.py`, version 0.33.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from modelcar.errors import UsageError

MIB = 1024**2
GIB = 1024**3

_TOTAL_MIB = {
    "T4": 15_360, "V100-16": 16_384, "V100": 32_768, "P100": 16_384, "A2": 15_356, "A10": 23_028, "A10G": 23_028,
    "A16": 15_356, "A30": 24_576, "A40": 46_068, "A100-40": 40_960, "A100": 81_920, "RTX3090": 24_576,
    "RTX4090": 24_564, "RTX5090": 32_607, "RTXA6000": 49_140, "RTX6000ADA": 49_140, "RTXPRO6000": 97_887,
    "L4": 23_034, "L40": 46_068, "L40S": 46_068, "H100": 81_559, "H100NVL": 95_830, "H20": 97_871, "H200": 143_771,
    "GH200": 97_871, "GH200-144": 147_456, "GB10": 122_570, "B100": 183_359, "B200": 183_359, "GB200": 189_471,
    "B300": 275_040, "GB300": 284_208, "MI210": 65_520, "MI250": 65_520, "MI300X": 196_592, "MI325X": 262_128,
    "MI350X": 294_896, "MI355X": 294_896, "GAUDI2": 98_304, "GAUDI3": 131_072,
}  # fmt: skip
"""MiB in all, as nvidia-smi or amd-smi shows them; an MI250 is two GPUs of this size to a program."""

LARGEST = max(_TOTAL_MIB.values()) * MIB
"""Bytes of the largest of them."""

_ALIASES = {
    "A100-80": "A100", "A100-80GB": "A100", "A100-40GB": "A100-40", "A100-SXM4-80GB": "A100",
    "H100-80": "H100", "H100-80GB": "H100", "H100-SXM": "H100", "H100-PCIE": "H100", "H100-94": "H100NVL",
    "H100-NVL": "H100NVL", "H200-141": "H200", "RTX6000-ADA": "RTX6000ADA", "A6000": "RTXA6000",
    "RTX-A6000": "RTXA6000", "A100-PCIE-40GB": "A100-40",
    "RTX-PRO-6000": "RTXPRO6000", "RTX-4090": "RTX4090", "RTX-3090": "RTX3090", "RTX-5090": "RTX5090",
    "V100-32": "V100", "V100-32GB": "V100", "V100-16GB": "V100-16", "TESLA-T4": "T4", "MI300": "MI300X",
}  # fmt: skip
_SLOW = {"A100", "A100-40", "GB10"}
"""For these vLLM keeps its small defaults, whatever memory they have."""

_NO_BFLOAT16 = {"T4", "V100", "V100-16", "P100"}
"""Of compute capability below 8.0, where vLLM refuses bfloat16 (`platforms/cuda.py`, `check_if_supports_dtype`)."""

_BLACKWELL = {"B100", "B200", "GB200", "B300", "GB300"}
_MIG = re.compile(r"(?:.*-)?(?:MIG-)?(\d)G\.(\d+)GB(?:[+.].*)?")
_MIG_USABLE = 0.975
"""What is left of a slice's nominal memory (an H100's 1g.10gb has 9.75 GiB)."""

_MAKER = re.compile(r"^(?:NVIDIA|AMD)-(?:(?:INSTINCT|GEFORCE|TESLA)-)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT])(I?)B?")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU to serve on.

    Attributes:
        name: As people call it.
        memory: Bytes in all.
        batched_tokens: vLLM's default for `max_num_batched_tokens`, for its API server.
        sequences: vLLM's default for `max_num_seqs`.
        graph_tokens: The largest batch that vLLM captures a CUDA graph for.
        has_bfloat16: False for those that are known to lack it.
        is_slice: Whether it is a MIG slice, of which a process uses one only.
    """

    name: str
    memory: int
    batched_tokens: int
    sequences: int
    graph_tokens: int = 512
    has_bfloat16: bool = True
    is_slice: bool = False


def parse_gpu(text: str) -> Gpu:
    """A GPU by its name (`H100`, `A100-40`), as a MIG slice (`3g.40gb`) or as an amount of memory (`24GiB`).

    Raises:
        UsageError: It is none of these.
    """
    typed = text.strip().upper()
    word = _MAKER.sub("", re.sub(r"[\s_]+", "-", typed))
    known = _ALIASES.get(word, word)
    if known in _TOTAL_MIB:
        found = _gpu(text.strip(), _TOTAL_MIB[known] * MIB, slow=known in _SLOW, blackwell=known in _BLACKWELL)
        return replace(found, has_bfloat16=known not in _NO_BFLOAT16)
    if mig := _MIG.fullmatch(word.removeprefix("NVIDIA.COM/")):
        slice_ = _gpu(f"MIG {mig[1]}g.{mig[2]}gb", int(int(mig[2]) * GIB * _MIG_USABLE), slow=word.startswith("A100"))
        return replace(slice_, is_slice=True)
    if (size := _SIZE.fullmatch(typed)) and float(size[1]) > 0:
        unit = (1024 if size[3] else 1000) ** ("MGT".index(size[2]) + 2)
        return _gpu(text.strip(), int(float(size[1]) * unit))
    raise UsageError(
        f"--gpu {text[:40]!r} is no GPU that modelcar knows",
        f"name its memory, as 24GiB, or one of {', '.join(sorted(_TOTAL_MIB))}, or a MIG slice, as 3g.40gb",
    )


def _gpu(name: str, memory: int, *, slow: bool = False, blackwell: bool = False) -> Gpu:
    if memory >= 160 * GIB:
        batched, sequences = 16_384, 1024
    elif memory >= 70 * GIB and not slow:
        batched, sequences = 8192, 1024
    else:
        batched, sequences = 2048, 256
    return Gpu(name, memory, batched, sequences, 1024 if blackwell else 512)

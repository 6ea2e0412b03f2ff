"""What a model is: its facts, read from headers and configuration, and the memory that serving it takes."""

from __future__ import annotations

from modelcar.model.config import Architecture
from modelcar.model.facts import Facts, estimate_facts, read_facts
from modelcar.model.files import ModelFiles
from modelcar.model.quantization import Quantization
from modelcar.model.tensors import Tensor

__all__ = ["Architecture", "Facts", "ModelFiles", "Quantization", "Tensor", "estimate_facts", "read_facts"]

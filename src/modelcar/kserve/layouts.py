"""Which runtime serves a model, and under which format KServe knows it, by the model's files and facts.

Formats are those of the runtimes that OpenShift AI and KServe ship (KSERVE.md 3); a layout is the model server's own:
OpenVINO Model Server ("Preparing a model repository": a folder for each version), MLServer's model-settings.json and
well-known names, Triton's model repository (config.pbtxt).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from modelcar.model import Facts

VLLM = "vLLM"

_VERSION = re.compile(r"[1-9]\d*/(?P<rest>.+)")
_NOT_GENERATED = re.compile(
    r"For(?:Image|Video|Audio|Object|Semantic|Instance|Universal|Depth|Masked(?:Image)|ZeroShot|CTC|XVector|"
    r"Question|MultipleChoice|NextSentence|PreTraining)\w*$"
)
"""Classes of transformers that vLLM has nothing for: their answers are neither text nor a vector or class of it."""


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a model.

    Attributes:
        runtime: `vllm`, `openvino`, `mlserver`, `triton`, or empty where nothing that is shipped does.
        format: KServe's name of the model's format, `onnx:1` with its version; empty where there is none.
        reason: Why.
        hint: What to know besides, or to do; empty where there is nothing.
        is_unserved: Whether what was seen is nothing for vLLM. Weights without a configuration may be.
    """

    runtime: str
    format: str
    reason: str
    hint: str = ""
    is_unserved: bool = False


def served(facts: Facts | None, paths: Collection[str]) -> Served:
    """What serves a model.

    Args:
        facts: Of the model, None where none could be read.
        paths: All of its files, from `/models` on.
    """
    if facts is not None and (found := _by_facts(facts, paths)):
        return found
    return _triton(paths) or _openvino(paths) or _mlserver(paths) or _nothing(facts, paths)


def _by_facts(facts: Facts, paths: Collection[str]) -> Served | None:
    name = facts.architecture.name if facts.architecture else ""
    if facts.format == "gguf":
        return Served(
            "",
            "",
            "the weights are GGUF, which no runtime that is shipped serves",
            "llama.cpp's server does: give its ServingRuntime with --runtime-file. vLLM's own reading of GGUF is an "
            "experiment: it wants one file, named by --model=/mnt/models/FILE.gguf, and the tokenizer of the original",
            is_unserved=True,
        )
    if "model_index.json" in paths:
        return Served("", "", "it is a diffusion pipeline, which no runtime that is shipped serves", _OTHER, True)
    if facts.format not in ("safetensors", "pickle"):
        return None
    if _NOT_GENERATED.search(name):
        return Served("", "", f"vLLM has nothing for {name}", _OTHER, is_unserved=True)
    if not facts.architecture:
        return None
    kinds = {"safetensors": "safetensors", "pickle": "PyTorch's pickles"}[facts.format]
    return Served("vllm", VLLM, f"{name or facts.architecture.model_type or 'a transformer'}, as {kinds}")


_OTHER = "give a ServingRuntime that does with --runtime-file, and --model-format"


def _triton(paths: Collection[str]) -> Served | None:
    settings = sorted(path for path in paths if path.rpartition("/")[2] == "config.pbtxt")
    if not settings:
        return None
    if settings[0].count("/") == 0:
        hint = "Triton takes a folder of models: put all of it into a folder named like the model"
        return Served("triton", "triton:2", "there is Triton's config.pbtxt", hint)
    return Served("triton", "triton:2", f"there is Triton's {settings[0]}")


def _openvino(paths: Collection[str]) -> Served | None:
    """A folder for each version; without one the server finds no model."""
    versioned = {found["rest"] for path in paths if (found := _VERSION.fullmatch(path))}
    for inside, ending, known, what in (
        (versioned, ".xml", "openvino_ir:opset13", "OpenVINO's IR"),
        (versioned, ".onnx", "onnx:1", "ONNX"),
        (versioned, "saved_model.pb", "tensorflow:2", "a SavedModel of TensorFlow"),
        (versioned, ".pdmodel", "paddle:2", "a model of PaddlePaddle"),
    ):
        if any(path.endswith(ending) for path in inside):
            return Served("openvino", known, f"{what}, in a folder for its version")
    xml = [path for path in paths if path.endswith(".xml")]
    if any(path.removesuffix(".xml") + ".bin" in paths for path in xml):
        hint = "OpenVINO Model Server wants a folder for each version: put the model into /models/1"
        return Served("openvino", "openvino_ir:opset13", "OpenVINO's IR", hint)
    return None


_MLSERVER = {
    "model.joblib": "sklearn", "model.pkl": "sklearn", "model.pickle": "sklearn", "model.bst": "xgboost",
    "model.ubj": "xgboost", "model.lgb": "lightgbm", "MLmodel": "mlflow", "model.onnx": "onnx",
}  # fmt: skip


def _mlserver(paths: Collection[str]) -> Served | None:
    top = {path.partition("/")[2] or path if path.count("/") == 1 else path for path in paths}
    for name, known in _MLSERVER.items():
        if name in top:
            return Served("mlserver", known, f"there is {name}, which MLServer reads")
    if "model-settings.json" in top:
        hint = "say which format it has: --model-format sklearn, xgboost, lightgbm or onnx"
        return Served("mlserver", "", "there is MLServer's model-settings.json", hint, is_unserved=True)
    return None


def _nothing(facts: Facts | None, paths: Collection[str]) -> Served:
    if facts is not None and facts.format == "" and any("adapter" in note for note in facts.notes):
        hint = "serve that model with vLLM, --enable-lora and --lora-modules"
        return Served("", "", "it is an adapter for another model", hint, is_unserved=True)
    has_none = not facts.format if facts else not any(_is_of_transformer(path) for path in paths)
    if paths and has_none:
        return Served("", "", "there are no weights that we know", "say what serves it: --runtime", is_unserved=True)
    return Served("", "", "what serves it can't be told from its files", "say it: --model-format and --runtime")


def _is_of_transformer(path: str) -> bool:
    """Whether a file is a sign of a model that vLLM may serve, though its facts can't be read."""
    return path.rpartition("/")[2] == "config.json" or path.endswith((".safetensors", ".gguf"))

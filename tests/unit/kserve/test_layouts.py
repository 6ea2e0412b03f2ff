"""What serves a model, by its files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelcar.kserve.layouts import served
from modelcar.model import read_facts
from tests.checkpoints import LLAMA, Files, checkpoint, decoder


@pytest.mark.parametrize(
    ("paths", "runtime", "known"),
    [
        (("1/model.xml", "1/model.bin"), "openvino", "openvino_ir:opset13"),
        (("2/model.onnx", "1/model.onnx"), "openvino", "onnx:1"),
        (("1/saved_model.pb", "1/variables/variables.index"), "openvino", "tensorflow:2"),
        (("1/inference.pdmodel", "1/inference.pdiparams"), "openvino", "paddle:2"),
        (("model.joblib", "model-settings.json"), "mlserver", "sklearn"),
        (("iris/model.pkl",), "mlserver", "sklearn"),
        (("model.bst",), "mlserver", "xgboost"),
        (("model.lgb",), "mlserver", "lightgbm"),
        (("MLmodel", "model/data"), "mlserver", "mlflow"),
        (("model.onnx", "model-settings.json"), "mlserver", "onnx"),
        (("densenet/config.pbtxt", "densenet/1/model.onnx"), "triton", "triton:2"),
        (("notes.txt",), "", ""),
        (("0/net.onnx", "v1/net.xml"), "", ""),
        ((), "", ""),
    ],
)
def test_layouts(paths: tuple[str, ...], runtime: str, known: str) -> None:
    found = served(None, paths)
    assert (found.runtime, found.format) == (runtime, known)
    assert found.reason


def test_what_is_in_the_wrong_place_is_said() -> None:
    assert "put the model into /models/1" in served(None, ("model.xml", "model.bin")).hint
    assert "a folder named like the model" in served(None, ("config.pbtxt", "1/model.plan")).hint
    assert "--model-format" in served(None, ("model-settings.json",)).hint


def of(files: Files) -> Any:
    found = served(read_facts(files), tuple(files.sizes))
    return found.runtime, found.format


@pytest.mark.parametrize(
    "name", ["LlamaForCausalLM", "Qwen2VLForConditionalGeneration", "GPT2LMHeadModel", "BertModel", "XForRewardModel"]
)
def test_vllm_serves_transformers(name: str) -> None:
    assert of(checkpoint({**LLAMA, "architectures": [name]}, decoder())) == ("vllm", "vLLM")
    pickle = Files({"config.json": b'{"architectures": ["%s"]}' % name.encode(), "pytorch_model.bin": b"x"})
    assert of(pickle) == ("vllm", "vLLM")


@pytest.mark.parametrize("name", ["ViTForImageClassification", "Wav2Vec2ForCTC", "DetrForObjectDetection"])
def test_what_vllm_has_nothing_for(name: str) -> None:
    assert of(checkpoint({**LLAMA, "architectures": [name]}, decoder())) == ("", "")


def test_gguf_says_what_can_serve_it() -> None:
    facts = read_facts(checkpoint(LLAMA, decoder()))

    found = served(replace(facts, format="gguf"), ("x.gguf",))
    assert (found.runtime, found.format) == ("", "")
    assert "llama.cpp" in found.hint


def test_an_export_beside_a_configuration_goes_by_its_layout() -> None:
    files = Files({"config.json": b'{"model_type": "bert"}', "1/model.onnx": b"x"})
    assert of(files) == ("openvino", "onnx:1")


def test_pipelines_and_adapters() -> None:
    assert of(Files({"model_index.json": b"{}", "unet/config.json": b"{}"})) == ("", "")
    files = Files({"config.json": b"{}", "adapter_config.json": b"{}"})
    assert "adapter" in served(read_facts(files), tuple(files.sizes)).reason

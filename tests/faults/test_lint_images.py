"""`modelcar lint --images`: what is wrong with an image, told at the line that names it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoints import gguf
from tests.cli import modelcar
from tests.doubles.registry import Refuse, Registry
from tests.faults.test_check import CONFIG, MODEL, SHELL, WEIGHTS
from tests.images import publish
from tests.pushing import REPO, write_login
from tests.unit.image.tars import file, folder, tar
from tests.unit.kserve.lint_examples import runtime, secret, service


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def findings(folder: Path, text: str, *args: str) -> dict[str, dict[str, Any]]:
    """What is found of images, by rule."""
    (folder / "x.yaml").write_text(text)
    done = modelcar("lint", folder / "x.yaml", "--images", "--format", "json", *args)
    assert done.code in (0, 1), done.err
    told = json.loads(done.out)
    listed = told["findings"] if isinstance(told, dict) else told
    ours = ("image-refused", "image-missing", "image-unchecked", "image-doubtful", "image-format")
    return {found["rule"]: found for found in listed if found["rule"] in ours}


def test_a_good_image(registry: Registry, tmp_path: Path) -> None:
    assert findings(tmp_path, service(uri=f"oci://{publish(registry, SHELL, MODEL)}")) == {}


def test_an_image_without_a_shell_at_its_line(registry: Registry, tmp_path: Path) -> None:
    text = service(uri=f"oci://{publish(registry, MODEL)}")
    found = findings(tmp_path, text)["image-refused"]
    assert "there is no sh" in found["message"]
    line = text.splitlines()[found["line"] - 1]
    assert line[found["column"] - 1 :].startswith("oci://")
    assert found["severity"] == "error"


def test_an_entrypoint_takes_the_shell_line(registry: Registry, tmp_path: Path) -> None:
    place = publish(registry, SHELL, MODEL, entrypoint=("/usr/bin/serve", "--all"))
    found = findings(tmp_path, service(uri=f"oci://{place}"))["image-refused"]
    assert "the Entrypoint (/usr/bin/serve --all) would take them" in found["message"]
    assert found["fix"] == "build the image without an Entrypoint"
    assert findings(tmp_path, service(uri=f"oci+native://{place}")) == {}


def test_an_entrypoint_that_runs_its_arguments_is_let_be(registry: Registry, tmp_path: Path) -> None:
    for number, words in enumerate((("/usr/bin/tini", "--"), ("/bin/link-model-and-wait",))):
        place = publish(registry, SHELL, MODEL, tag=str(number), entrypoint=words)
        assert findings(tmp_path, service(uri=f"oci://{place}")) == {}


def test_a_tag_that_stays_as_it_is_is_looked_at(registry: Registry, tmp_path: Path) -> None:
    place = publish(registry, MODEL, tag="asleep", entrypoint=("/bin/link-model-and-wait",))
    found = findings(tmp_path, service(uri=f"oci://{place}"))["image-refused"]
    assert "waits for ever" in found["message"]
    assert found["fix"].startswith("name it by its digest")


def test_what_check_warns_of_is_a_warning(registry: Registry, tmp_path: Path) -> None:
    below = tar(folder("models"), file("models/one/config.json", CONFIG), file("models/one/model.safetensors", WEIGHTS))
    found = findings(tmp_path, service(uri=f"oci://{publish(registry, SHELL, below, tag='latest')}"))
    assert found.keys() == {"image-doubtful"}
    assert found["image-doubtful"]["severity"] == "warning"
    assert "the model is in /models/one" in found["image-doubtful"]["message"]
    assert "--model=/mnt/models/one" in found["image-doubtful"]["fix"]


def test_weights_that_vllm_doesn_t_serve(registry: Registry, tmp_path: Path) -> None:
    weights = gguf({"general.architecture": "llama"}, [("blk.0.attn_q.weight", [64, 64], 0, 0)]) + bytes(64 * 64 * 4)
    uri = f"oci://{publish(registry, SHELL, tar(file('models/a.gguf', weights)), tag='gguf')}"
    found = findings(tmp_path, service(uri=uri))["image-format"]
    assert found["message"].endswith("the weights are GGUF, and the runtime is vLLM")
    assert "llama.cpp" in found["fix"]
    llama = runtime().replace("quay.io/acme/vllm:1", "ghcr.io/ggml-org/llama.cpp:server")
    assert "image-format" in findings(tmp_path, service(uri=uri) + runtime())
    assert "image-format" not in findings(tmp_path, service(uri=uri) + llama)
    assert "image-format" not in findings(tmp_path, service("args: [--model=/mnt/models/a.gguf],", uri=uri))
    assert "image-format" not in findings(tmp_path, service(uri=uri).replace("vLLM", "gguf"))


def test_the_layout_of_another_server(registry: Registry, tmp_path: Path) -> None:
    onnx = tar(file("models/1/model.onnx", b"x"))
    uri = f"oci://{publish(registry, SHELL, onnx, tag='onnx')}"
    found = findings(tmp_path, service(uri=uri))["image-format"]
    assert found["message"].endswith("ONNX, in a folder for its version, and the runtime is vLLM")
    assert found["fix"] == "take a runtime for openvino, with modelFormat {name: onnx}"
    assert "image-format" not in findings(tmp_path, service(uri=uri).replace("vLLM", "onnx"))


def test_the_mode_is_that_of_the_uri(registry: Registry, tmp_path: Path) -> None:
    assert findings(tmp_path, service(uri=f"oci+native://{publish(registry, MODEL)}")) == {}


def test_no_models_and_another_architecture(registry: Registry, tmp_path: Path) -> None:
    empty = findings(tmp_path, service(uri=f"oci://{publish(registry, SHELL, tag='a')}"))
    assert "no files below /models" in empty["image-refused"]["message"]
    other = findings(tmp_path, service(uri=f"oci://{publish(registry, SHELL, MODEL, tag='b')}"), "--arch", "arm64")
    assert "arm64" in other["image-refused"]["message"]


def test_an_image_that_is_not_there(registry: Registry, tmp_path: Path) -> None:
    write_login(registry.host)
    found = findings(tmp_path, service(uri=f"oci://{registry.host}/{REPO}:1"))
    assert "doesn't exist" in found["image-missing"]["message"]


def test_a_registry_that_refuses_is_a_warning(registry: Registry, tmp_path: Path) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(Refuse(403), path="/manifests/", times=None)
    found = findings(tmp_path, service(uri=f"oci://{place}"))
    assert found["image-unchecked"]["severity"] == "warning"


def test_an_image_is_looked_at_once(registry: Registry, tmp_path: Path) -> None:
    place = publish(registry, MODEL)
    one = service(uri=f"oci://{place}", name="one")
    registry.forget_requests()
    findings(tmp_path, one)
    single = len(registry.requests)
    registry.forget_requests()
    findings(tmp_path, one + "---\n" + service(uri=f"oci://{place}", name="two"))
    assert len(registry.requests) == single


def test_the_image_of_a_connection_is_looked_at(registry: Registry, tmp_path: Path) -> None:
    place = publish(registry, MODEL)
    connected = service(uri="", annotations="{opendatahub.io/connections: c}")
    text = connected + secret(f"{{URI: 'oci://{place}'}}")
    found = findings(tmp_path, text)["image-refused"]
    assert text.splitlines()[found["line"] - 1][found["column"] - 1 :].startswith("'oci://")
    encoded = base64.b64encode(f"oci://{place}".encode()).decode()
    assert "image-refused" in findings(tmp_path, connected + secret("{}", more=f"data: {{URI: {encoded}}}"))


def test_without_the_flag_nobody_is_asked(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(service(uri=f"oci://{publish(registry, MODEL)}"))
    registry.forget_requests()
    modelcar("lint", tmp_path / "x.yaml")
    assert registry.requests == []

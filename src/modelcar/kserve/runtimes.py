"""The ServingRuntime, offline: one that is there, one from a file, one of our own, or the one that KServe ships.

KSERVE.md 3 (the templates and runtimes), 4 (what the form makes of a Template) and 4a (2.x).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcar.errors import Refused, UsageError
from modelcar.kserve.names import names_in
from modelcar.kserve.read import read_documents
from modelcar.kserve.versions import VLLM_RUNTIME, Cluster

NVIDIA = "nvidia.com/gpu"

_REFERENCE = re.compile(r"\$\{\{([A-Za-z0-9_]+)\}\}|\$\{([A-Za-z0-9_]+)\}")
_OPEN = re.compile(r"\$[({]")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The runtime that serves a model.

    Attributes:
        name: Of one that is in the cluster; empty where `spec` is written under the deployment's name.
        spec: A ServingRuntime's `spec`.
        labels: Of the ServingRuntime that it is a copy of.
        annotations: Of it.
        own_name: Its name there.
        template: Name of the Template around it, empty where there was none.
        template_display: The Template's display name.
        template_namespace: Where the Template was.
        api_protocol: What the Template says the runtime speaks.
        shipped: Whether it is one that KServe installs.
    """

    name: str = ""
    spec: dict[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    own_name: str = ""
    template: str = ""
    template_display: str = ""
    template_namespace: str = ""
    api_protocol: str = ""
    shipped: bool = False

    @property
    def formats(self) -> list[tuple[str, str]]:
        """Names and versions of the formats that it says it takes; empty where we don't see them."""
        listed = (self.spec or {}).get("supportedModelFormats") or []
        return [(str(one.get("name", "")), str(one.get("version") or "")) for one in listed]

    @property
    def accelerators(self) -> tuple[str, ...]:
        """The resources that it says it is made for; empty where it doesn't."""
        return names_in(self.annotations.get("opendatahub.io/recommended-accelerators", ""))


def own_runtime(image: str, accelerator: str = NVIDIA) -> Runtime:
    """A vLLM ServingRuntime around an image, as OpenShift AI's own templates have it (KSERVE.md 3).

    Raises:
        UsageError: `image` is no image.
    """
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._:/-]*(@sha256:[0-9a-f]{64})?", image):
        raise UsageError("--runtime-image: that is no image", "write it as HOST/REPOSITORY:TAG")
    spec = {
        "annotations": {
            "opendatahub.io/kserve-runtime": "vllm",
            "prometheus.io/port": "8080",
            "prometheus.io/path": "/metrics",
        },
        "multiModel": False,
        "supportedModelFormats": [{"name": "vLLM", "autoSelect": True}],
        "containers": [
            {
                "name": "kserve-container",
                "image": image,
                "command": ["python", "-m", "vllm.entrypoints.openai.api_server"],
                "args": ["--port=8080", "--model=/mnt/models", "--served-model-name={{.Name}}"],
                "env": [{"name": "HF_HOME", "value": "/tmp/hf_home"}],  # noqa: S108 - a path in a container
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            }
        ],
    }
    annotations = {
        "openshift.io/display-name": "vLLM ServingRuntime for KServe",
        "opendatahub.io/recommended-accelerators": f'["{accelerator}"]',
    }
    return Runtime(spec=spec, annotations=annotations, own_name="vllm-runtime", api_protocol="REST")


def runtime_from_file(path: Path, parameters: Mapping[str, str]) -> Runtime:
    """The runtime in a file: a ServingRuntime, or a Template's first object with its parameters filled in.

    Args:
        path: As `oc get template NAME -o yaml` prints it, or a ServingRuntime.
        parameters: Values for the Template's parameters; its own defaults serve for the others.

    Raises:
        NotFound: There is no such file.
        Refused: A parameter has no value, or the image isn't filled in.
        UsageError: It is something else.
    """
    what = f"--runtime-file {path}"
    documents = read_documents(path, "--runtime-file")
    if not documents or not isinstance(documents[0], dict):
        raise UsageError(f"{what} holds no object", "give a ServingRuntime or a Template")
    outer = found = documents[0]
    if found.get("kind") == "List":
        outer = found = _first(found, "items", what)
    if found.get("kind") == "Template":
        found = _fill_in(_first(found, "objects", what), outer, parameters, what)
    elif parameters:
        raise UsageError(f"--runtime-parameter: {path} holds no Template", "leave it out")
    if found.get("kind") not in ("ServingRuntime", "ClusterServingRuntime"):
        kind = found.get("kind")
        other = f"a {kind}" if isinstance(kind, str) and kind else "no object of Kubernetes"
        raise UsageError(f"{what} holds {other}: it takes a ServingRuntime, or a Template of one")
    return _copied(found, outer if outer is not found and outer.get("kind") == "Template" else {}, what)


def _first(found: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    listed = found.get(key)
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], dict):
        raise UsageError(f"{what}: its {key} holds no object")
    first: dict[str, Any] = listed[0]
    return first


def _fill_in(found: dict[str, Any], template: dict[str, Any], given: Mapping[str, str], what: str) -> dict[str, Any]:
    """An object of a Template with `${X}` and `${{X}}` replaced, as `oc process` does.

    What the Template doesn't declare stays: shell lines in probes use `${…}` too.
    """
    listed = template.get("parameters") or []
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
        raise UsageError(f"{what}: its parameters are no list of names and values")
    declared = {str(one["name"]): one for one in listed}
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise UsageError(f"--runtime-parameter: {what.split()[1]} has no parameter {name}", f"it has {known}")
    missing: set[str] = set()

    def value_of(name: str) -> str | None:
        if name not in declared:
            return None
        if name in given:
            return given[name]
        value = declared[name].get("value")
        if value in (None, "") and (declared[name].get("required") or declared[name].get("generate")):
            missing.add(name)
        return "" if value is None else _as_text(value)

    def text(value: str) -> Any:
        whole = re.fullmatch(r"\$\{\{([A-Za-z0-9_]+)\}\}", value)
        if whole and (filled := value_of(whole[1])) is not None:
            return _typed(filled)
        return _REFERENCE.sub(lambda hit: v if (v := value_of(hit[1] or hit[2])) is not None else hit[0], value)

    filled: dict[str, Any] = _each_text(found, text)
    if missing:
        one = sorted(missing)[0]
        raise Refused(
            f"{what}: its parameters {', '.join(sorted(missing))} have no value", f"add --runtime-parameter {one}=VALUE"
        )
    return filled


def _each_text(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    return value


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", text) else text


def _copied(found: dict[str, Any], template: dict[str, Any], what: str) -> Runtime:
    spec = copy.deepcopy(found.get("spec"))
    if not isinstance(spec, dict) or not spec.get("containers"):
        raise UsageError(f"{what}: its ServingRuntime has no containers")
    _check_lists(spec, ("containers", "volumes", "supportedModelFormats"), what)
    for container in spec["containers"]:
        _check_lists(container, ("volumeMounts",), what)
    for image in _images(spec):
        if _OPEN.search(image):
            raise Refused(
                f"{what}: its image is still {image}",
                "take the Template from the cluster, where the image is filled in: oc get template NAME -o yaml",
            )
    outer = _metadata(template)
    inner = _metadata(found)
    return Runtime(
        spec=spec,
        labels=_texts(inner.get("labels")),
        annotations=_texts(inner.get("annotations")),
        own_name=str(inner.get("name") or ""),
        template=str(outer.get("name") or ""),
        template_display=_texts(outer.get("annotations")).get("openshift.io/display-name", ""),
        template_namespace=str(outer.get("namespace") or ""),
        api_protocol=_texts(outer.get("annotations")).get("opendatahub.io/apiProtocol", ""),
    )


def _check_lists(part: dict[str, Any], keys: tuple[str, ...], what: str) -> None:
    """Check those lists of a spec that are read or added to. One that is null is none."""
    for key in keys:
        if part.get(key) is None:
            part.pop(key, None)
        elif not isinstance(part[key], list) or not all(isinstance(one, dict) for one in part[key]):
            raise UsageError(f"{what}: {key} of its ServingRuntime is no list of objects")


def _images(value: Any) -> Iterator[str]:
    """Each image in a spec: of containers, of those of workers, of volumes."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "image" and isinstance(one, str):
                yield one
            else:
                yield from _images(one)
    elif isinstance(value, list):
        for one in value:
            yield from _images(one)


def _metadata(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _texts(values: Any) -> dict[str, str]:
    """Labels or annotations, without what kubectl left there."""
    pairs = values.items() if isinstance(values, dict) else ()
    return {
        str(key): _as_text(value)
        for key, value in pairs
        if value is not None and not str(key).startswith("kubectl.kubernetes.io/")
    }


_SHIPPED = {
    "sklearn": "kserve-sklearnserver",
    "xgboost": "kserve-xgbserver",
    "lightgbm": "kserve-lgbserver",
    "pmml": "kserve-pmmlserver",
    "paddle": "kserve-paddleserver",
    "mlflow": "kserve-mlserver",
    "openvino": "kserve-openvino",
    "onnx": "kserve-tritonserver",
    "tensorflow": "kserve-tritonserver",
    "tensorrt": "kserve-tritonserver",
    "pytorch": "kserve-tritonserver",
    "triton": "kserve-tritonserver",
    "huggingface": "kserve-huggingfaceserver",
}


def shipped_runtime(model_format: str, cluster: Cluster) -> tuple[Runtime, str]:
    """The cluster runtime of plain KServe for a format, and the format's name there.

    Raises:
        Refused: KServe ships none for it.
    """
    if model_format.lower() == "vllm":
        if cluster.release >= VLLM_RUNTIME:
            return Runtime("kserve-vllmserver", shipped=True), "vLLM"
        return Runtime("kserve-huggingfaceserver", shipped=True), "huggingface"
    name = _SHIPPED.get(model_format.lower())
    if name is None:
        raise Refused(
            f"--model-format: KServe ships no runtime for {model_format}",
            f"name one by --runtime, or take one of vLLM, {', '.join(_SHIPPED)}",
        )
    return Runtime(name, shipped=True), model_format.lower()


_BY_LAYOUT = {
    ("openvino", "openvino_ir"): ("kserve-openvino", "openvino"),
    ("openvino", "onnx"): ("kserve-openvino", "onnx:1"),
    ("openvino", "tensorflow"): ("kserve-openvino", "tensorflow"),
}
"""Where a format has several servers, the layout of the files tells which: its runtime, and the format's name there."""


def shipped_for_layout(server: str, model_format: str) -> tuple[str, str] | None:
    """Runtime and format of plain KServe for files that are laid out for a server; None where the format alone tells.

    Args:
        server: `openvino`, as `kserve.layouts` names it.
        model_format: As OpenShift AI knows it, with its version: `openvino_ir:opset13`.
    """
    return _BY_LAYOUT.get((server, model_format.partition(":")[0]))


def spelled_args(args: tuple[str, ...], runtime: Runtime) -> tuple[str, ...]:
    """Arguments of vLLM in the spelling of the runtime that KServe ships: `--max_model_len` for the older one."""
    if runtime.name != "kserve-huggingfaceserver" or not runtime.shipped:
        return args
    return tuple(re.sub(r"^--[a-z][a-z0-9-]*", lambda hit: "--" + hit[0][2:].replace("-", "_"), one) for one in args)

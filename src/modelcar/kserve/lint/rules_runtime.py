"""Runtimes against what they serve, and Templates."""

from __future__ import annotations

import re
from functools import lru_cache

from modelcar.kserve.lint.document import OTHER, Document, Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.rules_resources import check_container
from modelcar.kserve.lint.service import Service, containers_of
from modelcar.kserve.names import names_in
from modelcar.kserve.scalars import is_true
from modelcar.kserve.versions import VLLM_RUNTIME

_PLACEHOLDER = re.compile(r"\$\([^)]*\)|\$\{[^}]*\}")
_LABEL = re.compile(r"\{\{\s*\.Labels\.([A-Za-z0-9_]+)\s*\}\}")
_PARAMETER = re.compile(r"\$\{\{?\s*([A-Za-z0-9_]+)\s*\}\}?")
_MODEL_CONTAINER = "kserve-container"
_FILLED_IN = "kserve-mlserver"
"""KServe's webhook itself writes the label modelClass for a runtime of this name (`SetMlServerDefaults`)."""

_CLUSTER_FORMATS = {
    "kserve-vllmserver": ("vLLM",),
    "kserve-huggingfaceserver": ("huggingface",),
    "kserve-mlserver": ("sklearn", "xgboost", "lightgbm", "mlflow"),
    "kserve-sklearnserver": ("sklearn",),
    "kserve-xgbserver": ("xgboost",),
    "kserve-lgbserver": ("lightgbm",),
    "kserve-pmmlserver": ("pmml",),
    "kserve-paddleserver": ("paddle",),
    "kserve-predictiveserver": ("sklearn", "xgboost", "lightgbm"),
    "kserve-openvino": ("openvino", "onnx", "tensorflow", "huggingface"),
    "kserve-tritonserver": ("tensorrt", "tensorflow", "onnx", "pytorch", "triton"),
}
"""The formats of KServe's own runtimes (config/runtimes)."""


def check_runtime_of(service: Service, report: Report) -> None:
    """A service's runtime against its format, its labels and its accelerator."""
    model = service.model
    if service.llm or model is None or service.item.patch:
        return
    written = model.at("modelFormat", "name")
    is_model = service.predictor is not None and service.predictor.get("model") is not None
    if is_model and written is None and service.runtime_name is None:
        report.add("runtime-none", model, "neither modelFormat nor runtime is named")
    if service.runtime is not None:
        _disabled(service.runtime, service.runtime_name, report)
        _format(service.runtime, model.get("modelFormat"), report)
        _labels(service, service.runtime, report)
        _accelerator(service, service.runtime, report)
    elif service.runtime_name is not None:
        _cluster_runtime(service, service.runtime_name, written, report)


def _disabled(runtime: Item, named: Node | None, report: Report) -> None:
    disabled = runtime.node.at("spec", "disabled")
    if disabled is not None and disabled.type == "boolean" and is_true(disabled.text) and named is not None:
        report.add("runtime-disabled", named, f"{runtime.kind} {runtime.name} is disabled")


def _format(runtime: Item, model_format: Node | None, report: Report) -> None:
    """KServe compares the name, and where a version is given, both (`RuntimeSupportsModel`)."""
    listed = runtime.node.at("spec", "supportedModelFormats")
    supported = [
        (name.text, element.get("version"))
        for element in (listed.elements() if listed else ())
        if (name := element.get("name")) is not None
    ]
    written, version = (model_format.get("name"), model_format.get("version")) if model_format else (None, None)
    known = list(dict.fromkeys(name for name, _ in supported))
    if written is not None and version is not None and version.string and written.text in known:
        versions = [one.text for name, one in supported if name == written.text and one is not None]
        if version.text not in versions:
            has = f"it has {', '.join(versions)}" if versions else "it names none"
            fix = f"write one of {', '.join(versions)}, or none" if versions else "take the version out"
            message = f"{runtime.kind} {runtime.name} doesn't serve version {version.text!r} of {written.text}: {has}"
            report.add("runtime-format", version, message, fix)
    if written is not None and written.string and known and written.text not in known:
        near = next((name for name in known if name.lower() == written.text.lower()), known[0])
        report.add(
            "runtime-format", written, f"{runtime.kind} {runtime.name} doesn't serve {written.text!r}: it has "
            f"{', '.join(known)}", f"write {near}",
        )  # fmt: skip


def _cluster_runtime(service: Service, runtime: Node, written: Node | None, report: Report) -> None:
    release = service.world.aim.kserve
    if runtime.text == "kserve-vllmserver" and release is not None and release < VLLM_RUNTIME:
        report.add(
            "runtime-version", runtime, f"kserve-vllmserver needs KServe {VLLM_RUNTIME}, and this is for {release}",
            "kserve-huggingfaceserver, with the format huggingface",
        )  # fmt: skip
    known = _CLUSTER_FORMATS.get(runtime.text)
    if known and written is not None and written.string and written.text not in known:
        near = next((name for name in known if name.lower() == written.text.lower()), " or ".join(known))
        message = f"{runtime.text} doesn't serve {written.text!r}: it has {', '.join(known)}"
        report.add("runtime-format", written, message, f"write {near}")


def _labels(service: Service, runtime: Item, report: Report) -> None:
    server = service.runtime_server
    if server is None:
        return
    if runtime.name == _FILLED_IN and service.runtime_name is not None:
        return
    texts = [node.text for node in server.arguments]
    texts += [server.node.document.value(value) for _, value in server.variables.values()]
    wanted = {found for text in texts if "{{" in text for found in _LABEL.findall(text)}
    for name in sorted(wanted):
        if service.item.meta("labels", name) is None:
            message = f"the runtime {runtime.name} uses the label {name}, and {service.item.name} has none"
            report.add("runtime-label", service.item.title, message, f"add the label {name}")


def _accelerator(service: Service, runtime: Item, report: Report) -> None:
    found = service.server.gpus if service.server else None
    recommended = _names(runtime.annotation("opendatahub.io/recommended-accelerators")) if found else ()
    if not found or not recommended or found[1] in recommended:
        return
    maker = found[1].partition("/")[0]
    if any(maker == name.partition("/")[0] for name in recommended):
        return  # a part of a device of the same maker: MIG
    names = ", ".join(recommended)
    report.add("gpu-recommended", found[0], f"the runtime {runtime.name} is made for {names}, not for {found[1]}")


@lru_cache(64)
def _names(text: str) -> tuple[str, ...]:
    return names_in(text)


def check_runtime(item: Item, _world: World, report: Report) -> None:
    """A ServingRuntime by itself."""
    spec = item.node.get("spec")
    containers = containers_of(spec)
    multi = spec.get("multiModel") if spec else None
    several = multi is not None and multi.text == "true"
    if containers and not several and not item.patch and not any(c.name == _MODEL_CONTAINER for c in containers):
        names = ", ".join(container.name or "one without a name" for container in containers)
        place = containers[0].node.get("name") or containers[0].node
        report.add("runtime-container", place, f"no container is called {_MODEL_CONTAINER}: there is {names}")
    for container in containers:
        check_container(container, report)
        image = container.node.get("image")
        if image is not None and not item.template and _PLACEHOLDER.search(image.text):
            report.add("runtime-image", image, f"the image {image.text} still is a placeholder")


def check_template(item: Item, _world: World, report: Report) -> None:
    """A Template's parameters against their uses."""
    known: set[str] = set()
    listed = item.node.get("parameters")
    for parameter in listed.elements() if listed else ():
        name, needed = parameter.get("name"), parameter.get("required")
        if name is None:
            continue
        known.add(name.text)
        filled = parameter.get("value") or parameter.get("generate")
        if needed is not None and needed.text == "true" and filled is None:
            report.add("template-value", name, f"the parameter {name.text} has no value")
    inner = item.node.get("objects")
    if inner is not None:
        _uses(inner.document, inner, known, report)


def _uses(document: Document, objects: Node, known: set[str], report: Report) -> None:
    """Look at each scalar of the objects, once."""
    if "${" not in document.text:
        return
    for node in range(objects.index, document.after[objects.index]):
        if document.kinds[node] > OTHER:
            continue
        text = document.value(node)
        if "${" not in text or "\n" in text:  # what has lines is a script of its own, with a shell's variables
            continue
        for name in _PARAMETER.findall(text):
            if name not in known:
                message = f"the Template has no parameter {name}"
                report.add_at("template-parameter", document, document.starts[node], message)

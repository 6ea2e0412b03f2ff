"""Runtimes against what they serve, and Templates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from modelcar.kserve.lint.document import OTHER, Document, Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.rules_arguments import check_joined
from modelcar.kserve.lint.rules_resources import check_container, check_media
from modelcar.kserve.lint.service import MODEL_CONTAINER, Runtime, Service, runtime_of
from modelcar.kserve.scalars import is_true
from modelcar.kserve.versions import VLLM_RUNTIME

_PLACEHOLDER = re.compile(r"\$\([^()]*\)|\$\{\{?[^{}]*\}")
_PARAMETER = re.compile(r"\$\{\{?\s*([A-Za-z0-9_]+)\s*\}\}?")
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


def _disabled(runtime: Runtime, named: Node | None, report: Report) -> None:
    disabled = runtime.item.node.at("spec", "disabled")
    if disabled is not None and disabled.type == "boolean" and is_true(disabled.text) and named is not None:
        report.add("runtime-disabled", named, f"{runtime.title} is disabled")


def _format(runtime: Runtime, model_format: Node | None, report: Report) -> None:
    """KServe compares the name, and where a version is given, both (`RuntimeSupportsModel`)."""
    written, version = (model_format.get("name"), model_format.get("version")) if model_format else (None, None)
    known = runtime.formats
    if written is not None and version is not None and version.string and written.text in known:
        versions = known[written.text]
        if version.text not in versions:
            has = f"it has {_some(versions)}" if versions else "it names none"
            fix = f"write one of {_some(versions)}, or none" if versions else "take the version out"
            message = f"{runtime.title} doesn't serve version {version.text!r} of {written.text}: {has}"
            report.add("runtime-format", version, message, fix)
    if written is not None and written.string and known and written.text not in known:
        near = runtime.folded.get(written.text.lower()) or next(iter(known))
        report.add(
            "runtime-format", written, f"{runtime.title} doesn't serve {written.text!r}: it has "
            f"{_some(known)}", f"write {near}",
        )  # fmt: skip


def _some(names: Iterable[str]) -> str:
    """Names as a list for a message, the first ten of them."""
    first = [*islice(names, 11)]
    return ", ".join([*first[:10], *(["..."] if len(first) > 10 else [])])


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


def _labels(service: Service, runtime: Runtime, report: Report) -> None:
    if runtime.name == _FILLED_IN and service.runtime_name is not None:
        return
    for name in runtime.labels:
        if service.item.meta("labels", name) is None:
            message = f"the runtime {runtime.name} uses the label {name}, and {service.item.name} has none"
            report.add("runtime-label", service.item.title, message, f"add the label {name}")


def _accelerator(service: Service, runtime: Runtime, report: Report) -> None:
    found = service.server.gpus if service.server else None
    if not found or not runtime.recommended:
        return
    if found[1].partition("/")[0] in runtime.makers:
        return  # the device itself, or a part of one of the same maker: MIG
    names = _some(runtime.recommended)
    report.add("gpu-recommended", found[0], f"the runtime {runtime.name} is made for {names}, not for {found[1]}")


def check_runtime(item: Item, world: World, report: Report) -> None:
    """A ServingRuntime by itself."""
    spec = item.node.get("spec")
    containers = runtime_of(item, world).containers
    multi = spec.get("multiModel") if spec else None
    several = multi is not None and multi.text == "true"
    if containers and not several and not item.patch and not any(c.name == MODEL_CONTAINER for c in containers):
        names = ", ".join(container.name or "one without a name" for container in containers)
        place = containers[0].node.get("name") or containers[0].node
        report.add("runtime-container", place, f"no container is called {MODEL_CONTAINER}: there is {names}")
    check_media(spec, report)
    for container in containers:
        check_container(container, report)
        check_joined(container, report)
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

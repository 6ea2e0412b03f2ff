"""Runtimes against what they serve, and Templates."""

from __future__ import annotations

import json
import re
from functools import lru_cache

from modelcar.kserve.lint.document import OTHER, Document, Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.service import Service, containers_of
from modelcar.kserve.versions import VLLM_RUNTIME

_PLACEHOLDER = re.compile(r"\$\([^)]*\)|\$\{[^}]*\}")
_LABEL = re.compile(r"\{\{\s*\.Labels\.([A-Za-z0-9_]+)\s*\}\}")
_PARAMETER = re.compile(r"\$\{\{?\s*([A-Za-z0-9_]+)\s*\}\}?")
_MODEL_CONTAINER = "kserve-container"

CLUSTER_FORMATS = {"kserve-vllmserver": "vLLM", "kserve-huggingfaceserver": "huggingface"}
"""The formats of KServe's own runtimes for language models."""


def check_runtime_of(service: Service, report: Report) -> None:
    """A service's runtime against its format, its labels and its accelerator."""
    model = service.model
    if service.llm or model is None or service.item.patch:
        return
    written = model.get("modelFormat", "name")
    is_model = service.predictor is not None and service.predictor.get("model") is not None
    if is_model and written is None and service.runtime_name is None:
        report.add("runtime-none", model, "neither modelFormat nor runtime is named")
    if service.runtime is not None:
        _format(service.runtime, written, report)
        _labels(service, service.runtime, report)
        _accelerator(service, service.runtime, report)
    elif service.runtime_name is not None:
        _cluster_runtime(service, service.runtime_name, written, report)


def _format(runtime: Item, written: Node | None, report: Report) -> None:
    listed = runtime.node.get("spec", "supportedModelFormats")
    known = [
        name.text for element in (listed.elements() if listed else ()) if (name := element.get("name")) is not None
    ]
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
    wanted = CLUSTER_FORMATS.get(runtime.text)
    if wanted and written is not None and written.string and written.text != wanted:
        report.add(
            "runtime-format",
            written,
            f"{runtime.text} doesn't serve {written.text!r}: it has {wanted}",
            f"write {wanted}",
        )


def _labels(service: Service, runtime: Item, report: Report) -> None:
    server = service.runtime_server
    if server is None:
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
    """A list of names in JSON; empty for anything else."""
    try:
        names = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


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

"""Names, namespaces, labels."""

from __future__ import annotations

from modelcar.kserve import names
from modelcar.kserve.lint.document import Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.service import is_runtime

_SERVICES = ("InferenceService", "LLMInferenceService")


def check_names(item: Item, world: World, report: Report) -> None:
    """The object's name and namespace."""
    found = item.node.get("metadata", "name")
    if found is not None and found.type == "string" and not _placeholder(found.text):
        if item.kind in _SERVICES:
            _service_name(item, found, report)
        elif len(found.text) > names.OBJECT_LENGTH or not names.OBJECT_NAME.fullmatch(found.text):
            report.add("name-syntax", found, f"{item.kind} {found.text!r}: that is no name of an object")
    protected = names.PROTECTED_NAMESPACES | world.aim.protected
    if item.namespace in protected and (item.kind in _SERVICES or is_runtime(item)):
        place = item.node.get("metadata", "namespace") or item.title
        report.add("protected-namespace", place, f"the namespace {item.namespace} belongs to an operator")


def _service_name(item: Item, found: Node, report: Report) -> None:
    name, namespace = found.text, item.namespace
    length = len(name)
    if not names.SERVICE_NAME.fullmatch(name):
        report.add("name-syntax", found, f"the name {name!r} {names.service_name_problem(name)}")
    elif length > names.SERVICE_LENGTH:
        report.add("name-length", found, f"the name {names.service_name_problem(name)}")
    elif problem := names.service_name_problem(name, namespace):
        report.add("name-host-length", found, f"the name {problem}")
    elif length > names.FORM_LENGTH:
        report.add(
            "name-form-length", found, f"the name has {length} characters, and the form takes {names.FORM_LENGTH}"
        )


def check_labels(item: Item, _world: World, report: Report) -> None:
    """Labels and annotations of the object and of its Pods."""
    spec = item.node.get("spec")
    parts = [item.node.get("metadata")]
    parts += [spec, *(spec.get(name) for name in ("predictor", "transformer", "explainer", "prefill"))] if spec else []
    for part in parts:
        if part is None:
            continue
        for kind in ("labels", "annotations"):
            found = part.get(kind)
            for key, value in found.pairs() if found else ():
                _label(kind, key, value, report)


def _label(kind: str, key: Node, value: Node, report: Report) -> None:
    if "${" in key.text or "${" in value.text or "{{" in value.text or key.text == "<<":
        return
    if not names.is_qualified_name(key.text):
        report.add("label-syntax", key, f"{key.text[:80]!r} is no key of a label or annotation")
    elif kind == "labels" and value.type == "string" and not names.is_label_value(value.text):
        length = f", and {len(value.text)} characters are over 63" if len(value.text) > 63 else ""
        report.add("label-syntax", value, f"{value.text[:80]!r} can't be a label's value{length}")


def check_same(world: World, report: Report) -> None:
    """Two objects of one name."""
    for group in world.same():
        first = group[0].title
        line, _ = first.document.position(first.start)
        for other in group[1:]:
            where = f" in {other.namespace}" if other.namespace else ""
            message = f"{other.kind} {other.name}{where} is already at {first.document.name}:{line}"
            report.add("duplicate-object", other.title, message)


def _placeholder(text: str) -> bool:
    return "${" in text or "$(" in text or "{{" in text

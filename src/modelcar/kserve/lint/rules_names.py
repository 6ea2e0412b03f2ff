"""Names, namespaces, labels."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, lru_cache

from modelcar.kserve import names
from modelcar.kserve.lint.document import MAPPING, Document, Node
from modelcar.kserve.lint.findings import Enough, Report
from modelcar.kserve.lint.near import Guesses
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.service import is_runtime
from modelcar.kserve.versions import Flavor

_SERVICES = ("InferenceService", "LLMInferenceService")


def check_names(item: Item, world: World, report: Report) -> None:
    """The object's name and namespace."""
    metadata = item.node.get("metadata")
    found = metadata.get("name") if metadata else None
    if metadata is not None and found is None and not item.patch and not metadata.get("generateName"):
        report.add("missing-field", metadata, "metadata lacks name")
    if found is not None and found.type == "string" and not _placeholder(found.text):
        if item.kind in _SERVICES:
            _service_name(item, found, world.aim.flavor is not Flavor.KSERVE, report)
        elif len(found.text) > names.OBJECT_LENGTH or not names.OBJECT_NAME.fullmatch(found.text):
            report.add("name-syntax", found, f"{item.kind} {found.text!r}: that is no name of an object")
    protected = names.PROTECTED_NAMESPACES | world.aim.protected
    if item.namespace in protected and (item.kind in _SERVICES or is_runtime(item)):
        place = item.node.at("metadata", "namespace") or item.title
        report.add("protected-namespace", place, f"the namespace {item.namespace} belongs to an operator")


def _service_name(item: Item, found: Node, form: bool, report: Report) -> None:
    name, namespace = found.text, item.namespace
    length = len(name)
    if not names.SERVICE_NAME.fullmatch(name):
        report.add("name-syntax", found, f"the name {name!r} {names.service_name_problem(name)}")
    elif length > names.SERVICE_LENGTH:
        report.add("name-length", found, f"the name {names.service_name_problem(name)}")
    elif problem := names.service_name_problem(name, namespace):
        report.add("name-host-length", found, f"the name {problem}")
    elif form and length > names.FORM_LENGTH:
        report.add(
            "name-form-length", found, f"the name has {length} characters, and the form takes {names.FORM_LENGTH}"
        )


def check_labels(item: Item, world: World, report: Report) -> None:
    """Labels and annotations of the object and of its Pods; of the object's, whether anybody reads them."""
    metadata, spec = item.node.get("metadata"), item.node.get("spec")
    _check_keys(metadata, world.guesses, report)
    _check_keys(spec, None, report)
    if spec is not None and item.kind in _SERVICES:
        for name in ("predictor", "transformer", "explainer", "prefill"):
            _check_keys(spec.get(name), None, report)


def _check_keys(part: Node | None, guesses: Guesses | None, report: Report) -> None:
    for kind in ("labels", "annotations") if part else ():
        found = part.get(kind) if part else None
        if found is not None and found.document.kinds[found.index] == MAPPING:
            document = found.document
            for key, value in document.items(found.index):
                name = document.value(key)
                _label(kind, document, (key, value), name, report)
                if guesses is not None and (meant := _meant(kind, name, guesses)):
                    report.add("key-unread", Node(document, key), f"nobody reads {kind[:-1]} {name}", meant)


def _label(kind: str, document: Document, pair: tuple[int, int], name: str, report: Report) -> None:
    """The syntax of a key and, of a label, its value."""
    key, value = pair
    text = document.value(value)
    if "${" in name or "${" in text or "{{" in text:
        return
    if not _is_key(name):
        report.add("label-syntax", Node(document, key), f"{name[:80]!r} is no key of a label or annotation")
    elif kind == "labels" and document.type(value) == "string" and not names.is_label_value(text):
        length = f", and {len(text)} characters are over 63" if len(text) > 63 else ""
        report.add("label-syntax", Node(document, value), f"{text[:80]!r} can't be a label's value{length}")


_is_key = lru_cache(1024)(names.is_qualified_name)


_LABELS = frozenset(
    {"opendatahub.io/dashboard", "opendatahub.io/managed", "opendatahub.io/ootb", "opendatahub.io/genai-asset",
     "networking.kserve.io/visibility", "networking.knative.dev/visibility"}
)  # fmt: skip
_ANNOTATIONS = frozenset(
    {"openshift.io/display-name", "openshift.io/description", "opendatahub.io/display-name",
     "opendatahub.io/description", "opendatahub.io/disabled", "opendatahub.io/connections",
     "opendatahub.io/connection-path", "opendatahub.io/connection-hidden", "opendatahub.io/connection-type",
     "opendatahub.io/connection-type-ref", "opendatahub.io/connection-type-protocol", "opendatahub.io/model-type",
     "opendatahub.io/genai-use-case", "opendatahub.io/hardware-profile-name",
     "opendatahub.io/hardware-profile-namespace", "opendatahub.io/hardware-profile-resource-version",
     "opendatahub.io/accelerator-name", "opendatahub.io/template-name", "opendatahub.io/template-display-name",
     "opendatahub.io/serving-runtime-scope", "opendatahub.io/recommended-accelerators",
     "opendatahub.io/runtime-version", "opendatahub.io/apiProtocol", "opendatahub.io/modelServingSupport",
     "security.opendatahub.io/enable-auth", "security.opendatahub.io/auth-proxy-type",
     "serving.kserve.io/deploymentMode", "serving.kserve.io/autoscalerClass", "serving.kserve.io/stop",
     "serving.kserve.io/server-type", "serving.knative.dev/progress-deadline",
     "serving.knative.openshift.io/enablePassthrough", "haproxy.router.openshift.io/timeout"}
)  # fmt: skip
"""What KServe, Knative and OpenShift AI read (KSERVE.md 2 to 4a)."""


def _meant(kind: str, name: str, guesses: Guesses) -> str:
    """What to do about a key of `labels` or `annotations` that nobody reads; empty where there is nothing."""
    own, others = (_LABELS, _ANNOTATIONS) if kind == "labels" else (_ANNOTATIONS, _LABELS)
    if name in own or not name.partition("/")[0].endswith(_DOMAINS):
        return ""
    if name in others:
        return f"it is read among the {'annotations' if kind == 'labels' else 'labels'}: move it there"
    near = _by_folded(kind).get(_folded(name)) or guesses.near(name, kind, sorted(own), 0.93)
    return f"did you mean {near}?" if near else ""


@cache
def _by_folded(kind: str) -> dict[str, str]:
    return {_folded(known): known for known in sorted(_LABELS if kind == "labels" else _ANNOTATIONS, reverse=True)}


_DOMAINS = ("kserve.io", "knative.dev", "opendatahub.io", "openshift.io")


def _folded(name: str) -> str:
    """A key by which those are equal that differ in case, in marks or in what stands before the slash."""
    return name.rpartition("/")[2].lower().replace("-", "").replace("_", "").replace(".", "")


def check_same(world: World, report: Report) -> None:
    """Two objects of one name."""
    for group in world.same():
        first = group[0].title
        line, _ = first.document.position(first.start)
        for other in group[1:]:
            where = f" in {other.namespace}" if other.namespace else ""
            message = f"{other.kind} {other.name}{where} is already at {first.document.name}:{line}"
            with suppress(Enough):
                report.add("duplicate-object", other.title, message)


def _placeholder(text: str) -> bool:
    return "$" in text or "{{" in text

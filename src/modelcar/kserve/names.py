"""Names of Kubernetes objects: what the form makes of a display name, and what each kind takes.

Sources: KSERVE.md 2 (KServe's pattern, ODH's 53), 4 and 4a (the form's rules); Kubernetes, "Object Names and IDs" and
"Labels and Selectors".
"""

from __future__ import annotations

import json
import re

SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""An InferenceService's name, as KServe's webhook wants it."""

FORM_LENGTH = 30
"""The longest name that the dashboard's form takes."""

SERVICE_LENGTH = 53
"""The longest InferenceService name that odh-model-controller takes."""

HOST_LENGTH = 63
"""The longest `name-namespace`: it becomes one label of a host name."""

NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What most kinds take as a name (RFC 1123 subdomain), up to `OBJECT_LENGTH`."""
OBJECT_LENGTH = 253

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""An environment variable's name, as the form takes it."""

PROTECTED_NAMESPACES = frozenset({"opendatahub", "redhat-ods-applications"})
"""An operator owns these, and its webhook refuses model servers there."""

HIDDEN_NAMESPACE = re.compile(r"(openshift|kube)-.*|default|system|openshift")
"""Those that the dashboard lists no project of (odh-dashboard, `isAvailableProject`)."""

SYSTEM_NAMESPACE = re.compile(r"kube-.*")
"""Those that Kubernetes keeps for itself ("Namespaces")."""

ACCELERATOR = re.compile(
    r"(?:nvidia|amd|intel)\.com/(?:gpu(?:\.[\w.-]+)?|mig-.*)|gpu\.intel\.com/.*|habana\.ai/gaudi|ibm\.com/spyre_.*"
    r"|google\.com/tpu|aws\.amazon\.com/neuron.*"
)
"""Resources that are devices to serve models on, by the names of their makers' device plugins."""


OWN_RESOURCES = ("cpu", "memory", "ephemeral-storage")
"""Those that Kubernetes itself knows, besides huge pages."""


def is_resource(name: str) -> bool:
    """Whether a name can be one of an amount in requests and limits: Kubernetes' own, or a maker's with a `/`."""
    return "/" in name or name in OWN_RESOURCES or name.startswith("hugepages-")


def names_in(text: str) -> tuple[str, ...]:
    """A list of names in JSON, as annotations hold one; empty for anything else."""
    try:
        names = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def from_display_name(display: str, prefix: str = "model-") -> str:
    """The resource name that the dashboard makes of a display name; empty where nothing of it is left.

    Args:
        display: What people read: `Granite 3.1 2B`.
        prefix: Put before a name that would begin with a digit.
    """
    name = re.sub(r"\s", "-", display.strip().lower())
    name = re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "", name).strip("-"))
    if name[:1].isdigit():
        name = prefix + name
    return name[:FORM_LENGTH].strip("-")


def service_name_problem(name: str, namespace: str = "") -> str:
    """What is wrong with an InferenceService's name, as the end of a sentence; empty where KServe takes it."""
    if not SERVICE_NAME.fullmatch(name):
        return "must begin with a small letter and hold small letters, digits and '-', the last no '-'"
    if len(name) > SERVICE_LENGTH:
        return f"has {len(name)} characters, and {SERVICE_LENGTH} are the most"
    if namespace and len(name) + 1 + len(namespace) > HOST_LENGTH:
        return (
            f"and the namespace {namespace} have {len(name) + 1 + len(namespace)} characters with the dash between "
            f"them, and {HOST_LENGTH} are the most: they become one part of a host name"
        )
    return ""


_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_KEY_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")


def is_label_value(text: str) -> bool:
    """Whether `text` may be a label's value."""
    return _LABEL_VALUE.fullmatch(text) is not None


def is_qualified_name(text: str) -> bool:
    """Whether `text` may be the key of a label or annotation: `[prefix/]name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (len(prefix) <= OBJECT_LENGTH and OBJECT_NAME.fullmatch(prefix)):
        return False
    return _KEY_NAME.fullmatch(name) is not None

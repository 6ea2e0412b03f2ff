"""Write src/modelcar/kserve/fields.json, the table of fields that `modelcar lint` checks against.

It is made of two published wheels, read by `ast` and never imported: `kserve` and the `lightkube-models` of the
Kubernetes that KServe builds on. Names, types and which are required: nothing else of them is taken.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "src/modelcar/kserve/fields.json"
LOCK = ROOT / "requirements/fields.lock"

_KINDS = {
    "serving.kserve.io/v1beta1/InferenceService": "V1beta1InferenceService",
    "serving.kserve.io/v1alpha1/ServingRuntime": "V1alpha1ServingRuntime",
    "serving.kserve.io/v1alpha1/ClusterServingRuntime": "V1alpha1ClusterServingRuntime",
    "serving.kserve.io/v1alpha1/LLMInferenceService": "LLMInferenceService",
    "serving.kserve.io/v1alpha2/LLMInferenceService": "LLMInferenceService",
    "serving.kserve.io/v1alpha1/LLMInferenceServiceConfig": "LLMInferenceService",
    "serving.kserve.io/v1alpha2/LLMInferenceServiceConfig": "LLMInferenceService",
    "v1/Secret": "Secret",
    "template.openshift.io/v1/Template": "Template",
}

_BY_HAND: dict[str, dict[str, str]] = {
    # What the wheels lack. KServe's own CRDs, read at the commit that KSERVE.md names.
    "LLMInferenceService": {
        "apiVersion": "string",
        "kind": "string",
        "metadata": "ObjectMeta",
        "spec": "LLMInferenceServiceSpec",
        "status": "any",
    },
    "LLMInferenceServiceSpec": {
        "annotations": "{}string",
        "baseRefs": "[]LocalObjectReference",
        "kvCacheOffloading": "any",
        "labels": "{}string",
        "model": "LLMModelSpec",
        "parallelism": "LLMParallelism",
        "prefill": "LLMWorkloadSpec",
        "replicas": "integer",
        "rolloutStrategy": "LLMRolloutStrategy",
        "router": "LLMRouterSpec",
        "scaling": "any",
        "storageInitializer": "LLMStorageInitializer",
        "template": "LLMPodSpec",
        "tracing": "LLMTracing",
        "worker": "LLMPodSpec",
    },
    "LLMWorkloadSpec": {
        "annotations": "{}string",
        "kvCacheOffloading": "any",
        "labels": "{}string",
        "parallelism": "LLMParallelism",
        "replicas": "integer",
        "rolloutStrategy": "LLMRolloutStrategy",
        "scaling": "any",
        "template": "LLMPodSpec",
        "worker": "LLMPodSpec",
    },
    "LLMModelSpec": {"confidential": "any", "criticality": "string", "lora": "any", "name": "string", "uri": "string"},
    "LLMParallelism": {
        "data": "integer",
        "dataLocal": "integer",
        "dataRPCPort": "integer",
        "expert": "boolean",
        "pipeline": "integer",
        "tensor": "integer",
    },
    "LLMRolloutStrategy": {"maxSurge": "int-or-string", "maxUnavailable": "int-or-string"},
    "LLMRouterSpec": {"gateway": "any", "ingress": "any", "route": "any", "scheduler": "any"},
    "LLMStorageInitializer": {"enabled": "boolean"},
    "LLMTracing": {
        "exporter": "string",
        "exporterEndpoint": "string",
        "sampler": "string",
        "samplerArg": "string",
    },
    "Template": {
        "apiVersion": "string",
        "kind": "string",
        "labels": "{}string",
        "message": "string",
        "metadata": "ObjectMeta",
        "objects": "[]any",
        "parameters": "[]TemplateParameter",
    },
    "TemplateParameter": {
        "description": "string",
        "displayName": "string",
        "from": "string",
        "generate": "string",
        "name": "string",
        "required": "boolean",
        "value": "string",
    },
}
_REQUIRED: dict[str, list[str]] = {
    # Where the CRD says something else than the wheels: KServe's generator takes a text with a default for optional.
    "LLMInferenceService": ["metadata", "spec"],
    "LLMModelSpec": ["uri"],
    "TemplateParameter": ["name"],
    "V1alpha1ClusterServingRuntime": ["metadata", "spec"],
    "V1alpha1ServingRuntime": ["metadata", "spec"],
    "V1alpha1SupportedModelFormat": ["name"],
    "V1beta1ARTExplainerSpec": [],
    "V1beta1AuthenticationRef": ["name"],
    "V1beta1InferenceService": ["metadata", "spec"],
    "V1beta1ModelFormat": ["name"],
    "V1beta1ModelSpec": [],
    "LLMPodSpec": [],
}
_OPEN = [name for name in _BY_HAND if name.startswith("LLM") and name != "LLMInferenceService"]
"""Of these other releases have other fields: what isn't known below them is not checked."""

_EXTENDED: dict[str, tuple[str, tuple[str, ...]]] = {
    "V1alpha1WorkerSpec": ("V1alpha1ServingRuntimePodSpec", ("pipelineParallelSize", "tensorParallelSize")),
    "LLMPodSpec": ("PodSpec", ()),
}
"""Types that are another one with a few integers more, or with other required fields."""

_AMOUNTS = frozenset({"limits", "requests", "overhead", "capacity", "allocatedResources", "hard"})
"""Maps whose values are quantities: the wheel of lightkube calls every map `dict`."""

_LEAVES = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "any", "Time": "string",
    "MicroTime": "string", "Quantity": "quantity", "ResourceQuantity": "quantity", "V1beta1MetricQuantity": "quantity",
    "IntOrString": "int-or-string", "FieldsV1": "any", "RawExtension": "any", "KnativeURL": "string",
    "bytes": "string", "dict": "{}string", "Dict": "{}string",
}  # fmt: skip
_RENAMED = {"K8sIoApiAppsV1DeploymentStrategy": "DeploymentStrategy"}


@dataclass(slots=True)
class Types:
    """Classes of the wheels by name: fields with their types, and those that must be there."""

    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    required: dict[str, list[str]] = field(default_factory=dict)


def make_table(wheels: Path) -> dict[str, Any]:
    """The table, from a folder into which the wheels were installed."""
    kserve = _read_kserve(wheels / "kserve" / "models")
    core = _read_lightkube(wheels / "lightkube" / "models")
    table: dict[str, dict[str, str]] = {}
    required: dict[str, list[str]] = {}
    waiting = sorted(set(_KINDS.values()), reverse=True)
    while waiting:
        name = waiting.pop()
        if name in table:
            continue
        fields, needed = _find(name, kserve, core)
        table[name] = {key: _resolve(value, kserve, core) for key, value in sorted(fields.items())}
        if needed := _REQUIRED.get(name, needed):
            required[name] = sorted(needed)
        waiting += [
            used for value in table[name].values() if (used := re.sub(r"^(\[\]|\{\})+", "", value))[:1].isupper()
        ]
    return {
        "made_of": [line.split()[0] for line in LOCK.read_text().splitlines() if "==" in line],
        "kinds": _KINDS,
        "types": dict(sorted(table.items())),
        "required": dict(sorted(required.items())),
        "open": _OPEN,
    }


def as_text(table: dict[str, Any]) -> str:
    """As it is committed: one type a line."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows = ",\n".join(
                f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in value.items()
            )
            parts.append(f"{json.dumps(key)}:{{\n{rows}\n}}")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value)}")
    return "{" + ",\n".join(parts) + "}\n"


def fetch(folder: Path) -> None:
    """Put the two wheels, and nothing of what they need, into a folder.

    Raises:
        subprocess.CalledProcessError: They can't be had.
    """
    install: list[str | Path] = [
        ROOT / "scripts/uv",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--python",
        sys.executable,
    ]
    subprocess.run([*install, "--target", folder, "--requirement", LOCK], check=True, capture_output=True, text=True)


def _find(name: str, kserve: Types, core: Types) -> tuple[dict[str, str], list[str]]:
    if name in _BY_HAND:
        return _BY_HAND[name], []
    if name in _EXTENDED:
        base, more = _EXTENDED[name]
        fields, needed = _find(base, kserve, core)
        return fields | dict.fromkeys(more, "integer"), needed
    types = kserve if name in kserve.fields else core
    fields = dict(types.fields[name])
    if "status" in fields and "spec" in fields:
        fields["status"] = "any"
    return fields, types.required.get(name, [])


def _resolve(text: str, kserve: Types, core: Types) -> str:
    """A type as the wheels write it, in the table's words."""
    text = text.strip()
    if found := re.fullmatch(r"Optional\[(.*)\]", text):
        return _resolve(found[1], kserve, core)
    if found := re.fullmatch(r"(?:List|list)\[(.*)\]", text):
        return f"[]{_resolve(found[1], kserve, core)}"
    if found := re.fullmatch(r"dict\(str, (.*)\)", text):
        return f"{{}}{_resolve(found[1], kserve, core)}"
    if text[:2] in ("[]", "{}") or text in _LEAVES.values():
        return text
    name = text.rpartition(".")[2]
    if name in _LEAVES:
        return _LEAVES[name]
    name = _RENAMED.get(name, name)
    for known in (name, re.sub(r"^V\d+(?=[A-Z])", "", name)):
        if known in kserve.fields or known in core.fields or known in _BY_HAND or known in _EXTENDED:
            return known
    return "any"


def _read_kserve(folder: Path) -> Types:
    types = Types()
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                maps = {name: ast.literal_eval(value) for name, value in _assignments(node)}
                if "openapi_types" in maps:
                    names = maps["attribute_map"]
                    types.fields[node.name] = {names[key]: value for key, value in maps["openapi_types"].items()}
                    types.required[node.name] = [names[key] for key in _never_none(node) if key in names]
    return types


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            yield line.targets[0].id, line.value


def _never_none(node: ast.ClassDef) -> Iterator[str]:
    """The attributes whose setter raises when it is given nothing."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and any(isinstance(part, ast.Raise) for part in ast.walk(method)):
            yield method.name


def _read_lightkube(folder: Path) -> Types:
    types = Types()
    # core_v1 last: a name that several groups have is taken from there.
    for path in sorted(folder.glob("*_v1.py"), key=lambda path: path.name == "core_v1.py"):
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                lines = [line for line in node.body if isinstance(line, ast.AnnAssign)]
                types.fields[node.name] = {_key(line): _annotation(line) for line in lines}
                types.required[node.name] = [_key(line) for line in lines if line.value is None]
    return types


def _annotation(line: ast.AnnAssign) -> str:
    text = str(ast.literal_eval(line.annotation))
    return text.replace("dict", "dict(str, Quantity)") if _key(line) in _AMOUNTS else text


def _key(line: ast.AnnAssign) -> str:
    """The field's name: one that is a word of Python stands in `field(metadata={"json": …})`."""
    assert isinstance(line.target, ast.Name)
    if isinstance(line.value, ast.Call):
        for keyword in line.value.keywords:
            if keyword.arg == "metadata":
                return str(ast.literal_eval(keyword.value)["json"])
    return line.target.id


def main() -> None:
    """Fetch, read, write."""
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        PLACE.write_text(as_text(make_table(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()

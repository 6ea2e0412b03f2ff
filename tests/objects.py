"""What a cluster would say of objects: KServe's own schemas, made strict about unknown keys as `kubectl apply` is."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from modelcar.kserve.names import is_label_value, is_qualified_name

SHARED = Path(__file__).parents[2] / "shared" / "kserve"
SCHEMAS = SHARED / "schemas-compact"

needs_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="KServe's schemas aren't here: this part is skipped")
needs_samples = pytest.mark.skipif(not SHARED.is_dir(), reason="the samples aren't here: this part is skipped")

_CORE = {
    "Secret": {"type"},
    "ServiceAccount": set(),
    "Role": {"rules"},
    "RoleBinding": {"roleRef", "subjects"},
}


def schema(kind: str, version: str = "v1beta1") -> dict[str, Any]:
    """A kind's schema, in which an object takes no other keys than those it lists."""
    closed: dict[str, Any] = _closed(json.loads((SCHEMAS / f"serving.kserve.io_{version}_{kind}.json").read_text()))
    closed["properties"]["metadata"] = {"type": "object"}
    return closed


def problems(manifest: dict[str, Any]) -> list[str]:
    """What a cluster would refuse of an object, or drop without a word."""
    found = _metadata(manifest["metadata"])
    group, _, version = manifest["apiVersion"].rpartition("/")
    kind = manifest["kind"]
    if group == "serving.kserve.io":
        found += [f"{error.json_path}: {error.message}" for error in _validator(kind, version).iter_errors(manifest)]
    elif manifest.keys() - {"apiVersion", "kind", "metadata", "stringData"} != _CORE[kind]:
        found.append(f"{kind} has {', '.join(manifest)}")
    data = manifest.get("stringData", {})
    found += [f"{key} is no text" for key, value in data.items() if not isinstance(value, str)]
    return found


@functools.cache
def _validator(kind: str, version: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind, version))


def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {
        key: {name: _closed(one) for name, one in value.items()} if key in ("properties", "$defs") else _closed(value)
        for key, value in part.items()
    }
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


def _metadata(metadata: dict[str, Any]) -> list[str]:
    found = [] if not metadata.keys() - {"name", "namespace", "labels", "annotations"} else ["more in metadata"]
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", metadata["name"]) or len(metadata["name"]) > 253:
        found.append(f"metadata.name is {metadata['name']}")
    for key, value in metadata.get("labels", {}).items():
        if not is_qualified_name(key) or not isinstance(value, str) or not is_label_value(value):
            found.append(f"label {key} is {value!r}")
    for key, value in metadata.get("annotations", {}).items():
        if not is_qualified_name(key) or not isinstance(value, str):
            found.append(f"annotation {key} is {value!r}")
    return found

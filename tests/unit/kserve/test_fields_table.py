"""The table of fields: how it is made, and that it says what KServe's own CRDs say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.errors import UsageError
from modelcar.kserve.fields import LEAVES, Fields, fields_of_crds, load_fields
from scripts.fields import PLACE, as_text, fetch, make_table

SCHEMAS = Path(__file__).parents[4] / "shared/kserve/schemas-compact"
_LEAF_SCHEMAS = {"quantity": ["integer", "string"], "int-or-string": ["integer", "string"]}

NEWER = {
    "status",
    "tracing",
    "schedulingGroup",
    "ephemeralContainers",
    "criticality",
    "confidential",
    "kvCacheOffloading",
}
"""Fields of the table that the CRDs of its day lack: newer ones, and those of the other version of a kind."""


def test_it_is_small_and_every_type_is_there() -> None:
    assert PLACE.stat().st_size < 100_000
    fields = load_fields()
    assert set(fields.kinds.values()) <= set(fields.types)
    for name, table in fields.types.items():
        for word in table.values():
            bare = word.replace("[]", "").replace("{}", "")
            assert bare in LEAVES or bare in fields.types, (name, word)
    for name, keys in fields.required.items():
        assert set(keys) <= set(fields.types[name])


def test_it_is_what_the_wheels_say(tmp_path: Path) -> None:
    try:
        fetch(tmp_path)
    except (subprocess.CalledProcessError, OSError):
        pytest.skip("the wheels of kserve and lightkube-models can't be had here: the table wasn't made again")
    assert as_text(make_table(tmp_path)) == PLACE.read_text(encoding="utf-8")


@pytest.mark.skipif(
    not SCHEMAS.is_dir(), reason="the schemas aren't here: the table wasn't compared with KServe's CRDs"
)
@pytest.mark.parametrize("kind", sorted(kind for kind in load_fields().kinds if kind.startswith("serving")))
def test_it_is_what_the_crds_say(kind: str) -> None:
    fields = load_fields()
    schema = json.loads((SCHEMAS / f"{kind.replace('/', '_')}.json").read_text())
    wrong = set(differences(schema, schema.get("$defs", {}), fields.kinds[kind], fields))
    if "LLMInferenceService" not in kind:
        assert {key for what, key in wrong if what == "lacks"} == set()
    assert {key for what, key in wrong if what == "has more"} <= NEWER
    assert not {key for what, key in wrong if what == "type"}


def differences(schema: Any, definitions: Any, type_: str, fields: Fields) -> Iterator[tuple[str, str]]:
    """Where a CRD and the table disagree: a field that one of them lacks, or one of another type."""
    seen: set[tuple[str, str]] = set()
    waiting = [(schema, type_, "")]
    while waiting:
        schema, type_, place = waiting.pop()
        while "$ref" in schema:
            schema = definitions[schema["$ref"].rpartition("/")[2]]
        if type_ == "any":
            continue
        if type_ in fields.types:
            key = (json.dumps(schema, sort_keys=True), type_)
            if key in seen or "properties" not in schema:
                continue
            seen.add(key)
            theirs, ours = schema["properties"], fields.types[type_]
            yield from (("lacks", f"{type_}.{name}") for name in theirs.keys() - ours.keys())
            yield from (("has more", name) for name in ours.keys() - theirs.keys())
            waiting += [(theirs[name], ours[name], f"{place}.{name}") for name in theirs.keys() & ours.keys()]
        elif type_.startswith("[]"):
            waiting.append((schema["items"], type_[2:], f"{place}[]"))
        elif type_.startswith("{}"):
            waiting.append((schema["additionalProperties"], type_[2:], f"{place}{{}}"))
        elif schema.get("type") != _LEAF_SCHEMAS.get(type_, type_):
            yield "type", f"{place}: {type_}"


CRD: dict[str, Any] = {
    "kind": "CustomResourceDefinition",
    "spec": {
        "group": "serving.kserve.io",
        "names": {"kind": "InferenceService"},
        "versions": [
            {
                "name": "v1beta1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"x-kubernetes-int-or-string": True, "pattern": "^x"},
                                    "port": {"x-kubernetes-int-or-string": True},
                                    "names": {"type": "array", "items": {"type": "string"}},
                                    "notes": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "rest": {
                                        "type": "object",
                                        "x-kubernetes-preserve-unknown-fields": True,
                                        "properties": {"one": {"type": "boolean"}},
                                    },
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.mark.parametrize("objects", [[CRD], [{"kind": "List", "items": [{"kind": "Pod"}, CRD]}]])
def test_a_cluster_s_own_crd_takes_the_place_of_the_table(objects: list[Any]) -> None:
    own = fields_of_crds(objects, "crd.yaml")
    kind = own.kinds["serving.kserve.io/v1beta1/InferenceService"]
    spec = own.types[kind]["spec"]
    assert own.types[spec]["size"] == "quantity"
    assert own.types[spec]["port"] == "int-or-string"
    assert own.types[spec]["names"] == "[]string"
    assert own.types[spec]["notes"] == "{}string"
    assert own.types[spec]["rest"] in own.open
    assert own.required[spec] == ("size",)
    assert own.types[kind]["metadata"] == "ObjectMeta"
    merged = load_fields().replaced_by(own)
    assert merged.kinds["serving.kserve.io/v1beta1/InferenceService"] == kind
    assert "v1/Secret" in merged.kinds


@pytest.mark.parametrize("objects", [[], [{"kind": "Pod"}], ["text"]])
def test_a_file_without_a_crd_is_refused(objects: list[Any]) -> None:
    with pytest.raises(UsageError, match="holds no CustomResourceDefinition; write it by: kubectl get crd"):
        fields_of_crds(objects, "crd.yaml")


def test_a_crd_without_a_schema_is_refused() -> None:
    with pytest.raises(UsageError, match="no schema"):
        fields_of_crds([{"kind": "CustomResourceDefinition", "spec": {"versions": 1}}], "crd.yaml")

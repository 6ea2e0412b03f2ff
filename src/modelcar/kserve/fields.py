"""Which fields the objects have, of which type, and which of them must be there.

A type is a word: `string`, `integer`, `number`, `boolean`, `quantity`, `int-or-string`, `any`, the name of an object's
type, or `[]` or `{}` before one of them for a list and for a map with free keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcar.errors import UsageError

LEAVES = frozenset({"string", "integer", "number", "boolean", "quantity", "int-or-string", "any"})
"""The types that no table says more of."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A table of fields.

    Attributes:
        kinds: The type of each kind, by `apiVersion/kind`.
        types: Of each type of object, its fields with their types.
        required: Of those types that have some, the fields that must be there.
        open: Types of which not every field is known: an unknown one isn't wrong.
    """

    kinds: Mapping[str, str]
    types: Mapping[str, Mapping[str, str]]
    required: Mapping[str, tuple[str, ...]]
    open: frozenset[str]

    def replaced_by(self, others: Fields) -> Fields:
        """The table with the kinds of another one in place of its own."""
        return Fields(
            {**self.kinds, **others.kinds},
            {**self.types, **others.types},
            {**self.required, **others.required},
            self.open | others.open,
        )


def load_fields() -> Fields:
    """The table that modelcar brings: `scripts/fields.py` says what it is made of."""
    text = Path(__file__).with_name("fields.json").read_bytes()
    table = json.loads(text)
    required = {name: tuple(keys) for name, keys in table["required"].items()}
    return Fields(table["kinds"], table["types"], required, frozenset(table["open"]))


def fields_of_crds(objects: list[Any], place: str) -> Fields:
    """The table of a cluster's own CustomResourceDefinitions.

    Args:
        objects: The objects of the file, as plain values; lists among them are looked into.
        place: The file, for the error.

    Raises:
        UsageError: There is none among them, or one that has no schema.
    """
    reader = _Crds()
    for item in objects:
        parts = item.get("items") if isinstance(item, dict) and isinstance(item.get("items"), list) else [item]
        for part in parts or []:
            if isinstance(part, dict) and part.get("kind") == "CustomResourceDefinition":
                reader.read(part, place)
    if not reader.kinds:
        raise UsageError(
            f"{place} holds no CustomResourceDefinition",
            "write it by: kubectl get crd inferenceservices.serving.kserve.io -o yaml",
        )
    return Fields(reader.kinds, reader.types, reader.required, frozenset(reader.open))


class _Crds:
    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self.types: dict[str, dict[str, str]] = {}
        self.required: dict[str, tuple[str, ...]] = {}
        self.open: set[str] = set()

    def read(self, crd: dict[str, Any], place: str) -> None:
        try:
            group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
            versions = [(version["name"], version["schema"]["openAPIV3Schema"]) for version in crd["spec"]["versions"]]
            for name, schema in versions:
                api = f"{group}/{name}"
                type_ = self._add(schema, f"{api}/{kind}")
                self.kinds[f"{api}/{kind}"] = type_
                if type_ in self.types:
                    self.types[type_] |= {"apiVersion": "string", "kind": "string", "metadata": "ObjectMeta"}
                    self.types[type_] |= {"status": "any"}
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"{place}: a CustomResourceDefinition there has no schema that can be read") from error

    def _add(self, schema: dict[str, Any], name: str) -> str:
        """Note a schema's type and all below it; returns its word."""
        kind = schema.get("type")
        if schema.get("x-kubernetes-int-or-string"):
            return "quantity" if "pattern" in schema else "int-or-string"
        if kind == "array":
            items = schema.get("items")
            return f"[]{self._add(items, f'{name}[]')}" if items else "[]any"
        if kind == "object" and "properties" in schema:
            self.types[name] = {key: self._add(part, f"{name}.{key}") for key, part in schema["properties"].items()}
            if schema.get("required"):
                self.required[name] = tuple(schema["required"])
            if schema.get("x-kubernetes-preserve-unknown-fields"):
                self.open.add(name)
            return name
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            return f"{{}}{self._add(schema['additionalProperties'], f'{name}{{}}')}"
        return kind if isinstance(kind, str) and kind in LEAVES else "any"

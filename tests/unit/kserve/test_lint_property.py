"""Whatever stands at a place of an object, lint ends with findings, and its fixes leave YAML."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelcar.kserve.lint import Aim, Text, lint
from modelcar.kserve.lint.fix import fix
from modelcar.kserve.lint.output import as_github, as_json, as_lines
from modelcar.kserve.lint.sarif import as_sarif
from tests.unit.kserve.lint_examples import AI2, AI3, ANYWHERE, EXAMPLES, NEW, OLD

_ROUNDS = 6


def _objects() -> Iterator[Any]:
    for rule, example in EXAMPLES.items():
        if rule not in ("yaml-syntax", "duplicate-key"):
            yield list(yaml.safe_load_all(example.bad))
            yield list(yaml.safe_load_all(example.good))


OBJECTS = [*_objects()]
VALUES: list[Any] = [
    None, True, 5, -1, 1.5, "", "x", "oci://", "oci://@", "://", "${X}", "{{.Name}}", "1" * 200, "1e400", "'", '"',
    "\\", "é\u2028", "--tensor-parallel-size", "-c", "sh", "bnVsbA==", "[]",
    [], {}, [1], [None], [[]], {"name": None}, {"a": "b"},
]  # fmt: skip
KEYS: list[Any] = ["x", "<<", "name", 5, None, True, "storageURI", "a" * 300]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each collection with each of its keys or indices."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(inner)


@st.composite
def changed(draw: st.DrawFn) -> str:
    objects = copy.deepcopy(draw(st.sampled_from(OBJECTS)))
    for _ in range(draw(st.integers(1, 4))):
        places = [*_places(objects)]
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.sampled_from(KEYS))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    return yaml.safe_dump_all(objects, allow_unicode=True, default_flow_style=draw(st.booleans()))


@given(changed(), st.sampled_from([ANYWHERE, AI3, AI2, OLD, NEW]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_object_ends_in_findings(text: str, aim: Aim) -> None:
    result = lint([Text("x.yaml", text.encode())], aim)
    for told in (as_json(result), as_sarif(result, "1"), [*as_github(result.findings)], [*as_lines(result.findings)]):
        json.dumps(told)
    for _ in range(_ROUNDS):
        fixed = fix(result.documents["x.yaml"], result.findings)
        if not fixed.count:
            return
        result = lint([Text("x.yaml", fixed.data)], aim)
        assert "x.yaml" in result.documents
    raise AssertionError("fixes go on for ever")

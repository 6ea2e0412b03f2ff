"""The schemas that the other tests trust are themselves right: they refuse what a cluster refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest

from tests.objects import SCHEMAS, needs_schemas, problems

pytestmark = needs_schemas

SERVICE: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "granite"},
    "spec": {
        "predictor": {
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "model": {
                "modelFormat": {"name": "vLLM"},
                "env": [{"name": "A", "value": "b"}],
                "resources": {"limits": {"cpu": "2"}},
            },
        }
    },
}


def test_each_is_a_schema() -> None:
    found = sorted(SCHEMAS.glob("*.json"))
    assert len(found) >= 14
    for path in found:
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_a_right_object_passes() -> None:
    assert problems(SERVICE) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predictor.model.env.0.name", 1),
        ("predictor.model.env.0.vale", "b"),
        ("predictor.model.resources.limits", "2"),
        ("predictor.tolerations.0.operatr", "Exists"),
        ("predictor.modle", {}),
        ("predictor.minReplicas", "1"),
        ("predictor.model.args", "--port=8080"),
        ("predictr", {}),
    ],
)
def test_a_wrong_object_is_refused(path: str, value: Any) -> None:
    wrong = copy.deepcopy(SERVICE)
    place: Any = wrong["spec"]
    *parents, last = path.split(".")
    for one in parents:
        place = place[int(one) if one.isdigit() else one]
    place[last] = value
    assert problems(wrong)


def test_a_label_that_is_no_text_is_refused() -> None:
    assert problems({**SERVICE, "metadata": {"name": "granite", "labels": {"opendatahub.io/dashboard": True}}})

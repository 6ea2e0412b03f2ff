"""Whatever is said: the objects are ones that a cluster takes, or the refusal names the field."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from modelcar.errors import ModelcarError
from modelcar.kserve.deployment import as_values, deployment_from, merged
from modelcar.kserve.form import BY_NAME, FIELDS, Kind
from modelcar.kserve.read import parse_documents
from modelcar.kserve.render import render
from modelcar.kserve.secrets import SecretValues
from modelcar.kserve.write import as_json, as_yaml
from tests.objects import needs_schemas, problems
from tests.unit.kserve.test_render_runtimes import template

TEXTS = st.text(max_size=40) | st.sampled_from(["yes", "0x1", "1e3", "~", "", " ", "a\nb", "- x", "{{.Name}}", "é:#"])
NAMES = st.sampled_from(["granite", "Granite 3", "a-1", "1a", "a" * 40, "a" * 60, "-", ""]) | st.text(max_size=12)
QUANTITIES = st.sampled_from(["1", "500m", "4Gi", "0.5", "2", "1e3", "-1", "x", ""])
RESOURCES = st.dictionaries(
    st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "ephemeral-storage", "amd.com/gpu", "cpus"]),
    QUANTITIES,
    max_size=3,
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["quay.io/acme/granite:1", "oci+native://quay.io/a/b", "pvc://claim/x", "s3://b/c", "no"]),
    "namespace": st.sampled_from(["demo", "opendatahub", "Demo"]),
    "name": NAMES,
    "display-name": NAMES,
    "kserve-version": st.sampled_from(["0.15", "0.17", "0.21", "new"]),
    "kubernetes-version": st.sampled_from(["1.30", "1.35"]),
    "model-format": st.sampled_from(["vLLM", "onnx", "onnx:1", "sklearn"]),
    "deployment-mode": st.sampled_from(["Standard", "Knative", "RawDeployment", "Serverless", "x"]),
    "progress-deadline": st.sampled_from(["30m", "1h", "600s", "0s", "x"]),
    "runtime": st.sampled_from(["vllm-runtime", "No"]),
    "runtime-image": st.sampled_from(["quay.io/acme/vllm:1", "a b"]),
    "runtime-file": st.just("/nowhere/runtime.yaml"),
    "hardware-profile": st.sampled_from(["gpu", "gpu/redhat-ods-applications"]) | NAMES,
    "accelerator": st.sampled_from(["nvidia.com/gpu", "amd.com/gpu", "gpu"]),
    "connection": NAMES,
    "pull-secret": st.lists(st.sampled_from(["quay", "other", "No"]), max_size=2),
    "s3-endpoint": st.sampled_from(["https://s3.example.com", "s3"]),
    "requests": RESOURCES,
    "limits": RESOURCES,
    "env": st.dictionaries(st.sampled_from(["A", "B_1", "1A", "PYTHONPATH"]), TEXTS, max_size=2),
}


RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["granite", "a-1"]),
    "display-name": st.sampled_from(["Granite 3.1", "x", "3 é y"]),
    "model": st.sampled_from(["oci://quay.io/acme/granite:1", "pvc://claim/x"]),
    "namespace": st.sampled_from(["demo", "mine"]),
    "kserve-version": st.just("0.21"),
    "deployment-mode": st.sampled_from(["Standard", "RawDeployment"]),
    "requests": st.fixed_dictionaries({}, optional={"cpu": st.just("3"), "memory": st.just("1Gi")}),
    "limits": st.fixed_dictionaries({}, optional={"cpu": st.just("4"), "amd.com/gpu": st.just("2")}),
    "env": st.dictionaries(st.sampled_from(["A", "B_1"]), TEXTS, max_size=2),
    "pull-secret": st.just(["quay"]),
    "hardware-profile": st.sampled_from(["gpu", "gpu/redhat-ods-applications"]),
    "replicas": st.integers(1, 99),
}


def _value(name: str) -> st.SearchStrategy[Any]:
    field = BY_NAME[name]
    if name in GOOD:
        return GOOD[name]
    one = st.sampled_from(field.choices) if field.choices else TEXTS
    return {
        Kind.TEXT: one,
        Kind.NUMBER: st.integers(-1, (field.high or 0) + 1),
        Kind.SWITCH: st.booleans(),
        Kind.LIST: st.lists(one, max_size=3),
        Kind.PAIRS: st.dictionaries(NAMES, TEXTS, max_size=2),
    }[field.kind]


BASES: list[dict[str, Any]] = [
    {"model": "quay.io/acme/granite:1", "name": "granite", "namespace": "demo", **more}
    for more in (
        {"runtime-image": "quay.io/acme/vllm:1"},
        {"runtime": "vllm", "flavor": "openshift-ai-2"},
        {"runtime-image": "quay.io/acme/vllm:1", "flavor": "openshift-ai-2", "new-connection": "Granite"},
        {"runtime": "vllm", "connection": "granite", "route": True},
        {"flavor": "kserve"},
        {"kind": "llm"},
    )
]


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """A deployment that is right, with up to three fields changed to right or wrong ones."""
    wish = dict(draw(st.sampled_from(BASES)))
    for name in draw(st.lists(st.sampled_from([field.name for field in FIELDS]), max_size=3, unique=True)):
        usual = name in RIGHT and draw(st.integers(0, 4))
        wish[name] = draw(RIGHT[name] if usual else _value(name))
    return wish


def _attempt(wish: dict[str, Any], secrets: SecretValues | None = None) -> Any:
    """What is rendered; None where it was refused, and then a field that was said or is missing is named."""
    try:
        return render(deployment_from(wish), secrets=secrets)
    except ModelcarError as error:
        found = re.match(r"--([a-z0-9-]+)|MODEL", error.what)
    assert found
    assert found[0] == "MODEL" or found[1] in BY_NAME
    event("refused")
    return None


@needs_schemas
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(wishes())
def test_objects_are_right_or_the_field_is_named(wish: dict[str, Any]) -> None:
    done = _attempt(wish, SecretValues("{}", "key", "secret"))
    if done is None:
        return
    event(f"written for {wish.get('flavor')}")
    assert [problems(manifest) for manifest in done.manifests] == [[]] * len(done.manifests)


@settings(max_examples=150)
@given(wishes())
def test_what_is_written_is_read_back_by_both_kinds_of_yaml(wish: dict[str, Any]) -> None:
    done = _attempt(wish)
    assume(done is not None)
    text = as_yaml(done.manifests)
    assert list(yaml.safe_load_all(text)) == list(done.manifests)
    assert parse_documents(text, "-") == list(done.manifests)
    read = json.loads(as_json(done.manifests))
    assert (read["items"] if read["kind"] == "List" else [read]) == list(done.manifests)


@settings(max_examples=150)
@given(wishes())
def test_a_saved_deployment_is_the_same_deployment(wish: dict[str, Any]) -> None:
    if _attempt(wish) is None:
        return
    deployment = deployment_from(wish)
    (read,) = parse_documents(as_yaml([as_values(deployment)]), "-", texts=True)
    assert deployment_from(read) == deployment
    assert merged(deployment, deployment) == deployment


VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.none(),  # larger ones kubectl reads as floats
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3))
def test_any_value_keeps_its_types_in_yaml_1_1_and_in_kubectls(value: dict[str, Any]) -> None:
    text = as_yaml([value])
    assert yaml.safe_load(text) == value
    assert parse_documents(text, "-") == [value]
    assert text == functools.reduce(lambda made, _: as_yaml([yaml.safe_load(made)]), range(2), text)


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A Template with a value of another kind somewhere in it."""
    whole: dict[str, Any] = copy.deepcopy(template(PORT={"value": "1"}))
    runtime = whole["objects"][0]
    runtime["spec"]["containers"][0]["volumeMounts"] = [{"name": "a", "mountPath": "/a"}]
    runtime["spec"]["volumes"] = [{"name": "a", "emptyDir": {}}]
    place: Any = draw(st.sampled_from([whole, runtime["metadata"], runtime["spec"], runtime["spec"]]))
    while True:
        key = draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
        deeper = isinstance(place[key], dict | list) and place[key]
        if not deeper or draw(st.booleans()):
            break
        place = place[key]
    place[key] = draw(VALUES)
    return whole


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged(), st.sampled_from([None, "openshift-ai-2", "kserve"]))
def test_a_damaged_template_is_refused_or_taken_but_breaks_nothing(
    tmp_path: Path, content: dict[str, Any], flavor: str
) -> None:
    path = tmp_path / "runtime.yaml"
    path.write_text(as_yaml([content]), encoding="utf-8")
    wish = {**BASES[0], "runtime-image": None, "runtime-file": str(path), "flavor": flavor, "gpu-count": 2}
    done = _attempt(wish)
    if done is not None:
        json.loads(as_json(done.manifests))

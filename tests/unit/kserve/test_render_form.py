"""The table of the form's fields: complete, and what flags, file and docs are made from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import jsonschema
import msgspec
import pytest

from modelcar.cli.render import render
from modelcar.errors import UsageError
from modelcar.kserve.deployment import Deployment, deployment_from, merged, schema
from modelcar.kserve.form import FIELDS, Absent, Kind
from scripts.docs import FORM_PLACE, SCHEMA_PLACE, form_page, schema_text
from tests.objects import SHARED, needs_samples


def ids() -> Iterator[str]:
    for step in json.loads((SHARED / "odh-deploy-form.json").read_text())["steps"]:
        yield from (field["id"] for field in step["fields"])


@needs_samples
def test_each_field_of_the_form_is_in_the_table() -> None:
    known = {one for field in FIELDS for one in field.ids}
    assert set(ids()) - known == set()
    assert known <= set(ids())


def test_the_value_has_the_tables_fields_and_no_others() -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(Deployment)}
    assert [*fields] == [field.name for field in FIELDS]
    for field in FIELDS:
        kind = str(fields[field.name].type)
        word = {Kind.NUMBER: "int", Kind.SWITCH: "bool", Kind.LIST: "tuple", Kind.PAIRS: "dict"}.get(field.kind)
        assert (word or ("Literal" if field.choices else "str")) in kind, field.name
        assert all(choice in kind for choice in field.choices), field.name
        assert field.high is None or f"le={field.high}" in kind, field.name
        assert fields[field.name].default is None


def test_each_field_is_a_flag() -> None:
    flags = {option.opts[-1].removeprefix("--"): option for option in render.params if isinstance(option, click.Option)}
    for field in FIELDS:
        assert field.name == "model" or flags[field.name].default in (None, ()), field.name


def test_what_a_flavour_lacks_has_a_reason() -> None:
    for field in FIELDS:
        for place in (field.three, field.two, field.kserve, field.llm):
            assert place.why if isinstance(place, Absent) else place


def test_the_docs_are_current() -> None:
    """Otherwise: python scripts/docs.py."""
    assert FORM_PLACE.read_text(encoding="utf-8") == form_page(FORM_PLACE.read_text(encoding="utf-8"))
    assert SCHEMA_PLACE.read_text(encoding="utf-8") == schema_text()


def test_the_files_schema_knows_right_from_wrong() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    check = jsonschema.Draft202012Validator(schema())
    right: dict[str, Any] = {"model": "x", "replicas": 2, "route": True, "env": {"A": "b"}, "kserve-version": 0.2}
    assert check.is_valid(right)
    for wrong in ({"modle": "x"}, {"replicas": 0}, {"flavor": "k8s"}, {"args": "x"}, {"route": "yes"}):
        assert not check.is_valid(wrong)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replcas": 1}, "deployment.yaml: replcas is no field of a deployment; is it replicas?"),
        ({"zzz": 1}, "see docs/render.md"),
        ({"replicas": "many"}, "deployment.yaml: replicas: "),
        ({"replicas": "100"}, "replicas: a whole number from 1 to 99, not 100"),
        ({"route": "maybe"}, "route: true or false, not maybe"),
        ({"flavor": "k8s"}, "flavor: one of openshift-ai-3, openshift-ai-2, kserve"),
        ({"args": "--x"}, "args: a list of texts"),
        ({"env": {"A": ["b"]}}, "env: texts by name"),
    ],
)
def test_a_wrong_file_is_refused_by_field(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        deployment_from(values, "deployment.yaml")
    assert said in str(caught.value)


def test_flags_win_over_the_file_and_maps_are_joined() -> None:
    file = deployment_from({"replicas": "2", "env": {"A": "1", "B": "1"}, "args": ["--a"], "route": "true"})
    flags = deployment_from({"env": {"B": "2"}, "args": ["--b"], "route": False})
    assert merged(flags, file) == deployment_from(
        {"replicas": 2, "env": {"A": "1", "B": "2"}, "args": ["--b"], "route": False}
    )

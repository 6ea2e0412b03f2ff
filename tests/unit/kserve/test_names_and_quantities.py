from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import UsageError
from modelcar.kserve import names
from modelcar.kserve.quantity import is_quantity, parse_quantity


@pytest.mark.parametrize(
    ("display", "name"),
    [
        ("granite-3.1-2b", "granite-31-2b"),
        ("  Granite 3.1  2B (instruct) ", "granite-31-2b-instruct"),
        ("70B Llama", "model-70b-llama"),
        ("模型", ""),
        ("a" * 29 + "-bc", "a" * 29),
    ],
)
def test_a_display_name_becomes_a_resource_name_by_the_forms_rule(display: str, name: str) -> None:
    assert names.from_display_name(display) == name


@given(st.text())
def test_whatever_is_left_of_a_display_name_is_a_good_name(display: str) -> None:
    name = names.from_display_name(display)
    assert not name or (names.service_name_problem(name) == "" and len(name) <= names.FORM_LENGTH)


@pytest.mark.parametrize(
    ("name", "namespace", "problem"),
    [
        ("granite", "demo", ""),
        ("3b", "demo", "begin with a small letter"),
        ("a-", "demo", "the last no '-'"),
        ("a" * 54, "", "54 characters"),
        ("a" * 50, "n" * 13, "64 characters with the dash between them"),
        ("a" * 50, "n" * 12, ""),
    ],
)
def test_what_is_wrong_with_a_service_name_is_said(name: str, namespace: str, problem: str) -> None:
    found = names.service_name_problem(name, namespace)
    assert problem in found if problem else found == ""


def test_labels_have_a_syntax() -> None:
    assert all(map(names.is_label_value, ["", "true", "a.b_c-d", "a" * 63]))
    assert not any(map(names.is_label_value, ["-a", "a b", "a" * 64, "ä"]))
    assert all(map(names.is_qualified_name, ["app", "opendatahub.io/dashboard"]))
    assert not any(map(names.is_qualified_name, ["", "/a", "A b/c", "Example.com/x/", "UPPER.io/x"]))


@pytest.mark.parametrize(
    ("text", "value"),
    [("4Gi", 4 * 1024**3), ("500m", "0.5"), ("2", 2), ("1.5G", "1.5e9"), ("1e3", 1000), ("1E", "1e18"), (".5", "0.5")],
)
def test_quantities_have_kubernetes_values(text: str, value: int | str) -> None:
    assert parse_quantity(text, "--memory") == Decimal(value)
    assert is_quantity(text)


@pytest.mark.parametrize("text", ["", "4GB", "4 Gi", "Gi", "1e", "1ki", "--1", "NaN"])
def test_what_is_no_quantity_is_refused_with_the_option(text: str) -> None:
    assert not is_quantity(text)
    with pytest.raises(UsageError, match="--memory"):
        parse_quantity(text, "--memory")

"""What lint says of a value of another type than its field, and when it renames a field."""

from __future__ import annotations

import pytest

from modelcar.kserve.lint import Finding, Text, lint
from modelcar.kserve.lint.fix import fix
from tests.unit.kserve.lint_examples import ANYWHERE, service


def found(text: str) -> list[Finding]:
    return [one for one in lint([Text("x.yaml", text.encode())], ANYWHERE).findings if one.severity == "error"]


def fixed(text: str) -> str:
    result = lint([Text("x.yaml", text.encode())], ANYWHERE)
    return fix(result.documents["x.yaml"], result.findings).data.decode()


@pytest.mark.parametrize(
    ("predictor", "said"),
    [
        ("imagePullSecrets: foo,", "write [{name: foo}]"),
        ("imagePullSecrets: 'a b',", 'write [{name: "a b"}]'),
        ("imagePullSecrets: {name: foo},", "put `- ` before it: it is one item of the list"),
        ("timeout: 30s,", "write 30: it is in seconds"),
        ("timeout: 5m,", "write 300: it is in seconds"),
        ("timeout: soon,", "write a whole number"),
        ("minReplicas: 1.5,", "write a whole number"),
        ("minReplicas: true,", "write a whole number"),
        ("hostNetwork: '1',", "write true"),
        ("hostNetwork: maybe,", "write true or false"),
        ("nodeSelector: gpu,", "write a map: `key: value`"),
        ("nodeSelector: [gpu],", "write a map: `key: value`, without `-`"),
        ("affinity: 5,", "write its fields below it: nodeAffinity, podAffinity, podAntiAffinity"),
        ("securityContext: [],", "take the `-` away: it is no list"),
        ("volumes: [{name: a, emptyDir: {sizeLimit: {}}}],", "write it as 4Gi, 500m or 2"),
    ],
)  # fmt: skip
def test_what_to_write(predictor: str, said: str) -> None:
    [one] = found(service(predictor=predictor))
    assert (one.rule, one.fix) == ("wrong-type", said)


@pytest.mark.parametrize(
    ("model", "said"),
    [("args: --a=b,", 'write ["--a=b"]'), ("args: yes,", 'write ["yes"]'), ("env: A,", "write [{name: A}]")],
)
def test_what_to_write_for_a_list(model: str, said: str) -> None:
    [one] = found(service(model))
    assert (one.rule, one.fix) == ("wrong-type", said)


def test_a_format_is_an_object() -> None:
    [one] = found(service().replace("{name: vLLM}", "vLLM"))
    assert one.fix == "write {name: vLLM}"


@pytest.mark.parametrize(
    "predictor",
    [
        "imagePullSecret: foo,",
        "imagePullSecret: [foo],",
        "imagePullSecret: {name: foo},",
        "minReplica: a,",
        "minReplica: 1.5,",
        "minReplica: [1],",
        "nodeSelecter: [a],",
        "securityContexts: a,",
    ],
)
def test_a_field_isn_t_renamed_where_the_api_server_would_refuse_its_value(predictor: str) -> None:
    text = service(predictor=predictor)
    [one] = found(text)
    assert one.rule == "unknown-field"
    assert one.fix.startswith("did you mean ")
    assert "? Then " in one.fix
    assert fixed(text) == text


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("imagePullSecret: [{name: foo}],", "imagePullSecrets: [{name: foo}],"),
        ("imagePullSecret: [],", "imagePullSecrets: [],"),
        ("imagePullSecret: null,", "imagePullSecrets: null,"),
        ("minReplica: '1',", "minReplicas: '1',"),
        ("minReplica: 1,", "minReplicas: 1,"),
        ("nodeSelecter: {a: b},", "nodeSelector: {a: b},"),
        ("schedulerNam: 5,", "schedulerName: 5,"),
        ("hostNetwrok: 'true',", "hostNetwork: 'true',"),
    ],
)
def test_a_field_is_renamed_where_its_value_fits(wrong: str, right: str) -> None:
    assert fixed(service(predictor=wrong)) == service(predictor=right)

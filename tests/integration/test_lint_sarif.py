"""The SARIF of lint: held against OASIS' schema, and with what GitHub's code scanning asks for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from modelcar.kserve.lint import Aim, Text, lint
from modelcar.kserve.lint.sarif import File, as_sarif
from tests.cli import modelcar
from tests.peers import sarif_schema
from tests.unit.kserve.lint_examples import EXAMPLES, service

ERROR = service("arg: [],")


def log_of(*texts: Text, aim: Aim | None = None) -> dict[str, Any]:
    return as_sarif(lint(texts, aim or Aim()), "1.2.3")


def result_of(name: str, text: str) -> dict[str, Any]:
    [result] = log_of(Text(name, text.encode()))["runs"][0]["results"]
    assert isinstance(result, dict)
    return result


def place_of(name: str) -> dict[str, Any]:
    place: dict[str, Any] = result_of(name, ERROR)["locations"][0]["physicalLocation"]["artifactLocation"]
    return place


def test_the_schema_refuses_what_is_wrong() -> None:
    schema = sarif_schema()
    jsonschema.Draft4Validator.check_schema(schema)
    for wrong in ({}, {"version": "2.1.0", "runs": [{"tool": {}}]}, {"version": "2.2", "runs": []}):
        assert list(jsonschema.Draft4Validator(schema).iter_errors(wrong))


def test_every_rule_s_findings_are_valid() -> None:
    check = jsonschema.Draft4Validator(sarif_schema(), format_checker=jsonschema.FormatChecker())
    for rule, example in EXAMPLES.items():
        log = log_of(Text("deploy/ä b.yaml", example.bad.encode()), aim=example.aim)
        assert rule in {result["ruleId"] for result in log["runs"][0]["results"]}
        check.validate(json.loads(json.dumps(log)))


def test_nothing_found_is_valid(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(service())
    log = json.loads(modelcar("lint", "--format", "sarif", "x.yaml", cwd=tmp_path).out)
    jsonschema.Draft4Validator(sarif_schema()).validate(log)
    assert log["runs"][0]["results"] == []


def test_what_code_scanning_needs() -> None:
    """GitHub, "SARIF support for code scanning": the properties that it calls required."""
    log = log_of(Text("x.yaml", ERROR.encode()))
    [run] = log["runs"]
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["id"]
        assert all(rule[part]["text"] for part in ("shortDescription", "fullDescription", "help"))
    [result] = run["results"]
    region = result["locations"][0]["physicalLocation"]["region"]
    line = ERROR.splitlines()[region["startLine"] - 1]
    assert region["endLine"] == region["startLine"]
    assert line[region["startColumn"] - 1 : region["endColumn"] - 1] == "arg"
    assert result["message"]["text"]
    assert result["level"] == "error"
    assert len(result["partialFingerprints"]["primaryLocationLineHash"].partition(":")[0]) <= 16


def test_a_file_that_can_t_be_read_has_a_place_too() -> None:
    assert "partialFingerprints" not in result_of("x.yaml", "a: [\n")


def test_files_are_named_from_the_repository_s_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = {"uriBaseId": "%SRCROOT%"}
    assert place_of("./deploy/../x y.yaml") == {"uri": "x%20y.yaml", **root}
    assert place_of(f"{tmp_path}/deploy/x.yaml") == {"uri": "deploy/x.yaml", **root}
    assert place_of("/elsewhere/x.yaml") == {"uri": "file:///elsewhere/x.yaml"}
    assert place_of(os.fsdecode(b"\xff.yaml")) == {"uri": "%FF.yaml", **root}


LOREM = "Lorem ipsum dolor sit amet.\n"
HELLO = ["e9496ae3ebfced30:1", "fb7c023a8b9ccb3f:1", "ce8ba1a563dcdaca:1", "e20e36e16fcb0cc8:1",
         "b3edc88f2938467e:1", "c8e28b0b4002a3a0:1"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "prints"),
    [
        (" a\nb\n  \t\tc\n d", ["271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"]),
        (" hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End\n", HELLO),
        (" hello; \t\nworld!!!\r\n\n\r  \t\tGreetings\r End\r\n", HELLO),
        (LOREM * 10, [*(f"a7f2ff13bc495cf2:{count}" for count in range(1, 7)), "a7f2ff1481e87703:1",
                      "a9cf91f7bbf1862b:1", "55ec222b86bcae53:1", "cc97dc7b1d7d8f7b:1"]),
    ],
)  # fmt: skip
def test_fingerprints_are_those_that_github_makes(text: str, prints: list[str]) -> None:
    """The values of codeql-action's own tests (src/fingerprints.test.ts)."""
    file = File(text)
    assert [file.fingerprint(line) for line in range(1, len(prints) + 1)] == prints


def test_a_fingerprint_stays_when_the_line_moves() -> None:
    moved = result_of("x.yaml", f"# more\n\n{ERROR}")
    assert moved["partialFingerprints"] == result_of("x.yaml", ERROR)["partialFingerprints"]
    assert moved["locations"] != result_of("x.yaml", ERROR)["locations"]

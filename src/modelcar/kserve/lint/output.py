"""Findings as text, JSON and GitHub's annotations; `sarif` writes SARIF."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from typing import Any

from modelcar.kserve.lint.catalog import Severity, rules
from modelcar.kserve.lint.findings import Finding
from modelcar.kserve.lint.run import Result


def as_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """One line a finding, and one for its fix."""
    for found in findings:
        yield f"{found.file}:{found.line}:{found.column}: {found.severity}: {found.message} [{found.rule}]"
        yield f"    fix: {found.fix or rules()[found.rule].fix}"


def as_json(result: Result) -> dict[str, Any]:
    """All that came out."""
    return {
        "findings": [
            {
                "rule": found.rule,
                "severity": str(found.severity),
                "file": found.file,
                "line": found.line,
                "column": found.column,
                "message": found.message,
                "fix": found.fix or rules()[found.rule].fix,
                "fixable": found.edit is not None,
            }
            for found in result.findings
        ],
        "errors": count(result.findings, Severity.ERROR),
        "warnings": count(result.findings, Severity.WARNING),
        "objects": result.objects,
        "passed_over": result.passed,
        "incomplete": result.cut,
        "notes": result.notes,
    }


def as_github(findings: Sequence[Finding]) -> Iterator[str]:
    """Workflow commands, which GitHub shows at the lines of a change."""
    for found in findings:
        file = _property(posixpath.normpath(found.file))
        place = f"file={file},line={found.line},col={found.column},title={_property(found.rule)}"
        yield f"::{found.severity} {place}::{_data(f'{found.message}; {found.fix or rules()[found.rule].fix}')}"


def count(findings: Sequence[Finding], severity: Severity) -> int:
    """How many are so bad."""
    return sum(found.severity is severity for found in findings)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

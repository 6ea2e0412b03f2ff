"""Findings as a SARIF 2.1.0 log, as code scanning takes it.

Sources: OASIS SARIF 2.1.0, sections 3.14 (run), 3.27 (result) and 3.30 (region); GitHub, "SARIF support for code
scanning".
"""

from __future__ import annotations

import os
import posixpath
import re
import struct
from pathlib import Path
from typing import Any
from urllib.parse import quote

from modelcar.kserve.lint.catalog import Rule, rules
from modelcar.kserve.lint.findings import Finding
from modelcar.kserve.lint.run import Result

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_BREAK = re.compile(r"\r\n|[\r\n]")
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s,\[\]{}'"][^\s,\[\]{}]*?(?=:?(?:[\s,\[\]{}]|$))""")
"""What a finding points at: a quoted scalar, or a plain word without the colon behind a key."""


def as_sarif(result: Result, version: str) -> dict[str, Any]:
    """All findings as one run.

    Args:
        result: What lint found.
        version: Of modelcar.
    """
    known = list(rules().values())
    places = {rule.id: index for index, rule in enumerate(known)}
    files = {
        name: File(("\ufeff" if document.bom else "") + document.text)
        for name in dict.fromkeys(found.file for found in result.findings)
        if (document := result.documents.get(name)) is not None
    }
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "modelcar lint", "version": version, "rules": [*map(_rule, known)]}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(found, places[found.rule], files.get(found.file)) for found in result.findings],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.fix},
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _result(found: Finding, rule: int, file: File | None) -> dict[str, Any]:
    region = {"startLine": found.line, "startColumn": found.column}
    told: dict[str, Any] = {
        "ruleId": found.rule,
        "ruleIndex": rule,
        "level": str(found.severity),
        "message": {"text": f"{found.message}. Fix: {found.fix or rules()[found.rule].fix}"},
        "locations": [{"physicalLocation": {"artifactLocation": _location(found.file), "region": region}}],
    }
    if file is not None:
        region |= {"endLine": found.line, "endColumn": file.end(found.line, found.column)}
        told["partialFingerprints"] = {"primaryLocationLineHash": file.fingerprint(found.line)}
    return told


def _location(name: str) -> dict[str, Any]:
    """Where a file is: relative to the current folder, the repository's root in a pipeline, unless it is elsewhere."""
    path = posixpath.normpath(name)
    if posixpath.isabs(path):
        below = posixpath.relpath(path, Path.cwd().as_posix())
        if below.startswith("../"):
            return {"uri": Path(path).as_uri()}
        path = below
    return {"uri": quote(os.fsencode(path)), "uriBaseId": "%SRCROOT%"}


_WINDOW = 100
_FACTOR = 37
_END = b"\xff\xff"


class File:
    """A file's text: where what stands at a place ends, and by what a line is known when it moves."""

    def __init__(self, text: str) -> None:
        self._lines = _BREAK.split(text)
        self._windows: list[tuple[bytes, int]] = []

    def end(self, line: int, column: int) -> int:
        """The column behind what begins at a place."""
        text = self._lines[line - 1].removeprefix("\ufeff") if line == 1 else self._lines[line - 1]
        found = _TOKEN.match(text, column - 1)
        return found.end() + 1 if found else min(column + 1, len(text) + 1)

    def fingerprint(self, line: int) -> str:
        """What GitHub knows a line by: a hash of its next hundred characters, and how often there was one like it.

        Source: github/codeql-action, src/fingerprints.ts. Another value would be told as inconsistent there.
        """
        if not self._windows:
            self._windows = self._count()
        window, count = self._windows[line - 1]
        return f"{_hash(window):x}:{count}"

    def _count(self) -> list[tuple[bytes, int]]:
        kept = [line.translate({0x20: None, 0x09: None}).encode("utf-16-le") for line in self._lines]
        text = b"\n\0".join(kept) + _END
        counts: dict[bytes, int] = {}
        windows: list[tuple[bytes, int]] = []
        start = 0
        for line in kept:
            window = text[start : start + 2 * _WINDOW]
            counts[window] = counts.get(window, 0) + 1
            windows.append((window, counts[window]))
            start += len(line) + 2
        return windows


def _hash(window: bytes) -> int:
    """A polynomial over UTF-16 units; a window that the file's end cuts short is filled up by zeros."""
    value = 0
    for (unit,) in struct.iter_unpack("<H", window.ljust(2 * _WINDOW, b"\0")):
        value = (value * _FACTOR + unit) & 0xFFFFFFFFFFFFFFFF
    return value

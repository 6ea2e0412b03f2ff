"""What is wrong, where, and how it is put right; and the collection of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from modelcar.kserve.lint.catalog import Severity, rules
from modelcar.kserve.lint.document import Document, Node

MOST = 1000
"""So many findings are told of a file: behind them nothing more is looked for there."""
_LONGEST = 1000
"""So many characters has a message: what it tells of may have millions."""


class Enough(Exception):
    """A file has had all findings that are told of it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Text to put in place of other text.

    Attributes:
        start: Where, in characters from the start of the document.
        end: Where what is replaced ends.
        text: What stands there afterwards.
    """

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake at one place.

    Attributes:
        rule: Its rule's id.
        severity: How bad it is.
        file: As the user named it; `-` for stdin.
        line: From 1 on.
        column: From 1 on, in characters.
        message: What is wrong, with the values that are there.
        fix: What to do; empty where the rule's page says all.
        edit: The fix as a change of the text, where it is safe to make without asking.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    fix: str = ""
    edit: Edit | None = None


@dataclass(slots=True)
class Report:
    """All that was found in some files.

    Attributes:
        ignored: Ids that the user doesn't want to hear of.
        findings: What was found, in the order in which it was.
        cut: Files with more findings than are told.
    """

    ignored: Collection[str] = ()
    findings: list[Finding] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)

    def is_full(self, document: Document) -> bool:
        """Whether a document has more findings than are told."""
        return self._counts.get(document.name, 0) > MOST

    def add(self, rule: str, node: Node, message: str, fix: str = "", edit: Edit | None = None) -> None:
        """Note a finding at a node; see `add_at`."""
        self.add_at(rule, node.document, node.start, message, fix, edit)

    def add_at(
        self, rule: str, document: Document, offset: int, message: str, fix: str = "", edit: Edit | None = None
    ) -> None:
        """Note a finding at an offset of a document, unless the user or the line says to ignore it.

        Raises:
            Enough: The document has had all findings that are told.
        """
        if rule in self.ignored or rule in _ignored_by(document, offset):
            return
        count = self._counts[document.name] = self._counts.get(document.name, 0) + 1
        if count > MOST:
            if count == MOST + 1:
                self.cut.append(document.name)
            raise Enough
        line, column = document.position(offset)
        severity = rules()[rule].severity
        self.findings.append(Finding(rule, severity, document.name, line, column, _cut(message), _cut(fix), edit))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _ignored_by(document: Document, offset: int) -> frozenset[str]:
    if not document.ignored:
        return frozenset()
    return document.ignored.get(document.position(offset)[0], frozenset())

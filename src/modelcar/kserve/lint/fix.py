"""The fixes that are safe, made at their places; no other byte changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modelcar.kserve.lint.document import Document
from modelcar.kserve.lint.findings import Edit, Finding


@dataclass(frozen=True, slots=True)
class Fixed:
    """A file's new content.

    Attributes:
        data: Its bytes.
        count: How many places changed.
    """

    data: bytes
    count: int


def fix(document: Document, findings: Iterable[Finding]) -> Fixed:
    """A document with the safe fixes of its findings; of two that overlap, the first is made.

    Line ends, comments, quotes and a byte order mark stay as they are.
    """
    edits = {found.edit for found in findings if found.file == document.name and found.edit is not None}
    parts: list[str] = []
    done = 0
    made = 0
    for edit in sorted(edits, key=_place):
        if edit.start >= done and document.text[edit.start : edit.end] != edit.text:
            parts += [document.text[done : edit.start], edit.text]
            done = edit.end
            made += 1
    text = "".join([*parts, document.text[done:]])
    return Fixed((("\ufeff" if document.bom else "") + text).encode(), made)


def _place(edit: Edit) -> tuple[int, int]:
    return edit.start, edit.end

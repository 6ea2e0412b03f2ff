"""From text to nodes: libyaml's events, put into the arrays of a `Document`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from typing import Any

import yaml
from yaml import events

from modelcar.errors import ModelcarError
from modelcar.kserve.lint.document import ALIAS, MAPPING, OTHER, PLAIN, QUOTED, SEQUENCE, Document

try:
    from yaml._yaml import CParser
except ImportError as error:
    raise ModelcarError(
        "PyYAML has no libyaml here", "install its wheel: pip install --force-reinstall pyyaml"
    ) from error

_DEEPEST = 100
_MOST = 1_500_000
"""So many events of YAML are read: a file of 10 MB that people or programs wrote has fewer, even where it is dense."""
_MOST_ALIASED = 100_000
"""So many values may aliases stand for, besides as many as the file itself has. kubectl has a bound of this kind too
(sigs.k8s.io/yaml, goyaml.v2/decode.go, `allowedAliasRatio`: "document contains excessive aliasing")."""

_QUOTES = ("'", '"')


class Unparsable(ModelcarError):
    """Text that is no YAML.

    Args:
        what: What is wrong there.
        offset: Where, in characters from the start.
    """

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


def parse(document: Document) -> None:
    """Read a document's text into its nodes.

    Raises:
        Unparsable: It is no YAML, nested too deep, or has too many values. What stands before is there.
    """
    try:
        _Builder(document).run()
    except yaml.reader.ReaderError as error:
        before = document.text.encode()[: int(error.position)]  # libyaml counts bytes here, and characters elsewhere
        raise Unparsable(_reader_problem(error), len(before.decode(errors="ignore"))) from error
    except yaml.MarkedYAMLError as error:
        unclosed = "end of stream" in (error.problem or "") and error.context_mark  # what began there doesn't end
        mark = unclosed or error.problem_mark or error.context_mark
        offset = min(int(mark.index), len(document.text)) if mark else len(document.text)
        raise Unparsable(_problem(document, error, offset), offset) from error


class _Builder:
    """Takes each event once. Its methods are what a file's time is spent in."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._anchors: dict[str, int] = {}
        self._open: list[int] = []
        self._aliases: list[int] = []
        self._aliased = [0]  # how many values those before each alias stand for

    def run(self) -> None:
        document, text = self._document, self._document.text
        kinds, starts, ends, after = document.kinds, document.starts, document.ends, document.after
        scalar: Any = events.ScalarEvent
        next_event: Callable[[], Any] = CParser(text).get_event
        methods = {
            events.MappingStartEvent: self._start,
            events.SequenceStartEvent: self._start,
            events.MappingEndEvent: self._end,
            events.SequenceEndEvent: self._end,
            events.AliasEvent: self._alias,
            events.DocumentStartEvent: self._document_start,
            events.DocumentEndEvent: self._document_end,
        }.get
        for event in islice(iter(next_event, None), _MOST):
            if event.__class__ is not scalar:
                if method := methods(event.__class__):
                    method(event)
                continue
            start, end, value, style = event.start_mark.index, event.end_mark.index, event.value, event.style
            if event.anchor or event.tag:  # the event begins with them
                start = max(start, end - len(value) - (2 if style in _QUOTES else 0))
                self._name(event, len(kinds))
            if not style and value == text[start:end]:
                kinds.append(PLAIN)
            elif style in _QUOTES and value == text[start + 1 : end - 1]:
                kinds.append(QUOTED)
            else:
                document.others.append(len(kinds))
                document.texts.append(value)
                kinds.append(OTHER)
            starts.append(start)
            ends.append(end)
            after.append(len(kinds))
        if (event := next_event()) is not None:
            raise Unparsable(f"more than {_MOST:,} events of YAML: split the file", event.start_mark.index)

    def _name(self, event: Any, node: int) -> None:
        """Note a node's tag and anchor."""
        if event.tag:
            self._document.tags[node] = event.tag
        if event.anchor:
            self._anchors[event.anchor] = node

    def _start(self, event: Any) -> None:
        document = self._document
        node = len(document.kinds)
        if len(self._open) >= _DEEPEST:
            raise Unparsable(f"nested deeper than {_DEEPEST} levels", event.start_mark.index)
        self._open.append(node)
        document.kinds.append(MAPPING if event.__class__ is events.MappingStartEvent else SEQUENCE)
        document.starts.append(event.start_mark.index)
        document.ends.append(0)
        document.after.append(0)
        if event.tag or event.anchor:
            self._name(event, node)

    def _end(self, event: Any) -> None:
        node = self._open.pop()
        self._document.ends[node] = event.end_mark.index
        self._document.after[node] = len(self._document.kinds)

    def _alias(self, event: Any) -> None:
        document = self._document
        node = len(document.kinds)
        target = self._anchors.get(event.anchor)
        if target is None or not document.after[target]:
            where = "that no &anchor names" if target is None else "that it is part of itself"
            raise Unparsable(f"the alias *{event.anchor} stands for something {where}", event.start_mark.index)
        document.kinds.append(ALIAS)
        document.starts.append(event.start_mark.index)
        document.ends.append(event.end_mark.index)
        document.after.append(node + 1)
        document.aliases[node] = target
        aliased = self._aliased[-1] + self._size(target)
        if aliased > _MOST_ALIASED + node:
            raise Unparsable(f"aliases stand for {aliased:,} values here, as in a bomb", event.start_mark.index)
        self._aliases.append(node)
        self._aliased.append(aliased)

    def _size(self, node: int) -> int:
        """How many values a node has, those that aliases in it stand for among them."""
        end = self._document.after[node]
        first, last = bisect_left(self._aliases, node), bisect_left(self._aliases, end)
        return end - node + self._aliased[last] - self._aliased[first]

    def _document_start(self, _event: Any) -> None:
        self._document.roots.append(len(self._document.kinds))

    def _document_end(self, _event: Any) -> None:
        self._anchors.clear()


def _problem(document: Document, error: yaml.MarkedYAMLError, offset: int) -> str:
    problem = error.problem or str(error)
    line = document.line_at(offset)
    if "\t" in line[: len(line) - len(line.lstrip())] or "\t" in document.text[offset : offset + 1]:
        return f"{problem}: there is a tab, and YAML is indented by spaces"
    return f"{problem} {error.context}" if error.context else problem


def _reader_problem(error: yaml.reader.ReaderError) -> str:
    shown = f" (#x{error.character:04x})" if isinstance(error.character, int) else ""
    return f"a character that YAML doesn't allow{shown}"

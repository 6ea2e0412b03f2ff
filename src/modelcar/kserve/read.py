"""YAML of others, as kubectl reads it: bounded, and without a value that another reader would type otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from modelcar.errors import NotFound, Refused, UsageError
from modelcar.kserve.scalars import integer_of, is_true, plain_type

LARGEST = 1_000_000
"""Bytes of the largest file that is read. Templates have some 10 kB, and a byte of YAML may become 500 of memory."""
_MOST = 200_000
_DEEPEST = 100


def read_documents(path: Path, what: str, *, texts: bool = False) -> list[Any]:
    """The documents of a YAML or JSON file; empty ones are left out.

    Args:
        path: The file.
        what: The option that names it, for errors.
        texts: Leave each scalar the text that it is, but nulls.

    Raises:
        NotFound: It isn't there.
        Refused: It is larger than `LARGEST`, or aliases make too much of it.
        UsageError: It can't be read, or is no YAML: with line and column.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(LARGEST + 1)
    except FileNotFoundError:
        raise NotFound(f"{what}: {path} doesn't exist") from None
    except OSError as error:
        raise UsageError(f"{what}: {path} can't be read: {error.strerror}") from None
    return parse_documents(content, f"{what}: {path}", texts=texts)


def parse_documents(content: str | bytes, what: str, *, texts: bool = False) -> list[Any]:
    """As `read_documents`, of what was read already."""
    if len(content) > LARGEST:
        raise Refused(f"{what} is larger than {LARGEST // 1_000_000} MB", "is it the right file?")
    try:
        content = content if isinstance(content, str) else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{what} is no text in UTF-8") from None
    try:
        loader = yaml.CBaseLoader(content)
        nodes = []
        while loader.check_node():
            nodes.append(loader.get_node())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{what}: {where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{what}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise Refused(f"{what}: it is nested too deep") from None
    values = [_Reader(what, texts).value(node, 0) for node in nodes if node is not None]
    return [value for value in values if value not in (None, "")]


class _Reader:
    """Nodes to values. Each value is counted where it stands, so that aliases can't make more of a file than it is."""

    def __init__(self, what: str, texts: bool) -> None:
        self._what = what
        self._texts = texts
        self._left = _MOST

    def value(self, node: yaml.Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise Refused(f"{self._what}: more than {_MOST:,} values, or nested deeper than {_DEEPEST}")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        value = _scalar(node)
        return value if value is None or not self._texts else node.value

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            mark = key.start_mark
            where = f"{self._what}: line {mark.line + 1}, column {mark.column + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise UsageError(f"{where}: a key must be a word")
            if key.value in values:
                raise UsageError(f"{where}: {key.value} is there twice")
            values[key.value] = self.value(value, depth + 1)
        return values


def _scalar(node: yaml.Node) -> Any:
    """What kubectl makes of a scalar; dates and what has a tag stay texts."""
    text = str(node.value)
    if getattr(node, "style", None) or node.tag not in (None, "", "tag:yaml.org,2002:str", "?"):
        return text
    match plain_type(text):
        case "null":
            return None
        case "boolean":
            return is_true(text)
        case "integer":
            return integer_of(text)
        case "number":
            return _number(text)
    return text


def _number(text: str) -> float | int | str:
    """A fraction, or the whole number that it is; what JSON has no word for (`.nan`, `.inf`) stays a text."""
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number

"""YAML as nodes with positions: parsed by libyaml, nothing constructed.

A file's nodes lie one behind the other in arrays, each collection before what it holds, a mapping's keys before their
values. That costs some 15 bytes a node where PyYAML's own nodes and marks take 300, and a scalar's text is cut from the
file when somebody asks for it.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any, Final

from modelcar.kserve.scalars import integer_of, is_true, plain_type, tagged_type

PLAIN: Final = 0
QUOTED: Final = 1
OTHER: Final = 2
"""A scalar whose text isn't what stands in the file: folded, escaped, a block."""
MAPPING: Final = 3
SEQUENCE: Final = 4
ALIAS: Final = 5
_LONGEST_NULL = 4

_IGNORE = re.compile(r"#[ \t]*modelcar:[ \t]*ignore=[ \t]*([\w-]+(?:[ \t]*,[ \t]*[\w-]+){0,99})")
_BREAK = re.compile(r"\r\n|[\r\n]")


@lru_cache(64)
def _ids(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.split(","))


class Document:
    """A file's nodes. A node is a number: its place in the arrays.

    Attributes:
        name: The file, as the user named it.
        text: Its content, without a byte order mark.
        bom: Whether it had one.
        kinds: What each node is.
        starts: Where each begins, in characters.
        ends: Where each ends.
        after: The node behind it and all that it holds.
        others: The scalars of kind `OTHER`.
        texts: The text of each of those.
        tags: The tags of nodes that have one.
        aliases: The nodes that aliases stand for.
        roots: The nodes that are documents.
    """

    __slots__ = (
        "__dict__", "after", "aliases", "bom", "ends", "kinds", "name", "others", "roots", "starts", "tags", "text",
        "texts",
    )  # fmt: skip

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.bom = text.startswith("\ufeff")
        self.text = text[1:] if self.bom else text
        self.kinds = bytearray()
        self.starts = array("I")
        self.ends = array("I")
        self.after = array("I")
        self.others = array("I")
        self.texts: list[str] = []
        self.tags: dict[int, str] = {}
        self.aliases: dict[int, int] = {}
        self.roots: list[int] = []

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(found.end() for found in _BREAK.finditer(self.text))]

    @cached_property
    def ignored(self) -> dict[int, frozenset[str]]:
        """The rules that comments leave out, by line."""
        if "modelcar:" not in self.text:
            return {}
        return {self.position(found.start())[0]: _ids(found[1]) for found in _IGNORE.finditer(self.text)}

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1 on."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def line_at(self, offset: int) -> str:
        """The line in which a character stands."""
        _, column = self.position(offset)
        return self.text[offset - column + 1 : self.line_end(offset)]

    def line_end(self, offset: int) -> int:
        """Where the line ends in which a character stands, behind its line break."""
        line, _ = self.position(offset)
        return self._lines[line] if line < len(self._lines) else len(self.text)

    def value(self, node: int) -> str:
        """The text of a scalar; empty for what is none."""
        kind = self.kinds[node]
        if kind == PLAIN:
            return self.text[self.starts[node] : self.ends[node]]
        if kind == QUOTED:
            return self.text[self.starts[node] + 1 : self.ends[node] - 1]
        return self.texts[bisect_left(self.others, node)] if kind == OTHER else ""

    def rewritten(self, node: int, text: str) -> str:
        """Other text for a scalar, in the quotes that are there; `text` needs no escapes."""
        quote = self.text[self.starts[node]] if self.kinds[node] == QUOTED else ""
        return f"{quote}{text}{quote}"

    def type(self, node: int) -> str:
        """What kubectl reads: `string`, `integer`, `number`, `boolean`, `null`, `object`, `array`, `any`."""
        kind = self.kinds[node]
        if node in self.tags and kind <= OTHER:
            return tagged_type(self.tags[node])
        if kind == PLAIN:
            return plain_type(self.text[self.starts[node] : self.ends[node]])
        if kind <= OTHER:
            return "string"
        return "object" if kind == MAPPING else "array" if kind == SEQUENCE else "any"

    def followed(self, node: int) -> int:
        """The node that an alias stands for, or the node itself."""
        return self.aliases.get(node, node) if self.kinds[node] == ALIAS else node

    def items(self, mapping: int) -> list[tuple[int, int]]:
        """The keys and values of a mapping, aliases followed in values; merged ones (`<<`) last."""
        merged: list[int] = []
        found: list[tuple[int, int]] = []
        node, end, after, kinds = mapping + 1, self.after[mapping], self.after, self.kinds
        starts, ends = self.starts, self.ends
        while node < end:
            value = after[node]
            if kinds[node] == PLAIN and ends[node] - starts[node] == 2 and self.value(node) == "<<":
                merged.append(self.followed(value))
            else:
                found.append((node, self.aliases[value] if kinds[value] == ALIAS else value))
            node = after[value]
        for place in merged:
            for part in [place] if kinds[place] == MAPPING else [*self.elements(place)]:
                if kinds[part] == MAPPING and part != mapping:
                    found += self._own(part)
        return found

    def fields(self, node: int) -> dict[str, Any]:
        """The values of a mapping by the keys' texts, aliases not followed; empty for what is none."""
        found: dict[str, Any] = {}
        kinds, after, text, starts, ends = self.kinds, self.after, self.text, self.starts, self.ends
        key, end = node + 1, after[node] if kinds[node] == MAPPING else 0
        while key < end:
            name = text[starts[key] : ends[key]] if kinds[key] == PLAIN else self.value(key)
            value = after[key]
            if name not in found:
                found[name] = value
            key = after[value]
        if "<<" in found:
            for key, value in reversed(self.items(node)):
                found[self.value(key)] = value
        return found

    def _own(self, mapping: int) -> Iterator[tuple[int, int]]:
        node, end, after = mapping + 1, self.after[mapping], self.after
        while node < end:
            yield node, self.followed(after[node])
            node = after[after[node]]

    def elements(self, sequence: int) -> Iterator[int]:
        """The elements of a sequence, aliases followed; nothing for what is none."""
        if self.kinds[sequence] == SEQUENCE:
            node, end = sequence + 1, self.after[sequence]
            while node < end:
                yield self.followed(node)
                node = self.after[node]

    def plain(self, node: int) -> Any:
        """A node as plain values; what is shared stays shared, so nothing grows."""
        places = range(self.after[node])  # what an alias stands for is before it, maybe before the node
        made = [{} if self.kinds[p] == MAPPING else [] if self.kinds[p] == SEQUENCE else self._plain(p) for p in places]
        for place in places:
            if self.kinds[place] == MAPPING:
                made[place].update({self.value(key): made[value] for key, value in self._own(place)})
            elif self.kinds[place] == SEQUENCE:
                made[place].extend(made[element] for element in self.elements(place))
        return made[node]

    def _plain(self, node: int) -> Any:
        type_, text = self.type(node), self.value(node)
        if type_ == "boolean":
            return is_true(text)
        if type_ == "null":
            return None
        return integer_of(text) if type_ == "integer" else text


class Node:
    """One node of a document with a reader's comfort: rules look at objects through it."""

    __slots__ = ("_fields", "document", "index")

    def __init__(self, document: Document, index: int) -> None:
        self.document = document
        self.index = index
        self._fields: dict[str, int | Node | None] | None = None  # numbers become nodes when they are asked for

    @property
    def type(self) -> str:
        """See `Document.type`."""
        return self.document.type(self.index)

    @property
    def text(self) -> str:
        """The text of a scalar; empty for what is none."""
        return self.document.value(self.index)

    @property
    def string(self) -> str:
        """The text of a string; empty for what is none."""
        return self.text if self.type == "string" else ""

    @property
    def integer(self) -> int | None:
        """The whole number, None for what is none."""
        return integer_of(self.text) if self.type in ("integer", "number") else None

    @property
    def start(self) -> int:
        """Where it begins, in characters."""
        return self.document.starts[self.index]

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.document.ends[self.index]

    def get(self, key: str) -> Node | None:
        """The value of a key, None where there is none or it is null. The first of equal keys counts."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self.document.fields(self.index)
        found = fields.get(key)
        if isinstance(found, int):
            found = fields[key] = self._child(found)
        return found

    def at(self, *path: str) -> Node | None:
        """The node at a path of keys, None where there is none or it is null."""
        node: Node | None = self
        for key in path:
            if node is None:
                return None
            node = node.get(key)
        return node

    def _child(self, index: int) -> Node | None:
        document = self.document
        if document.kinds[index] == ALIAS:
            index = document.aliases[index]
        if document.kinds[index] == PLAIN and document.ends[index] - document.starts[index] <= _LONGEST_NULL:
            return None if document.type(index) == "null" else Node(document, index)
        return Node(document, index)

    def forget(self) -> None:
        """Let go of what was looked up: it is looked up again where it is asked for."""
        self._fields = None

    def key(self, name: str) -> Node | None:
        """The node of a key itself."""
        for key, _ in self.document.items(self.index) if self.document.kinds[self.index] == MAPPING else ():
            if self.document.value(key) == name:
                return Node(self.document, key)
        return None

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """Keys and values of a mapping."""
        if self.document.kinds[self.index] == MAPPING:
            for key, value in self.document.items(self.index):
                yield Node(self.document, key), Node(self.document, value)

    def elements(self) -> Iterator[Node]:
        """The elements of a list."""
        for element in self.document.elements(self.index):
            yield Node(self.document, element)

"""Fields and their types: what the API server would prune without a word or refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping

from modelcar.kserve.fields import Fields
from modelcar.kserve.lint.document import ALIAS, MAPPING, OTHER, PLAIN, QUOTED, SEQUENCE, Document, Node
from modelcar.kserve.lint.findings import Edit, Report
from modelcar.kserve.lint.near import Guesses
from modelcar.kserve.lint.values import Type, advice, fits
from modelcar.kserve.quantity import is_quantity
from modelcar.kserve.scalars import integer_of, plain_type, quoted

_PARAMETER = re.compile(r"\$\{\{[^}]*\}\}")
_TEXT = "string"
_TEXTS = (_TEXT, "null")


class Checker:
    """Holds objects against the table. Each node is visited once, whatever points to it."""

    def __init__(self, fields: Fields, report: Report) -> None:
        self._fields = fields
        self._report = report
        self._types: dict[str, Type] = {}
        self._seen: dict[int, set[int]] = {}
        self._shared: dict[int, frozenset[int]] = {}
        self._guesses = Guesses()
        self.unchecked = 0
        """Fields that stand where not every field is known."""

    def check(self, root: Node, type_: str, *, partial: bool = False, parameters: bool = False) -> None:
        """Check an object.

        Args:
            root: Its node.
            type_: Its type's name.
            partial: It is a patch: what is required may stand elsewhere.
            parameters: It is a Template's: `${{X}}` may become anything.
        """
        document = root.document
        if id(document) not in self._seen:
            self._seen[id(document)], self._shared[id(document)] = set(), frozenset(document.aliases.values())
        walk = _Walk(self, document, partial, parameters)
        walk.run(root.index, self.type_of(type_))

    def seen(self, document: Document) -> set[int]:
        """The nodes of a document that something points to and that were visited."""
        return self._seen[id(document)]

    def shared(self, document: Document) -> frozenset[int]:
        """The nodes of a document that something points to."""
        return self._shared[id(document)]

    def type_of(self, word: str) -> Type:
        """A type by its word."""
        found = self._types.get(word)
        if found is None:
            found = self._types[word] = self._make(word)
        return found

    def _make(self, word: str) -> Type:
        if word[:2] in ("[]", "{}"):
            return Type(word[:2], self.type_of(word[2:]))
        fields = self._fields.types.get(word)
        if fields is None:
            return Type(word)
        return Type(word, None, dict(fields), self._fields.required.get(word, ()), word in self._fields.open)

    def near(self, text: str, type_: Type) -> str:
        """The field of a type that was probably meant; empty where none is near."""
        return self._guesses.near(text, type_.name, type_.fields or {})

    def is_above(self, field: str, type_: str) -> bool:
        """Whether what holds an object of a type also has this field."""
        return any(field in fields and type_ in fields.values() for fields in self._fields.types.values())

    @property
    def kinds(self) -> Mapping[str, str]:
        """The type of each kind, by `apiVersion/kind`."""
        return self._fields.kinds

    @property
    def report(self) -> Report:
        """Where findings go."""
        return self._report


class _Walk:
    """One object's visit."""

    def __init__(self, checker: Checker, document: Document, partial: bool, parameters: bool) -> None:
        self._checker = checker
        self._report = checker.report
        self._document = document
        self._partial = partial
        self._parameters = parameters
        self._seen = checker.seen(document)
        self._shared = checker.shared(document)
        self._waiting: list[tuple[int, Type, str]] = []

    def run(self, root: int, type_: Type) -> None:
        waiting = self._waiting
        waiting.append((root, type_, ""))
        kinds, shared = self._document.kinds, self._shared
        while waiting:
            node, type_, name = waiting.pop()
            if kinds[node] == ALIAS:
                node = self._document.aliases[node]
            if shared and node in shared:
                if node in self._seen:
                    continue
                self._seen.add(node)
            kind = kinds[node]
            if kind == MAPPING:
                self._mapping(node, type_, name)
            elif kind == SEQUENCE:
                self._sequence(node, type_, name)
            else:
                self._scalar(node, type_, name)

    def _mapping(self, node: int, type_: Type, name: str) -> None:
        document, kinds, after = self._document, self._document.kinds, self._document.after
        whole, starts, ends = document.text, document.starts, document.ends
        fields, inner, waiting = type_.fields, type_.inner, self._waiting
        if fields is None and type_.name != "any" and type_.name != "{}":
            self._wrong(node, type_, name, "an object")
            return
        required = () if self._partial else type_.required
        keys: set[str] = set()
        empty: list[str] = []  # the API server drops what is null
        unknown: list[int] = []
        key, end = node + 1, after[node]
        while key < end:
            value = after[key]
            text = whole[starts[key] : ends[key]] if kinds[key] == PLAIN else self._key(key)
            if text is None:
                key = after[value]
                continue
            if text in keys:
                self._add("duplicate-key", key, f"{text!r} stands here twice: kubectl takes one of them, or none")
            keys.add(text)
            if text in required and kinds[value] == PLAIN and document.type(value) == "null":
                empty.append(text)
            if fields is not None:
                word = fields.get(text)
                if word is not None:
                    if word != _TEXT or not self._is_text(value):
                        waiting.append((value, self._checker.type_of(word), text))
                elif text == "<<" and kinds[key] == PLAIN:
                    self._merged(value, type_)
                else:
                    unknown.append(key)
            elif inner is None or inner.name != _TEXT or not self._is_text(value):
                waiting.append((value, inner or type_, text))
            key = after[value]
        if unknown:
            self._unknown(node, unknown, type_, name)
        self._missing(node, type_, name, required, keys, empty)

    def _key(self, key: int) -> str | None:
        """The text of a key that may be anything; None, and told, for a list or a map."""
        target = self._document.followed(key)
        if self._document.kinds[target] <= OTHER:
            return self._document.value(target)
        self._add("wrong-type", key, "a key must be a string", "take the `?` or the brackets away")
        return None

    def _missing(
        self, node: int, type_: Type, name: str, required: tuple[str, ...], keys: set[str], empty: list[str]
    ) -> None:
        if required and (empty or not keys.issuperset(required)) and "<<" not in keys:
            missing = [wanted for wanted in required if wanted not in keys or wanted in empty]
            self._add("missing-field", node, f"{name or _kind_of(type_.name)} lacks {', '.join(missing)}")

    def _is_text(self, node: int) -> bool:
        """Whether a node plainly is a string, or nothing: most are, and needn't wait."""
        document = self._document
        kind = document.kinds[node]
        if kind > OTHER or node in document.tags:
            return False
        return kind != PLAIN or plain_type(document.text[document.starts[node] : document.ends[node]]) in _TEXTS

    def _merged(self, value: int, type_: Type) -> None:
        """What `<<` brings stands in for fields of this very object."""
        target = self._document.followed(value)
        parts = [*self._document.elements(target)] if self._document.kinds[target] == SEQUENCE else [target]
        self._waiting += [(part, type_, "<<") for part in parts]

    def _sequence(self, node: int, type_: Type, name: str) -> None:
        if type_.name not in ("[]", "any"):
            self._wrong(node, type_, name, "a list")
            return
        element, end, after, inner = node + 1, self._document.after[node], self._document.after, type_.inner or type_
        while element < end:
            if inner.name != _TEXT or not self._is_text(element):
                self._waiting.append((element, inner, name))
            element = after[element]

    def _scalar(self, node: int, type_: Type, name: str) -> None:
        is_ = self._document.type(node)
        wanted = type_.name
        if wanted in (is_, "any") or is_ in ("null", "any"):
            return
        text = self._document.value(node)
        if self._parameters and _PARAMETER.fullmatch(text):
            return
        if wanted == "integer" and is_ == "number" and integer_of(text) is not None:
            return
        if wanted == "number" and is_ == "integer":
            return
        if wanted == "int-or-string" and is_ in ("integer", "string"):
            return
        if wanted == "quantity":
            self._quantity(node, name, is_, text)
        else:
            self._wrong(node, type_, name, _READS.get(is_, is_))

    def _quantity(self, node: int, name: str, is_: str, text: str) -> None:
        if is_ == "integer" or (is_ == "string" and (is_quantity(text) or "${" in text or "{{" in text)):
            return
        if is_ == "number" and is_quantity(text):
            self._add(
                "wrong-type", node, f"{name}: {text} is read as a number with a fraction, and that is no quantity here",
                f"write {quoted(text)}", self._edit(node, quoted(text)),
            )  # fmt: skip
        else:
            self._add("bad-quantity", node, f"{name}: {text!r} is no quantity", "write it as 4Gi, 500m or 2")

    def _wrong(self, node: int, type_: Type, name: str, is_: str) -> None:
        wanted = type_.name
        document = self._document
        scalar = document.kinds[node] <= OTHER
        text = document.value(node)
        shown = f" ({_short(text)})" if scalar else ""
        message = f"{name or 'this'} must be {_WANTED.get(wanted, 'an object')}, and kubectl reads {is_}{shown}"
        fix, edit = "", None
        if wanted == _TEXT and document.kinds[node] == PLAIN and node not in document.tags:
            fix, edit = f"write {quoted(text)}", self._edit(node, quoted(text))
        elif wanted == _TEXT and document.kinds[node] in (MAPPING, SEQUENCE):
            fix = "put all of it in single quotes"
        elif wanted in ("integer", "boolean", "number") and document.kinds[node] == QUOTED:
            right = plain_type(text) == wanted and node not in document.tags
            if right:
                fix, edit = f"write {text}, without quotes", self._edit(node, text)
        fix = fix or advice(document, node, type_, name)
        self._add("wrong-type", node, message, fix, edit)

    def _unknown(self, mapping: int, keys: list[int], type_: Type, name: str) -> None:
        present = {self._document.value(key) for key, _ in self._document.items(mapping)}
        for key in keys:
            self._unknown_key(key, present, type_, name)

    def _unknown_key(self, key: int, present: set[str], type_: Type, name: str) -> None:
        text = self._document.value(self._document.followed(key))
        near = self._checker.near(text, type_)
        if text == "$patch" or (type_.open and not near):
            self._checker.unchecked += 1
            return
        place = name or "the object"
        message = f"{place} has no field {_short(text)}: the API server drops it without a word"
        if where := self._elsewhere(text, type_, name):
            self._add("unknown-field", key, message, f"it belongs {where}")
        elif near:
            its = self._checker.type_of((type_.fields or {}).get(near, "any"))
            suits = fits(self._document, self._document.after[key], its)
            safe = suits and near not in present and _close(text, near) and self._document.kinds[key] <= QUOTED
            edit = self._edit(key, self._document.rewritten(key, near)) if safe else None
            value = self._document.followed(self._document.after[key])
            wants = "" if suits else f" Then {advice(self._document, value, its, near) or 'with another value'}"
            self._add("unknown-field", key, message, f"did you mean {near}?{wants}", edit)
        else:
            self._add("unknown-field", key, message)

    def _elsewhere(self, text: str, type_: Type, name: str) -> str:
        """Where a field belongs that stands too high or too low; empty where that isn't known."""
        fields = type_.fields or {}
        for place in ("model", "metadata", "spec", "predictor"):
            if text in self._below(fields, place):
                return f"into {place}"
        predictor = self._checker.type_of(fields["predictor"]) if "predictor" in fields else None
        if predictor is not None and text in self._below(predictor.fields or {}, "model"):
            return "into predictor.model"
        return f"beside {name}, not into it" if self._checker.is_above(text, type_.name) else ""

    def _below(self, fields: dict[str, str], name: str) -> dict[str, str]:
        return self._checker.type_of(fields[name]).fields or {} if name in fields else {}

    def _edit(self, node: int, text: str) -> Edit:
        return Edit(self._document.starts[node], self._document.ends[node], text)

    def _add(self, rule: str, node: int, message: str, fix: str = "", edit: Edit | None = None) -> None:
        self._report.add_at(rule, self._document, self._document.starts[node], message, fix, edit)


_WANTED = {
    "string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "quantity": "a quantity", "int-or-string": "a whole number or a string", "[]": "a list", "{}": "a map",
}  # fmt: skip
_READS = {"integer": "a number", "number": "a number", "boolean": "true or false", "string": "a string"}


def _kind_of(type_: str) -> str:
    """A kind, of the name that its type has in the table or in a CRD."""
    return re.sub(r"^V[0-9]+[a-z]*[0-9]*(?=[A-Z])", "", type_.rpartition("/")[2])


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _close(text: str, near: str) -> bool:
    """Whether nothing else can have been meant."""
    import difflib

    return text.lower() == near.lower() or difflib.SequenceMatcher(None, text, near).ratio() >= 0.8

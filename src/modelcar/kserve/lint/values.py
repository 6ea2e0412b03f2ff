"""Values against the types of fields: whether one fits, and what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from modelcar.kserve.lint.document import MAPPING, OTHER, QUOTED, SEQUENCE, Document
from modelcar.kserve.quantity import is_quantity
from modelcar.kserve.scalars import plain_type, quoted

_BARE = re.compile(r"[A-Za-z][\w.-]*")
_TIME = re.compile(r"(\d{1,6})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_TRUTHS = {"true": "true", "yes": "true", "on": "true", "1": "true"} | dict.fromkeys(
    ("false", "no", "off", "0"), "false"
)
_MOST = 20
"""So many elements of a list are looked at: the others are as the first ones are."""


@dataclass(slots=True)
class Type:
    """A word of the table, taken apart: `name` for scalars, `inner` for lists and maps, `fields` for objects."""

    name: str
    inner: Type | None = None
    fields: dict[str, str] | None = None
    required: tuple[str, ...] = ()
    open: bool = False


def fits(document: Document, node: int, type_: Type) -> bool:
    """Whether a field of a type takes a value, or would with quotes around it or away from it."""
    node = document.followed(node)
    is_, wanted = document.type(node), type_.name
    if wanted == "any" or is_ in ("null", "any", wanted):
        return True
    kind = document.kinds[node]
    if kind == SEQUENCE:
        inner = type_.inner
        elements = islice(document.elements(node), _MOST)
        return wanted == "[]" and (inner is None or all(_has_shape(document, one, inner) for one in elements))
    if kind == MAPPING:
        return wanted == "{}" or type_.fields is not None
    text = document.value(node)
    if wanted == "quantity":
        return is_quantity(text)
    if wanted in ("integer", "number", "boolean"):
        read = plain_type(text)
        return (kind == QUOTED and read == wanted) or (is_, wanted) == ("integer", "number")
    return wanted == "string" or (wanted == "int-or-string" and is_ in ("integer", "string"))


def _has_shape(document: Document, node: int, type_: Type) -> bool:
    kind, wanted = document.kinds[document.followed(node)], type_.name
    if wanted == "any":
        return True
    if kind == SEQUENCE:
        return wanted == "[]"
    return (wanted == "{}" or type_.fields is not None) == (kind == MAPPING) and wanted != "[]"


def advice(document: Document, node: int, type_: Type, name: str) -> str:
    """What to write where a value has another type than its field; empty where that isn't known.

    Args:
        document: What it stands in.
        node: The value.
        type_: The type that its field has.
        name: The field.
    """
    wanted, kind = type_.name, document.kinds[node]
    text = document.value(node) if kind <= OTHER else ""
    if wanted == "[]":
        return "put `- ` before it: it is one item of the list" if kind == MAPPING else _as_list(text, type_.inner)
    if wanted == "{}":
        return "write a map: `key: value`, without `-`" if kind == SEQUENCE else "write a map: `key: value`"
    if type_.fields is not None:
        return _as_object(text, type_.fields, kind)
    if wanted in ("integer", "number"):
        time = _TIME.fullmatch(text)
        if time and name.lower().endswith(("timeout", "seconds")):
            return f"write {int(time[1]) * _SECONDS[time[2]]}: it is in seconds"
        return "write a whole number" if wanted == "integer" else "write a number"
    if wanted == "boolean":
        return f"write {_TRUTHS.get(text.lower(), 'true or false')}"
    if wanted == "int-or-string":
        return "write a whole number, or quote it"
    return "write it as 4Gi, 500m or 2" if wanted == "quantity" else ""


def _as_list(text: str, inner: Type | None) -> str:
    if inner is None or len(text) > 60 or not text:
        return "write a list"
    if inner.name == "string":
        return f"write [{_scalar(text)}]"
    return f"write [{{name: {_scalar(text)}}}]" if inner.fields and "name" in inner.fields else "write a list"


def _as_object(text: str, fields: dict[str, str], kind: int) -> str:
    if kind == SEQUENCE:
        return "take the `-` away: it is no list"
    if fields.get("name") == "string" and 0 < len(text) <= 60:
        return f"write {{name: {_scalar(text)}}}"
    known = ", ".join(islice(fields, 4))
    return f"write its fields below it: {known}{', …' if len(fields) > 4 else ''}"


def _scalar(text: str) -> str:
    return text if _BARE.fullmatch(text) and plain_type(text) == "string" else quoted(text)

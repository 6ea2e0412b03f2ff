"""What type kubectl reads in a scalar: YAML 1.1 with Go's numbers.

Source: sigs.k8s.io/yaml, goyaml.v2/resolve.go (`resolve`, `resolveTable`, `yamlStyleFloat`).
"""

from __future__ import annotations

import json
import re
from math import isfinite

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_NO_NUMBER = frozenset(
    {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", *(f"{s}.{w}" for s in "+-" for w in ("inf", "Inf", "INF"))}
)
_HINTS = frozenset("+-.0123456789~yYnNtTfFoO")
"""What a scalar that is no string begins with."""
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_PREFIXED = re.compile(r"[-+]?0[xXbBoO]")
_BETWEEN = re.compile("(?<=[0-9])_(?=[0-9])")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LARGEST = 2**64
"""From here on Go has no whole number, and takes a fraction."""
_TAGS = {
    "tag:yaml.org,2002:str": "string",
    "tag:yaml.org,2002:binary": "string",
    "tag:yaml.org,2002:timestamp": "string",
    "tag:yaml.org,2002:int": "integer",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "null",
    "!": "string",
}


def plain_type(text: str) -> str:
    """The type of a plain scalar: `string`, `integer`, `number`, `boolean` or `null`."""
    if not text:
        return "null"
    if text[0] not in _HINTS:
        return "string"
    if text in _TRUE or text in _FALSE:
        return "boolean"
    if text in _NULL:
        return "null"
    if text[0] in "yYnNtTfFoO":
        return "string"
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < 19:
        return "integer"
    digits = text.replace("_", "")
    if text[0] == ".":
        digits = _BETWEEN.sub("", text)  # here Go itself reads, and takes a "_" between digits only
    if _INTEGER.fullmatch(digits):
        if len(digits) < 19 or abs(integer_of(digits) or _LARGEST) < _LARGEST:
            return "integer"
        return "string" if _PREFIXED.match(digits) else "number"
    if _FLOAT.fullmatch(digits):
        return "number" if isfinite(float(digits)) else "string"
    return "number" if text in _NO_NUMBER else "string"


def tagged_type(tag: str) -> str:
    """The type that a tag gives; `any` where it says nothing to us."""
    return _TAGS.get(tag, "any")


def integer_of(text: str) -> int | None:
    """The whole number that kubectl reads in a plain scalar (`017` is 15, `1e3` is 1000), None where it is none."""
    if text.isascii() and text.isdecimal() and text[0] != "0" and len(text) < 19:
        return int(text)
    digits = text.replace("_", "")
    if len(digits) > 30:
        return None
    if _INTEGER.fullmatch(digits):
        body = digits.lstrip("+-")
        base = {"x": 16, "b": 2, "o": 8}.get(body[1:2].lower(), 8 if body.startswith("0") else 10)
        value = int(re.sub(r"^0[xXbBoO]", "", body), base)
        return -value if digits.startswith("-") else value
    if _FLOAT.fullmatch(digits):
        number = float(digits)
        return int(number) if number.is_integer() and abs(number) < 2**63 else None
    return None


def is_true(text: str) -> bool:
    """Whether a plain scalar of type `boolean` says yes."""
    return text in _TRUE


def quoted(text: str) -> str:
    """A string in double quotes, the same in YAML 1.1, 1.2 and JSON."""
    return json.dumps(text, ensure_ascii=False)

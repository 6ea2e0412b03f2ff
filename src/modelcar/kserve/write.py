"""Manifests as YAML or JSON: the same text from run to run, each string quoted where some reader might see no string.

kubectl reads YAML 1.1 with Go's numbers (`y`, `1e3`, `08`), other tools 1.1 or 1.2: a string is left plain only where
all three see a string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+=-]*(?::[A-Za-z0-9_./@+=-]+)*")
_WORDS = frozenset({"y", "yes", "n", "no", "true", "false", "on", "off", "null", "nan", "inf"})


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style: str | None = '"'
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        style = None
    elif "\n" in text and re.fullmatch(r"[^\s#](?:[^\r\x85\u2028\u2029\t]*[^\s])?\n?", text, re.DOTALL):
        style = "|"
    elif '"' in text and "'" not in text and text.isascii() and text.isprintable():
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def as_yaml(values: Sequence[Mapping[str, Any]], comment: str = "") -> str:
    """Several documents.

    Args:
        values: One a document.
        comment: A line to put above them.
    """
    head = f"# {comment}\n" if comment else ""
    documents = (
        yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=False)
        for value in values
    )
    return head + "---\n".join(documents)


def as_json(values: Sequence[Mapping[str, Any]]) -> str:
    """One object, or several as a `List`, which kubectl takes as one."""
    whole = values[0] if len(values) == 1 else {"apiVersion": "v1", "kind": "List", "items": list(values)}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"

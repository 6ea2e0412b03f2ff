"""Arguments of vLLM: those that are chosen here, and how people spell them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

TENSOR, PIPELINE = "--tensor-parallel-size", "--pipeline-parallel-size"
CONTEXT, DTYPE, CACHE = "--max-model-len", "--dtype", "--kv-cache-dtype"
TRUST, AUTO, PARSER = "--trust-remote-code", "--enable-auto-tool-choice", "--tool-call-parser"
OVERRIDES = ("--hf-overrides", "--rope-scaling")
"""Arguments that change what the model's configuration says, of its length too."""

_SHORT = {"-tp": TENSOR, "-pp": PIPELINE}

_OPTION = r"--?[A-Za-z][\w.-]*"
_SEVERAL = re.compile(rf"{_OPTION}\s|{_OPTION}=[^\s{{\[]\S*\s(.*\s)?--[A-Za-z]")
_NAME_AND_JSON = re.compile(rf"({_OPTION})\s+([{{\[].*)")

UNITS = {letter: 1000**n for n, letter in enumerate("kmgt", 1)} | {
    letter: 1024**n for n, letter in enumerate("KMGT", 1)
}
"""What stands behind a number of tokens (`human_readable_int` of vllm/engine/arg_utils.py)."""


def split_args(args: Iterable[str]) -> tuple[str, ...]:
    """Arguments as a runtime takes them, one a word, of what people write: `--max-model-len 4096` in one string too.

    Each line is for itself, and one that begins with `#` is a comment, as in OpenShift AI's form. A line that is an
    option with something behind it is split as a shell does it. A value of its own with spaces in it stays as it is,
    behind a `=` too: `--chat-template=a b`.
    """
    lines = (line.strip() for one in args for line in one.splitlines() or [one])
    return tuple(word for line in lines if line and not line.startswith("#") for word in _words(line))


def _words(line: str) -> list[str]:
    if found := _NAME_AND_JSON.fullmatch(line):
        return [found[1], found[2]]
    if not _SEVERAL.match(line):
        return [line]
    try:
        return shlex.split(line)
    except ValueError:  # an apostrophe, and no quotes
        return line.split()


def given_args(args: Sequence[str]) -> dict[str, str]:
    """Arguments of vLLM by name, in either spelling: `--a=b`, `--a b`, `--a_b`; empty for one without a value."""
    found: dict[str, str] = {}
    name = ""
    for word in split_args(args):
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            name, _, value = word.partition("=")
            name = _SHORT.get(name, name.replace("_", "-"))
            found[name] = value
        elif name:
            found[name], name = word, ""
    return found


def tokens_in(text: str | None) -> int | None:
    """A number of tokens as vLLM reads it (`human_readable_int`): 8192, 8k, 8K; None where it is none, or 0."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgKMG])|(\d+)", text or "")
    if not found:
        return None
    return int(found[3]) or None if found[3] else int(float(found[1]) * UNITS[found[2]]) or None

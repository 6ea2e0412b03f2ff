"""Arguments of vLLM: those that are chosen here, and how people spell them."""

from __future__ import annotations

from collections.abc import Sequence

TENSOR, PIPELINE = "--tensor-parallel-size", "--pipeline-parallel-size"
CONTEXT, DTYPE, CACHE = "--max-model-len", "--dtype", "--kv-cache-dtype"
TRUST, AUTO, PARSER = "--trust-remote-code", "--enable-auto-tool-choice", "--tool-call-parser"

_SHORT = {"-tp": TENSOR, "-pp": PIPELINE}


def given_args(args: Sequence[str]) -> dict[str, str]:
    """Arguments of vLLM by name, in either spelling: `--a=b`, `--a b`, `--a_b`; empty for one without a value."""
    found: dict[str, str] = {}
    name = ""
    for word in (part for arg in args for part in arg.split(None, 1)):
        if word.startswith("-") and not word.lstrip("-").replace(".", "").isdigit():
            name, _, value = word.partition("=")
            name = _SHORT.get(name, name.replace("_", "-"))
            found[name] = value
        elif name:
            found[name], name = word, ""
    return found

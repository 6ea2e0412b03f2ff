"""Arguments that the model server can't read."""

from __future__ import annotations

import re

from modelcar.kserve.arguments import UNITS
from modelcar.kserve.lint.document import QUOTED, Node
from modelcar.kserve.lint.findings import Edit, Report
from modelcar.kserve.lint.service import Container, Service, is_vllm

_JOINED = re.compile(r"(--?[A-Za-z][\w.-]*)\s+(\S.*)", re.DOTALL)
_MAY_BE = re.compile(r"-[A-Za-z][\w.-]*[\s\\]")
"""What a list's text has in it before one of its elements is worth a look."""
_HANDS_ON = re.compile(r"--?[\w.-]*(?:args|arguments|opts|options|flags|command|cmd)")
"""An option whose value is a command line for someone else."""

_CONTEXT = ("--max-model-len",)
_LENGTH = re.compile(r"-1|auto|[1-9]\d*|(\d+(?:\.\d+)?)([kmgt])|\d+[KMGT]")
"""What vLLM reads as a context (`human_readable_int_or_auto` of vllm/engine/arg_utils.py)."""


def check_arguments(service: Service, report: Report) -> None:
    """The arguments of a service's containers."""
    own = service.server
    if own is not None:
        check_joined(own, report, service.runtime_server)  # KServe adds the model's arguments to the runtime's
    for container in (*service.containers, *service.others):
        if container is not own:
            check_joined(container, report)
    if is_vllm(service):
        _context(service, report)


def check_joined(container: Container, report: Report, under: Container | None = None) -> None:
    """An option and its value in one argument: the server takes the whole for the name of an option.

    Args:
        container: Whose arguments are looked at.
        report: Where findings go.
        under: The runtime's container, whose command line they are added to.
    """
    for listed in (container.node.get("command"), container.node.get("args")):
        if listed is not None and _MAY_BE.search(listed.document.text, listed.start, listed.end):
            _look(listed, [container, *([under] if under else [])], report)


def _look(listed: Node, containers: list[Container], report: Report) -> None:
    before = ""
    for argument in listed.elements():
        text = argument.text
        found = _JOINED.fullmatch(text.strip()) if text[:1] == "-" else None
        if found is not None and not _HANDS_ON.fullmatch(before) and not any(c.runs_shell for c in containers):
            _joined(argument, found[1], found[2], report)
        before = text


def _joined(argument: Node, option: str, value: str, report: Report) -> None:
    message = f"{_short(argument.text.strip())!r} is one argument, and no option is called so"
    document, node = argument.document, argument.index
    if re.search(r"\s", value):
        report.add("argument-joined", argument, message, "write each option and each value as an item of its own")
        return
    whole = f"{option}={value}"
    edit = None
    if option.startswith("--") and document.kinds[node] <= QUOTED and node not in document.tags and _plain(value):
        edit = Edit(argument.start, argument.end, document.rewritten(node, whole))
    fix = f"write {_short(whole)}, or {option} and {_short(value)} as two items"
    report.add("argument-joined", argument, message, fix, edit)


def _plain(value: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_./-]+", value) is not None


def _context(service: Service, report: Report) -> None:
    found = service.option_value(*_CONTEXT)
    if found is None or not found[1] or "$" in found[1] or "{{" in found[1]:
        return
    node, text = found
    read = _LENGTH.fullmatch(text)
    if read is None:
        message = f"--max-model-len: {_short(text)!r} is no number of tokens"
        report.add("argument-number", node, message, "write a whole number, as 8192")
    elif read[2]:
        tokens = int(float(read[1]) * UNITS[read[2]])
        message = (
            f"--max-model-len: {text} is {tokens:,} tokens in vLLM, not {read[1]} × 1,024; and older ones refuse it"
        )
        report.add("argument-number", node, message, f"write the number: {tokens}")


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."

"""What README.md and docs/ say of the command line is true of it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from modelcar.cli.app import app
from scripts.docs import LINT_PLACE, PLACE, lint_page, reference

ROOT = PLACE.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_CALL = re.compile(r"(?:^|\$ |\$\(|\| )modelcar(?: ([^|)>&;]*)|$)")


def test_the_reference_is_current() -> None:
    """Otherwise: python scripts/docs.py."""
    assert PLACE.read_text(encoding="utf-8") == reference()


def test_the_page_of_lint_s_rules_is_current() -> None:
    """Otherwise: python scripts/docs.py."""
    assert LINT_PLACE.read_text(encoding="utf-8") == lint_page()


def test_every_command_has_an_example_and_every_option_a_help() -> None:
    for name, command in app.commands.items():
        assert re.search(rf"Examples?:\n.*modelcar {name}", command.help or "", re.DOTALL), name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    for call in calls(page.read_text(encoding="utf-8")):
        check(call)


def test_there_are_commands_to_check() -> None:
    assert [
        *calls("```console\n$ modelcar build ./x \\\n    oci:y  # why\n```\nand `modelcar ls REF` but no modelcar z\n")
    ] == [
        ["build", "./x", "oci:y"],
        ["ls", "REF"],
    ]
    assert any(calls((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "call", ["biuld x y", "build --no-such x y", "build x y z", "build x", "build x y --workers 0"]
)
def test_a_wrong_command_would_be_found(call: str) -> None:
    with pytest.raises(click.ClickException):
        check(shlex.split(call))


def calls(page: str) -> Iterator[list[str]]:
    """The arguments of each call of modelcar in code: blocks, indented lines, and spans in the text."""
    for code in _code(page.replace("\\\n", " ")):
        for found in _CALL.finditer(code):
            yield [word.strip("[]") for word in shlex.split(found[1] or "", comments=True)]


def _code(page: str) -> Iterator[str]:
    fenced = False
    for line in page.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def check(call: list[str]) -> None:
    """Parse a call; nothing of it runs. A command that is only named has neither to be complete nor to be called."""
    context = click.Context(app, info_name="modelcar")
    if not call or call[0].startswith("-") or call == ["COMMAND", "--help"]:
        return
    name, command, rest = app.resolve_command(context, call)
    assert command is not None
    if rest and "OPTIONS" not in rest:
        command.make_context(name, rest, parent=context)

"""Write what docs/ can have from the program itself.

docs/cli.md, the reference of the command line; docs/lint.md, the rules of `modelcar lint`; docs/deployment.schema.json;
and in docs/render.md the table of the form's fields.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import click
import yaml

from modelcar import errors
from modelcar.cli.app import app
from modelcar.errors import ModelcarError
from modelcar.kserve.deployment import schema
from modelcar.kserve.form import FIELDS, Absent, Field, Place
from modelcar.kserve.lint.catalog import rules

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.unit.kserve.lint_examples import EXAMPLES, Example

_DOCS = Path(__file__).parent.parent / "docs"
PLACE = _DOCS / "cli.md"
LINT_PLACE = _DOCS / "lint.md"
FORM_PLACE = _DOCS / "render.md"
SCHEMA_PLACE = _DOCS / "deployment.schema.json"

_HEAD = """\
# The command line

Made by `python scripts/docs.py` from what `modelcar COMMAND --help` says.

Every option can be given as a flag, in the environment by the name in the table, or in `modelcar.toml` (a table for
each command, the option's name as key); the flag wins over the environment, that over the file. An option that may be
given several times takes a list in the file, and in the environment values with spaces between them.
"""

_FOOT = """\
Every failure is one line on stderr, `error: what happened; what to do`. On stdout is nothing but what was asked for:
the reference of a build, a plan, a list.

| Variable | What it says |
|---|---|
| `MODELCAR_CACHE_DIR` | where digests of local files and layers that were sent are remembered |
| `MODELCAR_CONFIG` | another file than `modelcar.toml` |
| `MODELCAR_DEBUG` | show where in the program something that should not happen did |
| `SOURCE_DATE_EPOCH` | the time, in seconds since 1970, that the image states as that of its making; else 1970 |
| `HF_TOKEN`, `HF_ENDPOINT`, `HF_HOME` | as for the Hugging Face Hub's own tools |
| `DOCKER_CONFIG`, `REGISTRY_AUTH_FILE` | where registries' credentials are, as for docker and podman |
| `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` | as for curl |
"""


_LINT_HEAD = """\
# What `modelcar lint` finds

Made by `python scripts/docs.py` from the rules. *Source* names the code, on GitHub, that a rule follows.

```console
$ modelcar lint deploy/
```

It reads InferenceServices, LLMInferenceServices, ServingRuntimes, connections (Secrets) and Templates, from files or,
as `-`, from stdin; it looks into Lists and into the objects of Templates. Other kinds are passed over: `-v` counts
them. A patch that a kustomization among the files names is a part of an object, so nothing is missing there. The
objects of all files are seen together, so an InferenceService finds its runtime and its connection.

A folder stands for the files in it and below that end with `.yaml`, `.yml` or `.json`, as for `kubectl apply -R -f`,
in the order of their names; hidden files and folders and links are left out. One that may not be read is told, and
then the exit code is 1. Where there is no object on stdin, or in none of the files, that is an error: the program
before has failed; an empty file among others is only told.

A file is a template and no YAML yet where it has `{{ }}` or `{% %}` blocks outside of quotes and comments, or, in
quotes too, what only Helm fills in: `{{ .Values… }}`, `{{ .Release… }}`, `{{ .Chart… }}`, `{{ .Capabilities… }}`. It
is **skipped**, whatever else is wrong in it, and stderr says so: lint what `helm template` prints instead.
`{{.Name}}` in quotes is KServe's own and no reason to.

Without `--flavor` and `--kserve-version` only what is wrong on every cluster is found. Fields are held against a
table of KServe 0.21; `--crd FILE` takes those of your own cluster instead. Of an LLMInferenceService the table
knows a part: what it doesn't know is not checked, unless it is nearly the name of a field that it knows.

- **Leave a rule out** everywhere by `--ignore ID`, on one line by a comment: `# modelcar: ignore=ID`, several ids
  with commas between them; behind a blank the comment may say why. Ids stay the same for ever.
- **`--fix`** makes the fixes that need no decision: quotes around what must be a string, or away from a number, the
  name of a field that was nearly right and whose value fits, `=` between an option and its value, the word for a
  deployment mode. It replaces text at its place; comments, quotes, line ends and all other bytes stay. What it can't
  decide stays a finding. If one of the files is read-only for you, no file is changed, even where the folder's rights
  would allow to replace it; root may write every file.
- **For machines**: `--format json`, `sarif` (SARIF 2.1.0 for code scanning; files are named from the current folder on,
  lines known by GitHub's own fingerprints), `github` (annotations at a change's lines).
- **Exit code**: 0 without errors, 1 with errors (with `--strict`: or warnings), 2 when the call is wrong.
- **Limits**: 10 MB a file, 1.5 million events of YAML, a hundred levels; aliases may stand for as many values as the
  file has, and 100,000 more. Behind a thousand findings nothing more is looked for in a file: stderr says so, and the
  exit code is 1. Each node is looked at once, whatever points to it.
- **Not looked into**: inline patches in a kustomization (`patches: - patch: |-`), JSON6902 patches.
"""


def lint_page() -> str:
    """The page of the rules: a table of all, then a section for each."""
    known = rules().values()
    rows = ["| Rule | Severity | What it finds |", "|---|---|---|"]
    rows += [f"| [`{rule.id}`](#{rule.id}) | {rule.severity} | {_cell(rule.what)} |" for rule in known]
    parts = [_LINT_HEAD, "\n".join(rows) + "\n"]
    group = ""
    for rule in known:
        if rule.group != group:
            group = rule.group
            parts.append(f"## {group}\n")
        parts.append(
            f"### {rule.id}\n\n{rule.severity.capitalize()}: {rule.what}\n\n*Why*: {rule.why}\n\n*Fix*: {rule.fix}\n"
        )
        if rule.source:
            parts.append(f"*Source*: {_source(rule.source)}\n")
        if rule.id in EXAMPLES:
            parts.append(_example(EXAMPLES[rule.id]))
    return "\n".join(parts)


def _source(text: str) -> str:
    repository, _, path = text.partition(": ")
    return f"[{repository}](https://github.com/{repository}), `{path}`"


def _example(example: Example) -> str:
    """The lines in which a mistake and what is right differ, below those that they stand in."""
    bad, good = _lines(example.bad), _lines(example.good)
    merged: list[tuple[str, str]] = []
    for what, i, j, k, m in SequenceMatcher(None, bad, good, autojunk=False).get_opcodes():
        merged += [("-" if what != "equal" else " ", line) for line in bad[i:j]]
        merged += [("+", line) for line in good[k:m]] if what != "equal" else []
    kept = {index for index, (mark, _) in enumerate(merged) if mark != " "}
    for index in list(kept):
        kept |= set(_above(merged, index))
    shown = "\n".join(f"{merged[index][0]} {merged[index][1].replace('0' * 64, '0…')}" for index in sorted(kept))
    aim = example.aim
    flags = f"--flavor {aim.flavor}" * bool(aim.flavor) + f" --kserve-version {aim.kserve}" * bool(aim.kserve)
    return (f"With `{flags}`:\n\n" if flags else "") + f"```diff\n{shown}\n```\n"


def _lines(text: str) -> list[str]:
    """A text's objects in block style, its scalars as they were written; as it is where it is no YAML."""
    try:
        waiting: list[Any] = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.YAMLError:
        return text.splitlines()
    objects = list(waiting)
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False
            waiting += [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    return str(yaml.serialize_all(objects, Dumper=yaml.SafeDumper, allow_unicode=True, width=200)).splitlines()


def _above(merged: list[tuple[str, str]], index: int) -> Iterator[int]:
    """The lines that a line stands below: its parents, up to the object's kind."""
    mark, line = merged[index]
    depth = _depth(line)
    for other in range(index - 1, -1, -1):
        its_mark, its_line = merged[other]
        if its_mark in (" ", mark) and _depth(its_line) < depth:
            yield other
            depth = _depth(its_line)
        if its_line == "---":
            return
        if not depth and its_line.startswith("kind:"):
            yield other
            return


def _depth(line: str) -> float:
    """How deep a line stands; an element of a list half a step below its key, which PyYAML writes as deep."""
    bare = line.lstrip(" ")
    return len(line) - len(bare) + (0.5 if bare.startswith("- ") else 0)


def reference() -> str:
    """The whole page."""
    context = click.Context(app, info_name="modelcar", auto_envvar_prefix="MODELCAR")
    parts = [_HEAD, "## modelcar\n", *_options(app, context)]
    for name, command in app.commands.items():
        parts += _command(command, click.Context(command, parent=context, info_name=name))
    return "\n".join([*parts, "## How it ends\n", *_exit_codes(), _FOOT])


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n"
    yield f"```\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield "```console\n" + "".join(f"$ {line.strip()}\n" for line in paragraph.splitlines()[2:]) + "```\n"
        else:
            yield paragraph.replace("*", r"\*") + "\n"
    yield from _options(command, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows = ["| Option | Environment | What it does |", "|---|---|---|"]
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            names, text = record
            variable = f"`{context.auto_envvar_prefix}_{option.name}`".upper() if option.expose_value else ""
            rows.append(f"| `{_cell(names)}` | {variable} | {_cell(text)} |")
    if len(rows) > 2:
        yield "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    """A text that stays within its cell; click puts two spaces before what it adds."""
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


def _exit_codes() -> Iterator[str]:
    kinds: dict[int, list[type[ModelcarError]]] = {}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, ModelcarError):
            kinds.setdefault(kind.exit_code, []).append(kind)
    rows = ["| Exit code | In Python | Why |", "|---|---|---|", "| 0 | | Done. |"]
    for code, group in sorted(kinds.items()):
        rows.append(f"| {code} | `{group[0].__name__}` | {_cell((group[0].__doc__ or '').splitlines()[0])} |")
    yield "\n".join(rows) + "\n"


def form_page(page: str) -> str:
    """docs/render.md with its table of fields made anew."""
    before, begin, rest = page.partition("<!-- fields: made by scripts/docs.py -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    assert begin, "the page has lost its mark"
    assert end, "the page has lost its mark"
    groups = dict.fromkeys(field.group for field in FIELDS)
    tables = ["\n".join([f"### {group}\n", _FORM_HEAD, *_form_rows(group), ""]) for group in groups]
    return before + begin + "\n" + "\n".join(tables) + "\n" + end + after


_FORM_HEAD = """\
| Field of the form | Flag | Default | Takes | openshift-ai-3 | openshift-ai-2 | kserve | `--kind llm` |
|---|---|---|---|---|---|---|---|"""


def _form_rows(group: str) -> Iterator[str]:
    for field in FIELDS:
        if field.group == group:
            flag = "`MODEL`" if field.name == "model" else f"`--{field.name}`"
            places = [_place(place) for place in (field.three, field.two, field.kserve, field.llm)]
            cells = [field.label, flag, _cell(field.default), _cell(_takes(field)), *places]
            yield f"| {' | '.join(cells)} |"


def _takes(field: Field) -> str:
    numbers = f"{field.low} to {field.high}" if field.high is not None else ""
    return "; ".join(filter(None, [", ".join(field.choices), numbers, field.rule])) or field.kind.value


def _place(place: Place) -> str:
    if isinstance(place, Absent):
        return f"– ({_cell(place.why)})"
    kind, colon, path = place.partition(": ")
    return f"{kind}: `{path}`" if colon else _cell(place)


def schema_text() -> str:
    """The schema of a deployment's file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PLACE.write_text(reference(), encoding="utf-8")
    LINT_PLACE.write_text(lint_page(), encoding="utf-8")
    FORM_PLACE.write_text(form_page(FORM_PLACE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA_PLACE.write_text(schema_text(), encoding="utf-8")

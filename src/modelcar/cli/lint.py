"""`modelcar lint`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import make_access, registry_options
from modelcar.errors import ModelcarError, UsageError

if TYPE_CHECKING:
    from modelcar.kserve.fields import Fields
    from modelcar.kserve.lint import Aim, Result, Text
    from modelcar.kserve.lint.findings import Report
    from modelcar.kserve.lint.service import Service
    from modelcar.settings import Access

    More = Callable[[Service, Report], None]

_FLAVORS = ("openshift-ai-3", "openshift-ai-2", "kserve")
_ENDINGS = (".yaml", ".yml", ".json")
_ROUNDS = 5
"""So often --fix looks again: a field that has its right name now may have a wrong value."""


@click.command(short_help="Find what is wrong with KServe's objects in YAML.")
@click.argument("files", nargs=-1, required=True)
@click.option("--fix", is_flag=True, help="Make the fixes that are safe, in the files; no other byte changes.")
@click.option("--strict", is_flag=True, help="End with 1 on warnings too.")
@click.option(
    "--ignore", multiple=True, metavar="ID", help="Leave out what this rule finds; repeatable, or with commas."
)
@click.option(
    "--flavor", type=click.Choice(_FLAVORS), help="What the objects are for.  [default: what is wrong on each of them]"
)
@click.option("--kserve-version", metavar="VERSION", help="The release of KServe there.  [default: the flavor's usual]")
@click.option(
    "--protected-namespace",
    multiple=True,
    metavar="NAME",
    help="A namespace, besides the operators' own, that takes no model servers; repeatable.",
)
@click.option(
    "--crd",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="Fields of your own cluster, as `kubectl get crd NAME -o yaml` prints them; repeatable.",
)
@click.option("--images", is_flag=True, help="Look at the images too, in their registries, as modelcar check does.")
@click.option("--arch", metavar="ARCH", default="amd64", show_default=True, help="Architecture of the nodes.")
@registry_options
@click.option(
    "--format", type=click.Choice(["text", "json", "sarif", "github"]), default="text", help="How to print it."
)
@click.option("-v", "--verbose", is_flag=True, help="Say too what was passed over, and what nobody knows.")
def lint(
    files: tuple[str, ...],
    fix: bool,
    strict: bool,
    ignore: tuple[str, ...],
    flavor: str | None,
    kserve_version: str | None,
    protected_namespace: tuple[str, ...],
    crd: tuple[str, ...],
    images: bool,
    arch: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
    format: str,
    verbose: bool,
) -> int:
    """Find what is wrong with KServe's objects in YAML files, by line, with the fix.

    FILES hold InferenceServices, LLMInferenceServices, ServingRuntimes, Templates and connections; - is stdin, and a
    folder stands for the *.yaml, *.yml and *.json in it and below. Other kinds are passed over, templates of Helm
    skipped. The objects of all files are seen together.

    A comment leaves a rule out for its line: `# modelcar: ignore=ID`. Ends with 0 where there is no error, with 1 where
    there is one, with 2 on wrong use. docs/lint.md tells of each rule.

    \b
    Examples:
      modelcar lint deploy/
      modelcar render oci://quay.io/acme/granite:1 --name granite -n demo | modelcar lint -
      modelcar lint --flavor openshift-ai-2 --fix isvc.yaml
    """
    gc.disable()  # nothing here goes round in circles, and a file of 10 MB has millions of values
    aim = _aim(flavor, kserve_version, protected_namespace)
    texts, unread = _texts(files)
    ignore = tuple(id_.strip() for ids in ignore for id_ in ids.split(","))
    _check_ids(ignore)
    if fix and "-" in files:
        raise UsageError("--fix can't change stdin", "name the file")
    more = _image_rules(arch, make_access(ca_file, plain_http, authfile)) if images else None
    result = _lint(texts, aim, ignore, _crds(crd), fix, more)
    result.notes = unread + result.notes
    _print(result, format)
    _tell(result, len(texts), verbose)
    failed = bool(unread or result.cut) or any(strict or found.severity == "error" for found in result.findings)
    return 1 if failed else 0


def _image_rules(arch: str, access: Access) -> More:
    from modelcar.lint_images import image_rules

    return image_rules(arch, access)


def _lint(
    texts: list[Text], aim: Aim, ignored: tuple[str, ...], fields: Fields | None, fix: bool, more: More | None
) -> Result:
    from modelcar.kserve.lint import lint

    def look() -> Result:
        return lint(texts, aim, ignored=ignored, fields=fields, more=more)

    result = look()
    return _fix(texts, result, look) if fix else result


def _fix(texts: list[Text], result: Result, again: Callable[[], Result]) -> Result:
    """Make the fixes, look again, and write what has changed."""
    from modelcar.kserve.lint import Text
    from modelcar.kserve.lint.fix import fix

    counts: dict[int, int] = {}
    for _ in range(_ROUNDS):
        changed = False
        for index, text in enumerate(texts):
            document = result.documents.get(text.name)
            fixed = fix(document, result.findings) if document is not None else None
            if fixed is not None and fixed.count:
                texts[index] = Text(text.name, fixed.data)
                counts[index] = counts.get(index, 0) + fixed.count
                changed = True
        if not changed:
            break
        result = again()
    for index in counts:
        _check_writable(texts[index].name)
    for index, count in counts.items():
        _write(texts[index])
        click.echo(f"{show.name(texts[index].name)}: fixed in {show.count(count, 'place')}", err=True)
    return result


def _check_writable(name: str) -> None:
    """Refuse a file that the user couldn't write by hand: the folder's rights alone would allow to replace it."""
    if not os.access(name, os.W_OK):
        raise ModelcarError(f"{name} is read-only: --fix changed no file", f"chmod u+w {name}, or lint without --fix")


def _write(text: Text) -> None:
    from modelcar.cli.files import replace_file

    path = Path(text.name).resolve()
    try:
        replace_file(path, text.data, path.stat().st_mode & 0o7777)
    except OSError as error:  # it names a file beside the one that the user knows
        raise ModelcarError(f"{text.name} can't be written: {error.strerror}", "lint it without --fix") from error


def _texts(names: tuple[str, ...]) -> tuple[list[Text], list[str]]:
    """What to look at, each file once; and what in a folder can't be read."""
    unread: list[str] = []
    below: set[str] = set()
    found: list[str] = []
    for name in names:
        if name == "-" or not Path(name).is_dir():
            found.append(name)
            continue
        held = [*_below(name, unread)]
        if not held and not unread:
            raise UsageError(f"{name} holds no *.yaml, *.yml or *.json", "hidden ones and links aren't looked at")
        below.update(held)
        found += held
    texts: list[Text] = []
    for name in _distinct(tuple(found)):
        try:
            texts.append(_read(name))
        except OSError as error:
            if name not in below:
                raise
            unread.append(f"{name} can't be read: {error.strerror}")
    return texts, unread


def _below(folder: str, unread: list[str]) -> Iterator[str]:
    """The files in a folder that kubectl would take (`-R -f`), sorted; none that is hidden or a link."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path.endswith(_ENDINGS) and not Path(path).is_dir():
            yield path
            continue
        try:
            with os.scandir(path) as scanned:
                entries = sorted((entry for entry in scanned if entry.name[0] != "."), key=lambda entry: entry.name)
        except OSError as error:
            unread.append(f"{path} can't be read: {error.strerror}")
            continue
        waiting += [entry.path for entry in reversed(entries) if _is_wanted(entry)]


def _is_wanted(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    return entry.name.endswith(_ENDINGS) and entry.is_file(follow_symlinks=False)


def _distinct(names: tuple[str, ...]) -> list[str]:
    """Each file once, by the first of its names: `x.yaml` and `./x.yaml`, or a link to it, are one."""
    places: dict[str, str] = {}
    for name in names:
        places.setdefault(name if name == "-" else str(Path(name).resolve()), name)
    return [*places.values()]


def _read(name: str) -> Text:
    from modelcar.kserve.lint import Text
    from modelcar.kserve.lint.run import LARGEST

    if name == "-":
        return Text(name, sys.stdin.buffer.read(LARGEST + 1))
    path = Path(name)
    if not path.exists():
        raise UsageError(f"{name} doesn't exist")
    with path.open("rb") as opened:
        return Text(name, opened.read(LARGEST + 1))


def _aim(flavor: str | None, version: str | None, protected: tuple[str, ...]) -> Aim:
    from modelcar.kserve.lint import Aim
    from modelcar.kserve.versions import Flavor, parse_version

    return Aim(
        Flavor(flavor) if flavor else None,
        parse_version(version, "--kserve-version") if version else None,
        frozenset(protected),
    )


def _check_ids(ignored: tuple[str, ...]) -> None:
    if not ignored:
        return
    from modelcar.kserve.lint.catalog import rules

    for id_ in ignored:
        if id_ not in rules():
            raise UsageError(f"--ignore: there is no rule {id_!r}", "docs/lint.md lists them")


def _crds(names: tuple[str, ...]) -> Fields | None:
    if not names:
        return None
    from modelcar.kserve.fields import fields_of_crds, load_fields
    from modelcar.kserve.lint.document import Document
    from modelcar.kserve.lint.parsing import Unparsable, parse

    fields = load_fields()
    for name in names:
        text = _read(name)
        try:
            document = Document(name, text.data.decode())
            parse(document)
        except (UnicodeDecodeError, Unparsable) as error:
            raise UsageError(f"--crd {name} is no YAML: {error}") from error
        fields = fields.replaced_by(fields_of_crds([document.plain(root) for root in document.roots], name))
    return fields


def _print(result: Result, format: str) -> None:
    from modelcar.kserve.lint import output

    if format == "json":
        show.as_json(output.as_json(result))
    elif format == "sarif":
        from importlib.metadata import version

        from modelcar.kserve.lint.sarif import as_sarif

        show.as_json(as_sarif(result, version("modelcar")))
    else:
        lines: Any = output.as_github if format == "github" else output.as_lines
        text = "\n".join(show.name(line) for line in lines(result.findings))
        if text:
            click.echo(text)


def _tell(result: Result, files: int, verbose: bool) -> None:
    """On stderr: what wasn't looked at, and how much was found."""
    for note in result.notes:
        click.echo(f"note: {show.name(note)}", err=True)
    for name in result.cut:
        click.echo(f"note: {show.name(name)}: it has more findings: put these right first", err=True)
    if verbose:
        for kind, number in sorted(result.passed.items()):
            click.echo(f"note: passed over: {show.count(number, show.name(kind))}", err=True)
        if result.unchecked:
            click.echo(
                f"note: not checked: {show.count(result.unchecked, 'field')} that the table doesn't know", err=True
            )
    errors = sum(found.severity == "error" for found in result.findings)
    parts = [show.count(errors, "error"), show.count(len(result.findings) - errors, "warning")]
    where = f"{show.count(result.objects, 'object')} of {show.count(files, 'file')}"
    click.echo(f"{', '.join(parts)} in {where}", err=True)

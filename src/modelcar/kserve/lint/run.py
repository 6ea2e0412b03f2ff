"""Lint from texts to findings."""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from modelcar.kserve.fields import Fields, load_fields
from modelcar.kserve.lint.catalog import rules
from modelcar.kserve.lint.document import MAPPING, OTHER, Document, Node
from modelcar.kserve.lint.findings import Enough, Finding, Report
from modelcar.kserve.lint.objects import SERVING, Aim, Item, World, item_of, objects_of, patches_of
from modelcar.kserve.lint.parsing import Unparsable, parse
from modelcar.kserve.lint.rules_arguments import check_arguments
from modelcar.kserve.lint.rules_connections import check_connection, check_secret
from modelcar.kserve.lint.rules_model import check_blocked, check_sources
from modelcar.kserve.lint.rules_modes import (
    check_dashboard,
    check_deadline,
    check_llm,
    check_mode,
    check_strategy,
    check_visibility,
)
from modelcar.kserve.lint.rules_names import check_labels, check_names, check_same
from modelcar.kserve.lint.rules_resources import check_amounts, check_gpus, check_makers, check_replicas, check_volumes
from modelcar.kserve.lint.rules_runtime import check_runtime, check_runtime_of, check_template
from modelcar.kserve.lint.schema import Checker
from modelcar.kserve.lint.service import Service, is_runtime

LARGEST = 10_000_000
"""Bytes of a file; a larger one is a finding."""

_STDIN = "-"
_HELM = re.compile(r"\{\{[^{}\n]*\.(?:Values|Release|Chart|Capabilities)\b")
"""What only a Helm chart says. `{{.Name}}` in quotes is KServe's own, and YAML."""
_BLOCK = re.compile(r"\{[{%]")
_COMMENT = re.compile(r"[ \t]*#")
_MOST_NOTES = 100
"""So many comments that leave out no rule are told of, in each file."""
_OTHERS = frozenset(
    {"ClusterStorageContainer", "InferenceGraph", "LocalModelCache", "LocalModelNamespaceCache", "LocalModelNode",
     "LocalModelNodeGroup", "TrainedModel"}
)  # fmt: skip
"""KServe's kinds that lint passes over."""
_SERVICE_RULES: tuple[Callable[[Service, Report], None], ...] = (
    check_sources, check_blocked, check_connection, check_runtime_of, check_arguments, check_gpus, check_makers,
    check_amounts, check_replicas, check_volumes, check_mode, check_deadline, check_strategy, check_visibility,
    check_dashboard, check_llm,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A file's content.

    Attributes:
        name: The file, as the user named it; `-` for stdin.
        data: Its bytes.
    """

    name: str
    data: bytes


@dataclass(slots=True)
class Result:
    """What came out.

    Attributes:
        findings: By file, line and column.
        notes: Files that weren't looked at, and why; fields that nobody knows.
        passed: How many objects of other kinds there were, by kind.
        objects: How many objects were checked.
        unchecked: How many fields stand where not every field is known.
        cut: Files with more than a thousand findings: behind those nothing was looked for.
        documents: The files as they were read, by name: `--fix` changes their text.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    passed: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    unchecked: int = 0
    cut: list[str] = field(default_factory=list)
    documents: dict[str, Document] = field(default_factory=dict)


def lint(
    texts: Sequence[Text],
    aim: Aim,
    *,
    ignored: Collection[str] = (),
    fields: Fields | None = None,
    more: Callable[[Service, Report], None] | None = None,
) -> Result:
    """Look at the objects of some files, together.

    Args:
        texts: The files.
        aim: What the objects are for.
        ignored: Ids of rules that aren't wanted.
        fields: The table of fields; None takes the one that modelcar brings.
        more: Called for each service after its rules: who looks at images adds what they say.
    """
    result, report = Result(), Report(ignored)
    for text in texts:
        document = _read(text, report, result)
        if document is not None:
            result.documents[document.name] = document
            result.notes += _notes(document)
    _check_empty(texts, result, report)
    world, checker = World(aim), Checker(fields or load_fields(), report)
    patches = patches_of(result.documents.values())
    for document in result.documents.values():
        patch = posixpath.normpath(document.name) in patches
        for node, template in objects_of(document):
            item = item_of(node, template, patch)
            try:
                if item is not None:
                    _take(item, world, checker, report)
                else:
                    _check_kind(node, report)
            except Enough:
                continue  # other objects may refer to those that are left
    _apply_rules(world, report, more)
    order = {text.name: index for index, text in enumerate(texts)}
    result.findings = sorted(report.findings, key=lambda f: (order[f.file], f.line, f.column, f.rule))
    result.passed, result.objects, result.unchecked = world.passed, len(world.items), checker.unchecked
    result.cut = report.cut
    return result


def _read(text: Text, report: Report, result: Result) -> Document | None:
    """A file's nodes, None for one that can't be read or isn't YAML yet."""
    if len(text.data) > LARGEST:
        document = Document(text.name, "")
        report.add_at(
            "file-too-large", document, 0, f"the file is larger than {LARGEST // 1_000_000} MB: it wasn't read"
        )
        return None
    try:
        content = text.data.decode()
    except UnicodeDecodeError as error:
        document = Document(text.name, text.data[: error.start].decode())
        if text.data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            message, fix = "the file is UTF-16, as PowerShell's > writes it", "convert it: iconv -f UTF-16 -t UTF-8"
        else:
            message, fix = f"the file isn't UTF-8: byte 0x{text.data[error.start]:02x} at offset {error.start}", ""
        report.add_at("not-utf8", document, len(document.text), message, fix)
        return None
    document = Document(text.name, content)
    offset = _first_live(document)
    if offset is None:
        block = next(_blocks(document.text), None)
        try:
            parse(document)
        except Unparsable as error:
            if block is None:
                report.add_at("yaml-syntax", document, error.offset, error.what)
                return None
            offset = block
        else:
            offset = _block_at(document) if block is not None else None
    if offset is None:
        return document
    line, _ = document.position(offset)
    result.notes.append(f"{text.name}: skipped: not YAML yet, but a template, by the block at line {line}")
    return None


def _blocks(text: str) -> Iterator[int]:
    """Where a template's blocks begin that aren't in quotes."""
    for found in _BLOCK.finditer(text):
        start = at = found.start()
        while at and text[at - 1] in " \t":
            at -= 1
        if not at or text[at - 1] in "\r\n[,{" or (at < start and text[at - 1] in ":-"):
            yield start


def _first_live(document: Document) -> int | None:
    """Where the first block of a Helm chart is that no comment holds, None for nowhere."""
    found = _HELM.search(document.text)
    while found is not None and _is_commented(document, found.start()):
        found = _HELM.search(document.text, document.line_end(found.start()))
    return found.start() if found else None


def _is_commented(document: Document, offset: int) -> bool:
    """Whether a place is behind a `#` that begins a comment."""
    _, column = document.position(offset)
    line = offset - column + 1
    return _COMMENT.match(document.text, line) is not None or document.text.find(" #", line, offset) >= 0


def _check_empty(texts: Sequence[Text], result: Result, report: Report) -> None:
    """Tell where there is no object: an error on stdin, which a program before has left empty, or in all files."""
    empty = {name: document for name, document in result.documents.items() if not _has_object(document)}
    for name, document in empty.items():
        if len(empty) == len(texts) or name == _STDIN:
            report.add_at("no-object", document, 0, f"there is no object in it{_but(document)}")
        else:
            result.notes.append(f"{name}: there is no object in it{_but(document)}")


def _has_object(document: Document) -> bool:
    """Whether there is an object of Kubernetes; in a file, which has a name for what it is, anything but words."""
    if document.name == _STDIN:
        return any(Node(document, root).key("kind") is not None for root in document.roots)
    return any(document.kinds[root] > OTHER for root in document.roots)


def _but(document: Document) -> str:
    if any(document.type(root) != "null" for root in document.roots):
        return ", but other text"
    return ", but comments" if "#" in document.text else ""


def _notes(document: Document) -> Iterator[str]:
    """Comments that leave out a rule that there isn't."""
    known = rules().keys() if document.ignored else set()
    wrong = ((line, id_) for line, ids in document.ignored.items() if not ids <= known for id_ in sorted(ids - known))
    for line, id_ in islice(wrong, _MOST_NOTES):
        yield f"{document.name}:{line}: the comment leaves out {id_[:80]!r}, and there is no such rule"


def _block_at(document: Document) -> int | None:
    """Where a `{{ }}` block was taken for a mapping in a mapping, None for nowhere."""
    starts = (document.starts[node] for node, kind in enumerate(document.kinds) if kind == MAPPING)
    return next((start for start in starts if document.text.startswith("{{", start)), None)


_ITS_OWN = frozenset({"InferenceService", "LLMInferenceService", "ServingRuntime", "ClusterServingRuntime"})
"""Kinds that only KServe has, whatever the `apiVersion` says."""


def _take(item: Item, world: World, checker: Checker, report: Report) -> None:
    """Take an object in, if its kind is one that lint knows, and hold it against the table."""
    type_ = checker.kinds.get(f"{item.api}/{item.kind}") or _type_of_another(item, checker.kinds, world, report)
    if type_ is None:
        world.passed[item.kind] = world.passed.get(item.kind, 0) + 1
        return
    world.add(item)
    if not report.is_full(item.node.document):
        checker.check(item.node, type_, partial=item.patch, parameters=item.template)


def _check_kind(node: Node, report: Report) -> None:
    """What says an `apiVersion` of KServe's and no kind is no object, and was meant to be one."""
    api, kind = node.get("apiVersion"), node.get("kind")
    if api is not None and api.string.startswith(SERVING) and kind is None:
        report.add("missing-field", node, "the object lacks kind")


def _type_of_another(item: Item, known: Mapping[str, str], world: World, report: Report) -> str | None:
    """The type of an object whose kind or version is written wrong; None for what is none of KServe's."""
    served = [kind.rpartition("/")[0] for kind in known if kind.endswith(f"/{item.kind}")]
    serving = item.api.startswith(SERVING)
    if served and (serving or item.kind in _ITS_OWN):
        place = item.node.get("apiVersion") or item.node
        message = f"{item.kind} isn't in {item.api}" if item.api else f"{item.kind} lacks apiVersion"
        fix = f"write {' or '.join(sorted(served, reverse=True))}"
        report.add("unknown-api-version" if item.api else "missing-field", place, message, fix)
        return known[f"{served[-1]}/{item.kind}"]
    if serving and not served and item.kind not in _OTHERS:
        kinds = sorted({*_OTHERS, *(kind.rpartition("/")[2] for kind in known if kind.startswith(SERVING))})
        if near := world.guesses.near(item.kind, "kind", kinds):
            place = item.node.get("kind") or item.node
            report.add("unknown-kind", place, f"KServe has no kind {item.kind!r}", f"did you mean {near}?")
    return None


def _apply_rules(world: World, report: Report, more: Callable[[Service, Report], None] | None) -> None:
    for item in world.items:
        if report.is_full(item.node.document):
            continue
        try:
            _apply(item, world, report, more)
        except Enough:
            continue
        item.node.forget()
    check_same(world, report)


def _apply(item: Item, world: World, report: Report, more: Callable[[Service, Report], None] | None) -> None:
    check_names(item, world, report)
    check_labels(item, world, report)
    if item.kind == "Secret":
        check_secret(item, world, report)
    elif item.kind == "Template":
        check_template(item, world, report)
    elif is_runtime(item):
        check_runtime(item, world, report)
    elif item.kind in ("InferenceService", "LLMInferenceService"):
        service = Service(item, world)
        for rule in _SERVICE_RULES:
            rule(service, report)
        if more is not None:
            more(service, report)

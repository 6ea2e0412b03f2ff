"""`modelcar diff`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, folders, gguf_file, make_access, selection_options, text_or_json

if TYPE_CHECKING:
    from modelcar.difference import Difference
    from modelcar.image.diff import FileChange
    from modelcar.model import Tensor
    from modelcar.model.changes import KeyChange, TensorChanges

_SIGNS = {"added": "+", "removed": "-", "changed": "~", "not compared": "?"}
_MOST_TENSORS = 20
_LONGEST_VALUE = 100


@click.command(short_help="Show what changed between two images, or an image and a source.")
@click.argument("old", metavar="REF|SOURCE", shell_complete=folders)
@click.argument("new", metavar="REF|SOURCE", shell_complete=folders)
@selection_options
@click.option("--full", is_flag=True, help="Read large files too where nothing else tells whether they changed.")
@click.option("--exit-code", is_flag=True, help="End with 1 where a difference was found, as git diff does.")
@gguf_file
@click.option("--platform", metavar="OS/ARCH", help="Of multi-platform images, take this one.  [default: the first]")
@text_or_json
@access_options
def diff(
    old: str,
    new: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    all_files: bool,
    full: bool,
    exit_code: bool,
    file: str | None,
    platform: str | None,
    format: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> int:
    """Show what changed from one image or source to another.

    Files are compared by layers that both images have, by the keys of modelcar's layers and by the digests that a
    source states; up to 16 MiB they are read where none of these tells. Larger ones are then "not compared", unless
    --full reads them. Configuration is compared key by key, chat templates line by line, tensors by their headers. Of
    a source the files count that a build would take: --include, --exclude and --all-files choose others.

    The exit code is 0 also where there are differences, unless --exit-code is given.

    \b
    Examples:
      modelcar diff quay.io/acme/granite:3.1-2b quay.io/acme/granite:3.2-2b
      modelcar diff quay.io/acme/granite:3.1-2b hf://ibm-granite/granite-3.1-2b-instruct --exit-code
    """
    from modelcar.build import Wish
    from modelcar.difference import DiffOptions
    from modelcar.difference import diff as difference

    options = DiffOptions(platform, Wish(include, exclude, all_files), full, file)
    found = difference(old, new, options, access=make_access(ca_file, plain_http, authfile))
    if format == "json":
        show.as_json(_as_dict(found))
    else:
        click.echo("\n".join(_text(found)))
    return int(exit_code and found.differs)


def _text(found: Difference) -> Iterator[str]:
    """What people read."""
    yield f"--- {show.name(found.old)}"
    yield f"+++ {show.name(found.new)}"
    yield ""
    yield f"files: {_counts(found)}"
    yield from (f"  {_file(change)}" for change in found.files.changes)
    for name in dict.fromkeys(change.file for change in found.keys):
        yield ""
        yield show.name(name)
        yield from (f"  {_key(change)}" for change in found.keys if change.file == name)
    if found.template:
        yield ""
        yield from (show.name(line) for line in found.template)
    if found.tensors is not None:
        yield ""
        yield from _tensors(found.tensors)
    if found.fetched is not None:
        some = found.fetched
        layers = f"{some.layers:,} of {show.count(some.of_layers, 'layer')}"
        yield ""
        yield (
            f"a node that holds the first fetches {layers} for the second: "
            f"{show.size(some.size)} of {show.size(some.of_size)}"
        )
    if found.notes:
        yield ""
        yield from (f"note: {show.name(note)}" for note in found.notes)


def _counts(found: Difference) -> str:
    counts = [f"{len(some):,} {kind}" for kind in _SIGNS if (some := found.files.of_kind(kind))]
    same = sum(found.files.same.values())
    how = ", ".join(f"{count:,} by {how}" for how, count in found.files.same.items())
    return ", ".join([*counts, f"{same:,} the same" + (f" ({how})" if how else "")])


def _file(change: FileChange) -> str:
    sizes = [show.size(size) for size in (change.old_size, change.new_size) if size is not None]
    text = f"{_SIGNS[change.kind]} {show.name(change.path)}  {' -> '.join(dict.fromkeys(sizes))}"
    if change.kind == "not compared":
        missing = "first" if change.old_size is None else "second" if change.new_size is None else ""
        why = (
            f"not seen in the {missing}: --full looks for it" if missing else "same size, not compared: --full reads it"
        )
        return f"{text} ({why})"
    return f"{text} (by {change.how})" if change.how else text


def _key(change: KeyChange) -> str:
    key = show.name(change.key)
    if change.kind == "added":
        return f"+ {key}: {_value(change.new)}"
    if change.kind == "removed":
        return f"- {key}: {_value(change.old)}"
    return f"~ {key}: {_value(change.old)} -> {_value(change.new)}"


def _value(value: Any) -> str:
    text = show.name(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _tensors(changes: TensorChanges) -> Iterator[str]:
    parts = {
        "added": [f"+ {_tensor(tensor)}" for tensor in changes.added],
        "removed": [f"- {_tensor(tensor)}" for tensor in changes.removed],
        "retyped": [f"~ {show.name(old.name)}: {old.dtype} -> {new.dtype}" for old, new in changes.retyped],
        "reshaped": [f"~ {show.name(old.name)}: {_shape(old)} -> {_shape(new)}" for old, new in changes.reshaped],
    }
    counts = [f"{len(lines):,} {kind}" for kind, lines in parts.items() if lines]
    yield "tensors: " + ", ".join([*counts, f"{changes.same:,} with the same type and shape"])
    for kind, lines in parts.items():
        yield from (f"  {line}" for line in lines[:_MOST_TENSORS])
        if len(lines) > _MOST_TENSORS:
            yield f"  … and {len(lines) - _MOST_TENSORS:,} more {kind}: --format json has all"


def _tensor(tensor: Tensor) -> str:
    return f"{show.name(tensor.name)} {tensor.dtype} {_shape(tensor)}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _as_dict(found: Difference) -> dict[str, Any]:
    tensors, fetched = found.tensors, found.fetched
    return {
        "old": found.old,
        "new": found.new,
        "differs": found.differs,
        "files": {
            "same": sum(found.files.same.values()),
            "same_by": dict(found.files.same),
            "changes": [
                {
                    "path": change.path,
                    "change": change.kind,
                    "old_bytes": change.old_size,
                    "new_bytes": change.new_size,
                    "by": change.how or None,
                }
                for change in found.files.changes
            ],
        },
        "configuration": [
            {"file": change.file, "key": change.key, "change": change.kind, "old": change.old, "new": change.new}
            for change in found.keys
        ],
        "chat_template": list(found.template),
        "tensors": None if tensors is None else _tensors_as_dict(tensors),
        "fetch": None
        if fetched is None
        else {
            "layers": fetched.layers,
            "bytes": fetched.size,
            "of_layers": fetched.of_layers,
            "of_bytes": fetched.of_size,
        },
        "notes": list(found.notes),
    }


def _tensors_as_dict(changes: TensorChanges) -> dict[str, Any]:
    return {
        "same": changes.same,
        "added": _all(changes.added),
        "removed": _all(changes.removed),
        "retyped": _pairs(changes.retyped),
        "reshaped": _pairs(changes.reshaped),
    }


def _all(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    return [{"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in tensors]


def _pairs(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[dict[str, Any]]:
    return [
        {"name": old.name, "old": {"dtype": old.dtype, "shape": list(old.shape)}}
        | {"new": {"dtype": new.dtype, "shape": list(new.shape)}}
        for old, new in pairs
    ]

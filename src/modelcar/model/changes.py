"""What changed between two models: configuration, chat template, tensors. Pure but for `template` and `metadata`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelcar.errors import ContentMismatch
from modelcar.model.facts import Facts
from modelcar.model.files import FilesIn, ModelFiles, read_object, read_whole
from modelcar.model.gguf import gguf_models, read_gguf
from modelcar.model.tensors import Tensor

CONFIGURATION = ("config.json", "generation_config.json", "tokenizer_config.json")
"""The files that are compared key by key."""

_TEMPLATE = "chat_template"
_GGUF_TEMPLATE = "tokenizer.chat_template"
_LARGEST_TEMPLATE = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key that was added, removed or changed.

    Attributes:
        file: Where.
        key: Keys of objects inside are joined by dots.
        kind: `added`, `removed` or `changed`.
        old: Its value before; None where it was added.
        new: Its value after; None where it was removed.
    """

    file: str
    key: str
    kind: str
    old: Any = None
    new: Any = None


@dataclass(frozen=True, slots=True)
class TensorChanges:
    """What became of the tensors. Each list is sorted by name.

    Attributes:
        added: New ones.
        removed: Those that are gone.
        retyped: With another type, before and after.
        reshaped: With another shape, before and after.
        same: How many have the same type and shape.
    """

    added: tuple[Tensor, ...]
    removed: tuple[Tensor, ...]
    retyped: tuple[tuple[Tensor, Tensor], ...]
    reshaped: tuple[tuple[Tensor, Tensor], ...]
    same: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.retyped or self.reshaped)


def key_changes(file: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[KeyChange]:
    """The keys that differ between two configurations, sorted. A list is one value; chat templates are left out."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for key in sorted(before.keys() | after.keys()):
        if key in (_TEMPLATE, _GGUF_TEMPLATE):
            continue
        if key not in before:
            yield KeyChange(file, key, "added", new=after[key])
        elif key not in after:
            yield KeyChange(file, key, "removed", old=before[key])
        elif not _equal(before[key], after[key]):
            yield KeyChange(file, key, "changed", before[key], after[key])


def _equal(old: object, new: object) -> bool:
    """JSON's own equality, in which 1 is not true and NaN is itself."""
    return old is new or json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _leaves(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    left: list[tuple[str, Any]] = list(value.items())  # no recursion: JSON may be nested to any depth
    while left:
        key, inner = left.pop()
        if isinstance(inner, dict) and inner:
            left.extend((f"{key}.{name}", child) for name, child in inner.items())
        else:
            yield key, inner


def tensor_changes(old: Iterable[Tensor], new: Iterable[Tensor]) -> TensorChanges:
    """Tensors added, removed, retyped, reshaped: by name, from the headers; what they hold is not looked at."""
    before, after = {t.name: t for t in old}, {t.name: t for t in new}
    both = [(before[name], after[name]) for name in sorted(before.keys() & after.keys())]
    return TensorChanges(
        added=tuple(after[name] for name in sorted(after.keys() - before.keys())),
        removed=tuple(before[name] for name in sorted(before.keys() - after.keys())),
        retyped=tuple(pair for pair in both if pair[0].dtype != pair[1].dtype),
        reshaped=tuple(pair for pair in both if pair[0].shape != pair[1].shape),
        same=sum((a.dtype, a.shape) == (b.dtype, b.shape) for a, b in both),
    )


def template(files: ModelFiles, facts: Facts) -> str | None:
    """The chat template where `facts` found it; several of them are one text, each under its name.

    Raises:
        ContentMismatch: It can't be read.
        ModelcarError: As `ModelFiles.read`.
    """
    files = FilesIn(files, facts.folder)
    place = facts.chat_template
    if place is None:
        return None
    if place.endswith(f": {_GGUF_TEMPLATE}"):
        return str(_gguf(files, place.removesuffix(f": {_GGUF_TEMPLATE}"))[_GGUF_TEMPLATE])
    if place.endswith(".jinja"):
        try:
            return read_whole(files, place, _LARGEST_TEMPLATE).decode()
        except UnicodeDecodeError:
            raise ContentMismatch(f"{place} is not UTF-8") from None
    value = read_object(files, place).get(_TEMPLATE)
    if isinstance(value, list):  # of objects with name and template (transformers' tokenizer_config.json)
        named = [item for item in value if isinstance(item, dict)]
        return "\n".join(f"{{# {item.get('name')} #}}\n{item.get('template')}" for item in named)
    return None if value is None else str(value)


def metadata(files: ModelFiles, facts: Facts, wanted: str | None = None) -> tuple[str, Mapping[str, Any]] | None:
    """The first file and the metadata of a GGUF model, which is its configuration; None of any other model.

    Raises:
        ModelcarError: As `read_gguf`.
    """
    if facts.format != "gguf":
        return None
    files = FilesIn(files, facts.folder)
    models = gguf_models(list(files.sizes))
    first = next((name for name in models if wanted in (None, name, name.rpartition("/")[2])), None)
    return None if first is None else (first, _gguf(files, first))


def _gguf(files: ModelFiles, first: str) -> Mapping[str, Any]:
    return read_gguf(files, gguf_models(list(files.sizes))[first]).metadata


def template_changes(old: str | None, new: str | None) -> tuple[str, ...]:
    """The lines of a unified diff, empty where nothing changed."""
    if old == new:
        return ()
    before, after = (old or "").splitlines(), (new or "").splitlines()
    return tuple(difflib.unified_diff(before, after, "chat template", "chat template", lineterm=""))

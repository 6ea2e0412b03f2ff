"""Configuration, chat templates and tensors held against each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelcar.errors import ContentMismatch
from modelcar.model import Tensor, read_facts
from modelcar.model.changes import KeyChange, key_changes, metadata, template, template_changes, tensor_changes
from tests.checkpoints import LLAMA, Files, checkpoint, decoder, gguf


def keys(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, Any, Any]]:
    return [(change.key, change.kind, change.old, change.new) for change in key_changes("config.json", old, new)]


def test_keys_added_removed_changed_at_any_depth() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "d": 2, "e": {}}, "gone": None}
    new = {"a": 1, "b": {"c": [1, 3], "d": 2, "e": {}}, "new": {"x": {"y": 1}}}
    assert keys(old, new) == [
        ("b.c", "changed", [1, 2], [1, 3]),
        ("gone", "removed", None, None),
        ("new.x.y", "added", None, 1),
    ]


def test_values_are_equal_as_json_has_it() -> None:
    assert keys({"a": 1}, {"a": True}) == [("a", "changed", 1, True)]
    assert keys({"a": float("nan")}, {"a": float("nan")}) == []
    assert keys({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2, "x": 1}]}) == []


def test_an_object_in_place_of_a_value() -> None:
    assert keys({"a": 1}, {"a": {"b": 1}}) == [("a", "removed", 1, None), ("a.b", "added", None, 1)]


def test_a_chat_template_is_no_key() -> None:
    assert keys({"chat_template": "a"}, {"chat_template": "b"}) == []


def test_nesting_of_any_depth() -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = {"a": deep}
    assert list(key_changes("config.json", {"x": deep}, {"x": deep})) == []


def tensor(name: str, dtype: str = "BF16", shape: tuple[int, ...] = (2, 3)) -> Tensor:
    return Tensor(name, dtype, shape, 0)


def test_tensors() -> None:
    old = [tensor("a"), tensor("b"), tensor("c"), tensor("d"), tensor("gone")]
    new = [tensor("a"), tensor("b", "F8_E4M3"), tensor("c", shape=(3, 2)), tensor("d", "F16", (6,)), tensor("new")]
    found = tensor_changes(old, new)
    assert [t.name for t in found.added] == ["new"]
    assert [t.name for t in found.removed] == ["gone"]
    assert [(one.name, other.dtype) for one, other in found.retyped] == [("b", "F8_E4M3"), ("d", "F16")]
    assert [(one.name, other.shape) for one, other in found.reshaped] == [("c", (3, 2)), ("d", (6,))]
    assert found.same == 1
    assert found
    assert not tensor_changes(old, old)


def template_of(**files: bytes) -> str | None:
    there = checkpoint(LLAMA, decoder(), **files)
    return template(there, read_facts(there))


def test_templates_wherever_they_are() -> None:
    assert template_of() is None
    assert template_of(chat_template__jinja=b"{{ a }}") == "{{ a }}"
    assert template_of(chat_template__json=json.dumps({"chat_template": "b"}).encode()) == "b"
    assert template_of(tokenizer_config__json=json.dumps({"chat_template": "c"}).encode()) == "c"
    several = [{"name": "default", "template": "d"}, {"name": "tools", "template": "e"}]
    config = json.dumps({"chat_template": several}).encode()
    assert template_of(tokenizer_config__json=config) == "{# default #}\nd\n{# tools #}\ne"


def test_a_template_that_is_no_text() -> None:
    with pytest.raises(ContentMismatch, match=r"chat_template\.jinja is not UTF-8"):
        template_of(chat_template__jinja=b"\xff\xfe")


def test_templates_as_a_unified_diff() -> None:
    assert template_changes("a\nb\n", "a\nb\n") == ()
    assert template_changes("a\nb\n", "a\nc\n")[2:] == ("@@ -1,2 +1,2 @@", " a", "-b", "+c")
    assert template_changes(None, "a")[3:] == ("+a",)


def test_a_gguf_model_carries_its_configuration_and_template() -> None:
    said = {"general.architecture": "llama", "llama.context_length": 4096, "tokenizer.chat_template": "{{ x }}"}
    there = Files({"m.gguf": gguf(said, [])})
    facts = read_facts(there)
    assert template(there, facts) == "{{ x }}"
    found = metadata(there, facts)
    assert found is not None
    assert (found[0], found[1]["llama.context_length"]) == ("m.gguf", 4096)
    changed = list(key_changes("m.gguf", found[1], {**found[1], "llama.context_length": 8192}))
    assert changed == [KeyChange("m.gguf", "llama.context_length", "changed", 4096, 8192)]
    assert metadata(checkpoint(LLAMA, decoder()), read_facts(checkpoint(LLAMA, decoder()))) is None

"""Facts of a model of which not every file is opened."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, NotFound
from modelcar.model import estimate_facts, read_facts
from modelcar.model.facts import FEW_SHARDS
from tests.checkpoints import LLAMA, Files, checkpoint, decoder, header


def sharded(count: int, dtype: str = "BF16", **more: Any) -> Files:
    """A model of alike shards, of which only the headers are there."""
    start, size = header([(f"model.layers.{n}.mlp.up_proj.weight", dtype, [1000, 1000]) for n in range(3)])
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    index = {"weight_map": {f"t{number}": name for number, name in enumerate(names)}}
    contents = dict.fromkeys(names, start)
    contents["config.json"] = json.dumps({**LLAMA, **more}).encode()
    contents["model.safetensors.index.json"] = json.dumps(index).encode()
    return Files(contents, dict.fromkeys(names, size))


def test_few_shards_are_opened_all() -> None:
    files = checkpoint(LLAMA, decoder())
    assert estimate_facts(files) == read_facts(files)
    files = sharded(FEW_SHARDS)
    assert not estimate_facts(files).estimated


@pytest.mark.parametrize(("dtype", "width"), [("BF16", 2), ("F32", 4), ("F8_E4M3", 1)])
def test_of_many_one_stands_for_all(dtype: str, width: int) -> None:
    files = sharded(100, dtype)
    facts = estimate_facts(files)
    assert facts.estimated
    assert facts.parameters == 300_000_000
    assert facts.weight_bytes == 300_000_000 * width
    assert facts.dtypes == {dtype: 300_000_000 * width}
    assert len([path for path, _, _ in files.asked if path.endswith(".safetensors")]) == 1
    assert facts.architecture is not None
    assert facts.architecture.context == 4096


def test_a_shard_that_the_index_names_and_nobody_has() -> None:
    files = sharded(10)
    del files.sizes["model-00003-of-00010.safetensors"]
    with pytest.raises(NotFound):
        estimate_facts(files)


def test_tensors_behind_the_end_of_their_file() -> None:
    files = sharded(10)
    files.sizes = {path: min(size, 10_000) for path, size in files.sizes.items()}
    with pytest.raises(ContentMismatch, match="behind the end"):
        estimate_facts(files)


@pytest.mark.parametrize(
    ("named", "own"),
    [
        ({"AutoModelForCausalLM": "modeling_x.X"}, True),
        ({"AutoConfig": "configuration_x.C"}, False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_code_of_the_model_itself(named: Any, own: bool) -> None:
    config = {**LLAMA, "auto_map": named}
    assert read_facts(checkpoint(config, decoder())).own_code is own
    assert estimate_facts(sharded(10, auto_map=named)).own_code is own

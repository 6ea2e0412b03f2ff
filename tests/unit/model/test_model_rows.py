"""What vLLM 0.33.0 and transformers 5.24.0 say of 15 models (../shared/model-facts), held against ours."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from modelcar.model import read_facts
from modelcar.model.fit import Wish, fit
from modelcar.model.kv import BATCHES_IN_FLIGHT, DEFAULT_BATCHED_TOKENS, bytes_per_token, plan_cache
from modelcar.model.layers import StateLayer
from tests.checkpoints import Files, checkpoint

SHARED = Path(__file__).parents[4] / "shared" / "model-facts"
ROWS: list[dict[str, Any]] = (
    json.loads((SHARED / "model-facts.json").read_text()) if (SHARED / "model-facts.json").exists() else []
)
CASES = [(row, which) for row in ROWS for which in ("checkpoint", "published_checkpoint") if row[which]]
IN_FLIGHT = BATCHES_IN_FLIGHT * DEFAULT_BATCHED_TOKENS

pytestmark = pytest.mark.skipif(not ROWS, reason=f"the facts aren't beside the checkout, in {SHARED}")


def files_of(row: dict[str, Any], which: str = "checkpoint") -> Files:
    return read_row(ROWS.index(row), which)


@cache
def read_row(number: int, which: str) -> Files:
    row = ROWS[number]
    tensors = json.loads(gzip.decompress((SHARED / f"{row[which]['file']}.gz").read_bytes()))
    return checkpoint(json.loads((SHARED / row["config_file"]).read_text()), tensors)


def names(case: Any) -> str:
    return case["name"] if isinstance(case, dict) else ""


@pytest.mark.parametrize(("row", "which"), CASES, ids=names)
def test_parameters_and_bytes_are_equal(row: dict[str, Any], which: str) -> None:
    facts = read_facts(files_of(row, which))
    assert (facts.parameters, facts.weight_bytes) == (row["parameters"], row[which]["tensor_bytes"])
    assert facts.architecture is not None
    assert facts.architecture.tied == row["tied_embeddings"]
    assert facts.architecture.context == row["vllm"]["default_max_model_len"]
    assert facts.architecture.experts == (row["experts"] or 0)
    assert facts.notes == ()


@pytest.mark.parametrize("row", ROWS, ids=names)
def test_the_cache_is_laid_out_as_vllm_does(row: dict[str, Any]) -> None:
    architecture = read_facts(files_of(row)).architecture
    assert architecture is not None
    assert architecture.layers is not None
    plan, vllm = plan_cache(architecture.layers), row["vllm"]
    assert bytes_per_token(architecture.layers) == row["kv_bytes_per_token_bf16"]
    assert plan.block_bytes == vllm["pool_bytes_per_block"]
    assert sorted(group.layers for group in plan.groups) == sorted(g["layers"] for g in vllm["kv_cache_groups"])
    for tokens, wanted in vllm["kv_bytes_for_one_request_by_length"].items():
        assert plan.request_bytes(int(tokens), IN_FLIGHT) == wanted, tokens
    states = [layer for layer in architecture.layers if isinstance(layer, StateLayer)]
    assert sum(state.size() for state in states) == row.get("mamba_state_bytes_per_sequence_unpadded", 0)


@pytest.mark.parametrize("row", ROWS, ids=names)
def test_what_fits_into_so_much_memory(row: dict[str, Any]) -> None:
    architecture = read_facts(files_of(row)).architecture
    assert architecture is not None
    plan = plan_cache(architecture.layers or ())
    for trial in row["vllm"]["capacity_trials"]:
        available = int(trial["available_kv_memory_gib"] * 1024**3)
        tokens = trial["max_model_len"]
        if "error" in trial:
            assert plan.sequences(available, tokens, IN_FLIGHT) == 0
            longest = int(trial["error"].partition("maximum model length is ")[2].partition(".")[0])
            assert plan.longest(available, tokens, IN_FLIGHT) == longest
        else:
            blocks = available // plan.block_bytes
            assert blocks == trial["num_blocks"]
            concurrency = blocks / plan.request_blocks(tokens, IN_FLIGHT)
            assert concurrency == pytest.approx(trial["max_concurrency"], abs=1e-3)


@pytest.mark.parametrize("row", ROWS, ids=names)
def test_the_answer_has_the_same_numbers(row: dict[str, Any]) -> None:
    tokens, wanted = max(
        (int(tokens), size) for tokens, size in row["vllm"]["kv_bytes_for_one_request_by_length"].items()
    )
    result = fit(read_facts(files_of(row)), Wish(context=tokens))
    assert (result.per_token, result.one_request) == (row["kv_bytes_per_token_bf16"], wanted)
    cached = [line.size for line in result.placement.lines if line.name in ("KV cache", "states")]
    assert sum(size or 0 for size in cached) == wanted

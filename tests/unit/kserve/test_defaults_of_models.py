"""What `render --gpu` chooses for real models (../shared/model-facts), held against what `fit` says of them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from modelcar.errors import Refused
from modelcar.kserve.arguments import given_args
from modelcar.kserve.choices import Choices, Wishes
from modelcar.kserve.defaults import MOST_GPUS, USEFUL, choose, with_some_aside
from modelcar.model import Facts, read_facts
from modelcar.model.fit import Fit, Wish, fit
from modelcar.model.gpus import Gpu, parse_gpu
from tests.unit.model.test_model_rows import CASES, ROWS, SHARED, files_of, names, read_row

GPUS = ("T4", "L4", "A100-40", "L40S", "H100", "H200", "B200", "3g.40gb", "12GiB")
LACKING_BFLOAT16 = ("T4",)

pytestmark = pytest.mark.skipif(not ROWS, reason=f"the facts aren't beside the checkout, in {SHARED}")


@cache
def facts_of(number: int, which: str) -> Facts:
    return read_facts(read_row(number, which))


def chosen(row: dict[str, Any], which: str, gpu: str, **wishes: Any) -> Choices:
    paths = tuple(files_of(row, which).sizes)
    return choose(facts_of(ROWS.index(row), which), paths, Wishes(gpu=parse_gpu(gpu), **wishes))


def most(gpu: Gpu) -> int:
    return 1 if gpu.is_slice else MOST_GPUS


def told(row: dict[str, Any], which: str, gpu: str, count: int, length: int | None = None) -> Fit:
    """What `modelcar fit` says with what `render` keeps aside."""
    return fit(facts_of(ROWS.index(row), which), Wish(with_some_aside(parse_gpu(gpu)), count, length))


def heads(row: dict[str, Any]) -> int:
    """Of attention, or of the states in a model without one."""
    config = json.loads((SHARED / row["config_file"]).read_text())
    config = config.get("text_config", config)
    return int(config.get("num_attention_heads") or config["num_heads"])


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("row", "which"), CASES, ids=names)
def test_the_choice_is_what_fit_says(row: dict[str, Any], which: str, gpu: str) -> None:
    own = row["vllm"]["default_max_model_len"]
    useful = min(own, USEFUL)
    try:
        found = chosen(row, which, gpu)
    except Refused:
        assert not any(one.fits for one in told(row, which, gpu, most(parse_gpu(gpu)), useful).tried)
        return
    args = given_args(found.args)
    count, length = found.gpu_count, int(args.get("--max-model-len", own))
    assert count is not None
    assert int(args.get("--tensor-parallel-size", 1)) == count
    assert heads(row) % count == 0
    result = told(row, which, gpu, count, length)
    assert (result.placement.tensor_parallel, result.placement.fits) == (count, True)
    for fewer in told(row, which, gpu, count, useful).tried:  # the fewest that serve
        assert fewer.tensor_parallel == count or not fewer.fits
    if "--max-model-len" in args:
        whole = told(row, which, gpu, count)
        assert not whole.placement.fits
        longest = whole.placement.longest
        assert longest is not None
        assert length <= longest < length + 1024
        assert length >= useful
    assert ("--dtype" in args) is (gpu in LACKING_BFLOAT16 and "BF16" in facts_of(ROWS.index(row), which).dtypes)
    assert args.keys() <= {"--tensor-parallel-size", "--max-model-len", "--dtype"}


@pytest.mark.parametrize(("row", "which"), CASES, ids=names)
def test_a_count_of_the_users_own_is_refused_where_fit_says_so(row: dict[str, Any], which: str) -> None:
    useful = min(row["vllm"]["default_max_model_len"], USEFUL)
    for count in range(1, 9):
        result = told(row, which, "L40S", count, useful)
        last = result.tried[-1]
        serves = last.tensor_parallel == count and last.fits is True
        try:
            found = chosen(row, which, "L40S", gpu_count=count)
        except Refused:
            assert not serves, count
        else:
            assert serves, count
            assert int(given_args(found.args).get("--tensor-parallel-size", 1)) == count
            assert heads(row) % count == 0

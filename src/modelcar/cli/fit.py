"""`modelcar fit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelcar.cli import show
from modelcar.cli.options import access_options, folders, gguf_file, make_access, of_platform, text_or_json
from modelcar.errors import UsageError

if TYPE_CHECKING:
    from modelcar.look import Looked
    from modelcar.model.fit import Fit, Placement


@click.command(short_help="Show how much memory it takes to serve a model.")
@click.argument("model", metavar="REF|SOURCE", shell_complete=folders)
@click.option("--gpu", metavar="NAME|SIZE", help="What to serve on: H100, A100-40, 3g.40gb (a MIG slice) or 24GiB.")
@click.option(
    "--count", type=click.IntRange(1, 1024), metavar="N", default=1, show_default=True, help="GPUs in one machine."
)
@click.option(
    "--context",
    type=click.IntRange(1, 2**40),
    metavar="TOKENS",
    help="Length of a sequence.  [default: what vLLM takes for the model]",
)
@click.option(
    "--sequences",
    type=click.IntRange(1, 2**20),
    metavar="N",
    default=1,
    show_default=True,
    help="Sequences of that length at a time.",
)
@click.option(
    "--kv-cache-dtype",
    type=click.Choice(["auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"]),
    default="auto",
    show_default=True,
    help="As vLLM's; auto is 16 bits, or FP8 where the checkpoint asks for it.",
)
@click.option("--exit-code", is_flag=True, help="End with 1 where it doesn't fit, or that can't be told; needs --gpu.")
@gguf_file
@of_platform
@text_or_json
@access_options
def fit(
    model: str,
    gpu: str | None,
    count: int,
    context: int | None,
    sequences: int,
    kv_cache_dtype: str,
    exit_code: bool,
    file: str | None,
    platform: str | None,
    format: str,
    ca_file: Path | None,
    plain_http: bool,
    authfile: Path | None,
) -> int:
    """Show how much memory it takes to serve a model with vLLM, and whether GPUs have it.

    Looks at an image or, before there is one, at a source: headers and configuration only, no weights. Weights and
    KV cache are what vLLM will take; lines that begin with ~ are estimates of what it measures at its start.

    The exit code is 0 also where the model doesn't fit, unless --exit-code is given.

    \b
    Examples:
      modelcar fit quay.io/acme/granite:3.1-2b --gpu L4
      modelcar fit hf://meta-llama/Llama-3.1-70B-Instruct --gpu H100 --count 4 --context 32768 --sequences 16
      modelcar fit quay.io/acme/granite:3.1-2b --gpu 24GiB --exit-code
    """
    from modelcar.look import look
    from modelcar.model.fit import Wish
    from modelcar.model.fit import fit as reckon
    from modelcar.model.gpus import parse_gpu

    if exit_code and gpu is None:
        raise UsageError("--exit-code: nothing fits or doesn't without a GPU", "add --gpu")
    wish = Wish(parse_gpu(gpu) if gpu else None, count, context, sequences, kv_cache_dtype)
    looked = look(model, file=file, platform=platform, access=make_access(ca_file, plain_http, authfile))
    result = reckon(looked.facts, wish)
    if format == "json":
        show.as_json(_as_dict(looked, result, context))
    else:
        click.echo("\n".join(_text(looked, result)))
    return int(exit_code and not result.placement.fits)


def _text(looked: Looked, result: Fit) -> list[str]:
    """What people read: the model, the memory line by line, the answer."""
    lines = [show.name(looked.location), *_model(looked, result), ""]
    placement = result.placement
    rows = []
    for line in placement.lines:
        size = "?" if line.size is None else ("~" if line.estimate and line.size else "") + show.size(line.size)
        rows.append((line.name, size, ("estimate: " if line.estimate else "") + show.name(line.why)))
    more = "and what isn't known, " if any(line.size is None for line in placement.lines) else ""
    rows.append(("together", show.size(placement.needed), more + _budget(result)))
    per_gpu = f"EACH OF {placement.tensor_parallel}" if placement.tensor_parallel > 1 else "MEMORY"
    lines += [show.table(("ON THE GPU", per_gpu, "WHAT IT IS"), rows, right=(1,)), ""]
    lines += [*_answer(looked, result), *_enough(looked, result)]
    notes = (*_notes(looked, result), *_with_some_aside(looked, result))
    return lines + [f"note: {show.name(note)}" for note in notes]


def _notes(looked: Looked, result: Fit) -> list[str]:
    from modelcar.model.fit import wants_half

    gpu, notes = result.wish.gpu, list(result.notes)
    if gpu is not None and wants_half(looked.facts, gpu):
        notes.append(f"the weights are bfloat16, which {gpu.name} lacks: vLLM needs --dtype=half, as render writes it")
    return notes


def _enough(looked: Looked, result: Fit) -> Iterator[str]:
    """How many of the GPUs would do, where those at hand don't."""
    from modelcar.kserve.defaults import MOST_GPUS
    from modelcar.model.fit import fit as reckon
    from modelcar.model.fit import longer_than_the_model

    wish = result.wish
    if longer_than_the_model(looked.facts, wish.context):
        return
    if wish.gpu is None or wish.gpu.is_slice or wish.count >= MOST_GPUS or result.placement.fits is not False:
        return
    more = reckon(looked.facts, replace(wish, count=MOST_GPUS)).placement
    if more.fits:
        yield f"On {more.tensor_parallel} of them it would: --count {more.tensor_parallel}."
    else:
        yield f"Nor would {MOST_GPUS} of them do."


def _careful(looked: Looked, result: Fit) -> Fit | None:
    """The answer for what `modelcar render` reckons with: it keeps a part of each GPU aside. None without a GPU."""
    from modelcar.kserve.defaults import with_some_aside
    from modelcar.model.fit import fit as reckon

    gpu = result.wish.gpu
    return reckon(looked.facts, replace(result.wish, gpu=with_some_aside(gpu))) if gpu else None


def _with_some_aside(looked: Looked, result: Fit) -> Iterator[str]:
    """What `modelcar render` would say."""
    from modelcar.kserve.defaults import ASIDE
    from modelcar.model.fit import longer_than_the_model

    careful = _careful(looked, result)
    if careful is None or result.wish.gpu is None or not result.placement.fits:
        return
    if longer_than_the_model(looked.facts, result.wish.context):
        return
    then, parallel = careful.placement, careful.placement.tensor_parallel
    verdict = "then it fits, too"
    if not then.fits:
        verdict = "then it doesn't fit" + (f": {then.longest:,} tokens would" if then.longest else "")
    elif parallel != result.placement.tensor_parallel:
        verdict = f"then it takes {parallel} × {result.wish.gpu.name}"
    yield f"modelcar render keeps {ASIDE:.0%} of each GPU aside, for another vLLM than {_rules()}; {verdict}"


def _model(looked: Looked, result: Fit) -> list[str]:
    facts, architecture = looked.facts, looked.facts.architecture
    count = facts.parameters
    weights = "parameters not known" if count is None else f"{show.parameters(count)} parameters"
    stored = str(facts.quantization) if facts.quantization else facts.dtype
    name = architecture.name or architecture.model_type if architecture else "no configuration"
    lines = [", ".join(show.name(part) for part in (name, weights, stored) if part)]
    if result.per_token:
        kinds = ", ".join(f"{count} {kind}" for kind, count in _kinds(facts).items())
        lines.append(f"KV cache: {result.per_token:,} B a token in 16 bits ({kinds})")
    if architecture and architecture.experts:
        lines.append(f"mixture of experts: {architecture.experts_used:,} of {architecture.experts:,} for each token")
    if architecture and architecture.context:
        lines.append(f"context: {architecture.context:,} tokens")
    return lines


def _kinds(facts: Any) -> dict[str, int]:
    """How many layers of each kind."""
    names = {"full": "full attention", "sliding": "sliding window", "chunked": "chunked attention", "mla": "MLA"}
    counted: dict[str, int] = {}
    for layer in (facts.architecture.layers if facts.architecture else None) or ():
        kind = names.get(layer.kind, layer.kind) + (f" of {layer.window:,}" if getattr(layer, "window", 0) else "")
        counted[kind] = counted.get(kind, 0) + 1
    return counted


def _budget(result: Fit) -> str:
    from modelcar.model.memory import UTILIZATION

    gpu, budget = result.wish.gpu, result.placement.budget
    if gpu is None or budget is None:
        return "on each GPU"
    return f"of {show.size(budget)}, which are {UTILIZATION} of the {gpu.name}'s {show.size(gpu.memory)}"


def _answer(looked: Looked, result: Fit) -> list[str]:
    from modelcar.model.fit import longer_than_the_model

    wish, placement = result.wish, result.placement
    if wish.gpu is None:
        return ["Name a GPU to see whether it fits: --gpu H100, or --gpu 24GiB."]
    gpus = f"{placement.tensor_parallel} × {wish.gpu.name}"
    if placement.tensor_parallel > 1:
        gpus += f" (--tensor-parallel-size {placement.tensor_parallel})"
    if placement.fits is None:
        return [f"What is known fits on {gpus}; whether the rest does can't be told."]
    if placement.fits and longer_than_the_model(looked.facts, wish.context):
        lines = [f"The memory of {gpus} would do, and vLLM refuses so many tokens."]
    elif placement.fits:
        lines = [f"It fits on {gpus}."]
    elif wish.count == placement.tensor_parallel:
        lines = [f"It doesn't fit on {gpus}."]
    else:
        lines = [f"It doesn't fit on {gpus}, and no more of the {wish.count} can share it."]
    overhead = sum(line.size or 0 for line in placement.lines if line.name not in ("KV cache", "states"))
    if placement.budget is not None and overhead > placement.budget:
        missing = show.size(overhead - placement.budget)
        return [*lines, f"Even without a sequence {missing} are missing on each GPU."]
    if placement.most is not None and result.context is not None:
        lines.append(f"{show.count(placement.most, 'sequence')} of {result.context:,} tokens fit at a time.")
    if placement.longest is not None:
        whose = f"{wish.sequences:,} sequences" if wish.sequences > 1 else "one sequence"
        lines.append(f"The longest context for {whose} is {placement.longest:,} tokens (--max-model-len).")
    for other in result.tried:
        if other.fits and other.tensor_parallel > placement.tensor_parallel and other.most is not None:
            lines.append(f"On {other.tensor_parallel} of them: {show.count(other.most, 'sequence')}.")
    return lines


def _as_dict(looked: Looked, result: Fit, context: int | None) -> dict[str, Any]:
    facts, architecture, wish = looked.facts, looked.facts.architecture, result.wish
    values: dict[str, Any] = {
        "model": looked.location,
        "architecture": architecture.name if architecture else None,
        "model_type": architecture.model_type if architecture else None,
        "format": facts.format or None,
        "parameters": facts.parameters,
        "weight_bytes": facts.weight_bytes,
        "mtp_weight_bytes": facts.mtp_bytes,
        "dtype": facts.dtype or None,
        "quantization": str(facts.quantization) if facts.quantization else None,
        "context_length": architecture.context if architecture else None,
        "layers": _kinds(facts),
        "experts": architecture.experts or None if architecture else None,
        "experts_per_token": architecture.experts_used or None if architecture else None,
        "kv_bytes_per_token": result.per_token,
        "state_bytes_per_sequence": result.state,
    }
    if context is not None:
        values["kv_bytes_for_one_request"] = result.one_request
    return {
        **values,
        "license": looked.license,
        "context": result.context,
        "sequences": wish.sequences,
        "kv_cache_dtype": wish.cache_dtype,
        "batched_tokens": result.batched_tokens,
        "gpu": {"name": wish.gpu.name, "memory": wish.gpu.memory, "count": wish.count} if wish.gpu else None,
        **_placement(result.placement),
        "with_aside": _aside(careful.placement) if (careful := _careful(looked, result)) else None,
        "tried": [_placement(placement) for placement in result.tried],
        "notes": _notes(looked, result),
        "rules": f"vLLM {_rules()}",
    }


def _aside(placement: Placement) -> dict[str, Any]:
    """What `modelcar render` reckons with."""
    from modelcar.kserve.defaults import ASIDE

    return {
        "aside": ASIDE,
        "tensor_parallel": placement.tensor_parallel,
        "fits": placement.fits,
        "usable_bytes": placement.budget,
        "longest_context": placement.longest,
        "most_sequences": placement.most,
    }


def _placement(placement: Placement) -> dict[str, Any]:
    return {
        "tensor_parallel": placement.tensor_parallel,
        "fits": placement.fits,
        "needed_bytes": placement.needed,
        "usable_bytes": placement.budget,
        "longest_context": placement.longest,
        "most_sequences": placement.most,
        "memory": [
            {"name": line.name, "bytes": line.size, "estimate": line.estimate, "what": line.why}
            for line in placement.lines
        ],
    }


def _rules() -> str:
    from modelcar.model.kv import VLLM

    return VLLM

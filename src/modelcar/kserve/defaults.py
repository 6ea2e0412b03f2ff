"""What a model wants of its deployment: format, GPUs, context and vLLM's arguments, each with its reason.

Pure: facts, files and wishes go in, choices come out. Memory is reckoned by `model.fit`, which follows one version of
vLLM; a tenth of each GPU is kept aside for others. Arguments are written only where vLLM wouldn't do without.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from modelcar.errors import Refused, UsageError
from modelcar.kserve.arguments import (
    AUTO,
    CACHE,
    CONTEXT,
    DTYPE,
    OVERRIDES,
    PARSER,
    PIPELINE,
    TENSOR,
    TRUST,
    given_args,
    tokens_in,
)
from modelcar.kserve.choices import Choice, Choices, Wishes
from modelcar.kserve.layouts import VLLM, Served, served
from modelcar.kserve.tools import parser_for
from modelcar.model import Facts
from modelcar.model.fit import CACHE_WIDTHS, Fit, Placement, Wish, fit, longer_than_the_model, wants_half
from modelcar.model.gpus import GIB, LARGEST, Gpu, parse_gpu
from modelcar.model.kv import VLLM as RULES

ASIDE = 0.1
"""Of each GPU's memory: `fit` knows one version of vLLM, and the runtime may have another."""

MOST_GPUS = 16
"""In one machine."""

USEFUL = 8192
"""Tokens of context for which one GPU less is taken rather than the model's own length."""

_STEP = 1024
"""What a chosen context is a multiple of."""

_COUNT = "gpu-count"

BY_VLLM = (VLLM.lower(), "huggingface")


def with_some_aside(gpu: Gpu) -> Gpu:
    """A GPU as the choices reckon with it: less `ASIDE` of its memory."""
    return replace(gpu, memory=int(gpu.memory * (1 - ASIDE)))


def choose(facts: Facts | None, paths: Collection[str], wishes: Wishes) -> Choices:
    """What to deploy a model with.

    Args:
        facts: Of the model, None where none could be read.
        paths: All of its files, from `/models` on.
        wishes: What the user says. It always stands.

    Raises:
        Refused: The model can't fit: the numbers, and what would; or vLLM would refuse it. Not with `force`.
        UsageError: Two wishes are against each other.
    """
    found = served(facts, paths)
    is_unseen = facts is None and not paths
    made = [_format(found, wishes, is_unseen)]
    wanted = wishes.model_format or found.format or None
    notes = [found.hint] if found.hint and not wishes.model_format else []
    taken = wanted or (wishes.taken if is_unseen else "")
    if taken.partition(":")[0].lower() not in BY_VLLM:
        is_open = wishes.accelerator and wishes.gpu_count is None and not wishes.profile
        notes += _of_no_use(wishes, taken)
        return Choices(found, wanted, 1 if is_open else None, made=tuple(made), notes=tuple(notes))
    plan = _Plan(facts, wishes)
    plan.decide()
    return Choices(
        served=found,
        model_format=wanted,
        gpu_count=plan.gpu_count,
        args=tuple(plan.args),
        made=(*made, *plan.made),
        notes=(*notes, *plan.notes),
    )


def _format(found: Served, wishes: Wishes, is_unseen: bool) -> Choice:
    if wishes.model_format:
        return Choice("model-format", wishes.model_format, "as you say", overridden=True)
    if is_unseen:
        return Choice("model-format", wishes.taken, "what the runtime takes: the model was not looked at")
    return Choice("model-format", found.format, found.reason)


def _of_no_use(wishes: Wishes, taken: str) -> list[str]:
    """What was said of vLLM, where something else serves the model."""
    flags = {"--context": wishes.context, "--tools": wishes.tools, TRUST: wishes.trust_code}
    said = " and ".join(name for name, value in flags.items() if value)
    return [f"nothing is written of {said}: vLLM doesn't serve {taken or 'this model'}"] if said else []


@dataclass
class _Plan:
    """The choices for vLLM, as they are made."""

    facts: Facts | None
    wishes: Wishes
    gpu_count: int | None = None
    args: list[str] = field(default_factory=list)
    made: list[Choice] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def decide(self) -> None:
        self.given = given_args(self.wishes.args)
        self._check_context()
        said = self._said
        if self.wishes.gpu and self.wishes.gpu.is_slice and said and said > 1:
            self._refuse(
                f"{said} slices of a GPU can't share a model", "a process uses one MIG slice: take a larger one"
            )
        shared = _number(self.given.get(TENSOR))
        if PIPELINE not in self.given and shared and said and shared != said:
            self.notes.append(f"{TENSOR} shares the model by {shared} GPUs, and a server has {said}")
        if shared and self.wishes.profile:
            self.notes.append(f"{TENSOR} shares the model by {shared} GPUs: the hardware profile must give as many")
        if PIPELINE in self.given:
            self._count(None)
            self.notes.append(f"with {PIPELINE} neither GPUs nor context are chosen or checked")
        elif self.wishes.gpu is None or self.facts is None:
            self._without_gpu()
        else:
            self._with_gpu(self.facts, self.wishes.gpu)
        if self.wishes.context is not None:
            self._write(CONTEXT, str(self.wishes.context), "as you say")
        if self.facts is not None:
            self._dtype(self.facts)
        self._code()
        self._tools()
        for name in (CONTEXT, TENSOR, DTYPE, TRUST, PARSER):
            if name in self.given:
                self.made.append(Choice(name, self.given[name], "as you say", overridden=True))

    def _write(self, name: str, value: str, reason: str) -> None:
        """An argument, unless the user gave it."""
        if name not in self.given:
            self.args.append(f"{name}={value}" if value else name)
            self.made.append(Choice(name, value, reason))

    # GPUs and context

    def _check_context(self) -> None:
        """What the user says of the context, against itself and the model.

        Raises:
            UsageError: `--context` and the arguments differ.
            Refused: It is more than the model has.
        """
        said, argument = self.wishes.context, self.given.get(CONTEXT)
        if said is not None and argument is not None and tokens_in(argument) != said:
            raise UsageError(f"--context: {said} tokens, and --args say {CONTEXT}={argument}", "leave one of them out")
        if self.facts is None or self.wishes.longer or any(name.startswith(OVERRIDES) for name in self.given):
            return
        if too_long := longer_than_the_model(self.facts, self._wanted):
            own = self.facts.architecture.context if self.facts.architecture else None
            self._refuse(f"{'--context' if said else CONTEXT}: {too_long}", f"take {own} at most")

    def _without_gpu(self) -> None:
        """Nothing that depends on memory is chosen."""
        count = self._said
        self._count(count)
        if not count or count == 1:
            return
        shared = _most_shared(self.facts, count)
        if shared > 1:
            self._write(TENSOR, str(shared), f"{shared} GPUs share each layer, by shared memory")
        if shared != count:
            self.notes.append(_not_shared(self.facts, count, shared))

    def _count(self, shared: int | None) -> None:
        """How many devices, where memory doesn't tell: as many as share the model, else one where one is of use."""
        wishes, said = self.wishes, self.wishes.gpu_count
        weights = self.facts.weight_bytes if self.facts else None
        check, needs = "" if weights is None else "; with --gpu I check", _needs(self.facts)
        if wishes.profile:
            check = check and "; with --gpu and --gpu-count I check"
            self.made.append(Choice(_COUNT, "", f"the hardware profile decides; {needs}{check}"))
            return
        if said == 0:
            self.made.append(Choice(_COUNT, "0", "as you say", overridden=True))
            return
        if said is None:
            self.gpu_count = shared or (1 if self.facts is not None or wishes.accelerator else None)
        count = said or self.gpu_count
        if count is None:
            self.made.append(Choice(_COUNT, "", "none is asked for: the model was not looked at; --gpu-count asks"))
        else:
            self.made.append(Choice(_COUNT, str(count), f"{needs}{check}", bool(said or shared)))

    def _with_gpu(self, facts: Facts, gpu: Gpu) -> None:
        said = self._said
        if self.wishes.gpu_count == 0:
            self._count(None)
            self.notes.append("without a GPU neither memory nor context are checked")
            return
        result = self._fit(facts, gpu, said or (1 if gpu.is_slice else MOST_GPUS))
        placement = self._placement(facts, gpu, result, said)
        count = placement.tensor_parallel
        if self.wishes.gpu_count is None:
            self.gpu_count = count
        self.made.append(Choice(_COUNT, str(said or count), self._why(gpu, placement, result), said is not None))
        if count > 1:
            self._write(TENSOR, str(count), f"{count} GPUs share each layer, by shared memory")
        self._context(gpu, placement, result)
        self.notes.append(f"memory is reckoned by the rules of vLLM {RULES}, with {ASIDE:.0%} of each GPU kept aside")
        self.notes += (note for note in result.notes if note != longer_than_the_model(facts, self._wanted))

    def _fit(self, facts: Facts, gpu: Gpu, count: int) -> Fit:
        cache = self.given.get(CACHE, "auto")
        cache = cache if cache in CACHE_WIDTHS else "auto"
        return fit(facts, Wish(with_some_aside(gpu), count, self._wanted, 1, cache))

    @property
    def _said(self) -> int | None:
        """GPUs that the user says."""
        return self.wishes.gpu_count or _number(self.given.get(TENSOR))

    @property
    def _wanted(self) -> int | None:
        """Tokens that the user wants."""
        return self.wishes.context or tokens_in(self.given.get(CONTEXT))

    def _placement(self, facts: Facts, gpu: Gpu, result: Fit, said: int | None) -> Placement:
        """The smallest number of GPUs that serves, or the one that the user says."""
        tried = result.tried
        if said is not None:
            if said != tried[-1].tensor_parallel:
                self._refuse(_not_shared(facts, said, tried[-1].tensor_parallel), self._would_fit(facts, gpu))
            tried = tried[-1:]
        for placement in tried:
            if self._serves(placement, result):
                return placement
        placement = tried[-1]
        self._refuse(self._too_large(gpu, placement, result), self._would_fit(facts, gpu))
        return placement

    def _serves(self, placement: Placement, result: Fit) -> bool:
        """Whether it fits as far as is known, if need be with a context that is shorter and still worth having."""
        if placement.fits is not False:
            return True
        if placement.longest is None or self._wanted is not None:
            return False
        return placement.longest >= (min(result.context or USEFUL, USEFUL))

    def _refuse(self, what: str, hint: str) -> None:
        if not self.wishes.force:
            raise Refused(what, f"{hint}; --force goes on")
        self.notes.append(f"{what}; {hint}")

    def _too_large(self, gpu: Gpu, placement: Placement, result: Fit) -> str:
        count, budget = placement.tensor_parallel, placement.budget or 0
        fixed = sum(line.size or 0 for line in placement.lines if line.name not in ("KV cache", "states"))
        where = f"{count} × {gpu.name}" if count > 1 else f"one {gpu.name}"
        each = " each" if count > 1 else ""
        have = f"vLLM has {_gib(budget)} there{each}, with {ASIDE:.0%} kept aside"
        if fixed > budget:
            return f"the model doesn't fit on {where}: without any request it takes {_gib(fixed)}{each}, and {have}"
        longest = f"; {placement.longest:,} tokens would" if placement.longest else ""
        return f"one request of {result.context or 0:,} tokens doesn't fit on {where}: {have}{longest}"

    def _would_fit(self, facts: Facts, gpu: Gpu) -> str:
        """How many of the same GPU would do, else how many of which size: the fewest."""
        result = self._fit(facts, gpu, 1 if gpu.is_slice else MOST_GPUS)
        for placement in result.tried:
            if self._serves(placement, result):
                return f"{placement.tensor_parallel} would do: --gpu-count {placement.tensor_parallel}"
        sizes = range(1, LARGEST // GIB + 1)
        for count in (placement.tensor_parallel for placement in self._fit(facts, gpu, MOST_GPUS).tried):

            def serves(size: int, count: int = count) -> bool:
                result = self._fit(facts, parse_gpu(f"{size}GiB"), count)
                return self._serves(result.tried[-1], result)

            at = bisect_left(sizes, True, key=serves)
            if at < len(sizes):
                return f"it takes {f'{count} GPUs' if count > 1 else 'a GPU'} of {sizes[at]} GiB"
        return f"it is too large for {MOST_GPUS} GPUs of any kind: spread it over machines, by {PIPELINE}"

    def _why(self, gpu: Gpu, placement: Placement, result: Fit) -> str:
        if placement.fits is None:
            return f"whether it fits on {gpu.name} can't be told; {_needs(self.facts)}"
        if placement.fits is False and placement.longest is None:
            return f"it doesn't fit on {gpu.name}, and you said --force"
        takes = f"{_gib(placement.needed)} of {_gib(placement.budget or 0)} on each {gpu.name}"
        if placement.fits is False:
            return f"it fits with a shorter context: with the model's own it would take {takes}"
        if not placement.most:
            return f"it takes {takes}"
        several = f", and {placement.most:,} fit" if placement.most > 1 else ""
        return f"one request of {result.context:,} tokens takes {takes}{several}"

    def _context(self, gpu: Gpu, placement: Placement, result: Fit) -> None:
        if placement.fits is False and placement.longest and self._wanted is None:
            length = _rounded(placement.longest)
            more = next((p.tensor_parallel for p in self._fit_more(gpu).tried if p.fits), None)
            needed = f"; that takes {more} GPUs" if more and more > placement.tensor_parallel else ""
            own = f"{result.context:,}" if result.context else "the model's own"
            self._write(CONTEXT, str(length), f"one request of {own} tokens doesn't fit{needed}")

    def _fit_more(self, gpu: Gpu) -> Fit:
        assert self.facts is not None
        return self._fit(self.facts, gpu, 1 if gpu.is_slice else MOST_GPUS)

    # Other arguments

    def _dtype(self, facts: Facts) -> None:
        gpu = self.wishes.gpu
        if gpu is not None and wants_half(facts, gpu):
            self._write(DTYPE, "half", f"the weights are bfloat16, which {gpu.name} lacks")

    def _code(self) -> None:
        if self.wishes.trust_code:
            self._write(TRUST, "", "as you say")
        elif self.facts is not None and self.facts.own_code and TRUST not in self.given:
            self.notes.append(
                "the model names Python code of its own: if vLLM doesn't know its architecture, it needs "
                "--trust-remote-code, which runs that code"
            )

    def _tools(self) -> None:
        facts = self.facts
        if not self.wishes.tools:
            return
        if PARSER in self.given:
            self._write(AUTO, "", f"with --tools, and {PARSER} as you say")
            return
        if facts is None:
            self.notes.append(f"--tools: the model was not looked at, and which {PARSER} it takes is not known")
            return
        name, why = parser_for(facts, self.wishes.vllm)
        if not name:
            self.notes.append(f"--tools: {why}")
            return
        self._write(AUTO, "", "with --tools")
        self._write(PARSER, name, f"reads the tool calls of {facts.architecture and facts.architecture.model_type}")


def _most_shared(facts: Facts | None, count: int) -> int:
    """How many of so many GPUs can share the model's layers."""
    return count if facts is None else fit(facts, Wish(count=count)).placement.tensor_parallel


def _not_shared(facts: Facts | None, count: int, fewer: int) -> str:
    heads = facts.architecture.heads if facts and facts.architecture else 0
    following = next((n for n in range(count + 1, 4 * count + 1) if _most_shared(facts, n) == n), None)
    more = f" or {following}" if following else ""
    idle = f"of {count}, {count - fewer} {'stay' if count - fewer > 1 else 'stays'} idle"
    return f"{count} GPUs can't share the model's {heads} attention heads: {fewer}{more} can; {idle}"


def _needs(facts: Facts | None) -> str:
    weights = facts.weight_bytes if facts else None
    if weights is None:
        return "how much memory its weights need is not known"
    about = "about " if facts and facts.estimated else ""
    return f"needs at least {about}{_gib(weights)} for the weights"


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB" if size >= GIB / 10 else f"{size / 1024**2:,.1f} MiB"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) else None


def _rounded(tokens: int) -> int:
    return tokens // _STEP * _STEP if tokens >= _STEP else tokens

"""What is wished of a deployment and what is chosen, as values: `modelcar.kserve.defaults` makes one of the other."""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.kserve.layouts import VLLM, Served
from modelcar.kserve.versions import Version
from modelcar.model.gpus import Gpu, parse_gpu


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user says.

    Attributes:
        gpu: What one device is, None where that wasn't said.
        gpu_count: Devices; None leaves it to us.
        accelerator: Whether an accelerator is named, of which there is one at the least.
        profile: Whether a hardware profile decides how many devices there are.
        context: Tokens of the longest sequence; None leaves it to us.
        longer: Whether vLLM is told to take more tokens than the model says it has.
        model_format: As `--model-format`.
        taken: The format that a model is taken to have which nobody looked at: the runtime's. Empty where that is open.
        args: For the runtime. What is among them is not chosen here.
        tools: Whether clients may call tools.
        trust_code: Whether Python code in the model may be run.
        vllm: Version in the runtime, None where it isn't known.
        force: Go on with what can't fit.
    """

    gpu: Gpu | None = None
    gpu_count: int | None = None
    accelerator: bool = False
    profile: bool = False
    context: int | None = None
    longer: bool = False
    model_format: str | None = None
    taken: str = VLLM
    args: tuple[str, ...] = ()
    tools: bool = False
    trust_code: bool = False
    vllm: Version | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the table: what is deployed, and why.

    Attributes:
        field: `model-format`, `gpu-count`, or an argument of vLLM.
        value: What it is; empty where nothing is written, or an argument has none.
        reason: Why.
        overridden: Whether it is the user's own.
    """

    field: str
    value: str
    reason: str
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen.

    Attributes:
        served: What serves the model.
        model_format: KServe's name of the format, `onnx:1` with its version; None where it can't be told.
        gpu_count: Devices; None where the form's default or what the user said stands.
        args: To add to those of the user.
        made: A line for each choice.
        notes: What to know besides.
    """

    served: Served
    model_format: str | None
    gpu_count: int | None = None
    args: tuple[str, ...] = ()
    made: tuple[Choice, ...] = ()
    notes: tuple[str, ...] = ()


def gpu_of(name: str | None, resource: str | None = None) -> Gpu | None:
    """The device that `--gpu` names, or else a MIG resource (`nvidia.com/mig-3g.40gb`); None where neither says it.

    Raises:
        UsageError: `name` is no GPU.
    """
    if name:
        return parse_gpu(name)
    return parse_gpu(resource) if resource and "/mig-" in resource.lower() else None

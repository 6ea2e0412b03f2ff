"""From what a user says of a deployment to its objects: the image is looked at, the model decides, the form fills in.

What `modelcar render` prints. `check` looks, `kserve.defaults` chooses, `kserve.render` writes; here they are joined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from modelcar.errors import Refused, UsageError
from modelcar.kserve.amounts import device_of, devices_in
from modelcar.kserve.check import ImageCheck, Severity, failures
from modelcar.kserve.choices import Choice, Choices, Wishes, gpu_of
from modelcar.kserve.defaults import BY_VLLM, choose
from modelcar.kserve.deployment import Deployment
from modelcar.kserve.render import Rendered, render
from modelcar.kserve.runtimes import NVIDIA, shipped_for_layout, spelled_args
from modelcar.kserve.secrets import SecretValues
from modelcar.kserve.settle import Settled, settle
from modelcar.kserve.versions import Scheme, Version, parse_version
from modelcar.settings import Access

if TYPE_CHECKING:
    from modelcar.check import Checked

ARCH = "amd64"
"""What nodes are taken to be where nobody says it."""

_MAKERS = {"MI": "amd.com/gpu", "GAUDI": "habana.ai/gaudi"}
"""Resources by how the names of GPUs begin, where they aren't NVIDIA's."""

_LONGER = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
"""The variable by which vLLM takes more tokens than the model says it has."""

_SHORT = 12
"""Digits of a digest, to tell it from others."""

_RUNTIME_VERSION = "opendatahub.io/runtime-version"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The objects of a deployment, and how they came to be.

    Attributes:
        rendered: The objects, and what to know of them.
        checked: What the image showed; None where it was not looked at, or the model is in no image.
        choices: What was chosen by the model.
        warnings: What stayed unchecked, and what is wrong without forbidding the deployment.
    """

    rendered: Rendered
    checked: Checked | None
    choices: Choices
    warnings: tuple[str, ...]

    @property
    def was_seen(self) -> bool:
        """Whether the image was looked at."""
        return self.checked is not None and not self.checked.unchecked

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the objects and the choices, a line each."""
        chosen = (note for note in self.choices.notes if self.was_seen or note != self.choices.served.hint)
        return (*chosen, *self.rendered.notes)


def prepare(
    wanted: Deployment,
    *,
    image_check: ImageCheck = ImageCheck.WARN,
    force: bool = False,
    access: Access | None = None,
    secrets: Callable[[Settled], SecretValues] | None = None,
    gone: MutableMapping[str, str] | None = None,
) -> Prepared:
    """The objects of a deployment.

    Who wins: what the user says, by flag or file; then a hardware profile or size; then the model; then the form.

    Args:
        wanted: What the user says.
        image_check: How the image is looked at before.
        force: Go on with a model that can't fit, or that is nothing for vLLM.
        access: How registries are reached.
        secrets: Gives the values of the Secrets to write; None writes none of those.
        gone: Registries that didn't answer, as `check_before_deploying` takes and fills it: for several deployments.

    Raises:
        UsageError: A field's value is wrong; the error names the field.
        Refused: A rule of the cluster or of ours forbids it; the image can't serve; the model can't fit.
        NotFound: No such image, or a file that isn't there.
        Denied, NetworkError: With `image_check` at `require`.
    """
    plain = settle(wanted)  # all that is wrong by itself is told before a registry is asked
    checked = _look(wanted, plain, image_check, access, gone)
    way = _way(plain, checked)
    if way is not None:
        wanted = msgspec.structs.replace(wanted, model=way.value)
    choices = _choose(wanted, plain, checked, force)
    if not (force or wanted.model_format):
        _refuse_unserved(plain, checked, choices)
    if choices.args:
        wanted = msgspec.structs.replace(wanted, args=(*(wanted.args or ()), *choices.args))
    wanted, device, told = _with_device(wanted, plain, choices)
    chosen = Deployment(gpu_count=choices.gpu_count)
    if not plain.llm:
        runtime, model_format = _runtime(wanted, plain, choices)
        chosen = msgspec.structs.replace(chosen, runtime=runtime, model_format=model_format)
    rendered = render(
        wanted,
        chosen=chosen,
        digest=checked.digest if checked else None,
        image_size=checked.size if checked else None,
        secrets=secrets(plain) if secrets else None,
    )
    settled = rendered.settled
    besides = (device, way, _pin(plain, checked), _server(wanted, chosen, settled), _deadline(wanted, checked, settled))
    made = (*(_as_written(one, settled) for one in choices.made), *filter(None, (*besides, _nodes(wanted, checked))))
    choices = replace(choices, made=made)
    return Prepared(rendered, checked, choices, (*_warnings(wanted, plain, checked), *told, *rendered.warnings))


def _look(
    wanted: Deployment,
    plain: Settled,
    how: ImageCheck,
    access: Access | None,
    gone: MutableMapping[str, str] | None,
) -> Checked | None:
    source = plain.source
    if how is ImageCheck.OFF or source is None or source.reference is None or source.scheme is None:
        return None
    from modelcar.check import check_before_deploying  # late: whoever doesn't look needs no network

    return check_before_deploying(
        str(source.reference),
        how,
        scheme=source.scheme,
        instead=() if _names_scheme(wanted) else _other_ways(plain),
        arch=wanted.arch or ARCH,
        access=access,
        gone=gone,
        by_digest=True,
    )


def _names_scheme(wanted: Deployment) -> bool:
    """Whether the user says how KServe is to bring the files to the runtime."""
    return any((wanted.model or "").startswith(f"{scheme}://") for scheme in Scheme)


def _other_ways(plain: Settled) -> tuple[Scheme, ...]:
    """What the cluster is known to have besides modelcar mode; fetch mode is nothing for an LLMInferenceService."""
    return tuple(one for one in plain.cluster.known_schemes() if not (plain.llm and one is Scheme.FETCH))


def _way(plain: Settled, checked: Checked | None) -> Choice | None:
    """The image with the scheme that it goes by, where that isn't modelcar mode's."""
    source = plain.source
    if checked is None or source is None or source.reference is None or checked.scheme is source.scheme:
        return None
    wrong = next(
        one.reason for one in checked.findings if one.scheme is source.scheme and one.severity is Severity.ERROR
    )
    return Choice(
        "model",
        f"{checked.scheme}://{source.reference}",
        f"modelcar mode can't take it: {wrong}; oci:// before it stays",
    )


def _choose(wanted: Deployment, plain: Settled, checked: Checked | None, force: bool) -> Choices:
    count = _gpu_count(wanted)
    profile_decides = wanted.hardware_profile is not None and count is None
    wishes = Wishes(
        gpu=None if profile_decides else gpu_of(wanted.gpu, device_of(wanted)),
        gpu_count=count,
        accelerator=bool(wanted.accelerator or wanted.gpu),
        profile=profile_decides,
        context=wanted.context,
        longer=(wanted.env or {}).get(_LONGER, "").lower() in ("1", "true"),
        model_format=wanted.model_format,
        taken=plain.format[0],
        args=wanted.args or (),
        tools=bool(wanted.tools),
        trust_code=bool(wanted.trust_remote_code),
        vllm=_vllm(wanted, plain),
        force=force,
    )
    choices = choose(checked.facts if checked else None, checked.files if checked else (), wishes)
    name = (choices.model_format or "").partition(":")[0]
    if plain.llm and name and name.lower() not in BY_VLLM:
        raise Refused(
            f"MODEL: an LLMInferenceService serves what vLLM does, and this is {name}: {choices.served.reason}",
            "leave --kind llm out",
        )
    return choices


def _refuse_unserved(plain: Settled, checked: Checked | None, choices: Choices) -> None:
    """Refuse what is nothing for vLLM where the runtime is vLLM's, or would be told that it is."""
    if checked is None or not choices.served.is_unserved or plain.format[0].lower() not in BY_VLLM:
        return
    has_weights = checked.facts is not None and checked.facts.format
    if not has_weights and checked.is_partly_seen:
        return
    go_on = "--force goes on with vLLM" if plain.llm else "--model-format NAME or --force goes on"
    raise Refused(f"MODEL: nothing for vLLM: {choices.served.reason}", f"{choices.served.hint}; {go_on}")


def _runtime(wanted: Deployment, plain: Settled, choices: Choices) -> tuple[str | None, str | None]:
    """The runtime where the layout of the model's files decides on it, and the format's name there."""
    if plain.runtime is not None and plain.runtime.shipped and not wanted.model_format and choices.model_format:
        found = shipped_for_layout(choices.served.runtime, choices.model_format)
        if found is not None:
            return found
    return None, choices.model_format


def _pin(plain: Settled, checked: Checked | None) -> Choice | None:
    """The digest, in short, where the user gave a tag."""
    reference = plain.source.reference if plain.source else None
    if checked is None or checked.digest is None or reference is None or reference.digest is not None:
        return None
    short = checked.digest[: checked.digest.index(":") + 1 + _SHORT]
    why = f"what the tag {reference.tag or 'latest'} means now; with --image-check off it stays a tag"
    return Choice("digest", short, why)


def _as_written(choice: Choice, settled: Settled) -> Choice:
    """A line of the table in the words of the runtime, where one that KServe ships calls things otherwise."""
    runtime = settled.runtime
    if runtime is None or not runtime.shipped:
        return choice
    if choice.field != "model-format" or not choice.value:
        return replace(choice, field=spelled_args((choice.field,), runtime)[0])
    written = ":".join(filter(None, settled.format))
    if written == choice.value:
        return choice
    return replace(choice, value=written, reason=f"{choice.reason}; {runtime.name} calls {choice.value} so")


def _server(wanted: Deployment, chosen: Deployment, settled: Settled) -> Choice | None:
    """The runtime, where we took one that KServe ships."""
    runtime = settled.runtime
    if chosen.runtime is not None:
        return Choice("runtime", chosen.runtime, f"takes files that are laid out so, as {chosen.model_format}")
    if runtime is None or not runtime.shipped or wanted.runtime is not None:
        return None
    return Choice("runtime", runtime.name, f"what KServe {settled.cluster.release} ships for {settled.format[0]}")


def _deadline(wanted: Deployment, checked: Checked | None, settled: Settled) -> Choice | None:
    if not settled.progress_deadline or wanted.progress_deadline is not None or not checked or checked.size is None:
        return None
    why = f"to load {checked.size / 1e9:,.1f} GB at 50 MB/s, twice the time; half an hour at the least"
    return Choice("progress-deadline", settled.progress_deadline, why)


def _nodes(wanted: Deployment, checked: Checked | None) -> Choice | None:
    if checked is None or checked.unchecked or wanted.arch is not None:
        return None
    return Choice("arch", ARCH, "what the nodes are taken to be")


def _meant(wanted: Deployment, plain: Settled) -> tuple[str, str]:
    """The resource of the devices that `--gpu` or the runtime's file tells, and why, where nobody names one.

    Both are empty where that is NVIDIA's, which is asked for anyway, or where a name is said.
    """
    if wanted.accelerator or devices_in(wanted):
        return "", ""
    word = (wanted.gpu or "").upper()
    for maker, device in _MAKERS.items():
        if re.search(rf"\b{maker}\d", word):
            return device, f"{wanted.gpu} is {device}"
    made_for = plain.runtime.accelerators if plain.runtime else ()
    if not made_for or any(name.startswith("nvidia.com/") for name in made_for):
        return "", ""
    return made_for[0], f"the runtime is made for {made_for[0]}"


def _with_device(
    wanted: Deployment, plain: Settled, choices: Choices
) -> tuple[Deployment, Choice | None, tuple[str, ...]]:
    """The deployment with the resource of its devices, the line for the table, and what is wrong with those it says."""
    device, why = _meant(wanted, plain)
    if device and choices.gpu_count:
        limits = {**(wanted.limits or {}), device: str(choices.gpu_count)}
        made = Choice("limits", f"{device}={choices.gpu_count}", why)
        return msgspec.structs.replace(wanted, limits=limits), made, ()
    if device and (count := wanted.gpu_count):
        return wanted, None, (f"--gpu-count asks for {NVIDIA}, and {why}: add --limits {device}={count}",)
    return wanted, None, ()


def _gpu_count(wanted: Deployment) -> int | None:
    """How many devices the user says, by count or by amounts."""
    if wanted.gpu_count is not None:
        return wanted.gpu_count
    name = device_of(wanted)
    for amounts in (wanted.limits, wanted.requests):
        if (text := (amounts or {}).get(name, "")).isdecimal():
            return int(text)
    return None


def _vllm(wanted: Deployment, plain: Settled) -> Version | None:
    """The version of vLLM in the runtime: as the user says, else as the runtime's Template does."""
    if wanted.vllm_version is not None:
        return parse_version(wanted.vllm_version, "--vllm-version")
    stated = plain.runtime.annotations.get(_RUNTIME_VERSION, "") if plain.runtime else ""
    with suppress(UsageError):
        return parse_version(".".join(stated.split(".")[:3]), "")
    return None


def _warnings(wanted: Deployment, plain: Settled, checked: Checked | None) -> tuple[str, ...]:
    if checked is None:
        return ()
    if checked.unchecked:
        fits = f", and whether it fits on {wanted.gpu} neither" if wanted.gpu else ""
        what = "the image" if checked.name in checked.unchecked else checked.name
        return (
            f"whether KServe will take {what} is not checked{fits}: {checked.unchecked}; it is written as it "
            "was given, and nothing was chosen by the model",
        )
    told = (Severity.ERROR, Severity.WARNING, Severity.UNCHECKED)
    found = [str(one) for one in checked.findings if one.severity in told and one.concerns(checked.scheme)]
    if plain.llm and checked.one_model and checked.scheme is Scheme.MODELCAR:
        found.append(
            "an LLMInferenceService has the model at /mnt/models/base for its scheduler, and modelcar-base-image links "
            "/mnt/models only; build it on another base, or leave --kind llm out"
        )
    others = [f"{scheme}://" for scheme in Scheme if not failures(checked.findings, scheme)]
    if checked.failures and others:
        since = "say --kserve-version and --kubernetes-version where the cluster has that"
        found.append(f"it can go by {' or '.join(others)}: {since}")
    return tuple(f"{checked.name}: {one}" for one in found)

"""What KServe will make of an image: findings, each with the mode that it concerns, the reason and the fix.

Pure: `modelcar.check` looks at the image. Which mode takes which image is told by `modes`; here is what comes besides.
KSERVE.md, sections 1.1 to 1.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from modelcar.kserve import modes
from modelcar.kserve.versions import Scheme
from modelcar.oci import media

MOST_LAYERS = 127
"""Layers that container engines take at the most (DESIGN.md, "Decisions")."""

REFUSED = frozenset({"no-models", "architecture"})
"""Rules after which nobody should deploy the image, wherever it was looked at from."""

PARTLY = "partly"
"""The rule that says what was not looked at."""

OF_TAGS = frozenset({"sleep-in-tag", "latest"})
"""Rules of which nothing is left where the digest is written in place of the tag."""

_WAITS_AT = "sleep"
"""A word in its arguments at which `modelcar-base-image` waits for ever (KSERVE.md 1.5)."""

_SHOWN = 3


class ImageCheck(StrEnum):
    """What becomes of a deployment whose image can't be looked at from here, or is not as it should be."""

    REQUIRE = "require"
    WARN = "warn"
    OFF = "off"


class Severity(StrEnum):
    """What a finding means."""

    ERROR = "error"
    WARNING = "warning"
    UNCHECKED = "not checked"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about an image.

    Attributes:
        rule: Its stable name.
        severity: What it means.
        scheme: The mode that it concerns, as the prefix of `storageUri` says it; None for all.
        reason: What is so, and why that matters.
        fix: What to do; empty where there is nothing.
    """

    rule: str
    severity: Severity
    scheme: Scheme | None
    reason: str
    fix: str = ""

    def concerns(self, scheme: Scheme) -> bool:
        """Whether it is of a mode, or of all."""
        return self.scheme in (None, scheme)

    def __str__(self) -> str:
        return f"{self.reason}; {self.fix}" if self.fix else self.reason


@dataclass(frozen=True, slots=True)
class Seen:
    """An image, as it was seen.

    Attributes:
        traits: What the modes depend on.
        wanted: The platform of the nodes, `linux/amd64`.
        platforms: What the image is for.
        is_pinned: Whether it was named by its digest.
        tag: By which it was named.
        name: As KServe is told it, for `modelcar-base-image`, which looks for a word in it.
        unreadable: Files and folders of the model that only some users may read, by path.
        for_root_group: Those that a user of the group 0 may read, which is what OpenShift gives.
        leading_out: Symbolic links of the model to what a runtime has not.
        folder: Where below `/models` the model is.
        partly_seen: For each layer of which not all was read, why.
        no_model: Why no model was found, or it can't be read; empty where it can.
        is_without_weights: Whether no file is one of a model's that we know.
    """

    traits: modes.Traits
    wanted: str
    platforms: tuple[str, ...]
    is_pinned: bool = True
    tag: str = ""
    name: str = ""
    unreadable: tuple[str, ...] = ()
    for_root_group: tuple[str, ...] = ()
    leading_out: tuple[str, ...] = ()
    folder: str = ""
    partly_seen: tuple[str, ...] = field(default=(), repr=False)
    no_model: str = ""
    is_without_weights: bool = False


def findings(seen: Seen) -> tuple[Finding, ...]:
    """All findings on an image: those of the modes first."""
    return (*_modes(seen), *_architecture(seen), *_layers(seen), *_access(seen), *_model(seen), *_others(seen))


def failures(found: Sequence[Finding], scheme: Scheme) -> list[Finding]:
    """The errors in one mode."""
    return [finding for finding in found if finding.severity is Severity.ERROR and finding.concerns(scheme)]


def _modes(seen: Seen) -> Iterator[Finding]:
    traits = seen.traits
    found = modes.findings(traits)
    if traits.has_models is False:
        yield Finding("no-models", Severity.ERROR, None, found[0].reason, found[0].fix)
        # What else would be wrong with the next image that is built like this one.
        found = tuple(one for one in modes.findings(replace(traits, has_models=True)) if not one.works)
    severities = {True: Severity.OK, False: Severity.ERROR, None: Severity.UNCHECKED}
    if traits.is_for_one_model and _WAITS_AT in seen.name:
        yield _waiting(seen.name)
    for finding in found:
        yield Finding(f"{finding.mode}-mode", severities[finding.works], finding.scheme, finding.reason, finding.fix)


def _waiting(name: str) -> Finding:
    """Whether the word is in the tag only, or in what stays where the digest takes its place."""
    folder, slash, last = name.partition("@")[0].rpartition("/")
    where, rule, fix = "tag", "sleep-in-tag", "name it by its digest, as modelcar render does, or by another tag"
    if _WAITS_AT in folder + slash + last.partition(":")[0]:
        where, rule, fix = "name", "sleep-in-name", "name the image otherwise, or build it on another base"
    return Finding(
        rule,
        Severity.ERROR,
        Scheme.MODELCAR,
        f"modelcar-base-image waits for ever where it reads the word {_WAITS_AT}, and KServe's init container tells it "
        f"the image's {where}",
        fix,
    )


def _architecture(seen: Seen) -> Iterator[Finding]:
    if not any(name == seen.wanted or name.startswith(f"{seen.wanted}/") for name in seen.platforms):
        yield Finding(
            "architecture",
            Severity.ERROR,
            None,
            f"it is for {', '.join(seen.platforms)}, and the nodes are taken to be {seen.wanted}",
            "build it for that platform, or say --arch where the nodes are others",
        )


def _model(seen: Seen) -> Iterator[Finding]:
    """KServe would mount it all the same, and its runtime then fails."""
    if seen.no_model:
        severity = Severity.UNCHECKED if seen.partly_seen else Severity.WARNING
        fix = "compare it with its source: modelcar verify"
        if seen.is_without_weights:
            fix = "put the weights and what belongs to them into /models, as modelcar build does"
        fix = "" if seen.partly_seen else fix
        yield Finding("model", severity, None, f"the model in it can't be told: {seen.no_model}", fix)


def _layers(seen: Seen) -> Iterator[Finding]:
    kinds = [layer.media_type for layer in seen.traits.layers if media.compression(layer.media_type) is None]
    count = len(seen.traits.layers)
    for scheme in (Scheme.MODELCAR, Scheme.NATIVE):
        if kinds:
            yield Finding(
                "layer-type",
                Severity.ERROR,
                scheme,
                f"container engines can't unpack layers of the type {kinds[0]}",
                "build an image of the model, with modelcar build",
            )
        if count > MOST_LAYERS:
            yield Finding(
                "many-layers",
                Severity.WARNING,
                scheme,
                f"it has {count} layers, and many container engines stop at {MOST_LAYERS}",
                "build it with fewer, as modelcar build does",
            )


def _access(seen: Seen) -> Iterator[Finding]:
    fix = "give all users the right to read, as modelcar build does (chmod -R a=rX)"
    if seen.unreadable:
        yield Finding(
            "unreadable",
            Severity.ERROR,
            None,
            f"{_some(seen.unreadable)} can't be read by any user, and OpenShift gives each namespace users of its own",
            fix,
        )
    if seen.for_root_group:
        yield Finding(
            "root-group",
            Severity.WARNING,
            None,
            f"{_some(seen.for_root_group)} can be read by the group 0 only: that does on OpenShift, and not elsewhere",
            fix,
        )
    if seen.leading_out:
        yield Finding(
            "link-out",
            Severity.WARNING,
            None,
            f"{_some(seen.leading_out)} leads out of /models, to what the runtime's container has not",
            "put the file there itself",
        )


def _others(seen: Seen) -> Iterator[Finding]:
    if seen.folder:
        yield Finding(
            "folder",
            Severity.WARNING,
            None,
            f"the model is in /models/{seen.folder}, and vLLM looks for it in /mnt/models",
            f"build the image of that folder, or give vLLM --model=/mnt/models/{seen.folder}",
        )
    if not seen.is_pinned and seen.tag == "latest":
        yield Finding(
            "latest",
            Severity.WARNING,
            None,
            "with the tag latest, or none, a node asks the registry at each start, and what it gets may change",
            "name it by its digest, as modelcar render does",
        )
    for why in seen.partly_seen:
        yield Finding(PARTLY, Severity.UNCHECKED, None, why, "--full reads on")


def _some(paths: Sequence[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(f"/{path}" for path in paths[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")

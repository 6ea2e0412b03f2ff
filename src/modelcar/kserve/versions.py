"""What differs between OpenShift AI 3.x, 2.x and KServe of its versions: which words, kinds and URI schemes they know.

KSERVE.md, sections 1.1, 1.3, 2 and 4a, says where each line was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from modelcar.errors import Refused, UsageError


class Flavor(StrEnum):
    """What the objects are made for."""

    OPENSHIFT_AI_3 = "openshift-ai-3"
    OPENSHIFT_AI_2 = "openshift-ai-2"
    KSERVE = "kserve"


class Mode(StrEnum):
    """A deployment mode, by the name that KServe has for it from 0.16 on."""

    STANDARD = "Standard"
    KNATIVE = "Knative"

    @property
    def legacy(self) -> str:
        """What it was called before KServe 0.16."""
        return {Mode.STANDARD: "RawDeployment", Mode.KNATIVE: "Serverless"}[self]


class Scheme(StrEnum):
    """How KServe brings the image's files to the runtime, as the prefix of `storageUri` says it."""

    MODELCAR = "oci"
    NATIVE = "oci+native"
    FETCH = "oci+fetch"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release, as far as it matters here.

    Attributes:
        major: The first number.
        minor: The second.
    """

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.\d+)?(?:[-+].*)?")


def parse_version(text: str, what: str) -> Version:
    """The version that a user typed: `0.16`, `v0.16.1`, `1.34.2+k3s1`.

    Args:
        text: What was typed.
        what: The option or field it stands in, for the error.

    Raises:
        UsageError: It is none.
    """
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{what}: {text!r} is no version", "write it as 0.16 or v0.16.1")
    return Version(int(found[1]), int(found[2]))


MODE_WORDS = {word: mode for mode in Mode for word in (mode.value, mode.legacy)}
"""Each spelling of a deployment mode, old and new."""


def parse_mode(text: str, what: str) -> Mode:
    """A deployment mode in either spelling, upper or lower case.

    Raises:
        UsageError: It is none; `what` is the option or field it stands in.
    """
    for word, mode in MODE_WORDS.items():
        if text.lower() == word.lower():
            return mode
    raise UsageError(f"{what}: {text!r} is no deployment mode", f"one of {', '.join(MODE_WORDS)}")


NEW_MODE_WORDS = Version(0, 16)
"""From here on KServe says Standard and Knative; it rewrites the old words, and an older one ignores the new."""

LLM_KIND = {Version(0, 16): "v1alpha1", Version(0, 17): "v1alpha2"}
"""Since when there are `LLMInferenceService`s, and of which API version."""

VLLM_RUNTIME = Version(0, 20)
"""Since when KServe ships `kserve-vllmserver`; before, `kserve-huggingfaceserver` serves language models."""

SEVERAL_IMAGES = Version(0, 20)
"""Since when `storageUris` may name images (kserve PR 5470)."""

IMAGE_VOLUME = Version(1, 33)
"""The first Kubernetes whose image volumes take a `subPath`: behind a gate until 1.34, on by default from 1.35."""

_VOLUMES_BY_DEFAULT = Version(1, 35)
_LLM_HINT = "leave --kind llm out: an InferenceService serves it too"
_SINCE = {Scheme.NATIVE: Version(0, 20), Scheme.FETCH: Version(0, 21)}


@dataclass(frozen=True, slots=True)
class Cluster:
    """What is known of the cluster that the objects are for.

    Attributes:
        flavor: Its kind.
        kserve: Release of its KServe; None takes the flavour's usual one.
        kubernetes: Release of its Kubernetes, None where it wasn't said.
    """

    flavor: Flavor = Flavor.OPENSHIFT_AI_3
    kserve: Version | None = None
    kubernetes: Version | None = None

    @property
    def release(self) -> Version:
        """The KServe to write for."""
        return self.kserve or _USUAL[self.flavor]

    @property
    def default_mode(self) -> Mode | None:
        """The mode that is written where the user names none: None leaves it to the cluster."""
        return Mode.KNATIVE if self.flavor is Flavor.OPENSHIFT_AI_2 else None

    def spelled(self, mode: Mode) -> str:
        """The word for `mode` that this cluster knows.

        Raises:
            Refused: OpenShift AI 3 has no Knative.
        """
        if mode is Mode.KNATIVE and self.flavor is Flavor.OPENSHIFT_AI_3:
            raise Refused(
                "OpenShift AI 3 has no Knative (Serverless) mode: its operator took it out",
                "leave the deployment mode out, or write it for --flavor openshift-ai-2 or kserve",
            )
        old = self.flavor is Flavor.OPENSHIFT_AI_2 or self.release < NEW_MODE_WORDS
        return mode.legacy if old else mode.value

    def refuse_scheme(self, scheme: Scheme) -> None:
        """Check that this cluster's KServe takes `scheme`.

        Raises:
            Refused: It came later, or the cluster's Kubernetes can't mount images.
        """
        since = _SINCE.get(scheme)
        if since is None:
            return
        if self.release < since:
            raise Refused(
                f"{scheme}:// needs KServe {since}, and this is for {self.release}",
                "write oci://, or say --kserve-version where the cluster has a newer one",
            )
        if scheme is Scheme.NATIVE and self.kubernetes is not None and self.kubernetes < IMAGE_VOLUME:
            raise Refused(
                f"{scheme}:// needs Kubernetes {IMAGE_VOLUME} (image volumes with a subPath), and this is for "
                f"{self.kubernetes}",
                "write oci://",
            )

    def known_schemes(self) -> tuple[Scheme, ...]:
        """The ways besides modelcar mode that this cluster is known to have, best first: none is taken for granted.

        Image volumes count from the Kubernetes that has them on by default.
        """
        if self.kserve is None:
            return ()
        has_volumes = self.kubernetes is not None and self.kubernetes >= _VOLUMES_BY_DEFAULT
        known = {Scheme.NATIVE: has_volumes, Scheme.FETCH: True}
        return tuple(scheme for scheme, has in known.items() if has and self.kserve >= _SINCE[scheme])

    def llm_api(self) -> str:
        """The API version of `LLMInferenceService` here.

        Raises:
            Refused: There is no such kind.
        """
        if self.flavor is Flavor.OPENSHIFT_AI_2:
            raise Refused("OpenShift AI 2 has no LLMInferenceService", _LLM_HINT)
        known = [api for since, api in LLM_KIND.items() if self.release >= since]
        if not known:
            raise Refused(
                f"LLMInferenceService needs KServe {min(LLM_KIND)}, and this is for {self.release}", _LLM_HINT
            )
        return known[-1]


_USUAL = {
    Flavor.OPENSHIFT_AI_3: Version(0, 17),
    Flavor.OPENSHIFT_AI_2: Version(0, 15),
    Flavor.KSERVE: Version(0, 21),
}
"""The KServe that each flavour is taken to have: the newest known for KServe itself."""

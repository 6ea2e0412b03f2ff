"""Which of KServe's ways to bring an image's files to a runtime an image can take. KSERVE.md, sections 1.1 to 1.5.

Pure: what is known of an image goes in as `Traits`, and a finding for each way comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.base.needs import NEEDED, STAND_IN
from modelcar.kserve.versions import Scheme
from modelcar.oci import media

_EXECUTING = ("tini", "dumb-init", "catatonit", "env")
"""Entrypoints that run what stands behind them."""

_ROOT = "models/"
_FETCHED = frozenset({media.OCI_LAYER, media.OCI_LAYER_GZIP, media.DOCKER_LAYER_GZIP})
"""What KServe's fetch mode reads (kserve_storage.py of 0.21); others it skips without a word, zstd is an error."""


@dataclass(frozen=True, slots=True)
class LayerTraits:
    """A layer, as far as KServe cares.

    Attributes:
        media_type: As the manifest says it.
        has_models: Whether files below `/models` are in it; None where not all of it was seen.
        plainly_named: Whether their names begin with `models/`, as the tar spells them.
    """

    media_type: str
    has_models: bool | None
    plainly_named: bool = True


@dataclass(frozen=True, slots=True)
class Traits:
    """An image, as far as KServe cares.

    Attributes:
        layers: Lowest first.
        has_models: Whether a container sees a file below `/models`; None where that isn't known.
        entrypoint: Of the config.
        missing: Those of `NEEDED` that aren't there; None where some may be in what wasn't seen.
    """

    layers: tuple[LayerTraits, ...]
    has_models: bool | None
    entrypoint: tuple[str, ...] = ()
    missing: tuple[str, ...] | None = ()

    @property
    def is_for_one_model(self) -> bool:
        """Whether a program stands in for the shell that links one model to `/mnt/models`, and no other."""
        return self.entrypoint == STAND_IN


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one mode can take an image.

    Attributes:
        scheme: The mode, as the prefix of `storageUri` says it.
        works: None where that isn't known.
        reason: Why, or what to know besides.
        fix: What to do; empty where there is nothing.
    """

    scheme: Scheme
    works: bool | None
    reason: str
    fix: str = ""

    @property
    def mode(self) -> str:
        """The mode's name in KServe's configuration (`ociModelMode`)."""
        return {Scheme.MODELCAR: "modelcar", Scheme.NATIVE: "native", Scheme.FETCH: "fetch"}[self.scheme]


def is_plainly_named(name: str) -> bool:
    """Whether fetch mode takes a tar's member of this name for one of the model's."""
    return name.startswith(_ROOT) or name == _ROOT.rstrip("/")


def findings(traits: Traits) -> tuple[Finding, ...]:
    """A finding for each mode: modelcar, native, fetch."""
    if traits.has_models is False:
        reason = "there are no files below /models"
        fix = "build the image with modelcar build, or put the model into /models"
        return tuple(Finding(scheme, False, reason, fix) for scheme in Scheme)
    return (_modelcar(traits), _native(traits), _fetch(traits))


def _modelcar(traits: Traits) -> Finding:
    """KServe runs `sh -c "ln -sf …; sleep infinity"` through `args`, in an init container and a sidecar."""
    if traits.is_for_one_model:
        reason = "modelcar-base-image links /mnt/models by itself: good for one model there, not for several sources"
        return Finding(Scheme.MODELCAR, True, reason)
    if traits.entrypoint and not _runs_arguments(traits.entrypoint):
        words = " ".join(traits.entrypoint)
        nor = f"; nor is there {', '.join(traits.missing)} in it" if traits.missing else ""
        base = ", on a base that has them, as modelcar build does" if traits.missing else ""
        return Finding(
            Scheme.MODELCAR,
            False,
            f"KServe passes its shell line as arguments, and the Entrypoint ({words}) would take them{nor}",
            f"build the image without an Entrypoint{base}",
        )
    if traits.missing is None:
        return Finding(Scheme.MODELCAR, None, f"whether it has {', '.join(NEEDED)} was not checked")
    if traits.missing:
        return Finding(
            Scheme.MODELCAR,
            False,
            f"KServe runs a shell line in it, and there is no {', '.join(traits.missing)}",
            "build it on a base that has them, as modelcar build does",
        )
    return _if_models(Scheme.MODELCAR, traits, "a shell with ln and sleep, no Entrypoint")


def _runs_arguments(entrypoint: tuple[str, ...]) -> bool:
    return entrypoint[0].rpartition("/")[2] in _EXECUTING and entrypoint[1:] in ((), ("--",))


def _native(traits: Traits) -> Finding:
    return _if_models(Scheme.NATIVE, traits, "any image with /models; KServe 0.20 and Kubernetes 1.33 or later")


def _fetch(traits: Traits) -> Finding:
    kinds = [media.compression(layer.media_type) for layer in traits.layers]
    if "zstd" in kinds:
        return Finding(
            Scheme.FETCH,
            False,
            f"KServe refuses zstd layers, and {_layers(kinds, 'zstd')} zstd",
            "build it with --compression none or gzip",
        )
    skipped = [layer for layer in traits.layers if layer.media_type not in _FETCHED]
    if any(layer.has_models for layer in skipped):
        kind = next(layer.media_type for layer in skipped if layer.has_models)
        return Finding(
            Scheme.FETCH,
            False,
            f"KServe skips layers of the type {kind} without a word",
            "copy it with OCI types: skopeo copy --format oci",
        )
    if any(not layer.plainly_named for layer in traits.layers):
        return Finding(
            Scheme.FETCH,
            False,
            "KServe takes only members named models/…, and these are spelled otherwise, such as ./models/…",
            "build the image again, with modelcar build",
        )
    if any(layer.has_models is None for layer in skipped):
        return Finding(Scheme.FETCH, None, "whether files of the model are in layers that KServe skips was not checked")
    return _if_models(Scheme.FETCH, traits, "tar or gzip layers, members models/…; KServe 0.21 or later")


def _layers(kinds: list[str | None], kind: str) -> str:
    count = kinds.count(kind)
    return f"{count} of {len(kinds)} layers {'is' if count == 1 else 'are'}"


def _if_models(scheme: Scheme, traits: Traits, reason: str) -> Finding:
    if traits.has_models is None:
        return Finding(scheme, None, "no file below /models was seen, and not all layers were looked at")
    return Finding(scheme, True, reason)

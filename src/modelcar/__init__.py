"""modelcar turns a model into a ModelCar container image, streamed from its source into a registry.

    import modelcar
    result = modelcar.build_image("hf://ibm-granite/granite-3.1-2b-instruct", "quay.io/acme/granite:3.1-2b")
    print(result.reference)

Names are imported when they are first used, so that `modelcar --help` needn't wait for all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelcar.build import BuildOptions, BuildResult, Plan, Wish, build_image, plan_image
    from modelcar.errors import (
        ContentMismatch,
        Denied,
        Interrupted,
        ModelcarError,
        NetworkError,
        NotFound,
        RateLimited,
        Refused,
        UsageError,
    )
    from modelcar.events import Cancel, Event
    from modelcar.image import (
        CopyOptions,
        CopyResult,
        ImageFiles,
        ImageTree,
        PullOptions,
        VerifyOptions,
        VerifyResult,
        copy_image,
        open_image,
        pull_image,
        read_image,
        verify_image,
    )
    from modelcar.settings import Access

__all__ = [
    "Access",
    "BuildOptions",
    "BuildResult",
    "Cancel",
    "ContentMismatch",
    "CopyOptions",
    "CopyResult",
    "Denied",
    "Event",
    "ImageFiles",
    "ImageTree",
    "Interrupted",
    "ModelcarError",
    "NetworkError",
    "NotFound",
    "Plan",
    "PullOptions",
    "RateLimited",
    "Refused",
    "UsageError",
    "VerifyOptions",
    "VerifyResult",
    "Wish",
    "build_image",
    "copy_image",
    "open_image",
    "plan_image",
    "pull_image",
    "read_image",
    "verify_image",
]

_HOMES = {
    "build": ("BuildOptions", "BuildResult", "Plan", "Wish", "build_image", "plan_image"),
    "errors": (
        "ContentMismatch", "Denied", "Interrupted", "ModelcarError", "NetworkError", "NotFound", "RateLimited",
        "Refused", "UsageError",
    ),
    "events": ("Cancel", "Event"),
    "image": (
        "CopyOptions", "CopyResult", "ImageFiles", "ImageTree", "PullOptions", "VerifyOptions", "VerifyResult",
        "copy_image", "open_image", "pull_image", "read_image", "verify_image",
    ),
    "settings": ("Access",),
}  # fmt: skip


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"modelcar.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'modelcar' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

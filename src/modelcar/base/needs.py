"""What an image under a model must have, so that KServe's shell lines run in it (docs/base.md)."""

from __future__ import annotations

from collections.abc import Callable

STAND_IN = ("/bin/link-model-and-wait",)
"""Entrypoint of PyPI's `modelcar-base-image`: a program that does what the shell lines mean."""

STAND_IN_LAYERS = frozenset(
    {
        "sha256:52a45566354fc688d802b1c48b0f86f9760e235ca06655f83429956cd802c39e",
        "sha256:cda2d1a588b1ecea65a734790c5ace3677b6e63d3686006368e758186485ef10",
    }
)
"""The layer of `modelcar-base-image` 0.1.0 for amd64 and for arm64."""

NEEDED = ("sh", "ln", "sleep")
"""Commands that the shell lines call."""

_FOLDERS = ("bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin", "usr/local/sbin")
"""Where a container's usual `PATH` looks for them."""


def missing_commands(exists: Callable[[str], bool]) -> tuple[str, ...]:
    """Those of `NEEDED` that an image hasn't.

    Args:
        exists: Whether a path from the image's root leads to a file.
    """
    return tuple(name for name in NEEDED if not any(exists(f"{folder}/{name}") for folder in _FOLDERS))

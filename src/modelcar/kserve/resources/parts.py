"""What several objects have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelcar.kserve.settle import Settled

Manifest = dict[str, Any]

DASHBOARD = {"opendatahub.io/dashboard": "true"}
"""The label without which the dashboard doesn't list an object."""

SHM_VOLUME = "shm"
SHM_MOUNT = {"name": SHM_VOLUME, "mountPath": "/dev/shm"}  # noqa: S108 - a path in a container


def shm_volume(size: str = "") -> Manifest:
    """Shared memory, by which the processes of several GPUs talk.

    Args:
        size: Its limit; without one it is half of the node's memory.
    """
    return {"name": SHM_VOLUME, "emptyDir": without_empty({"medium": "Memory", "sizeLimit": size})}


def metadata(
    settled: Settled,
    name: str,
    labels: Mapping[str, str | None] | None = None,
    annotations: Mapping[str, str | None] | None = None,
) -> Manifest:
    """An object's `metadata`; labels and annotations of None are left out."""
    return without_empty(
        {
            "name": name,
            "namespace": settled.namespace,
            "labels": _said(labels),
            "annotations": _said(annotations),
        }
    )


def without_empty(values: Mapping[str, Any]) -> Manifest:
    """Without what is None, an empty text, an empty list or an empty map. 0 and False stay."""
    return {key: value for key, value in values.items() if value is not None and value not in ("", [], {})}


def switch(on: bool) -> str | None:
    """The annotation of a switch that is on; None leaves it out."""
    return "true" if on else None


def _said(values: Mapping[str, str | None] | None) -> Manifest:
    return {key: value for key, value in (values or {}).items() if value is not None}

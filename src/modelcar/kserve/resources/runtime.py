"""The ServingRuntime that is copied for a deployment (KSERVE.md 3, 4 and 4a)."""

from __future__ import annotations

import copy
from typing import Any

from modelcar.kserve.amounts import device_count
from modelcar.kserve.resources.parts import (
    DASHBOARD,
    SHM_MOUNT,
    SHM_VOLUME,
    Manifest,
    metadata,
    shm_volume,
    switch,
)
from modelcar.kserve.runtimes import Runtime
from modelcar.kserve.settle import Settled
from modelcar.kserve.versions import Flavor

_PREFIX = "opendatahub.io"
_FORM_SHM = "2Gi"


def serving_runtime(settled: Settled, runtime: Runtime) -> Manifest:
    """The ServingRuntime, named like the deployment.

    Args:
        settled: The deployment.
        runtime: One with a `spec`.
    """
    spec = copy.deepcopy(runtime.spec or {})
    two = settled.cluster.flavor is Flavor.OPENSHIFT_AI_2
    if two:
        spec.pop("replicas", None)
        for container in spec["containers"]:
            container.pop("resources", None)
    if two or device_count(settled.resources) > 1:
        _share_memory(spec, _FORM_SHM if two else "")
    labels = {**runtime.labels, **(DASHBOARD if settled.on_openshift else {})}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": metadata(settled, settled.name, labels, _annotations(settled, runtime)),
        "spec": spec,
    }


def _annotations(settled: Settled, runtime: Runtime) -> dict[str, str | None]:
    if settled.cluster.flavor is Flavor.OPENSHIFT_AI_2:
        return {
            **runtime.annotations,
            "openshift.io/display-name": settled.display_name,
            f"{_PREFIX}/template-name": runtime.own_name or None,
            f"{_PREFIX}/template-display-name": _display(runtime),
            f"{_PREFIX}/accelerator-name": settled.wish.accelerator_profile or "",
            f"{_PREFIX}/apiProtocol": runtime.api_protocol or runtime.annotations.get(f"{_PREFIX}/apiProtocol"),
            "enable-route": switch(bool(settled.wish.route)),
            "enable-auth": switch(settled.token_auth),
        }
    if settled.on_three and runtime.template:
        own = runtime.template_namespace == settled.namespace
        return {
            **runtime.annotations,
            f"{_PREFIX}/template-name": runtime.template,
            f"{_PREFIX}/template-display-name": _display(runtime),
            f"{_PREFIX}/serving-runtime-scope": "project" if own else "global",
        }
    if settled.on_openshift:
        return dict(runtime.annotations)
    ours = (f"{_PREFIX}/", "openshift.io/")
    return {key: value for key, value in runtime.annotations.items() if not key.startswith(ours)}


def _display(runtime: Runtime) -> str | None:
    return runtime.template_display or runtime.annotations.get("openshift.io/display-name")


def _share_memory(spec: dict[str, Any], size: str) -> None:
    """Add shared memory to each container that has none."""
    for container in spec["containers"]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount.get("mountPath") == SHM_MOUNT["mountPath"] for mount in mounts):
            mounts.append(dict(SHM_MOUNT))
            volumes = spec.setdefault("volumes", [])
            if not any(volume.get("name") == SHM_VOLUME for volume in volumes):
                volumes.append(shm_volume(size))

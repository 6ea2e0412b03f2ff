"""Processors, memory and accelerators of a server: the form's defaults, and what a user changes of them.

KSERVE.md 4 ("Sizes", the default hardware profile) and 4a (accelerators).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from modelcar.errors import UsageError
from modelcar.kserve.deployment import Deployment
from modelcar.kserve.names import ACCELERATOR, OWN_RESOURCES, is_qualified_name, is_resource
from modelcar.kserve.quantity import parse_quantity
from modelcar.kserve.runtimes import NVIDIA
from modelcar.kserve.versions import Flavor

Amounts = dict[str, str]

SIZES: dict[str, tuple[Amounts, Amounts]] = {
    "Small": ({"cpu": "1", "memory": "4Gi"}, {"cpu": "2", "memory": "8Gi"}),
    "Medium": ({"cpu": "4", "memory": "8Gi"}, {"cpu": "8", "memory": "10Gi"}),
    "Large": ({"cpu": "6", "memory": "16Gi"}, {"cpu": "10", "memory": "20Gi"}),
}
"""Requests and limits of the 2.x form's sizes."""

_PROFILE: Amounts = {"cpu": "2", "memory": "4Gi"}
"""What the 3.x form's default hardware profile asks for, and may use."""


def resources_of(deployment: Deployment, flavor: Flavor) -> dict[str, Amounts]:
    """`requests` and `limits` of a server's container; empty where nothing is to be written.

    Raises:
        UsageError: A name or a quantity that Kubernetes doesn't take, or a request over its limit.
    """
    requests, limits = (dict(part) for part in _base(deployment, flavor))
    asked = _checked("requests", deployment.requests or {})
    allowed = _checked("limits", deployment.limits or {})
    device, said = device_of(deployment), deployment.gpu_count
    for given in (asked, allowed):
        if said is not None and device in given and parse_quantity(given[device], device) != Decimal(said):
            raise UsageError(f"--gpu-count: {said} {device}, and --requests or --limits say {given[device]}")
    for name, count in accelerators(deployment).items():
        requests[name] = limits[name] = count
    for name in {**asked, **allowed}:
        request, limit = asked.get(name), allowed.get(name)
        if name not in OWN_RESOURCES:
            request, limit = request or limit, limit or request  # both are one for what isn't Kubernetes' own
        if request:
            requests[name] = request
            if not limit and name in limits and parse_quantity(limits[name], name) < parse_quantity(request, name):
                limits[name] = request
        if limit:
            limits[name] = limit
            if not request and name in requests and parse_quantity(limit, name) < parse_quantity(requests[name], name):
                requests[name] = limit
    _compare(requests, limits)
    return {key: _in_order(part) for key, part in (("requests", requests), ("limits", limits)) if part}


def _compare(requests: Amounts, limits: Amounts) -> None:
    for name, value in requests.items():
        request = parse_quantity(value, name)
        limit = parse_quantity(limits.get(name, value), name)
        if request > limit:
            raise UsageError(f"--requests: {name} is {value}, and the limit {limits[name]}")
        if name not in OWN_RESOURCES and request != limit:
            raise UsageError(f"--requests: {name} must be the same in --limits", "Kubernetes wants that of devices")


def _in_order(part: Amounts) -> Amounts:
    """Processors and memory first."""
    return dict(sorted(part.items(), key=lambda one: (one[0] not in OWN_RESOURCES, one[0])))


def devices_in(deployment: Deployment) -> list[str]:
    """The resources among the amounts that are devices to serve on."""
    amounts = {**(deployment.limits or {}), **(deployment.requests or {})}
    return [name for name in amounts if ACCELERATOR.fullmatch(name)]


def device_of(deployment: Deployment) -> str:
    """The resource of a server's devices: that of `--accelerator`, else of the amounts, else NVIDIA's."""
    return deployment.accelerator or next(iter(devices_in(deployment)), NVIDIA)


def accelerators(deployment: Deployment) -> Amounts:
    """Resource and count of what a user asked for by `--accelerator` and `--gpu-count`; a count of none is nothing.

    Raises:
        UsageError: The accelerator's name is none of a resource, or the amounts name another one.
    """
    name = device_of(deployment)
    if "/" not in name or not is_qualified_name(name):
        raise UsageError(f"--accelerator: {name!r} is no resource of a device", "write it as nvidia.com/gpu")
    others = [one for one in devices_in(deployment) if one != name]
    if deployment.accelerator and others:
        raise UsageError(f"--accelerator: {name}, and --requests or --limits say {others[0]}", "leave one of them out")
    count = deployment.gpu_count
    if count is None:
        count = 1 if deployment.accelerator and name not in (deployment.limits or {}) else 0
    return {name: str(count)} if count else {}


def device_count(resources: Mapping[str, Amounts]) -> int:
    """How many devices a server has."""
    both = {**resources.get("requests", {}), **resources.get("limits", {})}
    return sum(int(parse_quantity(value, name)) for name, value in both.items() if "/" in name)


def _base(deployment: Deployment, flavor: Flavor) -> tuple[Amounts, Amounts]:
    if flavor is Flavor.OPENSHIFT_AI_2:
        return SIZES[deployment.size or "Small"]
    if flavor is Flavor.OPENSHIFT_AI_3 and not deployment.hardware_profile:
        return _PROFILE, _PROFILE
    return {}, {}


def _checked(field: str, given: Mapping[str, str]) -> Amounts:
    for name, text in given.items():
        if not (is_resource(name) and is_qualified_name(name)):
            raise UsageError(f"--{field}: {name!r} is no resource", "one of cpu, memory, nvidia.com/gpu, …")
        value = parse_quantity(text, f"--{field} {name}")
        if value < 0:
            raise UsageError(f"--{field}: {name} is less than nothing")
        if "/" in name and value != value.to_integral_value():
            raise UsageError(f"--{field}: {name} counts devices, and {text} is no whole number")
    return dict(given)

"""The fields of a deployment, each by itself: whether the flavour has it, and whether it takes the value."""

from __future__ import annotations

import re

from modelcar.errors import Refused, UsageError
from modelcar.kserve.amounts import accelerators, devices_in
from modelcar.kserve.deployment import Deployment
from modelcar.kserve.form import FIELDS, Absent, Kind
from modelcar.kserve.names import ENV_NAME, OBJECT_NAME
from modelcar.kserve.source import refuse_secret
from modelcar.kserve.versions import Flavor

_ASKS_FOR_NOTHING = ("genai-asset", "route", "token-auth", "return-401")
"""Switches that a flavour without them may be told are off."""
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


def refuse_absent(deployment: Deployment, flavor: Flavor, llm: bool) -> None:
    """Check that the flavour has each field that is said.

    Raises:
        Refused: It lacks one; the error names it, and why.
    """
    said = deployment.said()
    for one in FIELDS:
        value = said.get(one.name)
        if value is None or (value is False and one.name in _ASKS_FOR_NOTHING):
            continue
        places = {Flavor.OPENSHIFT_AI_3: one.three, Flavor.OPENSHIFT_AI_2: one.two, Flavor.KSERVE: one.kserve}
        if isinstance(place := places[flavor], Absent):
            raise Refused(f"--{one.name} is no field for {flavor}: {place.why}", "leave it out")
        if llm and isinstance(one.llm, Absent):
            raise Refused(f"--{one.name} is no field for --kind llm: {one.llm.why}", "leave it out")


def check_values(deployment: Deployment) -> None:
    """Check what can be checked of each field without the others.

    Raises:
        UsageError: A value that no object can hold; the error names the field.
        Refused: A value that KServe refuses.
    """
    for name, value in deployment.said().items():
        texts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        if any(isinstance(text, str) and _NO_TEXT.search(text) for text in texts):
            raise UsageError(f"--{name} holds a byte that is no text")
    for one in FIELDS:
        if one.kind is Kind.LIST and "" in (getattr(deployment, one.attribute) or ()):
            raise UsageError(f"--{one.name}: one of them is empty")
    _check_variables(deployment)
    _check_hosts(deployment)
    if deployment.genai_use_case is not None and not deployment.genai_asset:
        raise UsageError("--genai-use-case is of an AI asset endpoint", "add --genai-asset")
    if deployment.accelerator_profile is not None and not (accelerators(deployment) or devices_in(deployment)):
        raise UsageError("--accelerator-profile: there is no accelerator", "add --accelerator")
    profile = deployment.hardware_profile
    if profile is not None and (
        profile.count("/") > 1 or not all(OBJECT_NAME.fullmatch(part) for part in profile.split("/"))
    ):
        raise UsageError(f"--hardware-profile: {profile!r} is no name of one", "write it as NAME or NAME/NAMESPACE")


def _check_variables(deployment: Deployment) -> None:
    for variable in deployment.env or {}:
        if not ENV_NAME.fullmatch(variable):
            raise UsageError(f"--env: {variable!r} is no variable's name", "letters, digits and _, no digit first")
        if variable == "PYTHONPATH":
            raise Refused("--env: KServe refuses PYTHONPATH", "leave it out")


def _check_hosts(deployment: Deployment) -> None:
    host, endpoint = deployment.registry_host, deployment.s3_endpoint
    if host is not None:
        refuse_secret(f"oci://{host}", "--registry-host")
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?(/[\w./-]*)?", host):
            raise UsageError("--registry-host: that is no host", "write it as quay.io")
    if endpoint is not None:
        refuse_secret(endpoint, "--s3-endpoint")
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", endpoint):
            raise UsageError("--s3-endpoint: that is no URL", "write it as https://HOST")

"""A deployment as a value: what a person, a pipeline or a file says of it. None is what nobody said."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from modelcar.errors import UsageError
from modelcar.kserve.form import BY_NAME, FIELDS, Field, Kind

Number = Annotated[int, msgspec.Meta(ge=0, le=99)]
Count = Annotated[int, msgspec.Meta(ge=1, le=99)]


class Deployment(
    msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, omit_defaults=True
):
    """The fields of the form, named as the flags are; `modelcar.kserve.form.FIELDS` says what each is."""

    flavor: Literal["openshift-ai-3", "openshift-ai-2", "kserve"] | None = None
    kserve_version: str | None = None
    kubernetes_version: str | None = None
    arch: str | None = None
    kind: Literal["isvc", "llm"] | None = None
    protected_namespace: tuple[str, ...] | None = None
    model: str | None = None
    model_type: Literal["predictive", "generative"] | None = None
    model_format: str | None = None
    connection: str | None = None
    new_connection: str | None = None
    connection_description: str | None = None
    connection_type: Literal["uri", "oci", "s3"] | None = None
    save_connection: bool | None = None
    access_type: tuple[Literal["Push", "Pull"], ...] | None = None
    registry_host: str | None = None
    pull_secret: tuple[str, ...] | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_bucket: str | None = None
    connection_path: str | None = None
    namespace: str | None = None
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    deployment_mode: str | None = None
    replicas: Count | None = None
    min_replicas: Number | None = None
    max_replicas: Count | None = None
    progress_deadline: str | None = None
    deployment_strategy: Literal["rolling", "recreate"] | None = None
    timeout: Annotated[int, msgspec.Meta(ge=0, le=1000000)] | None = None
    runtime: str | None = None
    runtime_file: str | None = None
    runtime_parameter: dict[str, str] | None = None
    runtime_image: str | None = None
    args: tuple[str, ...] | None = None
    env: dict[str, str] | None = None
    hardware_profile: str | None = None
    size: Literal["Small", "Medium", "Large"] | None = None
    accelerator: str | None = None
    accelerator_profile: str | None = None
    gpu_count: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None
    gpu: str | None = None
    context: Annotated[int, msgspec.Meta(ge=1, le=2**40)] | None = None
    tools: bool | None = None
    trust_remote_code: bool | None = None
    vllm_version: str | None = None
    genai_asset: bool | None = None
    genai_use_case: str | None = None
    route: bool | None = None
    token_auth: bool | None = None
    token_name: tuple[str, ...] | None = None
    return_401: bool | None = None

    def said(self) -> dict[str, Any]:
        """What is said, by the fields' own names."""
        return {f.name: value for f in FIELDS if (value := getattr(self, f.attribute)) is not None}


def deployment_from(values: Mapping[str, Any], where: str = "") -> Deployment:
    """A deployment of what a file or the command line says.

    Args:
        values: By field. Numbers and switches may be texts.
        where: What to put before an error: the file. Empty is the command line, whose fields are flags.

    Raises:
        UsageError: An unknown field, with the near name; a value that it doesn't take.
    """
    prefix = f"{where}: " if where else "--"
    for name in values:
        if name not in BY_NAME:
            near = difflib.get_close_matches(str(name), BY_NAME, 1)
            raise UsageError(
                f"{prefix}{name} is no field of a deployment", f"is it {near[0]}?" if near else "see docs/render.md"
            )
    said = {name: value for name, value in values.items() if value is not None}
    try:
        return msgspec.convert(said, Deployment, strict=False)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        found = re.search(r"\$\.([a-z0-9-]+)", place)
        field = BY_NAME.get(found[1]) if found else None
        value = said.get(field.name) if field and field.kind not in (Kind.LIST, Kind.PAIRS) else None
        is_one = value is not None and not isinstance(value, dict | list)
        not_this = f", not {str(value)[:_SHOWN]}" if is_one else ""
        raise UsageError(f"{prefix}{found[1] if found else 'the file'}: {_plainly(what, field)}{not_this}") from None


_SHOWN = 40
"""Characters of a wrong value."""


def _plainly(what: str, field: Field | None) -> str:
    """What msgspec says, with the values that a field takes."""
    if field and field.choices:
        return f"one of {', '.join(field.choices)}"
    if field and field.kind is Kind.SWITCH:
        return "true or false"
    if field and field.kind is Kind.NUMBER:
        return f"a whole number from {field.low:,} to {field.high:,}"
    if field and field.kind in (Kind.LIST, Kind.PAIRS):
        return "a list of texts" if field.kind is Kind.LIST else "texts by name"
    return what.replace("`", "").replace(" | null", "").lower()


def merged(over: Deployment, under: Deployment) -> Deployment:
    """Two deployments as one: what `over` says wins, and maps are joined key by key."""
    values = under.said()
    for name, value in over.said().items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return msgspec.convert(values, Deployment)


def as_values(deployment: Deployment) -> dict[str, Any]:
    """What is said, as a file holds it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in deployment.said().items()}


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a deployment's file, for editors."""
    made = msgspec.json.schema(Deployment)
    properties = made["$defs"]["Deployment"]["properties"]
    for field in FIELDS:
        kept = next(kind for kind in properties[field.name]["anyOf"] if kind.get("type") != "null")
        if field.kind is Kind.TEXT and not field.choices and field.name.endswith("-version"):
            kept = {"type": ["string", "number"]}
        rules = [f"Default: {field.default}." if field.default else "", f"Takes: {field.rule}." if field.rule else ""]
        properties[field.name] = {**kept, "description": " ".join([field.help, *filter(None, rules)])}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A deployment, for modelcar render -f",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }

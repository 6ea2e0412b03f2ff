"""From a deployment to the objects that serve it, in the order in which they must be applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from modelcar.errors import Refused, UsageError
from modelcar.kserve.deployment import Deployment, merged
from modelcar.kserve.notes import notes_on, warnings_on
from modelcar.kserve.resources.auth import token_objects
from modelcar.kserve.resources.connection import oci_secret, pull_secret, s3_secret, uri_secret
from modelcar.kserve.resources.isvc import inference_service
from modelcar.kserve.resources.llm import llm_inference_service
from modelcar.kserve.resources.parts import Manifest
from modelcar.kserve.resources.runtime import serving_runtime
from modelcar.kserve.secrets import SecretValues
from modelcar.kserve.settle import Settled, settle


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of a deployment.

    Attributes:
        settled: What they were made from.
        manifests: In the order in which they must be applied.
        notes: What a user should know of them, a line each.
        warnings: What may be wrong with them, a line each.
    """

    settled: Settled
    manifests: tuple[Manifest, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def render(
    deployment: Deployment,
    *,
    chosen: Deployment | None = None,
    digest: str | None = None,
    image_size: int | None = None,
    secrets: SecretValues | None = None,
) -> Rendered:
    """Write the objects of a deployment.

    Args:
        deployment: What a user says, by flags and file.
        chosen: What was chosen from the model's facts, for fields of which the user says nothing.
        digest: What the image's tag points to; None writes the image as it was given.
        image_size: Bytes of the image, None where nobody looked.
        secrets: Values for Secrets; None writes none of those that hold a secret.

    Raises:
        UsageError: A field's value is wrong; the error names the field.
        Refused: A rule of the cluster or of ours forbids it.
        NotFound: The file of the runtime isn't there.
    """
    wish = merged(deployment, _below(deployment, chosen)) if chosen is not None else deployment
    settled = settle(wish, digest=digest, image_size=image_size)
    if settled.runtime is not None and not settled.format[0]:
        names = dict.fromkeys(name for name, _ in settled.runtime.formats)
        raise UsageError(f"--model-format: the runtime takes {', '.join(names)}", "say which one the model has")
    manifests = _secrets(settled, secrets)
    if settled.runtime is not None and settled.runtime.spec is not None:
        manifests.append(serving_runtime(settled, settled.runtime))
    manifests.append(llm_inference_service(settled) if settled.llm else inference_service(settled))
    manifests += token_objects(settled)
    written = [one["metadata"]["name"] for one in manifests if one["kind"] == "Secret"]
    return Rendered(
        settled,
        tuple(without_twins(manifests)),
        tuple(notes_on(settled, written)),
        tuple(warnings_on(settled, image_size)),
    )


def without_twins(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Objects of one or several deployments, each once.

    Raises:
        Refused: Two of one name differ.
    """
    seen: dict[tuple[str, str, str], Manifest] = {}
    for one in manifests:
        metadata = one["metadata"]
        key = (f"{one['apiVersion']} {one['kind']}", metadata.get("namespace", ""), metadata["name"])
        if seen.setdefault(key, one) != one:
            raise Refused(
                f"--name: the {one['kind']} {metadata['name']} would be written twice, and not alike",
                "give each deployment, connection and pull secret a name of its own",
            )
    return list(seen.values())


def _below(deployment: Deployment, chosen: Deployment) -> Deployment:
    """What was chosen, less what a size or a hardware profile says already."""
    if deployment.hardware_profile is not None:
        return msgspec.structs.replace(chosen, requests=None, limits=None, gpu_count=None)
    if deployment.size is not None:
        return msgspec.structs.replace(chosen, requests=None, limits=None, size=None)
    return chosen


def _secrets(settled: Settled, values: SecretValues | None) -> list[Manifest]:
    connection = settled.connection
    made = []
    if connection and connection.new and connection.kind == "uri":
        made.append(uri_secret(settled, connection))
    if values is None:
        return made
    if connection and connection.new and connection.kind == "oci":
        made.append(oci_secret(settled, connection, values))
    if connection and connection.new and connection.kind == "s3":
        made.append(s3_secret(settled, connection, values))
    if settled.wish.pull_secret:
        made.append(pull_secret(settled, settled.wish.pull_secret[0], values))
    return made

"""What a user should know of the objects that were written, and is warned of: one line each."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from modelcar.kserve.amounts import device_count
from modelcar.kserve.names import HIDDEN_NAMESPACE, SYSTEM_NAMESPACE
from modelcar.kserve.quantity import parse_quantity
from modelcar.kserve.resources.connection import registry_host
from modelcar.kserve.resources.isvc import inference_service, shared_memory_in_predictor, wants_model_class
from modelcar.kserve.settle import OPERATORS, Settled, name_note
from modelcar.kserve.versions import Flavor, Mode, Scheme


def warnings_on(settled: Settled, image_size: int | None) -> Iterator[str]:
    """What may be wrong with a deployment, and was still written as it was wished.

    Args:
        settled: The deployment.
        image_size: Bytes of its image, None where nobody looked.
    """
    yield from filter(None, [name_note(settled)])
    yield from _namespace(settled)
    yield from _host(settled)
    yield from _openness(settled)
    if image_size is not None:
        yield from _size(settled, image_size)


def notes_on(settled: Settled, written: Collection[str]) -> Iterator[str]:
    """The notes of a deployment.

    Args:
        settled: The deployment.
        written: Names of the Secrets that are among the objects.
    """
    yield from _missing_secrets(settled, written)
    yield from _connection(settled)
    yield from _image(settled)
    yield from _mode(settled)
    yield from _edits(settled)
    yield from _profile(settled)
    yield from _memory(settled)
    if wants_model_class(settled) and "modelClass" not in inference_service(settled)["metadata"].get("labels", {}):
        yield f"MLServer reads from the label modelClass what loads a model, and we know none for {settled.format[0]}"


def _missing_secrets(settled: Settled, written: Collection[str]) -> Iterator[str]:
    connection = settled.connection
    names = list(settled.wish.pull_secret or ())
    unused = settled.cluster.flavor is Flavor.OPENSHIFT_AI_2 and connection and connection.kind in ("", "uri")
    if connection and not unused:
        names.append(connection.name)
    where = f" in {settled.namespace}" if settled.namespace else ""
    for name in dict.fromkeys(one for one in names if one not in written):
        told = connection is not None and connection.new and connection.name == name
        more = ", or add --with-secrets to write it" if told or name in (settled.wish.pull_secret or ())[:1] else ""
        yield f"the Secret {name} must be there first{where}{more}"


def _connection(settled: Settled) -> Iterator[str]:
    connection = settled.connection
    if connection is None:
        return
    if settled.on_three and not connection.new and connection.kind in ("", "uri"):
        unless = "" if connection.kind else "if it is a URI connection, "
        yield f"{unless}what is deployed is the URI in the connection {connection.name}, whatever else is said"
    if settled.on_three and connection.kind == "uri" and not settled.pull_secrets:
        yield "a URI connection brings no pull secret: for a private image add --pull-secret"
    if settled.cluster.flavor is Flavor.OPENSHIFT_AI_2 and not connection.new and connection.kind in ("", "uri"):
        yield (
            f"nothing is written of the connection {connection.name}, since storageUri says where the model is: where "
            "it is a pull secret, add --connection-type oci"
        )


def _host(settled: Settled) -> Iterator[str]:
    """The form's own warning of an image outside of the connection's registry."""
    host = settled.wish.registry_host
    reference = settled.source.reference if settled.source else None
    if host and reference and not f"{reference.name}/".startswith(f"{host.rstrip('/')}/"):
        yield f"the image {reference.name} isn't in the connection's registry {registry_host(settled)}"


def _image(settled: Settled) -> Iterator[str]:
    source = settled.source
    if source is None or source.reference is None:
        return
    if source.reference.digest is None and (source.reference.tag or "latest") == "latest":
        yield "nodes ask for the image at each start of a Pod, since it has no tag but latest: name a tag or a digest"
    if source.scheme is Scheme.FETCH and not settled.pull_secrets and settled.on_openshift:
        yield "oci+fetch:// takes the first pull secret only, and OpenShift's own may not fit: add --pull-secret"
    if source.scheme is Scheme.NATIVE and settled.on_openshift:
        yield (
            "oci+native:// needs a RoleBinding of the predictor's service account to the ClusterRole "
            "openshift-ai-inferenceservice-image-volume-scc"
        )


def _mode(settled: Settled) -> Iterator[str]:
    if settled.llm or settled.mode is Mode.KNATIVE:
        return
    if settled.mode is None and not settled.on_openshift:
        yield "no deployment mode is written: the cluster's default decides"
    if settled.wish.progress_deadline:
        yield (
            "the progress deadline is left out: it acts in Knative mode only. In raw mode KServe reports "
            "ProgressDeadlineExceeded after 600 s, and the Pod goes on starting"
        )


def _edits(settled: Settled) -> Iterator[str]:
    """KSERVE.md 4a: an edit in the 2.x dashboard rebuilds the predictor."""
    if settled.cluster.flavor is not Flavor.OPENSHIFT_AI_2:
        return
    lost = [
        "the progress deadline" if settled.progress_deadline else "",
        "the shared memory" if shared_memory_in_predictor(settled) else "",
    ]
    if any(lost):
        yield (
            f"an edit in the OpenShift AI 2 dashboard may drop {' and '.join(filter(None, lost))}: apply this again "
            "after one"
        )


def _profile(settled: Settled) -> Iterator[str]:
    """The webhook of the hardware profiles looks in the object's own namespace where none is named."""
    profile = settled.wish.hardware_profile or ""
    if profile and "/" not in profile:
        yield (
            f"the hardware profile {profile} is looked for in {settled.namespace}: for one of the dashboard's own "
            f"write {profile}/{OPERATORS}, in Open Data Hub {profile}/opendatahub"
        )


def _memory(settled: Settled) -> Iterator[str]:
    """The form's memory doesn't follow the GPUs, and a volume of the medium Memory is part of it."""
    limit = settled.resources.get("limits", {}).get("memory")
    is_ours = not any("memory" in (part or {}) for part in (settled.wish.requests, settled.wish.limits))
    count = device_count(settled.resources)
    if limit and is_ours and count > 1 and settled.model_type == "generative":
        yield (
            f"the memory is the form's, {limit}: vLLM runs a process for each of the {count} GPUs, and what they share "
            "counts towards it too; --limits memory=QUANTITY raises it"
        )


def _namespace(settled: Settled) -> Iterator[str]:
    if settled.on_openshift and HIDDEN_NAMESPACE.fullmatch(settled.namespace):
        yield f"the dashboard lists no project {settled.namespace}: names such as this are the cluster's own"
    elif SYSTEM_NAMESPACE.fullmatch(settled.namespace):
        yield f"the namespace {settled.namespace} is Kubernetes' own: take another"


def _openness(settled: Settled) -> Iterator[str]:
    if settled.wish.route and not settled.token_auth:
        yield "anyone who reaches the route may use the model: there is no token authentication"


def _size(settled: Settled, image_size: int) -> Iterator[str]:
    limit = settled.resources.get("limits", {}).get("memory")
    if limit and parse_quantity(limit, "memory") < image_size:
        yield (
            f"the memory limit {limit} is less than the image's {image_size / 1024**3:.1f} GiB, which pass "
            "through it when the model is loaded; --limits memory=QUANTITY raises it"
        )

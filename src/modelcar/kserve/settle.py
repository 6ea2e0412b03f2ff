"""What a deployment says, checked and completed by the form's defaults: all that the resources need to know."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelcar.errors import Refused, UsageError
from modelcar.kserve.amounts import Amounts, device_of, resources_of
from modelcar.kserve.arguments import split_args
from modelcar.kserve.connections import Connection, connection_of
from modelcar.kserve.deployment import Deployment
from modelcar.kserve.names import (
    FORM_LENGTH,
    NAMESPACE,
    OBJECT_LENGTH,
    OBJECT_NAME,
    PROTECTED_NAMESPACES,
    from_display_name,
    service_name_problem,
)
from modelcar.kserve.runtimes import Runtime, own_runtime, runtime_from_file, shipped_runtime
from modelcar.kserve.source import Source, parse_source
from modelcar.kserve.values import check_values, refuse_absent
from modelcar.kserve.versions import Cluster, Flavor, Mode, Scheme, parse_mode, parse_version

OPERATORS = "redhat-ods-applications"
"""Where OpenShift AI's operator keeps templates and hardware profiles."""

_LOADED_A_SECOND = 25_000_000
"""Bytes of an image that a node is taken to pull and unpack: 50 MB/s, in twice the time."""
_LEAST_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Settled:
    """A deployment without open questions.

    Attributes:
        wish: What was said.
        cluster: What it is for.
        llm: Whether it is an LLMInferenceService.
        name: The resource name.
        namespace: Empty where kubectl is to choose.
        display_name: What people read.
        source: Where the model is, pinned where a digest is known; None where only a connection says it.
        connection: The connection that says it, or how to get there.
        runtime: What serves it; None for an LLMInferenceService.
        format: Name and version of the model's framework; no name where the runtime takes several and nobody said one.
        model_type: `generative` or `predictive`.
        mode: The deployment mode; None leaves it to the cluster.
        progress_deadline: A Go duration, empty where none is written.
        resources: `requests` and `limits`.
        token_auth: Whether callers need a token.
        tokens: Display name and resource name of each token.
        pull_secrets: What the predictor pulls images with.
        args: For the runtime.
    """

    wish: Deployment
    cluster: Cluster
    llm: bool
    name: str
    namespace: str
    display_name: str
    source: Source | None
    connection: Connection | None
    runtime: Runtime | None
    format: tuple[str, str]
    model_type: str
    mode: Mode | None
    progress_deadline: str
    resources: dict[str, Amounts]
    token_auth: bool
    tokens: tuple[tuple[str, str], ...]
    pull_secrets: tuple[str, ...]
    args: tuple[str, ...] = field(default=())

    @property
    def on_three(self) -> bool:
        """Whether it is for OpenShift AI 3."""
        return self.cluster.flavor is Flavor.OPENSHIFT_AI_3

    @property
    def on_openshift(self) -> bool:
        """Whether there is a dashboard that is to know it."""
        return self.cluster.flavor is not Flavor.KSERVE


def settle(deployment: Deployment, *, digest: str | None = None, image_size: int | None = None) -> Settled:
    """Check a deployment, and put the form's defaults where it says nothing.

    Args:
        deployment: What is said.
        digest: What the image's tag points to, where someone looked.
        image_size: Bytes of the image, where someone looked.

    Raises:
        UsageError: A field's value is wrong; the error names the field.
        Refused: A rule of the cluster or of ours forbids it.
        NotFound: The file of the runtime isn't there.
    """
    cluster = _cluster(deployment)
    llm = deployment.kind == "llm"
    if llm:
        with _naming("--kind"):
            cluster.llm_api()
    refuse_absent(deployment, cluster.flavor, llm)
    check_values(deployment)
    source = _source(deployment, cluster, llm)
    connection = connection_of(deployment, source)
    if source is None and (llm or not _connection_tells(connection, cluster.flavor)):
        raise UsageError("MODEL: nothing says where the model is", "name an image, as quay.io/acme/granite:1")
    name, display = _names(deployment, cluster)
    runtime, model_format = (None, ("vLLM", "")) if llm else _runtime(deployment, cluster)
    mode = _mode(deployment, cluster)
    _check_replicas(deployment)
    if mode is Mode.KNATIVE and deployment.deployment_strategy:
        raise Refused("--deployment-strategy: Knative mode has none of it", "leave it out")
    resources = resources_of(deployment, cluster.flavor)
    tokens_on = _token_auth(deployment, cluster.flavor)
    return Settled(
        wish=deployment, cluster=cluster, llm=llm, name=name, namespace=deployment.namespace or "",
        display_name=display, source=source.at(digest) if source else None, connection=connection, runtime=runtime,
        format=model_format, model_type=_model_type(deployment, model_format), mode=mode,
        progress_deadline=_progress_deadline(deployment, mode, image_size), resources=resources,
        token_auth=tokens_on, tokens=_tokens(deployment, name) if tokens_on else (),
        pull_secrets=_pull_secrets(deployment, cluster.flavor, connection), args=split_args(deployment.args or ()),
    )  # fmt: skip


@contextlib.contextmanager
def _naming(field: str) -> Iterator[None]:
    """Put the field before what is refused because of it."""
    try:
        yield
    except Refused as error:
        raise Refused(f"{field}: {error.what}", error.hint) from None


def _cluster(deployment: Deployment) -> Cluster:
    kserve, kubernetes = deployment.kserve_version, deployment.kubernetes_version
    return Cluster(
        Flavor(deployment.flavor or Flavor.OPENSHIFT_AI_3),
        parse_version(kserve, "--kserve-version") if kserve else None,
        parse_version(kubernetes, "--kubernetes-version") if kubernetes else None,
    )


def _names(deployment: Deployment, cluster: Cluster) -> tuple[str, str]:
    display = (deployment.display_name or "").strip()
    namespace = deployment.namespace or ""
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise UsageError(f"--namespace: {namespace!r} is no name of a namespace")
    if not namespace and cluster.flavor is not Flavor.KSERVE:
        raise UsageError(
            "--namespace: OpenShift AI serves models in projects, and none is named", "add --namespace NAME"
        )
    if namespace in PROTECTED_NAMESPACES | set(deployment.protected_namespace or ()):
        raise Refused(f"--namespace: an operator owns {namespace}, and refuses model servers there", "take a project")
    name = deployment.name if deployment.name is not None else from_display_name(display)
    if not name:
        field = "display-name" if display else "name"
        raise UsageError(
            f"--{field}: nothing of it can be a resource name" if display else "--name: the deployment has none",
            "add --name NAME",
        )
    if problem := service_name_problem(name, namespace):
        raise UsageError(f"--name: {name!r} {problem}")
    return name, display or name


def name_note(settled: Settled) -> str:
    """What the form would say of a longer name; empty where it takes it."""
    if settled.on_openshift and len(settled.name) > FORM_LENGTH:
        return f"the form takes names of up to {FORM_LENGTH} characters, and {settled.name} has {len(settled.name)}"
    return ""


def _source(deployment: Deployment, cluster: Cluster, llm: bool) -> Source | None:
    if deployment.model is None:
        return None
    source = parse_source(deployment.model, "MODEL")
    if source.scheme is not None:
        with _naming("MODEL"):
            cluster.refuse_scheme(source.scheme)
        if llm and source.scheme is Scheme.FETCH:
            raise Refused("MODEL: an LLMInferenceService doesn't load oci+fetch://", "write oci://")
    return source


def _connection_tells(connection: Connection | None, flavor: Flavor) -> bool:
    """Whether the connection alone says where the model is: S3 does, and on 3.x the webhook copies a URI."""
    if connection is None:
        return False
    return connection.kind == "s3" or (flavor is Flavor.OPENSHIFT_AI_3 and connection.kind in ("", "uri"))


def _runtime(deployment: Deployment, cluster: Cluster) -> tuple[Runtime, tuple[str, str]]:
    ways = [name for name in ("runtime", "runtime-file", "runtime-image") if name in deployment.said()]
    if len(ways) > 1:
        raise UsageError(f"--{ways[0]} and --{ways[1]} both name the runtime", "leave one out")
    if deployment.runtime_parameter and deployment.runtime_file is None:
        raise UsageError("--runtime-parameter fills in a Template", "add --runtime-file")
    wanted, _, version = (deployment.model_format or "").partition(":")
    if deployment.model_format is not None and not re.fullmatch(r"[\w.+-]+(:[\w.+-]+)?", deployment.model_format):
        raise UsageError(f"--model-format: {deployment.model_format!r} is no format", "write it as onnx or onnx:1")
    if deployment.runtime is not None:
        if not OBJECT_NAME.fullmatch(deployment.runtime) or len(deployment.runtime) > OBJECT_LENGTH:
            raise UsageError(f"--runtime: {deployment.runtime!r} is no name of a runtime")
        return Runtime(deployment.runtime), (wanted or "vLLM", version)
    if deployment.runtime_image is not None:
        if wanted and wanted != "vLLM":
            raise Refused(f"--model-format: --runtime-image is for vLLM, not {wanted}", "give --runtime-file")
        return own_runtime(deployment.runtime_image, device_of(deployment)), ("vLLM", version)
    if deployment.runtime_file is not None:
        runtime = runtime_from_file(Path(deployment.runtime_file), deployment.runtime_parameter or {})
        return runtime, _format(wanted, version, runtime)
    if cluster.flavor is Flavor.KSERVE:
        runtime, name = shipped_runtime(wanted or "vLLM", cluster)
        return runtime, (name, version)
    template = "vllm-cuda-runtime-template"
    raise Refused(
        f"--runtime: OpenShift AI copies the ServingRuntime from one of its Templates: "
        f"oc get template {template} -n {OPERATORS} -o yaml >runtime.yaml",
        "then add --runtime-file runtime.yaml; or name one that is there by --runtime, or an image by --runtime-image",
    )


def _format(wanted: str, version: str, runtime: Runtime) -> tuple[str, str]:
    """The format of a model for a runtime whose formats we see."""
    names = list(dict.fromkeys(name for name, _ in runtime.formats))
    if not wanted:
        if "vLLM" in names or not names:
            return "vLLM", version
        if len(names) == 1:
            return names[0], version
        return "", ""
    if names and wanted not in names:
        raise Refused(f"--model-format: the runtime takes {', '.join(names)}, not {wanted}", "take another runtime")
    versions = [known for name, known in runtime.formats if name == wanted and known]
    if version and versions and version not in versions:
        raise Refused(f"--model-format: the runtime takes {wanted} {', '.join(versions)}, not {version}")
    return wanted, version


def _model_type(deployment: Deployment, model_format: tuple[str, str]) -> str:
    made = "generative" if model_format[0] in ("vLLM", "huggingface") else "predictive"
    kind = deployment.model_type or made
    if deployment.genai_asset and kind != "generative":
        raise Refused("--genai-asset: only generative models are AI assets", "leave it out")
    return kind


def _mode(deployment: Deployment, cluster: Cluster) -> Mode | None:
    if deployment.deployment_mode is None:
        return cluster.default_mode
    mode = parse_mode(deployment.deployment_mode, "--deployment-mode")
    with _naming("--deployment-mode"):
        cluster.spelled(mode)
    return mode


def _check_replicas(deployment: Deployment) -> None:
    if deployment.replicas is not None and (deployment.min_replicas, deployment.max_replicas) != (None, None):
        raise UsageError("--replicas sets both --min-replicas and --max-replicas", "leave one of them out")
    low, high = replica_bounds(deployment, 1)
    if low is not None and high is not None and low > high:
        raise UsageError(f"--min-replicas: {low} is more than --max-replicas {high}")


def replica_bounds(deployment: Deployment, default: int | None) -> tuple[int | None, int | None]:
    """The least and the most servers. What isn't said follows the other one."""
    if deployment.replicas is not None:
        return deployment.replicas, deployment.replicas
    low, high = deployment.min_replicas, deployment.max_replicas
    if low is None and high is None:
        return default, default
    if high is None:
        return low, max(low or 0, default or 0) or None
    return (min(default, high) if low is None and default is not None else low), high


_DURATION = re.compile(r"(?:(\d{1,5})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?")


def _progress_deadline(deployment: Deployment, mode: Mode | None, image_size: int | None) -> str:
    text = deployment.progress_deadline
    if text is not None:
        found = _DURATION.fullmatch(text)
        if not found or not any(int(part or 0) for part in found.groups()):
            raise UsageError(f"--progress-deadline: {text!r} is no duration", "write it as 45m, 1h30m or 600s")
    if mode is not Mode.KNATIVE:
        return ""
    minutes = -(-(image_size or 0) // (_LOADED_A_SECOND * 60))
    return text or f"{max(_LEAST_MINUTES, minutes)}m"


def _token_auth(deployment: Deployment, flavor: Flavor) -> bool:
    on = deployment.token_auth
    if on is None:
        on = bool(deployment.token_name) or (flavor is Flavor.OPENSHIFT_AI_3 and bool(deployment.route))
    if deployment.token_name and not on:
        raise UsageError("--token-name: token authentication is off", "leave out --no-token-auth")
    return on


def _tokens(deployment: Deployment, name: str) -> tuple[tuple[str, str], ...]:
    wanted = deployment.token_name or (("default-token",) if deployment.route else ("default-name",))
    made: dict[str, str] = {}
    for display in wanted:
        own = from_display_name(display, "")
        if not own:
            raise UsageError(f"--token-name: nothing of {display!r} can be a name")
        secret = f"{own}-{name}-sa"
        if secret in made.values():
            raise UsageError(f"--token-name: {display!r} is there twice")
        made[display] = secret
    return tuple(made.items())


def _pull_secrets(deployment: Deployment, flavor: Flavor, connection: Connection | None) -> tuple[str, ...]:
    for name in deployment.pull_secret or ():
        if not OBJECT_NAME.fullmatch(name) or len(name) > OBJECT_LENGTH:
            raise UsageError(f"--pull-secret: {name!r} is no name of a Secret")
    names = list(deployment.pull_secret or ())
    if flavor is Flavor.OPENSHIFT_AI_2 and connection and connection.kind == "oci":
        names.insert(0, connection.name)
    return tuple(dict.fromkeys(names))

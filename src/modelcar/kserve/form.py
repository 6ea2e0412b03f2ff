"""The one table of the form's fields: the command line's flags, the file's schema and the docs are made from it.

Sources: KSERVE.md 4 (the 3.x form and what it creates) and 4a (the 2.x form); `odh-deploy-form.json` for the ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypedDict


class Kind(Enum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "whole number"
    SWITCH = "on or off"
    LIST = "list"
    PAIRS = "map"


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a flavour has no such field."""

    why: str


Place = str | Absent
"""The path in the object that a field sets, or why there is none."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        name: Of the flag without its dashes, and of the key in a file.
        group: Under which heading `--help` and the docs show it.
        help: What it is, in one sentence.
        three: What it sets on OpenShift AI 3.
        two: What it sets on OpenShift AI 2.
        kserve: What it sets on plain KServe.
        llm: What it sets in an LLMInferenceService.
        ids: Its ids in the 3.x form.
        label: How the form calls it.
        kind: What it holds.
        default: Where nobody says anything, as the docs put it.
        rule: What it takes, as the docs put it.
        choices: All values, where there are few.
        low: The smallest number.
        high: The largest one.
        metavar: What `--help` shows for its value.
    """

    name: str
    group: str
    help: str
    three: Place
    two: Place
    kserve: Place
    llm: Place
    ids: tuple[str, ...] = ()
    label: str = ""
    kind: Kind = Kind.TEXT
    default: str = ""
    rule: str = ""
    choices: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    metavar: str = ""

    @property
    def attribute(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")


_DASHBOARD = Absent("only the OpenShift AI dashboard reads it")
_THREE_ONLY = Absent("the 2.x form has no such field")
_NOT_THREE = Absent("the 3.x form has no such field")
_NO_LLM = Absent("an LLMInferenceService has no such field")
_NO_WEBHOOK = Absent("nothing there reads connections")
_NO_PROXY = Absent("KServe has no authenticating proxy of its own")
_LLM_IMAGE = Absent("an LLMInferenceService takes its runtime from the cluster's LLMInferenceServiceConfig")
_HERE = "decides what is written"

TARGET, MODEL, CONNECTION, SERVICE, RUNTIME, RESOURCES, FITTING, ACCESS = (
    "What it is for", "Model", "Connection", "Service", "Runtime", "Resources", "Chosen by the model",
    "Route and tokens",
)  # fmt: skip


def _anywhere(name: str, group: str, help: str, **more: object) -> Field:
    return Field(name, group, help, _HERE, _HERE, _HERE, _HERE, **more)  # type: ignore[arg-type]


class _Alike(TypedDict):
    three: Place
    two: Place
    kserve: Place


def _alike(place: Place) -> _Alike:
    """The same in each flavour."""
    return {"three": place, "two": place, "kserve": place}


def _spec(path: str) -> _Alike:
    return _alike(f"InferenceService: spec.predictor.{path}")


def _note(path: str, kind: str = "InferenceService") -> str:
    return f"{kind}: metadata.{path}"


FIELDS: tuple[Field, ...] = (
    _anywhere("flavor", TARGET, "What the objects are for.", default="openshift-ai-3",
              choices=("openshift-ai-3", "openshift-ai-2", "kserve")),
    _anywhere("kserve-version", TARGET, "Release of the cluster's KServe, as 0.20.", metavar="VERSION",
              default="0.17 on OpenShift AI 3, 0.15 on 2, 0.21 else"),
    _anywhere("kubernetes-version", TARGET, "Release of the cluster's Kubernetes, as 1.34.", metavar="VERSION"),
    _anywhere("arch", TARGET, "Architecture of the nodes, which the image must be for.", metavar="ARCH",
              default="amd64"),
    _anywhere("kind", TARGET, "isvc writes an InferenceService, llm an LLMInferenceService.", default="isvc",
              choices=("isvc", "llm"), ids=("deploymentMethod",), label="Deployment method"),
    _anywhere("protected-namespace", TARGET, "A namespace of an operator, to refuse; repeatable.", kind=Kind.LIST,
              metavar="NAME", default="opendatahub and redhat-ods-applications are refused anyway"),
    Field("model", MODEL, "The image (REF or oci://REF), or another URI that KServe loads.", metavar="MODEL",
          **_spec("model.storageUri"), llm="LLMInferenceService: spec.model.uri",
          ids=("modelLocation", "oci.modelUri", "uri.URI", "pvc"), label="Model location, Model URI",
          rule="no user, password or signature in it"),
    Field("model-type", MODEL, "What the model does.", _note("annotations[opendatahub.io/model-type]"),
          _THREE_ONLY, _DASHBOARD, _note("annotations[opendatahub.io/model-type]", "LLMInferenceService"),
          ids=("modelType",), label="Model type", default="generative, unless --model-format says otherwise",
          choices=("predictive", "generative")),
    Field("model-format", MODEL, "The model's framework, which the runtime must know.", metavar="NAME[:VERSION]",
          **_spec("model.modelFormat"), llm=_NO_LLM, ids=("modelFormat",), label="Model framework (name - version)",
          default="vLLM, or the only one that the runtime takes"),
    Field("connection", CONNECTION, "A connection that is there: the name of its Secret.", metavar="SECRET",
          three=_note("annotations[opendatahub.io/connections]"),
          two="InferenceService: spec.predictor.imagePullSecrets (oci), .model.storage.key (s3)", kserve=_NO_WEBHOOK,
          llm=_note("annotations[opendatahub.io/connections]", "LLMInferenceService"), ids=("modelLocation",),
          label="Existing connection", rule="a name of Kubernetes"),
    Field("new-connection", CONNECTION, "The display name of a connection to write.", metavar="NAME",
          three=_note("annotations[openshift.io/display-name]", "Secret"),
          two=_note("annotations[openshift.io/display-name]", "Secret"), kserve=_NO_WEBHOOK,
          llm=_note("annotations[openshift.io/display-name]", "Secret"), ids=("connectionName",),
          label="Connection name"),
    Field("connection-description", CONNECTION, "What people read about the new connection.", metavar="TEXT",
          three=_note("annotations[openshift.io/description]", "Secret"),
          two=_note("annotations[openshift.io/description]", "Secret"), kserve=_NO_WEBHOOK,
          llm=_note("annotations[openshift.io/description]", "Secret"), ids=("connectionName",),
          label="Connection description"),
    Field("connection-type", CONNECTION, "uri (URI - v1), oci (a pull secret) or s3.", choices=("uri", "oci", "s3"),
          three=_note("annotations[opendatahub.io/connection-type-protocol]", "Secret"),
          two=_note("annotations[opendatahub.io/connection-type-ref]", "Secret"), kserve=_NO_WEBHOOK,
          llm=_note("annotations[opendatahub.io/connection-type-protocol]", "Secret"), ids=("modelLocation",),
          label="Model location", default="s3 with --connection-path, else uri for a new one"),
    Field("save-connection", CONNECTION, "Show the new connection in the dashboard.", kind=Kind.SWITCH,
          three=_note("annotations[opendatahub.io/connection-hidden]", "Secret"),
          two=_note("annotations[opendatahub.io/connection-hidden]", "Secret"), kserve=_NO_WEBHOOK,
          llm=_note("annotations[opendatahub.io/connection-hidden]", "Secret"), ids=("saveConnection",),
          label="Create a connection to this location", default="on"),
    Field("access-type", CONNECTION, "What a new oci connection's secret may do; repeatable.", kind=Kind.LIST,
          three="Secret: stringData.ACCESS_TYPE", two="Secret: stringData.ACCESS_TYPE", kserve=_NO_WEBHOOK,
          llm="Secret: stringData.ACCESS_TYPE", ids=("oci.ACCESS_TYPE",), label="Access type", default="Pull",
          choices=("Push", "Pull")),
    Field("registry-host", CONNECTION, "The registry of a new oci connection.", metavar="HOST",
          three="Secret: stringData.OCI_HOST", two="Secret: stringData.OCI_HOST", kserve=_NO_WEBHOOK,
          llm="Secret: stringData.OCI_HOST", ids=("oci.OCI_HOST",), label="Registry host", default="the model's"),
    Field("pull-secret", CONNECTION, "A pull secret by its name; repeatable.", metavar="SECRET", kind=Kind.LIST,
          **_spec("imagePullSecrets"), llm="LLMInferenceService: spec.template.imagePullSecrets",
          ids=("oci.dockerconfigjson",), label="Secret details", rule="names of Kubernetes"),
    Field("s3-endpoint", CONNECTION, "URL of a new s3 connection's server.", "Secret: stringData.AWS_S3_ENDPOINT",
          "Secret: stringData.AWS_S3_ENDPOINT", _NO_WEBHOOK, _NO_LLM, ids=("s3",), label="Endpoint", metavar="URL"),
    Field("s3-region", CONNECTION, "Region of a new s3 connection.", "Secret: stringData.AWS_DEFAULT_REGION",
          "Secret: stringData.AWS_DEFAULT_REGION", _NO_WEBHOOK, _NO_LLM, ids=("s3",), label="Region", metavar="NAME"),
    Field("s3-bucket", CONNECTION, "Bucket of a new s3 connection.", "Secret: stringData.AWS_S3_BUCKET",
          "Secret: stringData.AWS_S3_BUCKET", _NO_WEBHOOK, _NO_LLM, ids=("s3",), label="Bucket", metavar="NAME"),
    Field("connection-path", CONNECTION, "Where the model is in the bucket of an s3 connection.", metavar="PATH",
          three=_note("annotations[opendatahub.io/connection-path]"),
          two="InferenceService: spec.predictor.model.storage.path", kserve=_NO_WEBHOOK, llm=_NO_LLM,
          ids=("s3.path",), label="Path"),
    Field("namespace", SERVICE, "The project.", "each object: metadata.namespace", "each object: metadata.namespace",
          "each object: metadata.namespace", "each object: metadata.namespace", ids=("project",), label="Project",
          metavar="NAME", rule="no namespace of an operator", default="needed on OpenShift AI"),
    Field("name", SERVICE, "The resource name.", "InferenceService, ServingRuntime: metadata.name",
          "InferenceService, ServingRuntime: metadata.name", "InferenceService: metadata.name",
          "LLMInferenceService: metadata.name", ids=("k8sName",), label="Resource name", metavar="NAME",
          default="made of --display-name", rule="a-z, 0-9, -; at most 53, with the namespace 62; the form: 30"),
    Field("display-name", SERVICE, "The name that people read.", _note("annotations[openshift.io/display-name]"),
          _note("annotations[openshift.io/display-name]"), "makes --name",
          _note("annotations[openshift.io/display-name]", "LLMInferenceService"), ids=("name",),
          label="Model deployment name", metavar="TEXT", default="the resource name"),
    Field("description", SERVICE, "What people read about it.", _note("annotations[openshift.io/description]"),
          _THREE_ONLY, _DASHBOARD, _note("annotations[openshift.io/description]", "LLMInferenceService"),
          ids=("description",), label="Description", metavar="TEXT", default="empty"),
    Field("deployment-mode", SERVICE, "How KServe runs it: Standard or Knative (RawDeployment or Serverless).",
          **_alike(_note("annotations[serving.kserve.io/deploymentMode]")),
          llm=_NO_LLM, metavar="MODE", default="Serverless on 2.x, else the cluster's",
          rule="no Knative on OpenShift AI 3"),
    Field("replicas", SERVICE, "How many servers run.", kind=Kind.NUMBER, low=1, high=99, default="1",
          **_spec("minReplicas and .maxReplicas"), llm="LLMInferenceService: spec.replicas", ids=("replicas",),
          label="Replica count", metavar="N"),
    Field("min-replicas", SERVICE, "How many run at least; 0 lets Knative stop the last.", kind=Kind.NUMBER, low=0,
          high=99, three=Absent("the 3.x form has one --replicas"), two="InferenceService: spec.predictor.minReplicas",
          kserve="InferenceService: spec.predictor.minReplicas", llm=_NO_LLM, metavar="N", default="1 on 2.x"),
    Field("max-replicas", SERVICE, "How many run at most.", kind=Kind.NUMBER, low=1, high=99,
          three=Absent("the 3.x form has one --replicas"), two="InferenceService: spec.predictor.maxReplicas",
          kserve="InferenceService: spec.predictor.maxReplicas", llm=_NO_LLM, metavar="N",
          default="1 on 2.x", rule="not under --min-replicas"),
    Field("progress-deadline", SERVICE, "How long Knative waits for a start, as 45m.", three=Absent(
          "it acts in Knative mode only; raw mode has a fixed 600 s, after which the Pod goes on starting"),
          two="InferenceService: spec.predictor.annotations[serving.knative.dev/progress-deadline]",
          kserve="InferenceService: spec.predictor.annotations[serving.knative.dev/progress-deadline]", llm=_NO_LLM,
          metavar="DURATION", default="by the image's size at 50 MB/s, doubled, at least 30m", rule="whole seconds"),
    Field("deployment-strategy", SERVICE, "How an update replaces the servers.", three=
          "InferenceService: spec.predictor.deploymentStrategy.type", two=_THREE_ONLY,
          kserve="InferenceService: spec.predictor.deploymentStrategy.type", llm=_NO_LLM, ids=("deploymentStrategy",),
          label="Deployment strategy", default="rolling on 3.x", choices=("rolling", "recreate")),
    Field("timeout", SERVICE, "Seconds that a request may take.", kind=Kind.NUMBER, low=0, high=1000000,
          three="InferenceService: spec.predictor.timeout", two=_THREE_ONLY,
          kserve="InferenceService: spec.predictor.timeout", llm=_NO_LLM, ids=("timeout",),
          label="Model route timeout (seconds)", default="30 on 3.x", metavar="SECONDS"),
    Field("runtime", RUNTIME, "A runtime that is there, by its name.", **_spec("model.runtime"), llm=_LLM_IMAGE,
          ids=("servingRuntime",), label="Serving runtime", metavar="NAME",
          default="needed on OpenShift AI; KServe's own for the format"),
    Field("runtime-file", RUNTIME, "A ServingRuntime or Template, as `oc get template NAME -o yaml` prints it.",
          "ServingRuntime: spec", "ServingRuntime: spec", "ServingRuntime: spec", _LLM_IMAGE, ids=("servingRuntime",),
          label="Serving runtime", metavar="FILE"),
    Field("runtime-parameter", RUNTIME, "A value for a parameter of the Template; repeatable.", "fills in the Template",
          "fills in the Template", "fills in the Template", _LLM_IMAGE, kind=Kind.PAIRS, metavar="NAME=VALUE"),
    Field("runtime-image", RUNTIME, "A vLLM image, for a ServingRuntime of our own.", metavar="IMAGE", llm=_LLM_IMAGE,
          **_alike("ServingRuntime: spec.containers[kserve-container].image")),
    Field("args", RUNTIME, "An argument for the runtime, as --args=--max-model-len=8192; repeatable.", kind=Kind.LIST,
          **_spec("model.args"), llm="LLMInferenceService: spec.template.containers[main].env[VLLM_ADDITIONAL_ARGS]",
          ids=("runtimeArgs",), label="Additional serving runtime arguments", metavar="ARG",
          rule="one a line, or several as for a shell; lines that begin with # are dropped"),
    Field("env", RUNTIME, "An environment variable of the runtime; repeatable.", kind=Kind.PAIRS, **_spec("model.env"),
          llm="LLMInferenceService: spec.template.containers[main].env", ids=("envVars",),
          label="Additional environment variables", metavar="NAME=VALUE", rule="letters, digits and _; no PYTHONPATH"),
    Field("hardware-profile", RESOURCES, "A HardwareProfile, from which the cluster fills in resources and nodes.",
          _note("annotations[opendatahub.io/hardware-profile-{name,namespace}]"),
          Absent("no webhook may be counted on there"), Absent("there are none"),
          _note("annotations[opendatahub.io/hardware-profile-{name,namespace}]", "LLMInferenceService"),
          ids=("hardwareProfile",), label="Hardware profile", metavar="NAME[/NAMESPACE]"),
    Field("size", RESOURCES, "The model server's size.", three=Absent("it has hardware profiles instead"),
          two="InferenceService: spec.predictor.model.resources", kserve=Absent("there are none"), llm=_NO_LLM,
          choices=("Small", "Medium", "Large"), default="Small on 2.x"),
    Field("accelerator", RESOURCES, "The resource of the accelerator, as nvidia.com/gpu.", three=Absent(
          "it has hardware profiles instead: write --limits nvidia.com/gpu=1 or --gpu-count"),
          two="InferenceService: spec.predictor.model.resources",
          kserve="InferenceService: spec.predictor.model.resources",
          llm="LLMInferenceService: spec.template.containers[main].resources", metavar="NAME",
          default="what --limits or --requests name; else nvidia.com/gpu with --gpu-count"),
    Field("accelerator-profile", RESOURCES, "The AcceleratorProfile by which the 2.x dashboard knows the accelerator.",
          three=Absent("it has hardware profiles instead"),
          two="ServingRuntime: metadata.annotations[opendatahub.io/accelerator-name]", kserve=Absent("there are none"),
          llm=_NO_LLM, metavar="NAME", default="none: the dashboard shows the accelerator as unknown",
          rule="with --accelerator or --gpu-count"),
    Field("gpu-count", RESOURCES, "How many accelerators each server has.", kind=Kind.NUMBER, low=0, high=64,
          **_spec("model.resources"), llm="LLMInferenceService: spec.template.containers[main].resources",
          ids=("resources",), label="Customize resource requests and limits", metavar="N",
          default="1 where vLLM serves the model, or with --accelerator; with --gpu, what it takes; else 0"),
    Field("requests", RESOURCES, "What a server asks for, as cpu=2,memory=8Gi; repeatable.", kind=Kind.PAIRS,
          **_spec("model.resources.requests"), ids=("resources",), label="Customize resource requests and limits",
          llm="LLMInferenceService: spec.template.containers[main].resources.requests", metavar="NAME=QUANTITY[,…]",
          default="2 CPU, 4Gi on 3.x without a profile; by --size on 2.x", rule="quantities; not over the limits"),
    Field("limits", RESOURCES, "What a server may use, as cpu=2,memory=8Gi; repeatable.", kind=Kind.PAIRS,
          **_spec("model.resources.limits"), ids=("resources",), label="Customize resource requests and limits",
          llm="LLMInferenceService: spec.template.containers[main].resources.limits", metavar="NAME=QUANTITY[,…]",
          default="as --requests", rule="quantities"),
    _anywhere("gpu", FITTING, "What each GPU is, as H100, A10 or 24GiB: then their number and the context are chosen, "
              "and what can't fit is refused.", metavar="NAME|SIZE",
              default="what a MIG resource says; else nothing is checked"),
    _anywhere("context", FITTING, "Tokens of the longest request, as --max-model-len.", kind=Kind.NUMBER, low=1,
              high=2**40, metavar="TOKENS", default="the model's own, or what fits with --gpu"),
    _anywhere("tools", FITTING, "Let clients call tools: writes vLLM's parser for the model, where it has one.",
              kind=Kind.SWITCH, default="off"),
    _anywhere("trust-remote-code", FITTING, "Let vLLM run Python code that comes with the model.", kind=Kind.SWITCH,
              default="off"),
    _anywhere("vllm-version", FITTING, "The runtime's vLLM, for --tools.", metavar="VERSION",
              default="as the runtime's Template says"),
    Field("genai-asset", ACCESS, "Offer it as an AI asset endpoint.", kind=Kind.SWITCH, default="off",
          three=_note("labels[opendatahub.io/genai-asset]"), two=_THREE_ONLY, kserve=_DASHBOARD,
          llm=_note("labels[opendatahub.io/genai-asset]", "LLMInferenceService"), ids=("genaiAsset",),
          label="Add as AI asset endpoint", rule="generative models"),
    Field("genai-use-case", ACCESS, "What the AI asset endpoint is for.", metavar="TEXT",
          three=_note("annotations[opendatahub.io/genai-use-case]"), two=_THREE_ONLY, kserve=_DASHBOARD,
          llm=_note("annotations[opendatahub.io/genai-use-case]", "LLMInferenceService"), ids=("genaiAsset",),
          label="Use case", rule="with --genai-asset"),
    Field("route", ACCESS, "Make it reachable from outside of the cluster.", kind=Kind.SWITCH, default="off",
          three=_note("labels[networking.kserve.io/visibility]"),
          two=_note("labels[networking.knative.dev/visibility], in raw mode [networking.kserve.io/visibility]"),
          kserve=Absent("its ingress decides"), llm=Absent("its router has a route in any case"),
          ids=("externalRoute",), label="Make model deployment available through an external route"),
    Field("token-auth", ACCESS, "Ask callers for a token.", kind=Kind.SWITCH, default="as --route on 3.x; off on 2.x",
          three=_note("annotations[security.opendatahub.io/enable-auth]"),
          two=_note("annotations[security.opendatahub.io/enable-auth]"), kserve=_NO_PROXY,
          llm=_note("annotations[security.opendatahub.io/enable-auth]", "LLMInferenceService"), ids=("tokenAuth",),
          label="Require token authentication"),
    Field("token-name", ACCESS, "A service account's token, by its display name; repeatable.", kind=Kind.LIST,
          three="Secret: metadata.name", two="Secret: metadata.name", kserve=_NO_PROXY, llm="Secret: metadata.name",
          ids=("tokens",), label="Service account name", metavar="NAME", rule="no two alike",
          default="default-token with --route, else default-name"),
    Field("return-401", ACCESS, "Answer 401 without a token, and not a login page.", kind=Kind.SWITCH, default="off",
          three=_note("annotations[security.opendatahub.io/auth-proxy-type]"), two=_THREE_ONLY, kserve=_NO_PROXY,
          llm=_NO_LLM, ids=("return401",), label="Return 401 API Response"),
)  # fmt: skip

BY_NAME = {field.name: field for field in FIELDS}

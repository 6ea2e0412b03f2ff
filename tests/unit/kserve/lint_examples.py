"""For each rule, objects that have its mistake and objects that don't."""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.kserve.lint import Aim
from modelcar.kserve.versions import Flavor, Version

DIGEST = "sha256:" + 64 * "0"
ANYWHERE = Aim()
AI3 = Aim(Flavor.OPENSHIFT_AI_3)
AI2 = Aim(Flavor.OPENSHIFT_AI_2)
OLD = Aim(Flavor.KSERVE, Version(0, 15))
NEW = Aim(Flavor.KSERVE, Version(0, 21))


@dataclass(frozen=True, slots=True)
class Example:
    """Two texts, and what they are for."""

    bad: str
    good: str
    aim: Aim = ANYWHERE


def service(
    model: str = "",
    predictor: str = "",
    *,
    name: str = "granite",
    namespace: str = "demo",
    annotations: str = "{}",
    labels: str = "{}",
    uri: str = f"oci://quay.io/acme/granite@{DIGEST}",
) -> str:
    """An InferenceService; `model` and `predictor` are fields more, in flow style with a comma behind."""
    place = f"storageUri: {uri}," if uri else ""
    return f"""\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {{name: {name}, namespace: {namespace}, annotations: {annotations}, labels: {labels}}}
spec: {{predictor: {{{predictor} model: {{modelFormat: {{name: vLLM}}, runtime: r, {place} {model}}}}}}}
"""


def runtime(more: str = "", *, container: str = "", annotations: str = "{}", name: str = "kserve-container") -> str:
    """A ServingRuntime for vLLM."""
    return f"""\
---
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {{name: r, namespace: demo, annotations: {annotations}}}
spec:
  supportedModelFormats: [{{name: vLLM}}]
  {more}
  containers: [{{name: {name}, image: quay.io/acme/vllm:1, {container}}}]
"""


def secret(data: str, annotations: str = "{opendatahub.io/connection-type-protocol: uri}", more: str = "") -> str:
    """A connection."""
    return f"""\
---
apiVersion: v1
kind: Secret
metadata: {{name: c, namespace: demo, annotations: {annotations}}}
stringData: {data}
{more}
"""


def llm(spec: str, api: str = "v1alpha2") -> str:
    """An LLMInferenceService."""
    return f"""\
apiVersion: serving.kserve.io/{api}
kind: LLMInferenceService
metadata: {{name: granite, namespace: demo}}
spec: {spec}
"""


def template(parameters: str, image: str) -> str:
    """A Template with a ServingRuntime."""
    return f"""\
apiVersion: template.openshift.io/v1
kind: Template
metadata: {{name: t}}
parameters: {parameters}
objects:
  - apiVersion: serving.kserve.io/v1alpha1
    kind: ServingRuntime
    metadata: {{name: r}}
    spec: {{supportedModelFormats: [{{name: vLLM}}], containers: [{{name: kserve-container, image: "{image}"}}]}}
"""


GPUS = 'resources: {requests: {nvidia.com/gpu: "2"}, limits: {nvidia.com/gpu: "2"}},'
SHM = (
    "volumeMounts: [{name: shm, mountPath: /dev/shm}],",
    "volumes: [{name: shm, emptyDir: {medium: Memory}}],",
)
_CONNECTED = "{opendatahub.io/connections: c}"
_KNATIVE = "{serving.kserve.io/deploymentMode: Serverless, serving.knative.dev/progress-deadline: %s}"
_OCI = "{opendatahub.io/connection-type-protocol: oci}"
_PULL = "type: kubernetes.io/dockerconfigjson"
_EXPOSED = "{networking.kserve.io/visibility: exposed}"
_TWO = "storageUris: [{uri: 'oci://a.b/c:1', mountPath: /mnt/%s}, {uri: 'oci://a.b/d:1', mountPath: /mnt/%s}],"
_STRATEGY = "deploymentStrategy: {type: Recreate},"
_CANARY = "{predictor: {}, trafficPercent: 1}"

EXAMPLES: dict[str, Example] = {
    "yaml-syntax": Example("a: [", "a: []"),
    "no-object": Example("", service()),
    "duplicate-key": Example(service("args: [], args: [],"), service("args: [],")),
    "unknown-field": Example(service("arg: [],"), service("args: [],")),
    "missing-field": Example(service("env: [{value: x}],"), service("env: [{name: X, value: x}],")),
    "wrong-type": Example(service("env: [{name: X, value: on}],"), service("env: [{name: X, value: 'on'}],")),
    "bad-quantity": Example(
        service("resources: {limits: {memory: 4GiB}},"), service("resources: {limits: {memory: 4Gi, cpu: 2}},")
    ),
    "unknown-api-version": Example(service().replace("v1beta1", "v1beta2"), service()),
    "unknown-kind": Example(service().replace("kind: Inference", "kind: Infrence"), service()),
    "label-syntax": Example(service(labels="{a: a b}"), service(labels="{a.b/c: a_b, d: ''}")),
    "key-unread": Example(
        service(annotations="{serving.kserve.io/deployment-mode: Standard}"),
        service(annotations="{serving.kserve.io/deploymentMode: Standard}"),
    ),
    "name-syntax": Example(service(name="Granite"), service()),
    "name-length": Example(service(name="a" * 54), service(name="a" * 53, namespace="ns")),
    "name-host-length": Example(service(name="a" * 53, namespace="b" * 10), service(name="a" * 53, namespace="b" * 9)),
    "name-form-length": Example(service(name="a" * 31), service(name="a" * 30)),
    "duplicate-object": Example(f"{service()}---\n{service()}", f"{service()}---\n{service(namespace='other')}"),
    "protected-namespace": Example(service(namespace="opendatahub"), service()),
    "no-model": Example(service(uri=""), service(uri="", annotations=_CONNECTED)),
    "storage-exclusive": Example(
        service(predictor="storageUris: [{uri: 'oci://a.b/c:1'}],"),
        service(predictor="storageUris: [{uri: 'oci://a.b/c:1'}],", uri=""),
    ),
    "storage-uris": Example(
        service(predictor=_TWO % ("models/a", "models/b"), uri=""),
        service(predictor=_TWO % ("models/a/x", "models/b/x"), uri=""),
    ),
    "uri-scheme": Example(service(uri="oci+native://a.b/c:1"), service(uri="oci://a.b/c:1"), OLD),
    "uri-unknown": Example(service(uri="docker://quay.io/acme/x:1"), service(uri="hf://acme/x")),
    "image-reference": Example(service(uri="oci://quay.io/Acme/x:1"), service()),
    "image-short-name": Example(service(uri="oci://acme/granite:1"), service()),
    "image-latest": Example(service(uri="oci://quay.io/acme/x:latest"), service(uri="oci://quay.io/acme/x:1")),
    "uri-credentials": Example(service(uri="https://me:secret@a.b/c"), service(uri="https://a.b/c@1")),
    "model-name": Example(service("name: x,"), service()),
    "env-blocked": Example(
        service("env: [{name: PYTHONPATH, value: /x}],"), service("env: [{name: PYTHONPATHS, value: /x}],")
    ),
    "fetch-pull-secret": Example(
        service(uri="oci+fetch://a.b/c:1"),
        service(predictor="imagePullSecrets: [{name: x}],", uri="oci+fetch://a.b/c:1"),
        Aim(Flavor.OPENSHIFT_AI_3, Version(0, 21)),
    ),
    "native-scc": Example(
        service(uri="oci+native://a.b/c:1"), service(uri="oci://a.b/c:1"), Aim(Flavor.OPENSHIFT_AI_3, Version(0, 21))
    ),
    "connection-protocol": Example(
        service(annotations=_CONNECTED) + secret("{a: b}", "{}"), service() + secret("{a: b}", "{}")
    ),
    "connection-protocol-legacy": Example(
        secret("{URI: 'oci://a.b/c:1'}", "{opendatahub.io/connection-type-ref: uri-v1}"),
        secret("{URI: 'oci://a.b/c:1'}"),
    ),
    "connection-protocol-unknown": Example(
        secret("{URI: 'oci://a.b/c:1'}", "{opendatahub.io/connection-type-protocol: uri-v1}"),
        secret("{URI: 'oci://a.b/c:1'}"),
    ),
    "connection-managed": Example(
        secret("{AWS_S3_BUCKET: b}", "{opendatahub.io/connection-type-protocol: s3}"),
        secret(
            "{AWS_S3_BUCKET: b}",
            '{opendatahub.io/connection-type-protocol: s3}, labels: {opendatahub.io/managed: "true"}',
        ),
    ),
    "pull-secret": Example(
        secret("{.dockerconfigjson: 'me:secret'}", "{}", _PULL), secret("{.dockerconfigjson: '{}'}", "{}", _PULL)
    ),
    "connection-keys": Example(secret("{url: 'oci://a.b/c:1'}"), secret("{URI: 'oci://a.b/c:1'}")),
    "connection-type": Example(
        secret("{.dockerconfigjson: '{}'}", _OCI), secret("{.dockerconfigjson: '{}'}", _OCI, _PULL)
    ),
    "connection-access": Example(
        secret("{.dockerconfigjson: '{}', OCI_HOST: a.b, ACCESS_TYPE: '[\"Push\"]'}", _OCI, _PULL),
        secret("{.dockerconfigjson: '{}', OCI_HOST: a.b, ACCESS_TYPE: '[\"Push\",\"Pull\"]'}", _OCI, _PULL),
    ),
    "connection-host": Example(
        service(annotations=_CONNECTED) + secret("{.dockerconfigjson: '{}', OCI_HOST: quay.io.evil}", _OCI, _PULL),
        service(annotations=_CONNECTED) + secret("{.dockerconfigjson: '{}', OCI_HOST: quay.io/acme}", _OCI, _PULL),
    ),
    "connection-uri": Example(
        service(annotations=_CONNECTED) + secret("{URI: 'oci://quay.io/acme/granite:1'}"),
        service(annotations=_CONNECTED) + secret(f"{{URI: 'oci://quay.io/acme/granite@{DIGEST}'}}"),
    ),
    "secret-base64": Example(secret("{}", "{}", "data: {a: 'x!'}"), secret("{}", "{}", "data: {a: eA==}")),
    "runtime-format": Example(service().replace("vLLM", "vllm") + runtime(), service() + runtime()),
    "runtime-none": Example(service().replace("modelFormat: {name: vLLM}, runtime: r,", ""), service()),
    "runtime-disabled": Example(service() + runtime("disabled: true"), service() + runtime("disabled: false")),
    "runtime-version": Example(
        service().replace("runtime: r", "runtime: kserve-vllmserver"),
        service().replace("runtime: r", "runtime: kserve-huggingfaceserver").replace("vLLM", "huggingface"),
        OLD,
    ),
    "runtime-container": Example(runtime(name="vllm"), runtime()),
    "runtime-image": Example(
        runtime().replace("quay.io/acme/vllm:1", "$(vllm-cuda-image)"),
        runtime(),
    ),
    "runtime-label": Example(
        service() + runtime(container="args: ['{{.Labels.modelClass}}'],"),
        service(labels="{modelClass: x}") + runtime(container="args: ['{{.Labels.modelClass}}', '{{.Name}}'],"),
    ),
    "gpu-recommended": Example(
        service(GPUS) + runtime(annotations="{opendatahub.io/recommended-accelerators: '[\"amd.com/gpu\"]'}"),
        service(GPUS) + runtime(annotations="{opendatahub.io/recommended-accelerators: '[\"nvidia.com/gpu\"]'}"),
    ),
    "template-parameter": Example(template("[]", "${IMAGE}"), template("[{name: IMAGE, value: x}]", "${IMAGE}")),
    "template-value": Example(
        template("[{name: IMAGE, required: true}]", "${IMAGE}"),
        template("[{name: IMAGE, required: true, value: x}]", "${IMAGE}"),
    ),
    "argument-joined": Example(
        service("args: ['--max-model-len 4096'],"), service("args: [--max-model-len=4096, --port, '8080'],")
    ),
    "argument-number": Example(service("args: [--max-model-len=8k],"), service("args: [--max-model-len=8192],")),
    "gpu-tensor-parallel": Example(
        service(f"{GPUS} args: [--tensor-parallel-size=4],"), service(f"{GPUS} args: [--tensor-parallel-size, '2'],")
    ),
    "gpu-idle": Example(service(GPUS), service(f"{GPUS} args: ['--pipeline-parallel-size=2'],")),
    "gpu-shm": Example(service(GPUS), service(GPUS + SHM[0], SHM[1])),
    "volume-medium": Example(
        service(predictor="volumes: [{name: shm, emptyDir: {medium: memory}}],"), service(predictor=SHM[1])
    ),
    "gpu-kinds": Example(
        service('resources: {limits: {nvidia.com/gpu: "1", amd.com/gpu: "1"}},'),
        service('resources: {limits: {amd.com/gpu: "1"}},'),
    ),
    "gpu-limits": Example(
        service("resources: {requests: {nvidia.com/gpu: 1}},"),
        service("resources: {requests: {nvidia.com/gpu: 1}, limits: {nvidia.com/gpu: '1'}},"),
    ),
    "resource-name": Example(
        service("resources: {limits: {gpu: 1}},"), service("resources: {limits: {nvidia.com/gpu: 1}},")
    ),
    "volume-missing": Example(service(SHM[0]) + runtime(), service(SHM[0], SHM[1]) + runtime()),
    "request-over-limit": Example(
        service("resources: {requests: {cpu: '3'}, limits: {cpu: 2500m}},"),
        service("resources: {requests: {cpu: '2'}, limits: {cpu: 2500m}},"),
    ),
    "min-over-max": Example(
        service(predictor="minReplicas: 2, maxReplicas: 1,"), service(predictor="minReplicas: 2, maxReplicas: 0,")
    ),
    "replicas-negative": Example(service(predictor="minReplicas: -1,"), service(predictor="minReplicas: 0,")),
    "canary-count": Example(
        service().replace("spec: {", f"spec: {{canary: [{', '.join([_CANARY] * 4)}], "),
        service().replace("spec: {", f"spec: {{canary: [{', '.join([_CANARY] * 3)}], "),
    ),
    "mode-word": Example(
        service(annotations="{serving.kserve.io/deploymentMode: Standard}"),
        service(annotations="{serving.kserve.io/deploymentMode: RawDeployment}"),
        OLD,
    ),
    "mode-legacy": Example(
        service(annotations="{serving.kserve.io/deploymentMode: RawDeployment}"),
        service(annotations="{serving.kserve.io/deploymentMode: Standard}"),
        NEW,
    ),
    "mode-knative": Example(
        service(annotations="{serving.kserve.io/deploymentMode: Serverless}"),
        service(annotations="{serving.kserve.io/deploymentMode: Standard}"),
        AI3,
    ),
    "progress-deadline": Example(
        service(annotations="{serving.knative.dev/progress-deadline: 30m}"), service(annotations=_KNATIVE % "30m")
    ),
    "progress-deadline-value": Example(
        service(annotations=_KNATIVE % "30 minutes"), service(annotations=_KNATIVE % "1h30m")
    ),
    "strategy-knative": Example(
        service(predictor=_STRATEGY, annotations="{serving.kserve.io/deploymentMode: Serverless}"),
        service(predictor=_STRATEGY, annotations="{serving.kserve.io/deploymentMode: RawDeployment}"),
    ),
    "route-label": Example(
        service(labels="{networking.knative.dev/visibility: cluster-local}"),
        service(labels="{networking.kserve.io/visibility: cluster-local}"),
        AI3,
    ),
    "route-without-auth": Example(
        service(labels=_EXPOSED),
        service(labels=_EXPOSED, annotations='{security.opendatahub.io/enable-auth: "true"}'),
    ),
    "dashboard-label": Example(service(), service(labels='{opendatahub.io/dashboard: "true"}'), AI3),
    "dashboard-edit": Example(service(predictor=SHM[1]), service(), AI2),
    "llm-version": Example(llm("{}"), service(), AI2),
    "llm-container": Example(
        llm("{template: {containers: [{name: x}]}}"), llm("{template: {containers: [{name: main}]}}")
    ),
    "llm-fetch": Example(llm("{model: {uri: 'oci+fetch://a.b/c:1'}}"), llm("{model: {uri: 'oci://a.b/c:1'}}")),
}

_IMAGES = {"image-refused", "image-doubtful", "image-missing", "image-unchecked", "image-format"}
ELSEWHERE = {"file-too-large", "not-utf8"} | _IMAGES
"""Rules of bytes, not of text: test_lint_texts.py has them; and of images: tests/faults/test_lint_images.py."""

"""Mistakes that one rule finds in several shapes, and what is right beside them (KSERVE.md 1 to 4a)."""

from __future__ import annotations

import base64

import pytest

from modelcar.kserve.lint import Aim, Finding, Text, lint
from modelcar.kserve.lint.catalog import rules
from modelcar.kserve.versions import Flavor, Version
from tests.unit.kserve.lint_examples import ANYWHERE, GPUS, SHM, runtime, secret, service

CONNECTED = "{opendatahub.io/connections: c}"
OCI = "{opendatahub.io/connection-type-protocol: oci}"
PULL = "type: kubernetes.io/dockerconfigjson"


def found(text: str, aim: Aim = ANYWHERE) -> list[Finding]:
    return lint([Text("x.yaml", text.encode())], aim).findings


def told(text: str, rule: str) -> list[str]:
    """What a rule says, and its fix."""
    return [f"{one.message}; {one.fix or rules()[rule].fix}" for one in found(text) if one.rule == rule]


@pytest.mark.parametrize(
    ("uri", "end"),
    [
        ("docker://quay.io/acme/x:1", "KServe knows no docker://; write oci://quay.io/acme/x:1"),
        ("OCI://quay.io/acme/x:1", "KServe knows no OCI://; write oci://quay.io/acme/x:1"),
        ("quay.io/acme/x:1", "KServe takes it for a path in the container; write oci://quay.io/acme/x:1"),
        ("localhost:5000/x:1", "KServe takes it for a path in the container; write oci://localhost:5000/x:1"),
        ("oci:/quay.io/acme/x:1", "KServe takes it for a path in the container; write oci://quay.io/acme/x:1"),
        ("oci//quay.io/acme/x:1", "KServe takes it for a path in the container; write oci://quay.io/acme/x:1"),
        ("' oci://quay.io/acme/x:1'", "has blanks around it; write oci://quay.io/acme/x:1"),
    ],
)
def test_a_uri_that_kserve_doesn_t_know(uri: str, end: str) -> None:
    [message] = told(service(uri=uri), "uri-unknown")
    assert message.endswith(end)


@pytest.mark.parametrize(
    "uri", ["s3://b/k", "hf://a/b", "pvc://claim/x", "/mnt/models", "models/x", "gs://b", "${URI}"]
)
def test_other_places_are_let_be(uri: str) -> None:
    assert not found(service(uri=f"'{uri}'"))


@pytest.mark.parametrize("uri", ["OCI://me:secret@quay.io/x", "' https://me:secret@a.b/c'", "ftp://me:secret@a.b"])
def test_a_password_is_found_and_not_shown(uri: str) -> None:
    [finding] = found(service(uri=uri))
    assert finding.rule == "uri-credentials"
    assert "secret@" not in finding.message + finding.fix


def test_an_empty_uri_is_none() -> None:
    for uri in ("''", "null"):
        assert {one.rule for one in found(service(uri=uri))} == {"no-model"}


@pytest.mark.parametrize("word", ["--model_id=meta-llama/x", "--model-id', 'meta-llama/x", "--model=acme/granite"])
def test_a_model_that_the_server_fetches_itself(word: str) -> None:
    assert not found(service(f"args: ['{word}'],", uri=""))


def test_an_oci_connection_brings_no_uri() -> None:
    connection = secret("{.dockerconfigjson: '{}'}", OCI, PULL)
    [message] = told(service(uri="", annotations=CONNECTED) + connection, "no-model")
    assert "the OCI connection c brings a pull secret, and no URI" in message
    named = secret("{URI: 'oci://a.b/c:1'}")
    assert not found(service(uri="", annotations=CONNECTED) + named)


def test_the_uri_in_a_connection_is_looked_at() -> None:
    for uri, rule in (
        ("oci://a.b/c", "image-latest"),
        ("a.b/c:1", "uri-unknown"),
        ("oci://me:x@a.b/c", "uri-credentials"),
    ):
        text = secret(f"{{URI: '{uri}'}}")
        [finding] = found(text)
        assert finding.rule == rule
        assert text.splitlines()[finding.line - 1][finding.column - 1 :].startswith(f"'{uri}'")
        encoded = base64.b64encode(uri.encode()).decode()
        [finding] = found(secret("{}", more=f"data: {{URI: {encoded}}}"))
        assert finding.rule == rule


@pytest.mark.parametrize(
    ("login", "right"),
    [
        ("quay.io", True), ("https://quay.io/", True), ("quay.io/acme", True), ("*.io", True),
        ("quay.io/other", False), ("docker.io", False), ("quay.io:443", False),
    ],
)  # fmt: skip
def test_a_login_is_for_the_image_s_registry(login: str, right: bool) -> None:
    connection = secret(f'{{.dockerconfigjson: \'{{"auths": {{"{login}": {{}}}}}}\'}}', OCI, PULL)
    assert (not told(service(annotations=CONNECTED) + connection, "connection-host")) is right


def test_a_login_at_docker_hub_has_a_name_of_its_own() -> None:
    connection = secret('{.dockerconfigjson: \'{"auths": {"https://index.docker.io/v1/": {}}}\'}', OCI, PULL)
    text = service(uri="oci://docker.io/acme/x:1", annotations=CONNECTED) + connection
    assert not told(text, "connection-host")


def test_a_version_must_be_the_runtime_s() -> None:
    asked = service().replace("{name: vLLM}", "{name: vLLM, version: '2'}")
    versions = "{name: vLLM, version: '%s'}"
    has = [runtime().replace("{name: vLLM}", versions % version) for version in ("1", "2")]
    [message] = told(asked + has[0], "runtime-format")
    assert message.endswith("doesn't serve version '2' of vLLM: it has 1; write one of 1, or none")
    assert told(asked + runtime(), "runtime-format") == [
        "ServingRuntime r doesn't serve version '2' of vLLM: it names none; take the version out"
    ]
    assert not told(asked + has[1], "runtime-format")
    assert not told(service() + has[0], "runtime-format")


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("kserve-mlserver", "lightgbm", "onnx"),
        ("kserve-xgbserver", "xgboost", "sklearn"),
        ("kserve-lgbserver", "lightgbm", "xgboost"),
        ("kserve-pmmlserver", "pmml", "PMML"),
        ("kserve-paddleserver", "paddle", "vLLM"),
        ("kserve-tritonserver", "onnx", "sklearn"),
        ("kserve-openvino", "openvino", "openvino_ir"),
    ],
)
def test_formats_of_kserve_s_own_runtimes(name: str, right: str, wrong: str) -> None:
    text = service().replace("runtime: r", f"runtime: {name}")
    assert not found(text.replace("vLLM", right))
    assert told(text.replace("vLLM", wrong), "runtime-format")


def test_kserve_fills_in_mlserver_s_label_itself() -> None:
    served = runtime(container="args: ['{{.Labels.modelClass}}'],")
    own = served.replace("ServingRuntime", "ClusterServingRuntime").replace("name: r,", "name: kserve-mlserver,")
    assert told(service() + served, "runtime-label")
    assert not told(service().replace("runtime: r", "runtime: kserve-mlserver") + own, "runtime-label")


@pytest.mark.parametrize(
    "command",
    [
        'command: [sh, -c, "exec vllm serve /mnt/models --tensor-parallel-size 2"],',
        'command: [/bin/bash, -ec], args: ["vllm serve /mnt/models \\\\\\n  --tensor-parallel-size=2 && true"],',
        "command: [vllm, serve], args: [/mnt/models, -tp, '2'],",
    ],
)
def test_a_shell_s_script_is_a_command_line_too(command: str) -> None:
    right = service(GPUS + SHM[0], SHM[1]) + runtime(container=command)
    assert not found(right)
    assert told(right.replace("size 2", "size 4").replace("size=2", "size=4").replace("'2']", "'4']"),
                "gpu-tensor-parallel")  # fmt: skip


def test_a_pipeline_takes_gpus_too() -> None:
    words = "args: [--tensor-parallel-size=2, --pipeline-parallel-size=2],"
    [message] = told(service(GPUS + words) + runtime(), "gpu-tensor-parallel")
    assert message.startswith(
        "--tensor-parallel-size is 2, --pipeline-parallel-size 2, and the Pod has 2 GPUs; ask for 4"
    )
    assert not told(service(GPUS + words, "workerSpec: {pipelineParallelSize: 2},") + runtime(), "gpu-tensor-parallel")
    assert not told(service(GPUS.replace("2", "4") + words) + runtime(), "gpu-tensor-parallel")


def test_devices_are_counted_whole() -> None:
    wrong = service("resources: {limits: {nvidia.com/gpu: '0.5'}},")
    assert [one.rule for one in found(wrong)] == ["bad-quantity"]
    assert not found(wrong.replace("0.5", "1"))


def test_a_runtime_s_own_resources_are_looked_at() -> None:
    text = runtime(container="resources: {requests: {cpu: 2}, limits: {cpu: 1}},")
    assert [one.rule for one in found(text)] == ["request-over-limit"]


def test_a_volume_may_be_the_runtime_s() -> None:
    mounts = service(SHM[0])
    brings = runtime(SHM[1].rstrip(","))
    assert told(mounts + runtime(), "volume-missing")
    assert not told(mounts + brings, "volume-missing")
    assert not told(mounts, "volume-missing")  # the runtime isn't among the files


@pytest.mark.parametrize(
    ("key", "fix"),
    [
        ("serving.knative.dev/progressDeadline", "did you mean serving.knative.dev/progress-deadline?"),
        ("serving.knative.dev/progress-deadlin", "did you mean serving.knative.dev/progress-deadline?"),
        ("serving.kserve.io/deploymentmode", "did you mean serving.kserve.io/deploymentMode?"),
        ("opendatahub.io/connection", "did you mean opendatahub.io/connections?"),
        ("opendatahub.io/enable-auth", "did you mean security.opendatahub.io/enable-auth?"),
        ("networking.kserve.io/visibility", "it is read among the labels: move it there"),
    ],
)
def test_an_annotation_that_nobody_reads(key: str, fix: str) -> None:
    assert told(service(annotations=f"{{{key}: x}}"), "key-unread") == [f"nobody reads annotation {key}; {fix}"]


def test_a_label_that_nobody_reads() -> None:
    [message] = told(service(labels="{serving.kserve.io/deploymentMode: Standard}"), "key-unread")
    assert message.endswith("it is read among the annotations: move it there")


@pytest.mark.parametrize(
    "key",
    ["acme.io/connections", "opendatahub.io/something", "prometheus.io/port", "serving.kserve.io/enable-tag-routing",
     "autoscaling.knative.dev/min-scale", "opendatahub.io/hardware-profile-name", "connections"],
)  # fmt: skip
def test_other_annotations_are_let_be(key: str) -> None:
    assert not told(service(annotations=f"{{{key}: x}}"), "key-unread")


def test_a_required_field_that_is_null_is_missing() -> None:
    for text in (service().partition("spec:")[0] + "spec:\n  predictor:\n", service("env: [{name: , value: x}],")):
        assert [one.rule for one in found(text)] == ["missing-field"]


def test_the_containers_of_other_components() -> None:
    wrong = "{containers: [{name: c, resources: {requests: {cpu: 2}, limits: {cpu: 1}}, env: [{name: PYTHONPATH}]}]}"
    for part in ("transformer", "explainer"):
        text = service().replace("spec: {", f"spec: {{{part}: {wrong}, ")
        assert sorted(one.rule for one in found(text)) == ["env-blocked", "request-over-limit"]


@pytest.mark.parametrize("name", ["${NAME}", "$NAME", "$(NAME)"])
def test_what_will_be_filled_in_is_let_be(name: str) -> None:
    assert not found(service(name=f"'{name}'"))


def test_values_of_the_label_for_the_route() -> None:
    [message] = told(service(labels="{networking.kserve.io/visibility: external}"), "route-label")
    assert message.endswith("knows no 'external'; write exposed or cluster-local")
    assert not told(service(labels="{networking.knative.dev/visibility: cluster-local}"), "route-label")


def test_fetch_mode_reads_the_first_pull_secret_only() -> None:
    uri = "oci+fetch://quay.io/acme/x:1"
    several = service(uri=uri, predictor="imagePullSecrets: [{name: c}, {name: d}],")
    [message] = told(several, "fetch-pull-secret")
    assert message.startswith("2 imagePullSecrets, and oci+fetch:// reads the first only")
    one = service(uri=uri, predictor="imagePullSecrets: [{name: c}],")
    assert not told(one + secret("{.dockerconfigjson: '{}'}", "{}", PULL), "fetch-pull-secret")
    old = secret("{.dockercfg: '{}'}", "{}", "type: kubernetes.io/dockercfg")
    [message] = told(one + old, "fetch-pull-secret")
    assert message.startswith("the Secret c isn't of type kubernetes.io/dockerconfigjson")


def test_fetch_mode_needs_a_pull_secret_on_openshift_only() -> None:
    text = service(uri="oci+fetch://quay.io/acme/x:1")
    for flavor, wrong in ((Flavor.OPENSHIFT_AI_3, True), (Flavor.KSERVE, False)):
        rules_found = {one.rule for one in found(text, Aim(flavor, Version(0, 21)))}
        assert ("fetch-pull-secret" in rules_found) is wrong
    assert not told(text, "fetch-pull-secret")


def test_an_edit_in_the_2_x_dashboard() -> None:
    deadline = "annotations: {serving.knative.dev/progress-deadline: 30m},"
    mode = "{serving.kserve.io/deploymentMode: Serverless}"
    aim = Aim(Flavor.OPENSHIFT_AI_2)
    edits = [one for one in found(service(predictor=deadline, annotations=mode), aim) if one.rule == "dashboard-edit"]
    assert not edits
    other = deadline.replace("{", "{prometheus.io/port: '8080', ")
    [one] = [one for one in found(service(predictor=other, annotations=mode), aim) if one.rule == "dashboard-edit"]
    assert (one.message, one.fix) == (
        "an edit in the dashboard drops predictor.annotations: prometheus.io/port",
        "apply the file again after an edit there",
    )


def test_images_in_storage_uris_came_later() -> None:
    text = service(predictor="storageUris: [{uri: 'oci://a.b/c:1', mountPath: /mnt/models}],", uri="")
    assert not found(text)
    for release, wrong in ((Version(0, 19), True), (Version(0, 20), False)):
        rules_found = {one.rule for one in found(text, Aim(Flavor.KSERVE, release))}
        assert ("storage-uris" in rules_found) is wrong


def test_the_serving_container_of_a_custom_predictor_is_looked_at_once() -> None:
    text = (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: m}\nspec:\n  predictor:\n"
        "    containers: [{name: kserve-container, image: x/y:1, env: [{name: PYTHONPATH, value: /x}]}]\n"
    )
    assert [one.rule for one in found(text)] == ["env-blocked"]

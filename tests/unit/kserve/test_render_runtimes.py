"""The ServingRuntime from a name, a file, an image, or KServe itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcar.errors import NotFound, Refused, UsageError
from modelcar.kserve.deployment import deployment_from
from modelcar.kserve.render import Rendered, render
from tests.objects import SHARED, needs_samples, needs_schemas, problems
from tests.unit.kserve.test_render import PLAIN, THREE, TWO, annotated, kinds, named, predictor, refusal, rendered

RUNTIME: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ServingRuntime",
    "metadata": {
        "name": "vllm-runtime",
        "namespace": "old",
        "uid": "1",
        "resourceVersion": "2",
        "labels": {"mine": "yes"},
        "annotations": {"openshift.io/display-name": "vLLM", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
    },
    "spec": {
        "replicas": 2,
        "supportedModelFormats": [{"name": "vLLM", "autoSelect": True}],
        "containers": [
            {"name": "kserve-container", "image": "quay.io/acme/vllm:1", "resources": {"limits": {"cpu": "1"}}}
        ],
    },
}


def template(**parameters: Any) -> dict[str, Any]:
    return {
        "apiVersion": "template.openshift.io/v1",
        "kind": "Template",
        "metadata": {
            "name": "vllm-template",
            "namespace": "redhat-ods-applications",
            "annotations": {"openshift.io/display-name": "vLLM Template", "opendatahub.io/apiProtocol": "REST"},
        },
        "objects": [RUNTIME, {"kind": "Route"}],
        "parameters": [{"name": name, **value} for name, value in parameters.items()],
    }


@pytest.fixture
def from_file(tmp_path: Path) -> Any:
    def make(content: Any, base: dict[str, Any] = THREE, **more: Any) -> Rendered:
        path = tmp_path / "runtime.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        wish = {**base, "runtime-image": None, "runtime-file": str(path)}
        return render(deployment_from({**wish, **{key.replace("_", "-"): value for key, value in more.items()}}))

    return make


def test_a_copy_leaves_out_what_the_cluster_wrote(from_file: Any) -> None:
    done = from_file(RUNTIME)
    assert named(done, "ServingRuntime")["metadata"] == {
        "name": "granite",
        "namespace": "demo",
        "labels": {"mine": "yes", "opendatahub.io/dashboard": "true"},
        "annotations": {"openshift.io/display-name": "vLLM"},
    }
    assert named(done, "ServingRuntime")["spec"] == RUNTIME["spec"]


def test_a_template_on_3_x_and_2_x(from_file: Any) -> None:
    assert annotated(from_file(template()), "ServingRuntime") == {
        "openshift.io/display-name": "vLLM",
        "opendatahub.io/template-name": "vllm-template",
        "opendatahub.io/template-display-name": "vLLM Template",
        "opendatahub.io/serving-runtime-scope": "global",
    }
    two = from_file(template(), TWO, route=True)
    assert annotated(two, "ServingRuntime") == {
        "openshift.io/display-name": "granite",
        "opendatahub.io/template-name": "vllm-runtime",
        "opendatahub.io/template-display-name": "vLLM Template",
        "opendatahub.io/accelerator-name": "",
        "opendatahub.io/apiProtocol": "REST",
        "enable-route": "true",
    }
    spec = named(two, "ServingRuntime")["spec"]
    assert "replicas" not in spec
    assert "resources" not in spec["containers"][0]
    assert spec["volumes"] == [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]


def test_a_template_of_the_project_itself_has_its_scope(from_file: Any) -> None:
    own = template()
    own["metadata"]["namespace"] = "demo"
    assert annotated(from_file(own), "ServingRuntime")["opendatahub.io/serving-runtime-scope"] == "project"


def test_parameters_are_filled_in(from_file: Any) -> None:
    made = template(IMAGE={"value": "quay.io/a"}, TAG={}, PORT={"required": True}, REPLICAS={"value": 3})
    made["objects"] = [
        {
            **RUNTIME,
            "spec": {
                "replicas": "${{REPLICAS}}",
                "containers": [
                    {
                        "name": "kserve-container",
                        "image": "${IMAGE}/vllm:x${TAG}",
                        "args": ["--port=${PORT}", "${SHELL_VARIABLE}"],
                    }
                ],
            },
        }
    ]
    spec = named(from_file(made, runtime_parameter={"PORT": "8080", "TAG": "1"}), "ServingRuntime")["spec"]
    assert spec["replicas"] == 3
    assert spec["containers"][0]["image"] == "quay.io/a/vllm:x1"
    assert spec["containers"][0]["args"] == ["--port=8080", "${SHELL_VARIABLE}"]
    with pytest.raises(Refused, match=r"parameters PORT have no value; add --runtime-parameter PORT=VALUE"):
        from_file(made)
    with pytest.raises(UsageError, match="has no parameter NO; it has IMAGE, TAG, PORT, REPLICAS"):
        from_file(made, runtime_parameter={"NO": "1"})


@pytest.mark.parametrize("image", ["$(vllm-cuda-image)", "${IMAGE}"])
def test_an_image_that_is_not_filled_in_is_refused(from_file: Any, image: str) -> None:
    made = template()
    made["objects"] = [{**RUNTIME, "spec": {"containers": [{"name": "kserve-container", "image": image}]}}]
    with pytest.raises(Refused, match="its image is still"):
        from_file(made)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no object"),
        ("kind: ConfigMap\n", "holds a ConfigMap: it takes a ServingRuntime"),
        ("architectures: [LlamaForCausalLM]\n", "holds no object of Kubernetes: it takes a ServingRuntime"),
        ("kind: ServingRuntime\nspec: {}\n", "no containers"),
        ("kind: ServingRuntime\nspec: {containers: [x]}\n", "containers of its ServingRuntime is no list"),
        ("kind: Template\nobjects: []\n", "its objects holds no object"),
        ("kind: Template\nobjects: [{kind: ServingRuntime}]\nparameters: {a: 1}\n", "its parameters are no list"),
        ("a: b: c\n", "line 1, column 5"),
        ("a:\n\t- b\n", "line 2"),
        ("a: 1\na: 2\n", "line 2, column 1: a is there twice"),
        ("? [a]\n: b\n", "a key must be a word"),
        ("a: &a [*a]\n", "100"),
    ],
)
def test_what_is_no_runtime_is_refused_with_its_place(from_file: Any, content: str, said: str) -> None:
    with pytest.raises((UsageError, Refused)) as caught:
        from_file(content)
    assert "--runtime-file" in str(caught.value)
    assert said in str(caught.value)


def test_a_bomb_of_aliases_is_refused(from_file: Any) -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    with pytest.raises(Refused, match="200,000 values"):
        from_file("\n".join(lines))


def test_deep_nesting_is_refused(from_file: Any) -> None:
    with pytest.raises((Refused, UsageError)):
        from_file("a: " + "[" * 5000 + "]" * 5000)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="--runtime-file"):
        render(deployment_from({**THREE, "runtime-image": None, "runtime-file": "/nowhere/x.yaml"}))


def test_anchors_are_followed(from_file: Any) -> None:
    content = (
        "kind: ServingRuntime\nspec:\n  containers:\n    - &one {name: kserve-container, image: quay.io/acme/vllm:1}\n"
        "  workerSpec: {containers: [*one]}\n"
    )
    spec = named(from_file(content), "ServingRuntime")["spec"]
    assert spec["workerSpec"]["containers"] == spec["containers"]


def test_crlf_and_a_list_around_it_are_fine(from_file: Any) -> None:
    content = yaml.safe_dump({"kind": "List", "items": [RUNTIME]}).replace("\n", "\r\n")
    assert named(from_file(content), "ServingRuntime")["spec"] == RUNTIME["spec"]


def test_without_a_runtime_openshift_ai_says_where_to_get_one() -> None:
    said = refusal({**THREE, "runtime-image": None})
    assert "oc get template vllm-cuda-runtime-template -n redhat-ods-applications -o yaml >runtime.yaml" in said
    assert "--runtime-file runtime.yaml" in said


def test_a_runtime_by_its_name_is_not_written() -> None:
    done = rendered({**THREE, "runtime-image": None}, runtime="mine")
    assert kinds(done) == ["InferenceService"]
    assert predictor(done)["model"]["runtime"] == "mine"


def test_only_one_way_to_a_runtime() -> None:
    assert "--runtime-image both name the runtime" in refusal(THREE, runtime="mine")


@pytest.mark.parametrize("image", ["", "a b", "$(x)", "me:hunter2@quay.io/a"])
def test_what_is_no_image_is_refused(image: str) -> None:
    said = refusal({**THREE, "runtime-image": image})
    assert said.startswith("--runtime-image")
    assert "hunter2" not in said


def test_a_runtime_of_our_own() -> None:
    (container,) = named(rendered(THREE), "ServingRuntime")["spec"]["containers"]
    assert container["image"] == "quay.io/acme/vllm:1"
    assert "--served-model-name={{.Name}}" in container["args"]
    amd = rendered(TWO, accelerator="amd.com/gpu", accelerator_profile="amd")
    assert annotated(amd, "ServingRuntime")["opendatahub.io/recommended-accelerators"] == '["amd.com/gpu"]'
    assert annotated(amd, "ServingRuntime")["opendatahub.io/accelerator-name"] == "amd"
    assert "annotations" not in named(rendered(PLAIN, runtime_image="x/y"), "ServingRuntime")["metadata"]


@pytest.mark.parametrize(
    ("version", "model_format", "runtime", "name"),
    [
        ("0.20", None, "kserve-vllmserver", "vLLM"),
        ("0.19", None, "kserve-huggingfaceserver", "huggingface"),
        ("0.15", "vLLM", "kserve-huggingfaceserver", "huggingface"),
        (None, "sklearn", "kserve-sklearnserver", "sklearn"),
        (None, "onnx", "kserve-tritonserver", "onnx"),
        (None, "openvino", "kserve-openvino", "openvino"),
    ],
)
def test_plain_kserve_has_its_own(version: str | None, model_format: str | None, runtime: str, name: str) -> None:
    done = rendered({**PLAIN, "kserve-version": version, "model-format": model_format}, args=["--max-model-len=10-1"])
    model = predictor(done)["model"]
    assert (model["runtime"], model["modelFormat"]["name"]) == (runtime, name)
    older = runtime == "kserve-huggingfaceserver"
    assert model["args"] == ["--max_model_len=10-1" if older else "--max-model-len=10-1"]


def test_a_format_that_nothing_serves_is_refused() -> None:
    assert refusal(PLAIN, model_format="gguf").startswith("--model-format")
    assert refusal(THREE, model_format="onnx").startswith("--model-format")


def test_the_format_must_be_one_of_the_runtimes(from_file: Any) -> None:
    several = {**RUNTIME, "spec": {**RUNTIME["spec"], "supportedModelFormats": [{"name": "onnx", "version": "1"}]}}
    assert predictor(from_file(several))["model"]["modelFormat"] == {"name": "onnx"}
    assert annotated(from_file(several))["opendatahub.io/model-type"] == "predictive"
    for wrong in ("vLLM", "onnx:2"):
        with pytest.raises(Refused, match="--model-format"):
            from_file(several, model_format=wrong)
    several["spec"]["supportedModelFormats"].append({"name": "paddle"})
    with pytest.raises(UsageError, match="the runtime takes onnx, paddle; say which one"):
        from_file(several)


def test_mlserver_is_told_what_loads_the_model(from_file: Any) -> None:
    container = {"name": "kserve-container", "env": [{"name": "A", "value": "{{.Labels.modelClass}}"}]}
    made = {**RUNTIME, "spec": {"supportedModelFormats": [{"name": "sklearn"}], "containers": [container]}}
    assert named(from_file(made), "InferenceService")["metadata"]["labels"]["modelClass"] == (
        "mlserver_sklearn.SKLearnModel"
    )
    assert named(rendered(PLAIN, model_format="mlflow"), "InferenceService")["metadata"]["labels"] == {
        "modelClass": "mlserver_mlflow.MLflowRuntime"
    }
    for known, loader in (
        ("xgboost", "mlserver_xgboost.XGBoostModel"),
        ("lightgbm", "mlserver_lightgbm.LightGBMModel"),
        ("onnx", "mlserver_onnx.OnnxModel"),
    ):
        made["spec"]["supportedModelFormats"] = [{"name": known}]
        labels = named(from_file(made), "InferenceService")["metadata"]["labels"]
        assert labels["modelClass"] == loader
    made["spec"]["supportedModelFormats"] = [{"name": "catboost"}]
    assert any("modelClass" in note for note in from_file(made).notes)


@needs_samples
@needs_schemas
@pytest.mark.parametrize("base", [THREE, TWO, PLAIN])
def test_each_template_of_open_data_hub_is_taken(from_file: Any, base: dict[str, Any]) -> None:
    found = sorted((SHARED / "runtimes-odh").rglob("*-template.yaml"))
    assert len(found) >= 12
    for path in found:
        with pytest.raises(Refused, match="its image is still"):
            from_file(path.read_text(), base)
        filled = path.read_text().replace("$(", "quay.io/acme/").replace("-image)", "-image")
        wanted = yaml.safe_load(filled)["objects"][0]["spec"]["supportedModelFormats"][0]["name"]
        done = from_file(filled, base, model_format=wanted)
        assert [problems(manifest) for manifest in done.manifests] == [[]] * len(done.manifests), path.name

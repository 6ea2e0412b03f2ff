"""Which objects come of a deployment, for each flavour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelcar.errors import ModelcarError, Refused, UsageError
from modelcar.kserve.deployment import deployment_from
from modelcar.kserve.render import Rendered, render
from modelcar.kserve.secrets import SecretValues
from tests.objects import SCHEMAS, SHARED, needs_samples, problems

DIGEST = "sha256:" + "0" * 64
TOKENS = ["ServiceAccount", "Role", "RoleBinding", "Secret"]

THREE: dict[str, Any] = {
    "model": "oci://quay.io/acme/granite:1",
    "name": "granite",
    "namespace": "demo",
    "runtime-image": "quay.io/acme/vllm:1",
}
TWO: dict[str, Any] = {**THREE, "flavor": "openshift-ai-2"}
PLAIN: dict[str, Any] = {"model": "oci://quay.io/acme/granite:1", "name": "granite", "flavor": "kserve"}
LLM: dict[str, Any] = {"model": THREE["model"], "name": "granite", "namespace": "demo", "kind": "llm"}


def rendered(base: dict[str, Any], **more: Any) -> Rendered:
    return render(deployment_from({**base, **{key.replace("_", "-"): value for key, value in more.items()}}))


def kinds(done: Rendered) -> list[str]:
    return [manifest["kind"] for manifest in done.manifests]


def named(done: Rendered, kind: str) -> dict[str, Any]:
    return next(manifest for manifest in done.manifests if manifest["kind"] == kind)


def predictor(done: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = named(done, "InferenceService")["spec"]["predictor"]
    return found


def labels(done: Rendered) -> dict[str, str]:
    found: dict[str, str] = named(done, "InferenceService")["metadata"].get("labels", {})
    return found


def annotated(done: Rendered, kind: str = "InferenceService") -> dict[str, str]:
    found: dict[str, str] = named(done, kind)["metadata"].get("annotations", {})
    return found


def refusal(base: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ModelcarError) as caught:
        rendered(base, **more)
    return str(caught.value)


@needs_samples
def test_the_form_of_3_x_gives_the_objects_of_the_sample(tmp_path: Path) -> None:
    """Less the resource version, which only the cluster knows."""
    sample = list(yaml.safe_load_all((SHARED / "samples/deploy-odh-form-equivalent.yaml").read_text()))
    template = yaml.safe_load((SHARED / "runtimes-odh/vllm/vllm-cuda-template.yaml").read_text())
    template["objects"][0]["spec"]["containers"][0]["image"] = "registry.redhat.io/rhaiis/vllm-cuda-rhel9:latest"
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(template))
    done = render(
        deployment_from(
            {
                "model": "oci://quay.io/acme/granite:1",
                "name": "granite",
                "display-name": "Granite",
                "namespace": "demo",
                "connection": "quay-pull",
                "connection-type": "oci",
                "runtime-file": str(tmp_path / "template.yaml"),
                "hardware-profile": "gpu-small/redhat-ods-applications",
                "args": ["--max-model-len=8192"],
                "limits": {"cpu": "2", "memory": "16Gi", "nvidia.com/gpu": "1"},
                "requests": {"cpu": "2", "memory": "16Gi"},
                "route": True,
            }
        ),
        digest=DIGEST,
    )
    del sample[1]["metadata"]["annotations"]["opendatahub.io/hardware-profile-resource-version"]
    assert list(done.manifests) == sample


def test_3_x_writes_the_forms_defaults() -> None:
    done = rendered(THREE)
    assert kinds(done) == ["ServingRuntime", "InferenceService"]
    assert labels(done) == {"opendatahub.io/dashboard": "true"}
    assert annotated(done) == {
        "openshift.io/display-name": "granite",
        "openshift.io/description": "",
        "opendatahub.io/model-type": "generative",
        "security.opendatahub.io/enable-auth": "false",
    }
    assert predictor(done) == {
        "minReplicas": 1,
        "maxReplicas": 1,
        "timeout": 30,
        "deploymentStrategy": {"type": "RollingUpdate"},
        "model": {
            "modelFormat": {"name": "vLLM"},
            "runtime": "granite",
            "storageUri": "oci://quay.io/acme/granite:1",
            "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
        },
    }


def test_2_x_writes_the_forms_defaults() -> None:
    done = rendered(TWO)
    assert kinds(done) == ["ServingRuntime", "InferenceService"]
    assert labels(done) == {
        "opendatahub.io/dashboard": "true",
        "networking.knative.dev/visibility": "cluster-local",
    }
    assert annotated(done) == {
        "openshift.io/display-name": "granite",
        "serving.kserve.io/deploymentMode": "Serverless",
        "serving.knative.openshift.io/enablePassthrough": "true",
        "sidecar.istio.io/inject": "true",
        "sidecar.istio.io/rewriteAppHTTPProbers": "true",
    }
    assert predictor(done)["annotations"] == {"serving.knative.dev/progress-deadline": "30m"}
    assert predictor(done)["model"]["resources"] == {
        "requests": {"cpu": "1", "memory": "4Gi"},
        "limits": {"cpu": "2", "memory": "8Gi"},
    }
    assert not predictor(done).keys() & {"timeout", "deploymentStrategy"}


def test_plain_kserve_gets_nothing_of_the_dashboard() -> None:
    done = rendered(PLAIN)
    (service,) = done.manifests
    assert service["metadata"] == {"name": "granite"}
    assert service["spec"]["predictor"] == {
        "model": {
            "modelFormat": {"name": "vLLM"},
            "runtime": "kserve-vllmserver",
            "storageUri": "oci://quay.io/acme/granite:1",
        }
    }
    assert any("default decides" in note for note in done.notes)


def test_an_llm_inference_service_takes_arguments_in_a_variable() -> None:
    done = rendered(LLM, args=["--max-model-len=8192", "--chat-template=a b"], env={"A": "1"}, gpu_count=2)
    (service,) = done.manifests
    assert service["apiVersion"] == "serving.kserve.io/v1alpha2"
    assert service["spec"]["model"] == {"uri": "oci://quay.io/acme/granite:1", "name": "granite"}
    (main,) = service["spec"]["template"]["containers"]
    assert main["env"] == [
        {"name": "A", "value": "1"},
        {"name": "VLLM_ADDITIONAL_ARGS", "value": "--max-model-len=8192 '--chat-template=a b'"},
    ]
    assert main["resources"]["limits"]["nvidia.com/gpu"] == "2"
    older = rendered(LLM, kserve_version="0.16", route=False, hardware_profile="gpu", token_name=["a"])
    assert older.manifests[0]["apiVersion"].endswith("v1alpha1")
    if SCHEMAS.is_dir():
        assert [problems(one) for one in older.manifests] == [[]] * 5
    assert "0.16" in refusal(LLM, kserve_version="0.15")


@pytest.mark.parametrize(
    ("base", "version", "mode", "word"),
    [
        (TWO, None, "Standard", "RawDeployment"),
        (TWO, None, "knative", "Serverless"),
        (PLAIN, "0.15", "Knative", "Serverless"),
        (PLAIN, "0.16", "Serverless", "Knative"),
        (PLAIN, None, "RawDeployment", "Standard"),
        (THREE, None, "RawDeployment", "Standard"),
    ],
)
def test_the_mode_is_spelled_as_the_cluster_knows_it(base: dict[str, Any], version: str, mode: str, word: str) -> None:
    done = rendered(base, deployment_mode=mode, **({"kserve_version": version} if version else {}))
    assert annotated(done)["serving.kserve.io/deploymentMode"] == word


def test_knative_on_3_x_is_refused() -> None:
    assert refusal(THREE, deployment_mode="Serverless").startswith("--deployment-mode")


def test_raw_mode_on_2_x_has_no_istio_and_its_own_label_for_the_route() -> None:
    done = rendered(TWO, deployment_mode="RawDeployment", route=True)
    assert labels(done)["networking.kserve.io/visibility"] == "exposed"
    assert "sidecar.istio.io/inject" not in annotated(done)
    assert "annotations" not in predictor(done)


def test_a_route_in_serverless_mode_is_the_absence_of_a_label() -> None:
    assert "networking.knative.dev/visibility" not in labels(rendered(TWO, route=True))


@pytest.mark.parametrize(("size", "deadline"), [(None, "30m"), (1, "30m"), (45 * 10**9, "30m"), (90 * 10**9, "60m")])
def test_the_progress_deadline_follows_the_images_size(size: int | None, deadline: str) -> None:
    done = render(deployment_from(TWO), image_size=size)
    assert predictor(done)["annotations"] == {"serving.knative.dev/progress-deadline": deadline}


@pytest.mark.parametrize("text", ["30", "0s", "1.5h", "30m0", "", "m", "-5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert "--progress-deadline" in refusal(TWO, progress_deadline=text)


def test_a_progress_deadline_in_raw_mode_is_left_out_and_told() -> None:
    done = rendered(PLAIN, deployment_mode="Standard", progress_deadline="45m")
    assert "annotations" not in predictor(done)
    assert any("600 s" in note for note in done.notes)


def test_an_edit_in_the_2_x_dashboard_is_warned_of() -> None:
    assert any("dashboard may drop the progress deadline" in note for note in rendered(TWO).notes)
    assert not any("dashboard" in note for note in rendered(TWO, deployment_mode="Standard").notes)


@pytest.mark.parametrize(
    ("base", "field", "value"),
    [
        (THREE, "size", "Small"),
        (THREE, "accelerator", "nvidia.com/gpu"),
        (THREE, "progress_deadline", "30m"),
        (THREE, "min_replicas", 1),
        (TWO, "model_type", "generative"),
        (TWO, "description", "text"),
        (TWO, "timeout", 60),
        (TWO, "deployment_strategy", "recreate"),
        (TWO, "hardware_profile", "gpu"),
        (TWO, "genai_asset", True),
        (TWO, "return_401", True),
        (PLAIN, "route", True),
        (PLAIN, "connection", "quay"),
        (PLAIN, "token_auth", True),
        (PLAIN, "size", "Large"),
        (PLAIN, "description", "text"),
        (LLM, "model_format", "vLLM"),
        (LLM, "runtime", "x"),
        (LLM, "timeout", 30),
        (LLM, "return_401", True),
    ],
)
def test_a_field_that_a_flavour_lacks_is_refused_by_name(base: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(Refused, match=f"^--{field.replace('_', '-')} is no field for"):
        rendered(base, **{field: value})


def test_a_route_on_3_x_brings_token_authentication() -> None:
    done = rendered(THREE, route=True)
    assert kinds(done) == ["ServingRuntime", "InferenceService", *TOKENS]
    assert annotated(done)["security.opendatahub.io/enable-auth"] == "true"
    assert named(done, "Secret")["metadata"]["name"] == "default-token-granite-sa"
    assert named(done, "Role")["rules"][0]["resourceNames"] == ["granite"]


def test_without_tokens_an_open_route_is_warned_of() -> None:
    done = rendered(THREE, route=True, token_auth=False)
    assert kinds(done) == ["ServingRuntime", "InferenceService"]
    assert any("anyone who reaches the route" in warning for warning in done.warnings)


def test_2_x_asks_for_tokens_only_when_told() -> None:
    assert "security.opendatahub.io/enable-auth" not in annotated(rendered(TWO, route=True))
    done = rendered(TWO, token_auth=True)
    assert annotated(done)["security.opendatahub.io/enable-auth"] == "true"
    assert annotated(done, "ServingRuntime")["enable-auth"] == "true"
    assert named(done, "Secret")["metadata"]["name"] == "default-name-granite-sa"


def test_two_tokens_of_one_name_are_refused() -> None:
    assert "--token-name" in refusal(THREE, token_name=["My App", "my app"])
    assert "--token-name" in refusal(THREE, token_name=["a"], token_auth=False)


@pytest.mark.parametrize("namespace", ["opendatahub", "redhat-ods-applications", "mine"])
def test_namespaces_of_operators_are_refused(namespace: str) -> None:
    assert refusal({**THREE, "namespace": namespace}, protected_namespace=["mine"]).startswith("--namespace")


@pytest.mark.parametrize("namespace", ["kube-system", "openshift-ingress", "openshift", "default"])
def test_namespaces_of_the_cluster_are_warned_of(namespace: str) -> None:
    (warning,) = rendered({**THREE, "namespace": namespace}).warnings
    assert warning == f"the dashboard lists no project {namespace}: names such as this are the cluster's own"
    assert not rendered({**THREE, "namespace": "openshiftly"}).warnings
    assert not rendered({**PLAIN, "namespace": "default"}).warnings
    assert rendered({**PLAIN, "namespace": "kube-system"}).warnings == (
        "the namespace kube-system is Kubernetes' own: take another",
    )


def test_names() -> None:
    display = {**THREE, "name": None, "display-name": "Granite 3.1 2B"}
    assert named(rendered(display), "InferenceService")["metadata"]["name"] == "granite-31-2b"
    assert "--name" in refusal({**THREE, "name": None})
    assert "--name" in refusal({**THREE, "name": "Granite"})
    assert "--name" in refusal({**THREE, "name": "a" * 54})
    assert "--name" in refusal({**THREE, "name": "a" * 53, "namespace": "b" * 10})
    assert any("30 characters" in warning for warning in rendered({**THREE, "name": "a" * 31}).warnings)
    assert "--namespace" in refusal({**THREE, "namespace": None})


def test_a_hardware_profile_writes_no_resources_but_those_given() -> None:
    done = rendered(THREE, hardware_profile="gpu/redhat-ods-applications")
    assert annotated(done)["opendatahub.io/hardware-profile-name"] == "gpu"
    assert annotated(done)["opendatahub.io/hardware-profile-namespace"] == "redhat-ods-applications"
    assert "resources" not in predictor(done)["model"]
    given = rendered(THREE, hardware_profile="gpu", limits={"memory": "16Gi"})
    assert predictor(given)["model"]["resources"] == {"limits": {"memory": "16Gi"}}
    assert "opendatahub.io/hardware-profile-namespace" not in annotated(given)


def test_a_hardware_profile_without_a_namespace_is_told_where_it_is_looked_for() -> None:
    (note,) = rendered(THREE, hardware_profile="gpu").notes
    assert note.startswith("the hardware profile gpu is looked for in demo: ")
    assert "write gpu/redhat-ods-applications" in note
    assert not rendered(THREE, hardware_profile="gpu/demo").notes


def test_the_forms_memory_is_told_where_several_gpus_are_to_share_it() -> None:
    (note,) = rendered(THREE, gpu_count=2).notes
    assert note.startswith("the memory is the form's, 4Gi: vLLM runs a process for each of the 2 GPUs")
    assert "--limits memory=QUANTITY raises it" in note
    assert any("the memory is the form's, 8Gi" in note for note in rendered(TWO, gpu_count=2).notes)
    for without in (
        rendered(THREE, gpu_count=1),
        rendered(THREE, gpu_count=2, limits={"memory": "64Gi"}),
        rendered(PLAIN, gpu_count=2),
        rendered({**THREE, "runtime-image": None, "runtime": "ovms", "model-format": "onnx"}, gpu_count=2),
    ):
        assert not any("the memory is" in note for note in without.notes)


def test_several_devices_share_memory() -> None:
    for done in (rendered(THREE, gpu_count=2), rendered(TWO)):
        spec = named(done, "ServingRuntime")["spec"]
        assert spec["containers"][0]["volumeMounts"] == [{"name": "shm", "mountPath": "/dev/shm"}]
        assert spec["volumes"][0]["emptyDir"]["medium"] == "Memory"
        assert "volumes" not in predictor(done)
    without_copy = {**THREE, "runtime-image": None, "runtime": "mine"}
    assert predictor(rendered(without_copy, gpu_count=2))["volumes"] == [
        {"name": "shm", "emptyDir": {"medium": "Memory"}}
    ]
    assert "volumes" not in named(rendered(THREE, gpu_count=1), "ServingRuntime")["spec"]
    assert "volumes" not in predictor(rendered(PLAIN, gpu_count=2))


def test_what_was_chosen_from_the_model_gives_way_to_what_was_said() -> None:
    chosen = deployment_from({"gpu-count": 4, "args": ["--tensor-parallel-size=4"], "env": {"A": "1", "B": "1"}})
    wish = deployment_from({**THREE, "gpu-count": 2, "env": {"A": "2"}})
    done = render(wish, chosen=chosen)
    model = predictor(done)["model"]
    assert model["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert model["args"] == ["--tensor-parallel-size=4"]
    assert {one["name"]: one["value"] for one in model["env"]} == {"A": "2", "B": "1"}
    profile = render(deployment_from({**THREE, "hardware-profile": "gpu"}), chosen=chosen)
    assert "resources" not in predictor(profile)["model"]
    sized = deployment_from({"requests": {"memory": "64Gi"}, "limits": {"memory": "64Gi"}})
    two = render(deployment_from({**TWO, "size": "Large"}), chosen=sized)
    assert predictor(two)["model"]["resources"]["limits"]["memory"] == "20Gi"


def test_arguments_are_read_as_the_form_reads_them() -> None:
    done = rendered(THREE, args=["--a=1\n# a comment\n\n  --b", "--c=x y"])
    assert predictor(done)["model"]["args"] == ["--a=1", "--b", "--c=x y"]


def test_a_memory_limit_under_the_images_size_is_a_warning() -> None:
    done = render(deployment_from(THREE), image_size=5 * 1024**3)
    assert any("4Gi is less than the image's 5.0 GiB" in warning for warning in done.warnings)


def test_the_same_again_gives_the_same() -> None:
    wish = deployment_from({**THREE, "save-connection": False, "route": True})
    assert render(wish, digest=DIGEST).manifests == render(wish, digest=DIGEST).manifests
    assert "uid" not in str(render(wish).manifests)


def test_secrets_are_not_shown_by_repr() -> None:
    assert "hunter2" not in repr(SecretValues("hunter2", "hunter2", "hunter2"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env", {"1A": "x"}),
        ("env", {"PYTHONPATH": "x"}),
        ("env", {"A": "\0"}),
        ("requests", {"cpus": "1"}),
        ("requests", {"cpu": "one"}),
        ("requests", {"cpu": "3", "memory": "-1"}),
        ("limits", {"nvidia.com/gpu": "0.5"}),
        ("model_format", "a b"),
        ("pull_secret", ["No"]),
        ("runtime", "x"),
        ("runtime_parameter", {"A": "1"}),
        ("kserve_version", "new"),
        ("deployment_mode", "fast"),
        ("genai_use_case", "chat"),
        ("hardware_profile", "a/b/c"),
        ("hardware_profile", ""),
        ("hardware_profile", "A"),
        ("description", "\ud800"),
        ("args", [""]),
    ],
)
def test_a_wrong_value_is_refused_with_the_fields_name(field: str, value: Any) -> None:
    assert f"--{field.replace('_', '-')}" in refusal(THREE, **{field: value})


def test_requests_and_limits_keep_to_each_other() -> None:
    def resources(**more: Any) -> Any:
        return predictor(rendered(THREE, **more))["model"]["resources"]

    assert resources(requests={"cpu": "4"})["limits"]["cpu"] == "4"
    assert resources(limits={"cpu": "1"})["requests"]["cpu"] == "1"
    assert resources(limits={"amd.com/gpu": "2"})["requests"]["amd.com/gpu"] == "2"
    assert "--requests" in refusal(THREE, requests={"cpu": "4"}, limits={"cpu": "3"})
    assert "--requests" in refusal(THREE, requests={"amd.com/gpu": "1"}, limits={"amd.com/gpu": "2"})
    assert "--gpu-count" in refusal(THREE, gpu_count=1, limits={"nvidia.com/gpu": "2"})


def test_replicas() -> None:
    assert predictor(rendered(TWO, min_replicas=0, max_replicas=3))["minReplicas"] == 0
    assert predictor(rendered(TWO, min_replicas=3))["maxReplicas"] == 3
    assert "--min-replicas" in refusal(TWO, min_replicas=3, max_replicas=2)
    assert "--replicas" in refusal(TWO, replicas=1, max_replicas=2)
    with pytest.raises(UsageError, match="--replicas"):
        deployment_from({**THREE, "replicas": 100})

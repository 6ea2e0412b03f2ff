"""What lint says of arguments and of what a container asks for."""

from __future__ import annotations

import pytest

from modelcar.kserve.lint import Aim, Finding, Text, lint
from modelcar.kserve.lint.fix import fix
from tests.unit.kserve.lint_examples import ANYWHERE, GPUS, SHM, llm, runtime, service


def found(text: str, rule: str, aim: Aim = ANYWHERE) -> list[Finding]:
    return [one for one in lint([Text("x.yaml", text.encode())], aim).findings if one.rule == rule]


def fixed(text: str) -> str:
    result = lint([Text("x.yaml", text.encode())], ANYWHERE)
    return fix(result.documents["x.yaml"], result.findings).data.decode()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("'--max-model-len 4096'", "write --max-model-len=4096, or --max-model-len and 4096 as two items"),
        ("--max-model-len 4096", "write --max-model-len=4096, or --max-model-len and 4096 as two items"),
        ("-tp 2", "write -tp=2, or -tp and 2 as two items"),
        ("--a 1 --b 2", "write each option and each value as an item of its own"),
        ('"--a\\n1"', "write --a=1, or --a and 1 as two items"),
    ],
)
def test_an_option_and_its_value_in_one_argument(word: str, said: str) -> None:
    for text in (
        service(f"args: [{word}],"),
        runtime(container=f"args: [{word}],"),
        llm(f"{{template: {{containers: [{{name: main, args: [{word}]}}]}}}}"),
        service(predictor=f"containers: [{{name: kserve-container, args: [{word}]}}],").replace("model: ", "x: "),
    ):
        [one] = found(text, "argument-joined")
        assert one.fix == said
        assert text[:10_000].splitlines()[one.line - 1][one.column - 1 :].startswith(word)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_argument_in_a_list_of_lines(place: int) -> None:
    items = ["--a=b", "--c", "--d=e f"]
    items[place] = "--port 80"
    lines = "".join(f"        - {item}\n" for item in items)
    head = "apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: r}\nspec:\n  containers:\n"
    text = f"{head}    - name: kserve-container\n      args:\n{lines}"
    for whole in (text, text + "  multiModel: false\n"):
        [one] = found(whole, "argument-joined")
        assert one.line == 8 + place


@pytest.mark.parametrize(
    "words",
    [
        "[--max-model-len, '4096']",
        "['--override={\"a\": 1}', '--prompt=a b']",
        "[sh, -c, '--not an option']",
        "[/bin/bash, -ec, 'exec vllm \"$@\"', --, '--max-model-len 4096']",
        "[--server-args, '--max-model-len 4096']",
        "['- a', '-- b', '-1 2']",
    ],
)
def test_other_arguments_with_blanks_are_let_be(words: str) -> None:
    assert not found(service(f"args: {words},"), "argument-joined")


def test_a_script_of_the_runtime_may_take_arguments_apart() -> None:
    text = service("args: ['--max-model-len 4096'],")
    assert not found(text + runtime(container="command: [sh, -c, 'vllm serve $@', x],"), "argument-joined")
    assert found(text + runtime(container="command: [python, -m, vllm],"), "argument-joined")


def test_a_joined_argument_is_taken_apart_by_fix() -> None:
    assert fixed(service("args: ['--max-model-len 4096', --dtype  half],")) == service(
        "args: ['--max-model-len=4096', --dtype=half],"
    )
    for word in ("'--a 1 --b 2'", "'--override {\"a\"}'", "-tp 2"):
        assert fixed(service(f"args: [{word}],")) == service(f"args: [{word}],")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8k", "write the number: 8000"),
        ("1.5k", "write the number: 1500"),
        ("8 kB", "write a whole number, as 8192"),
        ("8,192", "write a whole number, as 8192"),
        ("0", "write a whole number, as 8192"),
        ("8192", ""),
        ("8K", ""),
        ("-1", ""),
        ("auto", ""),
        ("$(LENGTH)", ""),
    ],
)
def test_a_context(text: str, said: str) -> None:
    assert [one.fix for one in found(service(f"args: ['--max-model-len={text}'],"), "argument-number")] == [said] * (
        said != ""
    )


def test_another_server_s_argument_of_that_name_is_let_be() -> None:
    text = service("args: [--max-model-len=8k],").replace("vLLM", "onnx")
    assert not found(text, "argument-number")


def test_accelerators_of_two_makers() -> None:
    amd = 'resources: {limits: {amd.com/gpu: "1"}},'
    nvidia = 'resources: {limits: {nvidia.com/gpu: "1"}, requests: {nvidia.com/gpu: "1"}},'
    [one] = found(service(amd) + runtime(container=nvidia), "gpu-kinds")
    assert one.message == "amd.com/gpu and nvidia.com/gpu in one container"
    assert not found(service(amd) + runtime(container=nvidia.replace('"1"', '"0"')), "gpu-kinds")
    slices = 'resources: {limits: {nvidia.com/gpu: "1", nvidia.com/mig-1g.5gb: "1"}},'
    assert not found(service(slices), "gpu-kinds")
    intel = 'resources: {limits: {gpu.intel.com/i915: "1", gpu.intel.com/xe: "1"}},'
    assert not found(service(intel), "gpu-kinds")
    gaudi = 'resources: {requests: {habana.ai/gaudi: "1", ibm.com/spyre_pf: "1"}, limits: {habana.ai/gaudi: "1"}},'
    assert found(service(gaudi), "gpu-kinds")


def test_the_medium_of_shared_memory() -> None:
    wrong = SHM[1].replace("Memory", "memory")
    for text in (service(predictor=wrong), runtime(wrong.rstrip(","))):
        [one] = found(text, "volume-medium")
        assert one.fix == "write Memory"
        assert fixed(text) == text.replace("medium: memory", "medium: Memory")
    for medium in ("HugePages", "HugePages-2Mi", "''"):
        assert not found(service(predictor=SHM[1].replace("Memory", medium)), "volume-medium")
    [one] = found(service(predictor=SHM[1].replace("Memory", "tmpfs")), "volume-medium")
    assert one.fix == "write Memory, or take it out"


def test_only_a_server_whose_gpus_talk_needs_shared_memory() -> None:
    triton = service(GPUS).replace("model: {modelFormat: {name: vLLM}, runtime: r,", "triton: {")
    assert not found(triton, "gpu-shm")
    assert not found(service(GPUS).replace("vLLM", "onnx"), "gpu-shm")
    assert found(service(GPUS).replace("vLLM", "huggingface"), "gpu-shm")
    own = f"containers: [{{name: kserve-container, args: [vllm, serve], {GPUS}}}],"
    assert found(service(predictor=own).replace("model: ", "x: "), "gpu-shm")


def test_the_size_of_a_server_over_several_nodes() -> None:
    for size, said in (
        ("tensorParallelSize: 1", ["write tensorParallelSize: 2 in workerSpec"]),
        ("pipelineParallelSize: 2", ["write tensorParallelSize: 2 in workerSpec"]),
        ("tensorParallelSize: 2", []),
    ):
        text = service(GPUS, predictor=f"workerSpec: {{{size}}},")
        assert [one.fix for one in found(text, "gpu-idle")] == said
    assert not found(service(predictor="workerSpec: {tensorParallelSize: 8},"), "gpu-tensor-parallel")

"""What is chosen for models of several architectures."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import Refused, UsageError
from modelcar.kserve.arguments import given_args, split_args, tokens_in
from modelcar.kserve.choices import Choice, Choices, Wishes, gpu_of
from modelcar.kserve.defaults import choose
from modelcar.kserve.versions import Version
from modelcar.model import Facts
from modelcar.model.config import read_architecture
from modelcar.model.fit import Wish, fit
from modelcar.model.gpus import parse_gpu
from modelcar.model.quantization import Quantization

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
    "max_position_embeddings": 131072,
}  # fmt: skip
LLAMA_70B = {
    **LLAMA,
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "intermediate_size": 28672,
}
GRANITE = {
    "architectures": ["GraniteForCausalLM"], "model_type": "granite", "hidden_size": 2048, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 49155,
    "max_position_embeddings": 131072,
}  # fmt: skip
QWEN_14B = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 5120, "num_hidden_layers": 48,
    "num_attention_heads": 40, "num_key_value_heads": 8, "intermediate_size": 13824, "vocab_size": 152064,
    "max_position_embeddings": 32768,
}  # fmt: skip
GB = 10**9
FILES = ("config.json", "model.safetensors", "tokenizer_config.json")


def facts_of(config: dict[str, Any], weights: float, dtype: str = "BF16", **more: Any) -> Facts:
    size = int(weights * GB)
    return replace(
        Facts("safetensors", "", read_architecture(config), size // 2, size, 0, {dtype: size}, None, "x.jinja", ()),
        **more,
    )


SMALL = facts_of(GRANITE, 5.07)
MIDDLE = facts_of(LLAMA, 16.06)
LARGE = facts_of(LLAMA_70B, 141.1)
ODD = facts_of(QWEN_14B, 29.5)


def chosen(facts: Facts | None, gpu: str | None = None, **wishes: Any) -> Choices:
    return choose(facts, FILES, Wishes(gpu=parse_gpu(gpu) if gpu else None, **wishes))


def the(choices: Choices, field: str) -> Choice:
    (found,) = [choice for choice in choices.made if choice.field == field]
    return found


# Without a GPU


def test_without_a_gpu_nothing_is_guessed() -> None:
    for facts in (SMALL, LARGE):
        found = chosen(facts)
        assert (found.args, found.gpu_count, found.model_format) == ((), 1, "vLLM")
    assert the(chosen(LARGE), "gpu-count").reason == "needs at least 131.4 GiB for the weights; with --gpu I check"
    assert the(chosen(replace(LARGE, estimated=True)), "gpu-count").reason.startswith("needs at least about 131.4 GiB")


@pytest.mark.parametrize(
    ("wishes", "row", "count"),
    [
        ({"profile": True}, "", None),
        ({"profile": True, "args": ("--tensor-parallel-size=4",)}, "", None),
        ({"profile": True, "args": ("--pipeline-parallel-size=4",)}, "", None),
        ({"gpu_count": 0}, "0", None),
        ({"gpu_count": 3}, "3", None),
        ({"accelerator": True}, "1", 1),
        ({"args": ("--pipeline-parallel-size=4",)}, "1", 1),
        ({"args": ("--tensor-parallel-size=4",)}, "4", 4),
    ],
)
def test_the_row_of_gpus_says_what_is_written(wishes: dict[str, Any], row: str, count: int | None) -> None:
    found = chosen(SMALL, **wishes)
    assert (the(found, "gpu-count").value, found.gpu_count) == (row, count)
    if "profile" in wishes:
        assert the(found, "gpu-count").reason == (
            "the hardware profile decides; needs at least 4.7 GiB for the weights; with --gpu and --gpu-count I check"
        )


def test_no_gpu_is_asked_for_where_nobody_looked_and_none_was_named() -> None:
    found = choose(None, (), Wishes())
    assert (the(found, "gpu-count").value, found.gpu_count) == ("", None)
    assert "--gpu-count asks" in the(found, "gpu-count").reason
    assert choose(None, (), Wishes(accelerator=True)).gpu_count == 1
    assert choose(None, ("1/model.onnx",), Wishes(accelerator=True)).gpu_count == 1
    assert choose(None, ("1/model.onnx",), Wishes(accelerator=True, profile=True)).gpu_count is None


def test_a_profile_must_give_the_gpus_that_the_user_shares_the_model_by() -> None:
    found = chosen(SMALL, profile=True, args=("--tensor-parallel-size=4",))
    assert found.notes == ("--tensor-parallel-size shares the model by 4 GPUs: the hardware profile must give as many",)


def test_what_needs_no_look_is_written_without_one() -> None:
    wishes: dict[str, Any] = {"context": 4096, "trust_code": True, "tools": True}
    args = ("--max-model-len=4096", "--trust-remote-code")
    for wished in (wishes, {**wishes, "gpu_count": 0}, {**wishes, "profile": True}):
        found = choose(None, (), Wishes(**wished))
        assert found.args == args
        assert any("--tools: the model was not looked at" in note for note in found.notes)
        assert chosen(SMALL, **{**wished, "tools": False}).args == args
    assert chosen(SMALL, "T4", gpu_count=0, context=4096).args == ("--max-model-len=4096", "--dtype=half")


def test_several_gpus_share_a_model_whatever_they_are() -> None:
    assert chosen(LARGE, gpu_count=4).args == ("--tensor-parallel-size=4",)
    unseen = choose(None, (), Wishes(gpu_count=2))
    assert (unseen.args, unseen.model_format) == (("--tensor-parallel-size=2",), None)
    assert chosen(LARGE, gpu_count=0).args == ()


def test_as_many_gpus_as_the_user_shares_the_model_by() -> None:
    for facts, files in ((LARGE, FILES), (None, ())):
        found = choose(facts, files, Wishes(args=("--tensor-parallel-size", "4")))
        assert (found.args, found.gpu_count) == ((), 4)
        assert the(found, "gpu-count").value == "4"
    found = chosen(LARGE, gpu_count=2, args=("-tp=4",))
    assert (found.args, found.gpu_count) == ((), None)
    assert "--tensor-parallel-size shares the model by 4 GPUs, and a server has 2" in found.notes


def test_a_model_that_nobody_looked_at_is_what_the_runtime_takes() -> None:
    found = choose(None, (), Wishes(gpu_count=2))
    assert the(found, "model-format").reason == "what the runtime takes: the model was not looked at"
    assert the(found, "gpu-count").reason == "how much memory its weights need is not known"
    for taken in ("onnx", ""):
        found = choose(None, (), Wishes(gpu_count=2, taken=taken))
        assert (found.args, found.model_format, the(found, "model-format").value) == ((), None, taken)


def test_a_count_that_cannot_share_the_heads_is_told_and_not_refused() -> None:
    found = chosen(LARGE, gpu_count=3)
    assert found.args == ("--tensor-parallel-size=2",)
    assert "3 GPUs can't share the model's 64 attention heads: 2 or 4 can; of 3, 1 stays idle" in found.notes


# With one


def test_a_model_that_fits_needs_no_argument() -> None:
    found = chosen(SMALL, "H100")
    assert (found.args, found.gpu_count) == ((), 1)
    assert "memory is reckoned by the rules of vLLM 0.33.0, with 10% of each GPU kept aside" in found.notes
    assert the(found, "gpu-count").reason.startswith(
        "one request of 131,072 tokens takes 16.3 GiB of 65.9 GiB on each H100"
    )
    assert the(found, "gpu-count").reason.endswith(", and 5 fit")


def test_the_fewest_gpus_that_give_a_useful_context() -> None:
    found = chosen(MIDDLE, "L40S")
    assert found.gpu_count == 1
    found = chosen(LARGE, "H100")
    assert found.gpu_count == 4  # 2 hold the weights, and no context that is worth having
    assert found.args[0] == "--tensor-parallel-size=4"


def test_a_context_is_chosen_only_where_the_own_does_not_fit() -> None:
    found = chosen(MIDDLE, "24GiB", gpu_count=1)
    (argument,) = found.args
    length = int(argument.removeprefix("--max-model-len="))
    assert 1024 <= length < 131072
    assert length % 1024 == 0
    assert found.gpu_count is None
    assert "one request of 131,072 tokens doesn't fit" in the(found, "--max-model-len").reason
    assert "that takes 2 GPUs" in the(found, "--max-model-len").reason
    assert chosen(MIDDLE, "24GiB", gpu_count=2).args == ("--tensor-parallel-size=2",)


def test_heads_that_no_sixteen_gpus_can_share() -> None:
    found = chosen(ODD, "T4", force=False)
    assert found.gpu_count == 4  # not 3: 40 heads
    assert "--tensor-parallel-size=4" in found.args


def test_a_count_with_which_it_cannot_be_shared_is_refused() -> None:
    with pytest.raises(Refused, match="3 GPUs can't share the model's 40 attention heads: 2 or 4 can") as caught:
        chosen(ODD, "A100", gpu_count=3)
    assert "--force goes on" in caught.value.hint
    assert "--gpu-count 1" in caught.value.hint
    assert chosen(ODD, "A100", gpu_count=3, force=True).args == ("--tensor-parallel-size=2",)


def test_what_cannot_fit_is_refused_with_numbers_and_what_would() -> None:
    with pytest.raises(Refused) as caught:
        chosen(MIDDLE, "T4", gpu_count=1)
    assert "the model doesn't fit on one T4: without any request it takes" in caught.value.what
    assert "GiB there, with 10% kept aside" in caught.value.what
    assert caught.value.hint == "2 would do: --gpu-count 2; --force goes on"
    found = chosen(MIDDLE, "T4", gpu_count=1, force=True)
    assert any("doesn't fit on one T4" in note for note in found.notes)


@pytest.mark.parametrize(
    ("facts", "gpu", "wishes"),
    [
        (MIDDLE, "1GiB", {}),
        (MIDDLE, "T4", {"gpu_count": 1}),
        (MIDDLE, "1g.5gb", {}),
        (MIDDLE, "1GiB", {"context": 100_000}),
        (ODD, "A100", {"gpu_count": 3}),
        (LARGE, "H100", {"gpu_count": 1}),
        (LARGE, "3g.40gb", {}),
        (replace(LARGE, weight_bytes=600 * GB), "T4", {}),
    ],
)
def test_what_would_do_does(facts: Facts, gpu: str, wishes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        chosen(facts, gpu, **wishes)
    if found := re.match(r"(\d+) would do", caught.value.hint):
        again = {**wishes, "gpu_count": int(found[1])}
        chosen(facts, gpu, **again)
        fewer = {**wishes, "gpu_count": int(found[1]) // 2}
    else:
        found = re.match(r"it takes (a GPU|\d+ GPUs) of (\d+) GiB;", caught.value.hint)
        assert found
        count = 1 if found[1] == "a GPU" else int(found[1].split()[0])
        chosen(facts, f"{found[2]}GiB", **{**wishes, "gpu_count": count})
        gpu, fewer = f"{int(found[2]) - 1}GiB", {**wishes, "gpu_count": count}
    if fewer["gpu_count"]:
        with pytest.raises(Refused):
            chosen(facts, gpu, **fewer)


def test_the_fewest_gpus_that_would_do_are_named() -> None:
    with pytest.raises(Refused, match="doesn't fit on 16 × 1GiB") as caught:
        chosen(MIDDLE, "1GiB")
    assert caught.value.hint.startswith("it takes a GPU of 2")  # and not 16 smaller ones
    with pytest.raises(Refused) as caught:
        chosen(replace(LARGE, weight_bytes=600 * GB), "T4")
    assert caught.value.hint.startswith("it takes 4 GPUs of ")
    with pytest.raises(Refused) as caught:
        chosen(replace(LARGE, weight_bytes=9000 * GB), "T4")
    assert "too large for 16 GPUs of any kind" in caught.value.hint


def test_a_context_that_the_user_wants_must_fit() -> None:
    assert chosen(MIDDLE, "24GiB", context=8192, gpu_count=1).args == ("--max-model-len=8192",)
    assert chosen(MIDDLE, "24GiB", args=("--max-model-len", "8192")).args == ()
    assert chosen(MIDDLE, "24GiB", context=100_000).gpu_count == 2
    with pytest.raises(Refused, match="one request of 100,000 tokens doesn't fit on one 24GiB"):
        chosen(MIDDLE, "24GiB", context=100_000, gpu_count=1)


def test_a_slice_of_a_gpu_is_never_shared() -> None:
    gpu = gpu_of(None, "nvidia.com/mig-3g.40gb")
    assert gpu is not None
    assert choose(MIDDLE, FILES, Wishes(gpu=gpu)).gpu_count == 1
    with pytest.raises(Refused, match=r"doesn't fit on one MIG 3g\.40gb") as caught:
        choose(LARGE, FILES, Wishes(gpu=gpu))
    assert caught.value.hint.startswith("it takes a GPU of ")
    for facts, files in ((MIDDLE, FILES), (None, ())):
        with pytest.raises(Refused, match="2 slices of a GPU can't share a model"):
            choose(facts, files, Wishes(gpu=gpu, gpu_count=2))


def test_what_tells_the_device() -> None:
    assert gpu_of(None, "nvidia.com/gpu") is None
    assert gpu_of(None) is None
    named = gpu_of("H100", "nvidia.com/mig-1g.10gb")
    assert named is not None
    assert named.name == "H100"
    with pytest.raises(UsageError):
        gpu_of("Z9")


def test_an_architecture_of_which_nothing_is_known_is_not_refused() -> None:
    facts = facts_of({"architectures": ["StrangeForCausalLM"], "model_type": "strange"}, 5)
    found = chosen(facts, "H100")
    assert (found.args, found.gpu_count) == ((), 1)
    assert "can't be told" in the(found, "gpu-count").reason


# Arguments


def test_half_only_for_bfloat16_on_what_lacks_it() -> None:
    assert "--dtype=half" in chosen(SMALL, "T4").args
    assert "--dtype=half" in chosen(SMALL, "V100").args
    assert "--dtype=half" not in chosen(SMALL, "A10").args
    assert "--dtype=half" not in chosen(SMALL, "16GiB").args
    assert "--dtype=half" not in chosen(SMALL).args
    assert "--dtype=half" not in chosen(facts_of(GRANITE, 5.07, "F16"), "T4").args


def test_what_is_never_written() -> None:
    quantized = replace(SMALL, quantization=Quantization("awq", 4))
    for gpu in (None, "T4", "H100"):
        text = " ".join(chosen(quantized, gpu).args)
        assert not any(word in text for word in ("--quantization", "--gpu-memory-utilization", "--chat-template"))


def test_code_of_the_model_is_run_only_where_somebody_says_so() -> None:
    own = replace(SMALL, own_code=True)
    found = chosen(own)
    assert found.args == ()
    assert any("--trust-remote-code" in note for note in found.notes)
    assert chosen(own, trust_code=True).args == ("--trust-remote-code",)
    assert not chosen(own, trust_code=True).notes
    assert not chosen(own, args=("--trust-remote-code",)).notes


@pytest.mark.parametrize(
    ("config", "version", "parser"),
    [
        (GRANITE, Version(0, 10), "granite"),
        (LLAMA, Version(0, 9), "llama3_json"),
        (QWEN_14B, Version(0, 11), "hermes"),
        ({**GRANITE, "model_type": "gpt_oss"}, Version(0, 11), "openai"),
        ({**GRANITE, "model_type": "gpt_oss"}, Version(0, 10), None),
        (GRANITE, None, None),
        ({**LLAMA, "vocab_size": 32000}, Version(0, 11), None),
        ({**GRANITE, "model_type": "qwen3_moe"}, Version(0, 11), None),
    ],
)
def test_tools(config: dict[str, Any], version: Version | None, parser: str | None) -> None:
    facts = facts_of(config, 5)
    assert chosen(facts, vllm=version).args == ()
    found = chosen(facts, vllm=version, tools=True)
    expected = () if parser is None else ("--enable-auto-tool-choice", f"--tool-call-parser={parser}")
    assert found.args == expected
    assert any(note.startswith("--tools: ") for note in found.notes) == (parser is None)


def test_tools_want_a_chat_template() -> None:
    found = chosen(replace(SMALL, chat_template=None), tools=True, vllm=Version(0, 11))
    assert found.args == ()
    assert "--tools: the model has no chat template, and without one there are no tool calls" in found.notes


def test_what_the_user_says_stands() -> None:
    said = ("--max_model_len=4096", "-tp 2", "--dtype", "half", "--tool-call-parser=hermes")
    found = chosen(MIDDLE, "T4", args=said, tools=True, vllm=Version(0, 11))
    assert found.args == ("--enable-auto-tool-choice",)
    assert found.gpu_count == 2
    assert the(found, "--max-model-len") == Choice("--max-model-len", "4096", "as you say", overridden=True)
    assert the(found, "--dtype").overridden
    assert the(found, "--tensor-parallel-size").value == "2"


def test_the_context_that_the_user_says_is_written_whatever_is_known() -> None:
    for found in (
        chosen(MIDDLE, context=8192),
        choose(None, (), Wishes(context=8192)),
        chosen(ODD, "H100", context=8192),
    ):
        assert found.args == ("--max-model-len=8192",)
        assert the(found, "--max-model-len").reason == "as you say"
    assert chosen(LARGE, args=("--pipeline-parallel-size=2",), context=8192).args == ("--max-model-len=8192",)


@pytest.mark.parametrize("gpu", [None, "H100"])
def test_two_contexts_are_a_mistake(gpu: str | None) -> None:
    with pytest.raises(UsageError, match="--context: 8192 tokens, and --args say --max-model-len=4096"):
        chosen(MIDDLE, gpu, context=8192, args=("--max-model-len 4096",))
    assert chosen(MIDDLE, gpu, context=8192, args=("--max-model-len", "8K")).args == ()


@pytest.mark.parametrize("gpu", [None, "H100"])
@pytest.mark.parametrize("wishes", [{"context": 200_000}, {"args": ("--max-model-len=200k",)}])
def test_more_tokens_than_the_model_has_are_refused(gpu: str | None, wishes: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="200,000 tokens are more than the model's 131,072: vLLM refuses that") as caught:
        chosen(SMALL, gpu, **wishes)
    assert caught.value.hint == "take 131072 at most; --force goes on"
    found = chosen(SMALL, gpu, force=True, **wishes)
    assert len([note for note in found.notes if "vLLM refuses that" in note]) == 1
    assert "refuses" not in str(chosen(SMALL, gpu, longer=True, **wishes).notes)
    args = (*wishes.get("args", ()), '--hf-overrides={"max_position_embeddings": 262144}')
    assert "refuses" not in str(chosen(SMALL, gpu, **{**wishes, "args": args}).notes)


def test_what_is_for_vllm_is_told_where_something_else_serves() -> None:
    found = choose(None, ("1/model.onnx",), Wishes(context=8192, tools=True))
    assert found.args == ()
    assert "nothing is written of --context and --tools: vLLM doesn't serve onnx:1" in found.notes


def test_a_parser_of_the_user_s_is_switched_on_by_tools() -> None:
    for args in (("--tool-call-parser=llama3_json",), ("--tool-call-parser llama3_json",)):
        for facts, files in ((SMALL, FILES), (None, ())):
            assert choose(facts, files, Wishes(args=args, tools=True)).args == ("--enable-auto-tool-choice",)
            assert choose(facts, files, Wishes(args=args)).args == ()
    both = ("--tool-call-parser=hermes", "--enable-auto-tool-choice")
    assert chosen(SMALL, args=both, tools=True).args == ()


def test_a_pipeline_is_left_to_the_user() -> None:
    found = chosen(LARGE, "A10", args=("--pipeline-parallel-size=4",), gpu_count=8)
    assert found.args == ()
    assert any("neither GPUs nor context" in note for note in found.notes)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (("--a=1", "--b", "2", "--c"), {"--a": "1", "--b": "2", "--c": ""}),
        (("--a_b 1",), {"--a-b": "1"}),
        (("-tp=4",), {"--tensor-parallel-size": "4"}),
        (("--a", "-1"), {"--a": "-1"}),
        (("--a 1 --b=2 --c",), {"--a": "1", "--b": "2", "--c": ""}),
        ((), {}),
    ],
)
def test_arguments_in_every_spelling(args: tuple[str, ...], found: dict[str, str]) -> None:
    assert given_args(args) == found


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("--max-model-len 4096", ["--max-model-len", "4096"]),
        ("-tp 2 --port=8000", ["-tp", "2", "--port=8000"]),
        ("--dtype=half --port 8000", ["--dtype=half", "--port", "8000"]),
        ("--served-model-name 'my model' b", ["--served-model-name", "my model", "b"]),
        ("--served-model-name the boss's", ["--served-model-name", "the", "boss's"]),
        ("--chat-template=a b", ["--chat-template=a b"]),
        ('--hf-overrides {"a": [1, 2]}', ["--hf-overrides", '{"a": [1, 2]}']),
        ('--hf-overrides={"a": "--b c"}', ['--hf-overrides={"a": "--b c"}']),
        ("my model", ["my model"]),
        ("--a\n # no\n--b 1\n", ["--a", "--b", "1"]),
    ],
)
def test_several_arguments_in_one_string_are_several(written: str, words: list[str]) -> None:
    assert [*split_args([written])] == words
    assert split_args(words) == tuple(words)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("8192", 8192),
        ("8k", 8000),
        ("8K", 8192),
        ("1.5k", 1500),
        ("auto", None),
        ("-1", None),
        ("0", None),
        (None, None),
    ],
)
def test_tokens_as_vllm_reads_them(text: str | None, tokens: int | None) -> None:
    assert tokens_in(text) == tokens


# Formats


def test_another_format_gets_no_arguments_of_vllm() -> None:
    found = choose(None, ("1/model.onnx",), Wishes(gpu=parse_gpu("T4"), gpu_count=2))
    assert (found.model_format, found.args) == ("onnx:1", ())
    assert found.served.runtime == "openvino"


def test_the_format_that_the_user_says_stands() -> None:
    found = chosen(SMALL, model_format="onnx", gpu_count=2)
    assert (found.model_format, found.args) == ("onnx", ())
    assert the(found, "model-format").overridden
    assert choose(None, ("x.gguf",), Wishes(model_format="vLLM", gpu_count=2)).args == ("--tensor-parallel-size=2",)


@given(
    heads=st.sampled_from([8, 12, 14, 25, 32, 40, 64, 96]),
    kv=st.sampled_from([1, 2, 4, 8]),
    layers=st.integers(1, 100),
    context=st.sampled_from([512, 2048, 32768, 131072, 1_000_000]),
    weights=st.floats(0.1, 900),
    gpu=st.sampled_from(["T4", "A10", "L40S", "H100", "B200", "3g.40gb", "11GiB"]),
    count=st.none() | st.integers(0, 17),
)
def test_what_is_chosen_fits(
    heads: int, kv: int, layers: int, context: int, weights: float, gpu: str, count: int | None
) -> None:
    config = {
        **LLAMA, "num_attention_heads": heads, "num_key_value_heads": kv, "num_hidden_layers": layers, "head_dim": 128,
        "max_position_embeddings": context,
    }  # fmt: skip
    facts = facts_of(config, weights)
    try:
        found = chosen(facts, gpu, gpu_count=count)
    except Refused:
        assert chosen(facts, gpu, gpu_count=count, force=True).notes
        return
    args = given_args(found.args)
    shared = int(args.get("--tensor-parallel-size", 1))
    devices = found.gpu_count if count is None else count
    assert devices is not None
    if devices == 0:
        return
    assert shared == devices
    assert heads % shared == 0
    length = int(args.get("--max-model-len", context))
    assert fit(facts, Wish(parse_gpu(gpu), shared, length)).placement.fits  # without what is kept aside, too

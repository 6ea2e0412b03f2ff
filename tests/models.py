"""Models for the tests, generated from a seed: the same seed gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random

CARD = b"---\nlicense: apache-2.0\ntags: [tests]\n---\n# A model of the tests\n"


def model_files(seed: int = 0, *, shards: int = 2, shard_size: int = 100_000) -> dict[str, bytes]:
    """A model as a Hugging Face repository holds it: safetensors with their index, config, tokenizer, card."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    tensors = {f"layer.{number}.weight": name for number, name in enumerate(names)}
    files = {name: safetensors(tensor, shard_size, f"{seed} {name}") for tensor, name in tensors.items()}
    return {
        **files,
        "README.md": CARD,
        "config.json": json.dumps({"model_type": "tests", "seed": seed}).encode(),
        "model.safetensors.index.json": json.dumps({"metadata": {}, "weight_map": tensors}).encode(),
        "tokenizer/vocab.txt": b"a\nb\n",
    }


def safetensors(tensor: str, size: int, seed: object) -> bytes:
    """A safetensors file with one tensor of `size` bytes."""
    header = json.dumps({tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + Random(str(seed)).randbytes(size)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, by path, into a folder. Returns the folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below a folder by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }

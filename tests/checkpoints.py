"""Checkpoints for the tests: headers as they are, tensors that nobody reads."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelcar.model.safetensors import BITS

Spec = tuple[str, str, Sequence[int]]
"""Name, type and shape of a tensor."""


class Files:
    """Model files in memory, of which the last bytes may be left out: nothing but headers should be read."""

    def __init__(self, contents: Mapping[str, bytes], sizes: Mapping[str, int] | None = None) -> None:
        self.contents = contents
        self.sizes = {**{path: len(content) for path, content in contents.items()}, **(sizes or {})}
        self.asked: list[tuple[str, int, int]] = []

    def read(self, path: str, offset: int, length: int) -> bytes:
        self.asked.append((path, offset, length))
        return self.contents[path][offset : offset + length]

    @property
    def bytes_read(self) -> int:
        return sum(length for _, _, length in self.asked)


def header(tensors: Iterable[Spec]) -> tuple[bytes, int]:
    """The beginning of a safetensors file, and its size with the tensors."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, dtype, shape in tensors:
        size = math.prod(shape) * BITS[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries).encode()
    start = len(text).to_bytes(8, "little") + text
    return start, len(start) + at


def checkpoint(config: Mapping[str, Any] | None, tensors: Iterable[Spec], **others: bytes) -> Files:
    """A model of one safetensors file. Names of other files have `__` for their dot."""
    start, size = header(tensors)
    contents = {name.replace("__", "."): content for name, content in others.items()}
    if config is not None:
        contents["config.json"] = json.dumps(config).encode()
    return Files({**contents, "model.safetensors": start}, {"model.safetensors": size})


def write_checkpoint(folder: Path, config: Mapping[str, Any], tensors: Iterable[Spec]) -> Path:
    """The same as sparse files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    start, size = header(tensors)
    with (folder / "model.safetensors").open("wb") as opened:
        opened.write(start)
        opened.truncate(size)
    return folder


LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 256,
    "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


def decoder(layers: int = 2, hidden: int = 64, keys: int = 16, dtype: str = "BF16") -> list[Spec]:
    """The tensors of a small Llama."""
    tensors: list[Spec] = [("model.embed_tokens.weight", dtype, [256, hidden])]
    for number in range(layers):
        stem = f"model.layers.{number}"
        tensors += [
            (f"{stem}.self_attn.q_proj.weight", dtype, [hidden, hidden]),
            (f"{stem}.self_attn.k_proj.weight", dtype, [keys, hidden]),
            (f"{stem}.self_attn.v_proj.weight", dtype, [keys, hidden]),
            (f"{stem}.mlp.up_proj.weight", dtype, [128, hidden]),
        ]
    return [*tensors, ("lm_head.weight", dtype, [256, hidden])]


def gguf(
    metadata: Mapping[str, Any], tensors: Iterable[tuple[str, Sequence[int], int, int]], version: int = 3
) -> bytes:
    """The header of a GGUF file. A tensor is its name, its shape innermost first, its type and its offset."""
    parts = [b"GGUF", struct.pack("<I", version)]
    listed = list(tensors)
    parts.append(struct.pack("<QQ", len(listed), len(metadata)))
    for key, value in metadata.items():
        parts += [_text(key), _typed(value)]
    for name, shape, kind, offset in listed:
        parts += [_text(name), struct.pack("<I", len(shape)), struct.pack(f"<{len(shape)}Q", *shape)]
        parts.append(struct.pack("<IQ", kind, offset))
    whole = b"".join(parts)
    return whole + bytes(-len(whole) % 32)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _typed(value: Any) -> bytes:
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)

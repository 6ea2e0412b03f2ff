"""Safetensors headers, read by range (safetensors' README, "Format").

A file is 8 bytes (N, little endian), N bytes of JSON, then the tensors' bytes without gaps. One read of 32 KiB is
mostly enough for the header; the tensors themselves are never read.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from modelcar.errors import ContentMismatch, NotFound
from modelcar.model.files import ModelFiles, read_object
from modelcar.model.tensors import Tensor, product

MAX_HEADER = 100_000_000
"""Bytes of a header, as in the safetensors library (`MAX_HEADER_SIZE`)."""

MAX_TENSORS = 1_000_000
"""Of a whole model: DeepSeek-V3 has 92,000."""

INDEX = "model.safetensors.index.json"
_FIRST_READ = 32 * 1024
_READS_AT_A_TIME = 8

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
"""Bits of each type (safetensors 0.7, `Dtype`)."""


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(files: ModelFiles, path: str) -> list[Tensor]:
    """The tensors of one safetensors file, in the order of their bytes.

    Raises:
        ContentMismatch: It is none, is cut off, or its header contradicts itself.
        ModelcarError: As `ModelFiles.read`.
    """
    size = files.sizes[path]
    header = _header(files, path, size)
    tensors = _tensors(path, header)
    data, end = size - 8 - len(header), sum(tensor.size for tensor in tensors)
    if end != data:
        raise ContentMismatch(f"{path} has {data:,} bytes of tensors, its header says {end:,}", "get the file again")
    return tensors


def sample_header(files: ModelFiles, path: str) -> list[Tensor]:
    """The same of a file whose size is only known to be no more than stated. Raises as `read_header`."""
    size = files.sizes[path]
    header = _header(files, path, size)
    tensors = _tensors(path, header)
    if 8 + len(header) + sum(tensor.size for tensor in tensors) > size:
        raise ContentMismatch(f"{path}: its header tells of tensors behind the end of its {size:,} bytes")
    return tensors


def _header(files: ModelFiles, path: str, size: int) -> bytes:
    first = files.read(path, 0, min(size, _FIRST_READ))
    length = int.from_bytes(first[:8], "little")
    if len(first) < 8 or length > size - 8:
        raise ContentMismatch(f"{path} is no safetensors file, or one that was cut off: it has {size:,} bytes")
    if length > MAX_HEADER:
        raise ContentMismatch(f"{path}: a header of {length:,} bytes is more than safetensors allows")
    header = first[8 : 8 + length]
    if len(header) < length:
        header += files.read(path, 8 + len(header), length - len(header))
    return header


def _tensors(path: str, header: bytes) -> list[Tensor]:
    """What a header lists, each held against the one before it."""
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        entries = [(name, msgspec.json.decode(value, type=_Entry)) for name, value in raw.items()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContentMismatch(f"{path}: the header can't be read: {error}") from None
    entries.sort(key=lambda entry: entry[1].data_offsets)
    tensors = []
    at = 0
    for name, entry in entries:
        begin, end = entry.data_offsets
        elements = product(entry.shape, name)
        bits = BITS.get(entry.dtype)
        if begin != at or end < begin or (bits is not None and (elements * bits + 7) // 8 != end - begin):
            raise ContentMismatch(f"{path}: the header gives {name[:200]!r} bytes that can't be its own")
        tensors.append(Tensor(name, entry.dtype, tuple(entry.shape), end - begin))
        at = end
    return tensors


def checkpoint_files(files: ModelFiles) -> list[str]:
    """The safetensors files that together are the model: those of the index, else all at the top.

    A `consolidated.safetensors` beside others holds the same weights once more (Mistral's repositories).

    Raises:
        NotFound: One that the index names isn't there.
        ContentMismatch: The index is none.
        ModelcarError: As `ModelFiles.read`.
    """
    paths = sorted(path for path in files.sizes if path.endswith(".safetensors"))
    if INDEX in files.sizes:
        return _indexed(files)
    if "model.safetensors" in paths:
        return ["model.safetensors"]
    top = [path for path in paths if "/" not in path and not path.startswith("adapter_")]
    others = [path for path in top if not path.startswith("consolidated")]
    return others or top


def _indexed(files: ModelFiles) -> list[str]:
    weights = read_object(files, INDEX).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(path, str) for path in weights.values()):
        raise ContentMismatch(f"{INDEX} has no weight_map of files")
    named = sorted(set(weights.values()))
    for path in named:
        if posixpath.normpath(path) not in files.sizes:
            raise NotFound(f"{INDEX} names {path[:200]}, which isn't there", "the checkpoint is not complete")
    return [posixpath.normpath(path) for path in named]


def read_checkpoint(files: ModelFiles, paths: Sequence[str]) -> list[Tensor]:
    """The tensors of all files of a checkpoint, each name once.

    Raises:
        ContentMismatch: There are more than any model has; also as `read_header`.
        ModelcarError: As `read_header`.
    """
    tensors: dict[str, Tensor] = {}
    with ThreadPoolExecutor(_READS_AT_A_TIME) as pool:
        for start in range(0, len(paths), _READS_AT_A_TIME):
            some = paths[start : start + _READS_AT_A_TIME]
            for header in pool.map(lambda path: read_header(files, path), some):
                tensors.update((tensor.name, tensor) for tensor in header)
            if len(tensors) > MAX_TENSORS:
                raise ContentMismatch(f"{some[-1]}: with it the model has over {MAX_TENSORS:,} tensors: no model has")
    return list(tensors.values())

"""GGUF headers, read by growing ranges (ggml's docs/gguf.md, versions 2 and 3)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.model.files import ModelFiles
from modelcar.model.tensors import Tensor, product

MAX_HEADER = 256 * 1024 * 1024
"""Bytes: a header with a vocabulary of 260,000 tokens and its merges has some 16 MB."""

_MAX_TENSORS = 200_000
_MAX_KEYS = 10_000
_MAX_DIMENSIONS = 8
_LONGEST_NAME = 64 * 1024
_LONGEST_TEXT = 1024 * 1024
"""Bytes of a text that is kept; a longer one, as a whole tokenizer in JSON, is passed over."""

_KEPT = 4096
"""Numbers of an array that are kept: what has one a layer. Vocabularies are passed over."""

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9

TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""GGML's types: name, values in a block, bytes of a block (gguf-py, `GGML_QUANT_SIZES`)."""


FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS",
    21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S",
    29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE",
}  # fmt: skip
"""Mixtures of types, as `general.file_type` names them (llama.cpp, `llama_ftype`)."""


@dataclass(frozen=True, slots=True)
class Gguf:
    """The header of a GGUF model, of all its parts.

    Attributes:
        metadata: Keys and values; of a long array only its length, as an `int`, under `<key>.length`.
        tensors: Shapes outermost first, as in safetensors.
    """

    metadata: dict[str, Any]
    tensors: list[Tensor]


def gguf_models(paths: list[str]) -> dict[str, list[str]]:
    """The GGUF models among files: the parts of each, in order, by the name of the first. Projectors are left out."""
    models: dict[str, list[str]] = {}
    for path in sorted(paths):
        name = path.rpartition("/")[2]
        if not path.endswith(".gguf") or name.startswith(("mmproj", "imatrix")):
            continue
        split = _SPLIT.fullmatch(path)
        first = f"{split['stem']}-00001-of-{split['count']}.gguf" if split else path
        models.setdefault(first, []).append(path)
    return models


def read_gguf(files: ModelFiles, parts: list[str]) -> Gguf:
    """The header of a model in one file or several.

    Raises:
        NotFound: A part is missing.
        ContentMismatch: It is no GGUF file, or a damaged one.
        Refused: A version that we don't know.
        ModelcarError: As `ModelFiles.read`.
    """
    if (split := _SPLIT.fullmatch(parts[0])) and (int(split["number"]), int(split["count"])) != (1, len(parts)):
        raise NotFound(f"of {split['stem']} {len(parts)} of {int(split['count'])} parts are there", "get the others")
    metadata: dict[str, Any] = {}
    tensors: list[Tensor] = []
    for path in parts:
        header = _read_part(files, path)
        metadata = {**header.metadata, **metadata}
        tensors += header.tensors
    return Gguf(metadata, tensors)


def _read_part(files: ModelFiles, path: str) -> Gguf:
    stream = _Stream(files, path)
    if stream.take(4) != b"GGUF":
        raise ContentMismatch(f"{path} is no GGUF file")
    version = stream.number("<I")
    if version not in (2, 3):
        big = int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3)
        raise Refused(f"{path}: GGUF {'in big endian' if big else f'version {version}'} can't be read")
    tensor_count, key_count = stream.number("<Q"), stream.number("<Q")
    if tensor_count > _MAX_TENSORS or key_count > _MAX_KEYS:
        raise ContentMismatch(f"{path} claims {tensor_count:,} tensors and {key_count:,} keys: it is damaged")
    metadata: dict[str, Any] = {}
    for _ in range(key_count):
        key = stream.name()
        value = _value(stream, stream.number("<I"), 0)
        if isinstance(value, _Passed):
            metadata[f"{key}.length"] = value.length
        else:
            metadata[key] = value
    infos = [_tensor_info(stream) for _ in range(tensor_count)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or not 0 < alignment <= 1 << 20:
        raise ContentMismatch(f"{path}: an alignment of {alignment!r} makes no sense")
    data = files.sizes[path] - -(-stream.at // alignment) * alignment
    return Gguf(metadata, _sized(path, infos, data))


@dataclass(frozen=True, slots=True)
class _Info:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Passed:
    """An array that was too long to keep."""

    length: int


def _sized(path: str, infos: list[_Info], data: int) -> list[Tensor]:
    """Tensors with their bytes: by type, or where GGML has a type that we don't know, up to the next tensor."""
    tensors = []
    ordered = sorted(infos, key=lambda info: info.offset)
    followers = [*(info.offset for info in ordered), data][1:]
    for info, following in zip(ordered, followers, strict=True):
        elements = product(info.shape, info.name)
        name, block, size = TYPES.get(info.kind, (f"GGML type {info.kind}", 0, 0))
        stored = -(-elements // block) * size if block else following - info.offset
        if stored < 0 or info.offset + stored > data:
            raise ContentMismatch(f"{path} ends before its tensor {info.name[:200]!r} does", "get the file again")
        tensors.append(Tensor(info.name, name, info.shape, stored))
    return tensors


def _tensor_info(stream: _Stream) -> _Info:
    name = stream.name()
    dimensions = stream.number("<I")
    if dimensions > _MAX_DIMENSIONS:
        raise ContentMismatch(f"{stream.path}: a tensor of {dimensions:,} dimensions: the file is damaged")
    shape = tuple(stream.number("<Q") for _ in range(dimensions))
    return _Info(name, shape[::-1], stream.number("<I"), stream.number("<Q"))


def _value(stream: _Stream, kind: int, depth: int) -> Any:
    if kind in _SCALARS:
        return stream.number(_SCALARS[kind])
    if kind == _STRING:
        return stream.text()
    if kind != _ARRAY or depth > 2:
        raise ContentMismatch(f"{stream.path}: a value of unknown type {kind}: the file is damaged")
    inner, length = stream.number("<I"), stream.number("<Q")
    if inner in _SCALARS:
        width = struct.calcsize(_SCALARS[inner])
        if length > _KEPT:
            stream.skip(length * width)
            return _Passed(length)
        return [stream.number(_SCALARS[inner]) for _ in range(length)]
    if length > MAX_HEADER // 8:
        raise ContentMismatch(f"{stream.path}: an array of {length:,} values: the file is damaged")
    for _ in range(length):
        if inner == _STRING:
            stream.skip(stream.number("<Q"))
        else:
            _value(stream, inner, depth + 1)
    return _Passed(length)


class _Stream:
    """A file's beginning, read piece by piece, each twice as long as the one before."""

    def __init__(self, files: ModelFiles, path: str) -> None:
        self.path = path
        self.at = 0
        self._files = files
        self._end = min(files.sizes[path], MAX_HEADER)
        self._piece = b""
        self._start = 0
        self._next = 256 * 1024

    def take(self, length: int) -> bytes:
        """The next bytes."""
        if length > self._end - self.at:
            raise ContentMismatch(f"{self.path} ends within its header, or has one of over {MAX_HEADER:,} bytes")
        if self.at + length > self._start + len(self._piece):
            self._start, wanted = self.at, max(length, self._next)
            self._piece = self._files.read(self.path, self.at, min(wanted, self._end - self.at))
            self._next = min(self._next * 2, 4 * 1024 * 1024)
        begin = self.at - self._start
        if len(self._piece) < begin + length:
            raise ContentMismatch(f"{self.path} is shorter than its size says")
        self.at += length
        return self._piece[begin : begin + length]

    def skip(self, length: int) -> None:
        """Pass over bytes."""
        if length > self._end - self.at:
            self.take(length)
        self.at += length
        if self.at > self._start + len(self._piece):
            self._start, self._piece = self.at, b""

    def number(self, kind: str) -> Any:
        """The next scalar."""
        return struct.unpack(kind, self.take(struct.calcsize(kind)))[0]

    def name(self) -> str:
        """The next string, that of a key or a tensor."""
        length = self.number("<Q")
        if length > _LONGEST_NAME:
            raise ContentMismatch(f"{self.path}: a name of {length:,} bytes: the file is damaged")
        return self.take(length).decode("utf-8", "replace")

    def text(self) -> str:
        """The next string; empty where it is too long to keep."""
        length = self.number("<Q")
        if length > _LONGEST_TEXT:
            self.skip(length)
            return ""
        return self.take(length).decode("utf-8", "replace")

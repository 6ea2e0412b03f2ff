"""The facts of a model: all that can be known of it without loading it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelcar.errors import NotFound, UsageError
from modelcar.model import safetensors
from modelcar.model.config import Architecture, mistral_config, read_architecture, text_part
from modelcar.model.fields import Fields
from modelcar.model.files import FilesIn, ModelFiles, read_object
from modelcar.model.gguf import FILE_TYPES, Gguf, gguf_models, read_gguf
from modelcar.model.ggufconfig import gguf_config
from modelcar.model.kinds import known
from modelcar.model.layers import AttentionLayer
from modelcar.model.quantization import Quantization, dtypes, parameters, quantization_seen, read_quantization
from modelcar.model.tensors import Tensor

_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h|blk)\.(\d+)\.")
_MTP = re.compile(r"(?:^|\.)mtp[._]")
_MTP_PART = re.compile(r"(?:^|\.)(?:nextn|eh_proj)(?:\.|$)")
_OTHER_TOWER = re.compile(r"vision|visual|audio|image|multi_?modal")
_KEYS = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:self_attn|attention|attn|mixer)\.([kv])_proj\.weight$")
FEW_SHARDS = 4
"""Files of weights that `estimate_facts` opens all."""

_PLAIN = {"BF16", "F16", "F32", "F8_E4M3", "F8_E5M2"}


@dataclass(frozen=True, slots=True)
class Facts:
    """A model, as its files describe it.

    Attributes:
        format: `safetensors`, `gguf`, `pickle`, or empty where there are no weights that we know.
        folder: Where in the files the model is; empty for the top.
        architecture: None where there is no configuration.
        parameters: Logical weights; None where they can't be counted.
        weight_bytes: What the tensors take as stored, without those for multi-token prediction.
        mtp_bytes: What those take.
        dtypes: Bytes of each type of tensor, most first.
        quantization: None for plain weights.
        chat_template: Where it is; None where there is none.
        tensors: All of the checkpoint.
        notes: What a reader should know besides.
        estimated: Whether parameters and bytes were reckoned from a part of the weights.
        own_code: Whether the model needs Python code of its own (`auto_map` in config.json), which vLLM runs only when
            it is told to trust it.
    """

    format: str
    folder: str
    architecture: Architecture | None
    parameters: int | None
    weight_bytes: int | None
    mtp_bytes: int
    dtypes: Mapping[str, int]
    quantization: Quantization | None
    chat_template: str | None
    tensors: tuple[Tensor, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    estimated: bool = False
    own_code: bool = False

    @property
    def dtype(self) -> str:
        """The type of most of the weights."""
        return next(iter(self.dtypes), "")


def read_facts(files: ModelFiles, gguf: str | None = None) -> Facts:
    """The facts of the model that is in some files.

    Args:
        files: A folder, a repository, an image's `/models`.
        gguf: Which GGUF model, where there are several.

    Raises:
        NotFound: No model is there.
        UsageError: There are several, and none was named.
        ContentMismatch: A file of it is damaged.
        ModelcarError: As `ModelFiles.read`.
    """
    folder = _folder(files)
    files = FilesIn(files, folder)
    config = _config(files)
    if weights := [] if gguf else safetensors.checkpoint_files(files):
        tensors = safetensors.read_checkpoint(files, weights)
        return _from_tensors(files, folder, config, tensors)
    if models := gguf_models(list(files.sizes)):
        return _from_gguf(files, folder, _one(models, gguf))
    return _without_tensors(files, folder, config)


def _folder(files: ModelFiles) -> str:
    """Where the model is: at the top, or in the one folder nearest to it that has a configuration or weights."""

    def is_model(path: str) -> bool:
        name = path.rpartition("/")[2]
        return name in ("config.json", "params.json", "model_index.json") or name.endswith((".safetensors", ".gguf"))

    found = [path for path in files.sizes if is_model(path)]
    if not found:
        raise NotFound("no model is there: no config.json, no .safetensors and no .gguf file")
    depth = min(path.count("/") for path in found)
    folders = sorted({path.rpartition("/")[0] for path in found if path.count("/") == depth})
    if len(folders) > 1:
        raise UsageError(
            f"several models are there: {', '.join(folders[:5])}", "build an image of each, or look at one folder"
        )
    return folders[0]


def _config(files: ModelFiles) -> dict[str, Any] | None:
    if "config.json" in files.sizes:
        return read_object(files, "config.json")
    if "params.json" in files.sizes:
        return mistral_config(read_object(files, "params.json"))
    return None


def _from_tensors(files: ModelFiles, folder: str, config: dict[str, Any] | None, tensors: list[Tensor]) -> Facts:
    architecture = read_architecture(config) if config else None
    modelopt = read_object(files, "hf_quant_config.json") if "hf_quant_config.json" in files.sizes else None
    quantization = _quantization(config, modelopt) or quantization_seen(tensors)
    notes: list[str] = []
    counted, left = without_mtp(tensors, architecture)
    if architecture and architecture.layers and not known(architecture.model_type):
        notes.append(f"{architecture.model_type or 'this type'} is not known to modelcar: read as a plain decoder")
    if architecture:
        architecture = _as_tensors_say(architecture, counted, notes)
    count = parameters(counted, quantization, tied=bool(architecture and architecture.tied))
    if count is None:
        notes.append(f"how many weights {quantization} packs into its tensors is not known to modelcar")
    return Facts(
        format="safetensors",
        folder=folder,
        architecture=architecture,
        parameters=count,
        weight_bytes=sum(tensor.size for tensor in counted),
        mtp_bytes=sum(tensor.size for tensor in left),
        dtypes=dtypes(counted),
        quantization=quantization,
        chat_template=_chat_template(files),
        tensors=tuple(tensors),
        notes=tuple(notes),
        own_code=_has_own_code(config),
    )


def _has_own_code(config: Mapping[str, Any] | None) -> bool:
    """As transformers decides it: `auto_map` names the class of a model in the repository."""
    named = (config or {}).get("auto_map")
    return isinstance(named, dict) and any(str(key).startswith("AutoModel") for key in named)


def _quantization(config: dict[str, Any] | None, modelopt: dict[str, Any] | None = None) -> Quantization | None:
    """As the configuration states it: at its top, or in that of the language model."""
    stated = config or {}
    inner, _ = text_part(Fields(stated))
    return read_quantization(stated) or read_quantization(inner.values, modelopt)


def without_mtp(tensors: Iterable[Tensor], architecture: Architecture | None) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors that count, and those of layers for multi-token prediction, which nobody loads unless asked to.

    They are named so, or lie in layers behind the last one (DeepSeek-V3's `model.layers.61`).
    """
    numbered = [(tensor, _layer(tensor.name)) for tensor in tensors]
    depth = architecture.depth if architecture else 0
    marked = {number for tensor, number in numbered if number is not None and _MTP_PART.search(tensor.name)}
    behind = bool(architecture and architecture.mtp)
    counted: list[Tensor] = []
    left: list[Tensor] = []
    for tensor, number in numbered:
        is_last = number is not None and number >= depth and (number in marked or (behind and depth))
        (left if is_last or _MTP.search(tensor.name) else counted).append(tensor)
    return counted, left


def _layer(name: str) -> int | None:
    """The number of the language model's layer that a tensor is of."""
    found = _LAYER.search(name)
    return int(found[1]) if found and len(found[1]) < 9 and not _OTHER_TOWER.search(name) else None


def _as_tensors_say(architecture: Architecture, tensors: list[Tensor], notes: list[str]) -> Architecture:
    """The same with the KV heads, and as many alike layers, as the key and value projections really have."""
    rows: dict[str, dict[int, int]] = {"k": {}, "v": {}}
    for tensor in tensors:
        found = _KEYS.search(tensor.name) if tensor.name.endswith(("k_proj.weight", "v_proj.weight")) else None
        if found and len(tensor.shape) == 2 and tensor.dtype in _PLAIN and _layer(tensor.name) is not None:
            rows[found[2]][int(found[1])] = tensor.shape[0]
    keys, values = rows["k"], rows["v"]
    layers = list(architecture.layers or ())
    places = [number for number, layer in enumerate(layers) if isinstance(layer, AttentionLayer)]
    if not keys or not places or any(layers[place].kind in ("mla", "indexer") for place in places):
        return architecture
    if len(keys) != len(places):
        # Where only some layers are plain enough to tell, the configuration knows better.
        if len(set(layers)) > 1 or set(keys) != {_layer(tensor.name) for tensor in tensors} - {None}:
            return architecture
        notes.append(f"config.json says {len(places)} layers, the tensors have {len(keys)}: these count")
        layers = [layers[0]] * len(keys)
        places = list(range(len(keys)))
    for place, number in zip(places, sorted(keys), strict=True):
        layer = layers[place]
        assert isinstance(layer, AttentionLayer)
        stated = layer.kv_heads * layer.key_size
        if keys[number] not in (0, stated) and layer.key_size and keys[number] % layer.key_size == 0:
            heads = keys[number] // layer.key_size
            value = values[number] // heads if number in values and values[number] % heads == 0 else layer.value_size
            layers[place] = replace(layer, kv_heads=heads, value_size=value)
    if tuple(layers) != architecture.layers and len(keys) == architecture.depth:
        notes.append("config.json and the tensors differ in KV heads: the tensors count")
    return replace(architecture, layers=tuple(layers), depth=max(architecture.depth, len(keys)))


def _one(models: dict[str, list[str]], wanted: str | None) -> list[str]:
    if wanted is not None:
        for first, parts in models.items():
            if wanted in (first, *parts) or wanted == first.rpartition("/")[2]:
                return parts
        raise NotFound(f"there is no {wanted}", f"there are {', '.join(list(models)[:8])}")
    if len(models) > 1:
        some = ", ".join(list(models)[:8])
        raise UsageError(f"{len(models)} GGUF models are there: {some}", "name one of them: --file NAME")
    return next(iter(models.values()))


def _from_gguf(files: ModelFiles, folder: str, parts: list[str]) -> Facts:
    header: Gguf = read_gguf(files, parts)
    architecture = read_architecture(gguf_config(header.metadata))
    name = header.metadata.get("general.architecture")
    counted, left = without_mtp(header.tensors, architecture)
    sizes = dtypes(counted)
    kind = header.metadata.get("general.file_type")
    stated = FILE_TYPES.get(kind, "") if isinstance(kind, int) else ""
    stated = stated or next(iter(sizes), "")
    tied = not any(tensor.name == "output.weight" for tensor in counted)
    return Facts(
        format="gguf",
        folder=folder,
        architecture=replace(architecture, name=str(name or ""), tied=tied),
        parameters=parameters(counted, None, tied=False),
        weight_bytes=sum(tensor.size for tensor in counted),
        mtp_bytes=sum(tensor.size for tensor in left),
        dtypes=sizes,
        quantization=Quantization("gguf", None, stated) if stated not in ("F32", "F16", "BF16") else None,
        chat_template=f"{parts[0]}: tokenizer.chat_template" if "tokenizer.chat_template" in header.metadata else None,
        tensors=tuple(header.tensors),
    )


def _without_tensors(files: ModelFiles, folder: str, config: dict[str, Any] | None) -> Facts:
    """What is left to know where weights aren't there, or in files that only their own program can read."""
    pickles = [p for p in files.sizes if "/" not in p and p.endswith((".bin", ".pt", ".pth")) and "training" not in p]
    notes = []
    if "model_index.json" in files.sizes:
        notes.append("a diffusion pipeline: what it needs besides its weights is not known to modelcar")
        paths = sorted(path for path in files.sizes if path.endswith(".safetensors"))
        tensors = safetensors.read_checkpoint(files, paths)
        counted = parameters(tensors, None, tied=False)
        size = sum(tensor.size for tensor in tensors)
        return Facts(
            "safetensors", folder, None, counted, size, 0, dtypes(tensors), None, None, tuple(tensors), tuple(notes)
        )
    if pickles:
        notes.append(
            "the weights are pickles, which aren't opened: their number isn't known, their bytes are the files'"
        )
    elif "adapter_config.json" in files.sizes:
        notes.append("an adapter for another model, which has to be loaded with it")
    else:
        notes.append("no weights are there")
    return Facts(
        format="pickle" if pickles else "",
        folder=folder,
        architecture=read_architecture(config) if config else None,
        parameters=None,
        weight_bytes=sum(files.sizes[path] for path in pickles) if pickles else None,
        mtp_bytes=0,
        dtypes={},
        quantization=_quantization(config),
        chat_template=_chat_template(files),
        tensors=(),
        notes=tuple(notes),
        own_code=_has_own_code(config),
    )


def _chat_template(files: ModelFiles) -> str | None:
    for path in ("chat_template.jinja", "chat_template.json"):
        if path in files.sizes:
            return path
    if "tokenizer_config.json" in files.sizes and read_object(files, "tokenizer_config.json").get("chat_template"):
        return "tokenizer_config.json"
    return None


def estimate_facts(files: ModelFiles, gguf: str | None = None) -> Facts:
    """The facts of a model of which not every file is opened: of many shards one stands for all.

    Arguments and errors as for `read_facts`. Bytes are those of the files, parameters and types in the proportions of
    the shard that was looked at.
    """
    folder = _folder(files)
    inner = FilesIn(files, folder)
    weights = [] if gguf else safetensors.checkpoint_files(inner)
    if len(weights) <= FEW_SHARDS:
        return read_facts(files, gguf)
    config = _config(inner)
    middle = weights[len(weights) // 2]  # the first and the last hold embeddings
    tensors = safetensors.sample_header(inner, middle)
    seen = sum(tensor.size for tensor in tensors)
    whole = sum(inner.sizes[path] for path in weights) - len(weights) * (inner.sizes[middle] - seen)
    modelopt = read_object(inner, "hf_quant_config.json") if "hf_quant_config.json" in inner.sizes else None
    quantization = _quantization(config, modelopt) or quantization_seen(tensors)
    counted = parameters(tensors, quantization, tied=False)
    return Facts(
        format="safetensors",
        folder=folder,
        architecture=read_architecture(config) if config else None,
        parameters=round(counted * whole / seen) if counted is not None and seen else None,
        weight_bytes=whole,
        mtp_bytes=0,
        dtypes={kind: round(size * whole / seen) for kind, size in dtypes(tensors).items()} if seen else {},
        quantization=quantization,
        chat_template=_chat_template(inner),
        tensors=(),
        notes=(f"reckoned from one of {len(weights):,} files of weights",),
        estimated=True,
        own_code=_has_own_code(config),
    )

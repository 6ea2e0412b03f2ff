"""Which files of a snapshot go into the image: what serving needs, once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename, dirname, splitext

from modelcar.errors import NotFound, Refused
from modelcar.sources import Snapshot, SourceFile


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that stays behind, and why."""

    file: SourceFile
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What goes into the image and what doesn't, each sorted by path."""

    kept: tuple[SourceFile, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user says of the choice.

    Attributes:
        include: Globs of `huggingface_hub`: a file must match one of them, if there are any.
        exclude: A file must match none of them.
        all_files: Take everything that the globs leave, hidden files of a repository too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    all_files: bool = False


WEIGHTS = frozenset(
    {".safetensors", ".gguf", ".llamafile"}
    | {".bin", ".pt", ".pth", ".ckpt", ".nemo", ".mar", ".ot"}
    | {".h5", ".keras", ".pb", ".tflite", ".msgpack", ".npz", ".onnx", ".mlmodel", ".pdiparams", ".pdmodel", ".engine"}
    | {".pkl", ".joblib", ".skops", ".ubj", ".xgb", ".bst", ".cbm"}
)
"""Suffixes of files that can be a model's weights."""

_SAFETENSORS = ".safetensors"
_EXPORTS = {
    "onnx": "an ONNX export",
    "openvino": "an OpenVINO export",
    "coreml": "a Core ML export",
    "tflite": "a TFLite export",
    "original": "the original format",
    "flax": "a Flax copy",
}
_COPIES = {
    ".bin": "a PyTorch copy",
    ".pt": "a PyTorch copy",
    ".pth": "a PyTorch copy",
    ".ckpt": "a PyTorch copy",
    ".h5": "a TensorFlow copy",
    ".msgpack": "a Flax copy",
    ".ot": "a Rust copy",
    ".onnx": "an ONNX export",
    ".tflite": "a TFLite export",
    ".gguf": "a GGUF copy",
    ".mlmodel": "a Core ML export",
}
_NOT_SERVED = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".ico", ".mp4", ".mov", ".webm", ".avi"}
    | {".mp3", ".wav", ".flac", ".ogg", ".pdf", ".ipynb", ".html", ".css", ".js", ".sh", ".lock", ".log", ".tfevents"}
    | {".csv", ".tsv", ".parquet", ".arrow", ".zip", ".gz", ".tar", ".tgz"}
)
_TRAINING = re.compile(
    r"training_args\.bin|optimizer\.(pt|bin)|scheduler\.(pt|bin)|scaler\.pt|rng_state.*\.pth|trainer_state\.json"
)
_DOCUMENT = re.compile(
    r"readme|licen[sc]e|notice|copying|copyright|use_policy|usage_policy|acceptable_use", re.IGNORECASE
)
_SHARD = re.compile(r"[-_.]\d{1,5}(-of-\d{1,5})?$")
_STEMS = re.compile(r"^(pytorch_model|tf_model|flax_model|rust_model|consolidated|model)(?=$|[.\-_])")


def select(snapshot: Snapshot, wish: Wish) -> Selection:
    """Divide a snapshot's files into those that go into the image and those that don't.

    Raises:
        NotFound: No file is left, or none that looks like weights.
        Refused: A name that no image may hold; or a choice between quantisations that only the user can make.
    """
    left_out: list[LeftOut] = []
    matching = _matching(snapshot.files, wish, left_out)
    if snapshot.curated or wish.all_files:
        kept = matching
    else:
        kept = _needed(matching, wish, left_out)
        if not _has_weights(kept):
            raise NotFound(
                f"{snapshot.location} holds nothing that looks like weights: {_listing(snapshot.files)}",
                "--all-files takes everything, --include picks",
            )
        _check_quantisations(snapshot, kept)
    for file in kept:
        _check_name(file.path)
    return Selection(tuple(kept), tuple(sorted(left_out, key=lambda left: left.file.path)))


def check_case(files: Sequence[SourceFile]) -> list[str]:
    """Warnings about names that fall together where case doesn't count (macOS, Windows)."""
    seen: dict[str, str] = {}
    warnings = []
    for file in files:
        other = seen.setdefault(file.path.casefold(), file.path)
        if other != file.path:
            warnings.append(
                f"{other} and {file.path} differ only by case: a file system that ignores case holds one of them"
            )
    return warnings


def _matching(files: Sequence[SourceFile], wish: Wish, left_out: list[LeftOut]) -> list[SourceFile]:
    if not wish.include and not wish.exclude:
        return list(files)
    from huggingface_hub.utils._paths import filter_repo_objects

    by_path = {file.path: file for file in files}
    paths = filter_repo_objects(by_path, allow_patterns=list(wish.include) or None, ignore_patterns=list(wish.exclude))
    kept = set(paths)
    if not kept:
        globs = " ".join([*(f"--include {g}" for g in wish.include), *(f"--exclude {g}" for g in wish.exclude)])
        raise NotFound(f"no file is left by {globs}; there are {_listing(files)}")
    left_out.extend(LeftOut(file, "by your --include or --exclude") for file in files if file.path not in kept)
    return [file for file in files if file.path in kept]


def _needed(files: Sequence[SourceFile], wish: Wish, left_out: list[LeftOut]) -> list[SourceFile]:
    """The files that a server needs. What the user's `--include` names is needed by definition."""
    if wish.include:
        return list(files)
    safetensors: dict[str, set[str]] = {}
    for file in files:
        if file.path.endswith(_SAFETENSORS):
            safetensors.setdefault(dirname(file.path), set()).add(_stem(file.path))
    kept = []
    for file in files:
        reason = _why_not(file.path, safetensors)
        if reason:
            left_out.append(LeftOut(file, reason))
        else:
            kept.append(file)
    return kept


def _why_not(path: str, safetensors: dict[str, set[str]]) -> str:
    """Why serving doesn't need a file; empty when it may."""
    name, suffix = basename(path), splitext(path)[1].lower()
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "hidden"
    if _TRAINING.fullmatch(name):
        return "state of the training"
    for depth, part in enumerate(parts[:-1]):
        above = "/".join(parts[:depth])
        if part.lower() in _EXPORTS and safetensors.get(above):
            return f"{_EXPORTS[part.lower()]} of weights that are there as safetensors"
        if part.endswith(".mlpackage") and safetensors.get(above):
            return "a Core ML export of weights that are there as safetensors"
    here = safetensors.get(dirname(path), set())
    copy = _COPIES.get(suffix) or (".onnx" in name and _COPIES[".onnx"])
    if copy and (_stem(path) in here or (suffix == ".gguf" and here)):
        return f"{copy} of weights that are there as safetensors"
    if suffix == ".json" and name.endswith(".index.json") and _is_index_of_copy(name) and here:
        return "the index of a copy that is left out"
    if name.startswith("consolidated") and suffix == _SAFETENSORS and "model" in here - {_raw_stem(path)}:
        return "a second copy of the same weights (consolidated)"
    if suffix in _NOT_SERVED and not _DOCUMENT.match(name):
        return "not needed for serving"
    if suffix in (".md", ".rst") and not _DOCUMENT.match(name):
        return "not needed for serving"
    return ""


def _raw_stem(path: str) -> str:
    """A weights file's name without suffix and shard number."""
    return _SHARD.sub("", splitext(basename(path))[0])


def _stem(path: str) -> str:
    """The same, with the names that each framework gives the whole model made one: `model`."""
    raw = _raw_stem(path)
    if raw.startswith("consolidated") and path.endswith(_SAFETENSORS):
        return raw
    return _STEMS.sub("model", raw)


def _is_index_of_copy(name: str) -> bool:
    return not name.endswith(".safetensors.index.json")


def _has_weights(files: Sequence[SourceFile]) -> bool:
    return any(splitext(file.path)[1].lower() in WEIGHTS for file in files)


def _check_quantisations(snapshot: Snapshot, kept: Sequence[SourceFile]) -> None:
    """Stop where a repository holds the same model in several GGUF quantisations: a server loads one."""
    sizes: dict[str, int] = {}
    for file in kept:
        if file.path.endswith(".gguf") and "mmproj" not in file.path.lower() and "imatrix" not in file.path.lower():
            group = re.sub(r"-\d{5}-of-\d{5}$", "", file.path.removesuffix(".gguf"))
            sizes[group] = sizes.get(group, 0) + file.size
    if len(sizes) < 2:
        return
    names = ", ".join(f"{name} ({size / 1e9:.1f} GB)" for name, size in sizes.items())
    example = list(sizes)[len(sizes) // 2]
    raise Refused(
        f"{snapshot.location} holds {len(sizes)} GGUF models: {names}",
        f"pick one with --include '{example}*', or take all of them with --all-files",
    )


def _check_name(path: str) -> None:
    """Names that can't be unpacked, or would lead somewhere else, stop the build before it begins."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "." in parts or "" in parts:
        raise Refused(f"the file name {path!r} would lead out of /models", "leave it out with --exclude")
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise Refused(f"the file name {path!r} holds a control character", "leave it out with --exclude")
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        raise Refused(f"the file name {path!r} is not UTF-8", "rename it, or leave it out with --exclude") from None
    if longest > 255:
        raise Refused(f"the file name {path!r} has a part of {longest} bytes, and file systems take 255", "rename it")
    if len(path.encode()) > 4000:
        raise Refused(f"the path {path[:60]!r}… has {len(path.encode())} bytes, and systems take 4,095", "rename it")


def _listing(files: Sequence[SourceFile]) -> str:
    names = [file.path for file in files[:8]]
    return ", ".join(names) + (f" and {len(files) - 8} more" if len(files) > 8 else "")

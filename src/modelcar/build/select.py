"""Which files of a snapshot go into the image: what serving needs, once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename, dirname, splitext

from modelcar.errors import NotFound, Refused
from modelcar.sources import LeftOut, Snapshot, SourceFile


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
    | {".h5", ".keras", ".pb", ".tflite", ".msgpack", ".npz", ".onnx", ".mlmodel", ".pdiparams", ".pdmodel"}
    | {".engine", ".plan", ".pkl", ".joblib", ".skops", ".ubj", ".xgb", ".bst", ".cbm"}
)
"""Suffixes of files that can be a model's weights."""

_SAFETENSORS = ".safetensors"
_EXPORTS = {
    "onnx": "an ONNX export",
    "openvino": "an OpenVINO export",
    "coreml": "a Core ML export",
    "tflite": "a TFLite export",
    "saved_model": "a TensorFlow copy",
    "flax": "a Flax copy",
    "gguf": "a GGUF copy",
    "metal": "a Metal copy",
    "original": "the original format",
}
"""Folders that hold the weights of the folder above in another format."""

_WHOLE = {
    ".h5": "a TensorFlow copy",
    ".tflite": "a TFLite export",
    ".msgpack": "a Flax copy",
    ".ot": "a Rust copy",
    ".gguf": "a GGUF copy",
    ".mlmodel": "a Core ML export",
}
"""Formats that hold a whole model and never a part of it: whatever a file's name, it is a copy."""

_COPIES = {
    ".bin": "a PyTorch copy",
    ".pt": "a PyTorch copy",
    ".pth": "a PyTorch copy",
    ".ckpt": "a PyTorch copy",
    ".onnx": "an ONNX export",
    ".xml": "an OpenVINO export",
}
"""Formats that parts of a model come in too: a file is a copy where a safetensors file has its name."""

_NOT_SERVED = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".ico", ".mp4", ".mov", ".webm", ".avi"}
    | {".mp3", ".wav", ".flac", ".ogg", ".pdf", ".ipynb", ".html", ".css", ".js", ".sh", ".lock", ".log"}
    | {".parquet", ".arrow", ".zip", ".tar", ".tgz", ".md", ".rst"}
)
_TRAINING = re.compile(
    r"training_args\.bin|optimizer\.(pt|bin)|scheduler\.(pt|bin)|scaler\.pt|rng_state.*\.pth|random_states_\d+\.pkl"
    r"|trainer_state\.json|events\.out\.tfevents\..*"
)
_CHECKPOINT = re.compile(r"last-checkpoint|checkpoint-\d+|global_step\d+")
_DOCUMENT = re.compile(
    r"^readme|^notice|^copy(ing|right)|licen[sc]e|terms|policy|acceptable_use|model_?card", re.IGNORECASE
)
_INDEX = re.compile(r"\.index(\.[\w-]+)?\.json$")
_ONNX_DATA = re.compile(r"\.onnx[._].*$")
_TENSORFLOW_1 = re.compile(r"\.ckpt(-\d+)?\.(index|meta|data-\d+-of-\d+)$")
_SHARD = re.compile(r"[-_.]\d+(-of-\d+)?$")
_STEMS = re.compile(
    r"^(pytorch_model|tf_model|flax_model|rust_model|openvino_model|diffusion_(pytorch|flax)_model|consolidated|model)"
    r"(?=$|[.\-_])"
)


def select(snapshot: Snapshot, wish: Wish) -> Selection:
    """Divide a snapshot's files into those that go into the image and those that don't.

    Raises:
        NotFound: No file is left, or none that looks like weights.
        Refused: A name that no image may hold; or a choice between quantisations that only the user can make.
    """
    left_out = list(snapshot.left_out)
    matching = _matching(snapshot.files, wish, left_out)
    if snapshot.curated or wish.all_files:
        kept = matching
    else:
        kept = _needed(matching, wish, left_out)
        if not any(_is_weights(file.path) for file in kept):
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
    from huggingface_hub.utils import filter_repo_objects

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
    repository = _Repository(files)
    kept = []
    for file in files:
        if reason := repository.why_not(file.path):
            left_out.append(LeftOut(file, reason))
        else:
            kept.append(file)
    return kept


class _Repository:
    """The names of a repository, and what each of them means beside the others."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        paths = [file.path for file in files]
        self._weights = {dirname(path) for path in paths if _is_weights(path)}
        staying = [p for p in paths if p.endswith(_SAFETENSORS) and not _is_hidden(p) and not self._is_checkpoint(p)]
        self._is_pipeline = "model_index.json" in paths and any(dirname(path) for path in staying)
        # Only what stays itself can stand for its copies.
        self._safetensors: dict[str, set[str]] = {}
        for path in staying:
            if dirname(path) or not self._is_pipeline:
                self._safetensors.setdefault(dirname(path), set()).add(_stem(path))

    def why_not(self, path: str) -> str:
        """Why serving doesn't need a file; empty when it may."""
        name = basename(path)
        if _is_hidden(path):
            return "hidden"
        if _TRAINING.fullmatch(name) or self._is_checkpoint(path):
            return "state of the training"
        if self._is_pipeline and name == path and _is_weights(path):
            return "beside the parts of the pipeline that model_index.json names"
        if copy := self._copy(path):
            return f"{copy} of weights that are there as safetensors"
        if _INDEX.search(name) and (copy := self._copy(_INDEX.sub("", path))):
            return f"the index of {copy}"
        if splitext(name)[1].lower() in _NOT_SERVED and not _DOCUMENT.search(name):
            return "not needed for serving"
        return ""

    def _copy(self, path: str) -> str:
        """Which copy of weights that are there as safetensors a file is; empty where it is none, or the only one."""
        if export := self._export_above(path):
            return export
        name = _ONNX_DATA.sub(".onnx", basename(path))
        suffix, stem = splitext(name)[1].lower(), _stem(name)
        here = self._safetensors.get(dirname(path), set())
        if suffix == _SAFETENSORS:
            return "a second copy" if stem.startswith("consolidated") and "model" in here else ""
        if _is_whole(here) and _TENSORFLOW_1.search(name):
            return "a TensorFlow copy"
        if _is_whole(here) and suffix in _WHOLE:
            return _WHOLE[suffix]
        if stem in here and suffix in _COPIES:
            return "an OpenVINO export" if name.startswith("openvino") else _COPIES[suffix]
        return ""

    def _export_above(self, path: str) -> str:
        """What the folder that a file lies in is an export to."""
        parts = path.split("/")
        for depth, part in enumerate(parts[:-1]):
            kind = "a Core ML export" if part.endswith(".mlpackage") else _EXPORTS.get(part.lower(), "")
            if kind and _is_whole(self._safetensors.get("/".join(parts[:depth]), set())):
                return kind
        return ""

    def _is_checkpoint(self, path: str) -> bool:
        """Whether a file is of an earlier state of the model that lies above."""
        parts = path.split("/")
        return any(
            _CHECKPOINT.fullmatch(part) and "/".join(parts[:depth]) in self._weights
            for depth, part in enumerate(parts[:-1])
        )


def _is_whole(stems: set[str]) -> bool:
    """Whether safetensors of these names hold a model, not only what was trained on top of one."""
    return any(not stem.startswith("adapter") for stem in stems)


def _stem(path: str) -> str:
    """A weights file's name without suffix and shard number, where all names for the whole model are one: `model`."""
    raw = _SHARD.sub("", splitext(basename(path))[0])
    if raw.startswith("consolidated") and path.endswith(_SAFETENSORS):
        return raw
    return _STEMS.sub("model", raw)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in path.split("/"))


def _is_weights(path: str) -> bool:
    return splitext(path)[1].lower() in WEIGHTS and not _TRAINING.fullmatch(basename(path))


def _check_quantisations(snapshot: Snapshot, kept: Sequence[SourceFile]) -> None:
    """Stop where a repository holds the same model in several GGUF quantisations: a server loads one."""
    sizes: dict[str, int] = {}
    for file in kept:
        if file.path.endswith(".gguf") and "mmproj" not in file.path.lower() and "imatrix" not in file.path.lower():
            glob = re.sub(r"-\d{5}-of-\d{5}\.gguf$", "-*-of-*.gguf", file.path)
            sizes[glob] = sizes.get(glob, 0) + file.size
    if len(sizes) < 2:
        return
    names = ", ".join(f"{name} ({size / 1e9:.1f} GB)" for name, size in sizes.items())
    example = list(sizes)[len(sizes) // 2]
    raise Refused(
        f"{snapshot.location} holds {len(sizes)} GGUF models: {names}",
        f"pick one with --include '{example}', or take all of them with --all-files",
    )


def _check_name(path: str) -> None:
    """Names that can't be unpacked, or would lead somewhere else, stop the build before it begins."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or "." in parts or "" in parts:
        raise Refused(f"the file name {path!r} would lead out of /models", "leave it out with --exclude")
    if any(part.startswith(".wh.") for part in parts):
        raise Refused(f"the file name {path!r} would delete a file in an image", "leave it out with --exclude")
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

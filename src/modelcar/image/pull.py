"""The model's files of an image, back in a folder."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import tarfile
import tempfile
from pathlib import Path

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused
from modelcar.events import FilePulled, Listener, ignore
from modelcar.http import PIECE
from modelcar.image.blobfile import CheckedReader, decompressed
from modelcar.image.tree import ImageFile, LayerFiles, normal, read_tree
from modelcar.stores import Location, ReadableStore

_ROOT = "models/"


def pull(location: Location, folder: Path, *, platform: str | None = None, listener: Listener = ignore) -> list[str]:
    """Write the files below `/models` of an image into a folder, each whole or not at all.

    Layers are checked against their digests while they are read: nothing of a wrong one is kept.

    Args:
        location: The image.
        folder: Where to; made if need be.
        platform: Whose layers, of a multi-platform image.
        listener: Is told of each file.

    Returns:
        The paths written, relative to `folder`, sorted.

    Raises:
        NotFound: No image, or nothing below `/models` in it.
        ContentMismatch: A layer isn't what its digest says.
        Refused: A file that would land outside the folder; a full disk.
        Denied: The folder can't be written to.
        ModelcarError: As the store does.
    """
    tree = read_tree(location, platform)
    wanted = {path: file for path, file in tree.files().items() if path.startswith(_ROOT)}
    if not any(file.kind == "file" for file in wanted.values()):
        raise NotFound(f"{location} holds no files in /models", "is it a ModelCar? modelcar ls shows what it holds")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".modelcar-") as work:
            for number, layer in enumerate(tree.layers):
                names = {path for path, file in wanted.items() if file.kind == "file" and file.layer == number}
                if names:
                    _pull_layer(location.store, layer, names, Path(work), folder, listener)
        for path, file in wanted.items():
            if file.kind in ("symlink", "hardlink"):
                _link(folder, path, file)
    except OSError as error:
        raise _io_error(error, folder) from None
    return sorted(path.removeprefix(_ROOT) for path, file in wanted.items() if file.kind != "folder")


def _pull_layer(
    store: ReadableStore, layer: LayerFiles, names: set[str], work: Path, folder: Path, listener: Listener
) -> None:
    """The files of one layer: beside their places first, in them once the layer proved right."""
    reader = CheckedReader(store, layer.descriptor)
    parts: dict[str, Path] = {}
    try:
        with decompressed(reader, layer.descriptor) as opened, tarfile.open(fileobj=opened, mode="r|") as tar:
            for member in tar:
                path = normal(member.name)
                content = tar.extractfile(member) if path in names and member.isreg() else None
                if content is not None:
                    parts[path] = work / str(len(parts))
                    with parts[path].open("wb") as sink:
                        shutil.copyfileobj(content, sink, PIECE)
            reader.finish()
    except (tarfile.TarError, EOFError) as error:
        raise ContentMismatch(f"the layer {layer.descriptor.digest} can't be read: {error}") from None
    for path, part in parts.items():
        target = _inside(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        size = part.stat().st_size
        part.replace(target)
        listener(FilePulled(path.removeprefix(_ROOT), size))


def _link(folder: Path, path: str, file: ImageFile) -> None:
    """A link of the image as one of the folder, if it leads to something in there."""
    target = _inside(folder, path)
    if file.kind == "hardlink":
        origin = _inside(folder, normal(file.target))
    else:
        origin = _inside(folder, normal(posixpath.join("/", posixpath.dirname(path), file.target)))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if file.kind == "hardlink":
        os.link(origin, target)
    else:
        target.symlink_to(os.path.relpath(origin, target.parent))


def _inside(folder: Path, path: str) -> Path:
    """Where a path of the image belongs in the folder.

    Raises:
        Refused: Not below `/models`, or a link on the way leads out of the folder.
    """
    target = folder / path.removeprefix(_ROOT)
    if not path.startswith(_ROOT) or not target.parent.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"/{path} of the image would land outside the folder {folder}", "nothing was written there")
    return target


def _io_error(error: OSError, folder: Path) -> ModelcarError:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"the folder {folder} can't be written: {error.strerror}", "check its permissions")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(f"the disk under {folder} is full", "free some space and run it again")
    return ModelcarError(f"{folder}: {error.strerror or error}")

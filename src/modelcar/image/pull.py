"""The model's files of an image, back in a folder."""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused
from modelcar.events import FilePulled, Listener, ignore
from modelcar.http import PIECE
from modelcar.image.blobfile import CheckedReader, decompressed, read_as_tar
from modelcar.image.tree import ImageFile, ImageTree, LayerFiles, normal, read_tree
from modelcar.oci import Platform
from modelcar.stores import Location, ReadableStore

_ROOT = "models/"


def pull(
    location: Location, folder: Path, *, platform: Platform | None = None, listener: Listener = ignore
) -> list[str]:
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
    files, links = _wanted(tree)
    if not files:
        raise NotFound(f"{location} holds no files in /models", "is it a ModelCar? modelcar ls shows what it holds")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".modelcar-") as work:
            for number, layer in enumerate(tree.layers):
                contents = {entry.offset: paths for entry, paths in files.items() if entry.layer == number}
                if contents:
                    _pull_layer(location.store, layer, contents, Path(work), folder, listener)
        for path, target in links.items():
            _link(folder, path, target)
    except OSError as error:
        raise _io_error(error, folder) from None
    written = [*links, *(path for paths in files.values() for path in paths)]
    return sorted(path.removeprefix(_ROOT) for path in written)


def _wanted(tree: ImageTree) -> tuple[dict[ImageFile, list[str]], dict[str, str]]:
    """What lies below `/models`: files by the entry that holds their bytes, and symbolic links with their targets."""
    files: dict[ImageFile, list[str]] = {}
    links: dict[str, str] = {}
    for path, file in tree.files().items():
        if not path.startswith(_ROOT):
            continue
        content = tree.content_of(file)
        if content is None:
            raise ContentMismatch(f"/{path} of {tree.location} is a hard link to {file.target}, which is not there")
        if content.kind == "file":
            files.setdefault(content, []).append(path)
        elif content.kind == "symlink":
            links[path] = content.target
    return files, links


def _pull_layer(
    store: ReadableStore,
    layer: LayerFiles,
    contents: Mapping[int, Sequence[str]],
    work: Path,
    folder: Path,
    listener: Listener,
) -> None:
    """The files of one layer: beside their places first, in them once the layer proved right.

    Args:
        store: Where the layer is.
        layer: Which.
        contents: The paths that want the bytes at an offset of the tar.
        work: A folder on the same disk.
        folder: Where the files belong.
        listener: Is told of each.
    """
    reader = CheckedReader(store, layer.descriptor)
    with (
        decompressed(reader, layer.descriptor) as opened,
        read_as_tar(f"the layer {layer.descriptor.digest} of {store.name}"),
        tarfile.open(fileobj=opened, mode="r|") as tar,
    ):
        for member in tar:
            content = tar.extractfile(member) if member.offset_data in contents else None
            if content is not None:
                if member.issparse():
                    # Few tools read them alike (image-spec, layer.md), and a header of one may claim any size.
                    raise ContentMismatch(f"/{normal(member.name)} is a sparse file, which images shouldn't hold")
                with (work / str(member.offset_data)).open("wb") as sink:
                    shutil.copyfileobj(content, sink, PIECE)
        reader.finish()
    for offset, paths in contents.items():
        part = work / str(offset)
        size = part.stat().st_size
        for number, path in enumerate(paths[1:]):
            # As in the image, paths of one file share its bytes.
            twin = work / f"{offset}-{number}"
            os.link(part, twin)
            twin.replace(_place(folder, path))
        part.replace(_place(folder, paths[0]))
        for path in paths:
            listener(FilePulled(path.removeprefix(_ROOT), size))


def _link(folder: Path, path: str, target: str) -> None:
    """A symbolic link of the image as one of the folder, if it leads to something in there."""
    origin = _inside(folder, normal(posixpath.join("/", posixpath.dirname(path), target)))
    place = _place(folder, path)
    place.unlink(missing_ok=True)
    place.symlink_to(os.path.relpath(origin, place.parent))


def _place(folder: Path, path: str) -> Path:
    """Where a path of the image belongs in the folder, with the folders above it made."""
    target = _inside(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


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

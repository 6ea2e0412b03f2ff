"""A compressed layer in one pass: what it holds, and its wanted files beside their places."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from modelcar.errors import Refused
from modelcar.image.blobfile import CheckedReader, StreamInput, read_as_tar
from modelcar.image.parts import Parts
from modelcar.image.tree import MOST_ENTRIES, ImageFile, LayerFiles, entries
from modelcar.oci import Descriptor
from modelcar.retry import Patience
from modelcar.stores import ReadableStore


def stage_layer(
    store: ReadableStore,
    layer: Descriptor,
    number: int,
    parts: Parts,
    patience: Patience,
    is_wanted: Callable[[ImageFile], bool],
) -> LayerFiles:
    """Read a layer from its start to its end, keep the files that are wanted, and check it by its digest.

    Args:
        store: Where it is.
        layer: Which.
        number: Its number in the image.
        parts: Takes the files.
        patience: Ends the work when it is cancelled.
        is_wanted: Which regular files to keep.

    Raises:
        ContentMismatch: It isn't what its digest says, or no tar: nothing of it is kept.
        Refused: It grows beyond all measure.
        ModelcarError: As the store does.
        OSError: The disk is full, say.
    """
    what = f"the layer {layer.digest} of {store.name}"
    files: list[ImageFile] = []
    kept: list[ImageFile] = []
    reader = CheckedReader(store, layer)
    try:
        with closing(StreamInput(reader, layer, store.name)) as opened, read_as_tar(what):
            for file in entries(opened, number):
                files.append(file)
                if len(files) > MOST_ENTRIES:
                    raise Refused(f"{what} holds more than {MOST_ENTRIES:,} files, and is no model's")
                if file.kind == "file" and is_wanted(file):
                    kept.append(file)
                    opened.seek(file.offset)
                    _keep(opened, file, parts.path(layer, file), patience)
            reader.finish()
    except BaseException:
        for file in kept:
            parts.path(layer, file).unlink(missing_ok=True)
        raise
    parts.staged.update(parts.path(layer, file) for file in kept)
    return LayerFiles(layer, tuple(files))


def _keep(opened: StreamInput, file: ImageFile, path: Path, patience: Patience) -> None:
    with path.open("wb") as sink:
        for piece in opened.stream(file.size):
            patience.check()
            sink.write(piece)
        if sink.tell() != file.size:
            raise ValueError(f"it ends within {file.path}")

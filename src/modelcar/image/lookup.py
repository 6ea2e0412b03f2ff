"""One file of an image, by range: what `cat`, fsspec and the facts of a model read."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.events import Listener, Warned, ignore
from modelcar.http import PIECE
from modelcar.image.beginnings import Beginnings
from modelcar.image.blobfile import StreamInput, open_stream
from modelcar.image.head import ImageHead
from modelcar.image.tree import ImageFile, ImageTree, Keep, LayerFiles, read_layer, stub, walk, with_layers
from modelcar.oci import Descriptor, media
from modelcar.retry import Patience

MODELS = "models/"
"""Where an image keeps its model."""

LARGEST_BASE = 64 * 1024**2
"""Bytes of a compressed layer that is read to its end to see whether there is a shell in it."""

_KEPT = 16 * 1024**2
"""Bytes of the beginnings of files in compressed layers that are kept."""


class ImageFiles:
    """The files of one image, found and read one by one. May be used from several threads.

    Of uncompressed layers only headers are read to find a file, and nothing of those that are known by their annotation
    to hold another one. Compressed layers are read from their start, the uppermost first, until the file is found.

    Args:
        head: The image.
        patience: Ends the work when it is cancelled.
        listener: Is told what costs more than headers.
        depth: Stored bytes of a layer after which no more of it is read where it has no ranges; all by default.
    """

    def __init__(
        self,
        head: ImageHead,
        patience: Patience | None = None,
        listener: Listener = ignore,
        *,
        depth: int | None = None,
    ) -> None:
        self._depth = depth
        self.head = head
        self._store = head.location.store
        self._patience = patience or Patience()
        self._listener = listener
        self._lock = threading.Lock()
        self._read: dict[int, LayerFiles] = {}
        self._stubs: dict[int, LayerFiles] = {}
        self._beginnings = Beginnings(_wanted, _KEPT)
        self._keep = None if depth is None else self._beginnings.take

    def find(self, path: str) -> ImageFile:
        """The entry with the content of a path, all links followed.

        Args:
            path: Below `/models`, or from the image's root where it begins with `/`.

        Raises:
            NotFound: It is not there; which are like it.
            Refused: It is no file.
            ModelcarError: As `read_tree`.
        """
        wanted = path.lstrip("/") if path.startswith("/") else MODELS + path
        with self._lock:
            found = self._find(wanted)
            if found is None:
                raise self._absent(path, wanted)
            if found.kind != "file":
                raise Refused(f"/{wanted} of {self.head.location} is a {found.kind}, not a file")
            return found

    def tree(self) -> ImageTree:
        """All that the image holds. Raises as `read_tree`."""
        with self._lock:
            self._walk([number for number in range(len(self.head.manifest.layers)) if number not in self._read])
            return self._above(0)

    def outline(self) -> ImageTree:
        """All that the image holds, as annotations say it where they do; the size of such a file is -1 until `find`.

        Layers of which not all was read say so, and those that are no tar. A layer that may be of a base is read whole
        up to `LARGEST_BASE`, whatever `depth` is, until a file of the model shows that it is of none. Raises as
        `read_tree`.
        """
        layers = self.head.manifest.layers
        with self._lock:
            self._stub()
            for number, layer in enumerate(layers):
                if media.compression(layer.media_type) is None:
                    self._read.setdefault(number, LayerFiles(layer, (), is_whole=False))
            unknown = [n for n in range(len(layers)) if n not in self._read and n not in self._stubs]
            bases = [number for number in _leading_bases(layers) if number in unknown]
            if bases:
                self._read |= self._look_into(bases, LARGEST_BASE, self._keep and self._keep_of_base)
            self._walk([number for number in unknown if number not in bases])
            return self._above(0)

    def is_plain(self, file: ImageFile) -> bool:
        """Whether a part of a file costs no more than that part."""
        return media.compression(self._layer_of(file).media_type) == "" and self._store.has_ranges

    def read_range(self, file: ImageFile, offset: int = 0, length: int | None = None) -> bytes:
        """A part of a file that is small enough for memory. Arguments and errors as for `stream`."""
        return b"".join(self.stream(file, offset, length))

    def stream(self, file: ImageFile, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """A file's bytes, `length` of them from `offset` on or all to its end; as many as there are.

        They are not checked: a digest is of a whole layer.

        Raises:
            ContentMismatch: The layer ends before, or is damaged.
            ModelcarError: As the store does.
        """
        left = max(0, file.size - offset)
        left = left if length is None else min(left, length)
        layer = self._layer_of(file)
        if not left:
            return
        kept = self._beginnings.get(file, offset, left)
        pieces: Iterator[bytes]
        if kept is not None:
            pieces = iter([kept])
        elif self.is_plain(file):
            pieces = self._plain(file, offset, left)
        else:
            kind = media.compression(layer.media_type)
            why = f"is {kind}" if kind else f"lies where no part can be asked for, in {self._store.name}"
            if self._depth is None:
                most = f"its layer of {layer.size:,} bytes is read from the start up to the file"
                self._listener(Warned(f"/{file.path} {why}: {most}"))
            pieces = self._from_start(file, offset, left)
        for piece in pieces:
            self._patience.check()
            left -= len(piece)
            yield piece
        if left:
            raise ContentMismatch(f"the layer {layer.digest} of {self._store.name} ends within /{file.path}")

    def _layer_of(self, file: ImageFile) -> Descriptor:
        return self.head.manifest.layers[file.layer]

    def _plain(self, file: ImageFile, offset: int, length: int) -> Iterator[bytes]:
        with closing(self._store.open_blob(self._layer_of(file).digest, file.offset + offset, length)) as reader:
            while length and (piece := reader.read(min(PIECE, length))):
                length -= len(piece)
                yield piece

    def _from_start(self, file: ImageFile, offset: int, length: int) -> Iterator[bytes]:
        layer = self._layer_of(file)
        with closing(open_stream(self._store, layer, self._depth)) as opened:
            opened.seek(file.offset + offset)
            for piece in opened.stream(length):
                yield bytes(piece)

    def _find(self, path: str) -> ImageFile | None:
        """Look into the layers above the uppermost one that is costly and unread, and only then into that one."""
        layers = self.head.manifest.layers
        plain = [n for n, layer in enumerate(layers) if media.compression(layer.media_type) == ""]
        self._stub()
        unseen = [number for number in reversed(plain) if number not in self._read and number not in self._stubs]
        self._walk(unseen[:1])
        if self._store.has_ranges:  # the first one has shown it
            self._walk(unseen[1:])
        while True:
            unread = [n for n in range(len(layers)) if n not in self._read and n not in self._stubs]
            found = self._above(max(unread, default=-1) + 1).follow(path)
            if found is not None and found.size < 0:
                # Annotations said that it is there: now its layer must say where.
                self._stubs.pop(found.layer)
                self._walk([found.layer])
            elif found is not None or not unread:
                return found
            else:
                self._walk([max(unread)])

    def _stub(self) -> None:
        for number, layer in enumerate(self.head.manifest.layers):
            if number not in self._read and (known := stub(layer, number)):
                self._stubs[number] = known

    def _walk(self, numbers: list[int]) -> None:
        if len(numbers) == 1 and not media.compression(self.head.manifest.layers[numbers[0]].media_type):
            layer = self.head.manifest.layers[numbers[0]]
            self._read[numbers[0]] = read_layer(self._store, layer, numbers[0], self._depth, self._keep)
        elif numbers:
            self._read |= self._look_into(numbers, self._depth, self._keep)
        for number in numbers:
            self._stubs.pop(number, None)

    def _look_into(self, numbers: list[int], depth: int | None, keep: Keep | None) -> dict[int, LayerFiles]:
        return walk(self.head, numbers, self._patience, self._listener, depth, keep)

    def _keep_of_base(self, file: ImageFile, opened: StreamInput) -> None:
        if file.path.startswith(MODELS) and self._depth is not None:
            opened.end_after(self._depth)
        self._beginnings.take(file, opened)

    def _above(self, lowest: int) -> ImageTree:
        """The tree of the layers from one on."""
        layers = []
        for number, layer in enumerate(self.head.manifest.layers):
            known = self._read.get(number) or self._stubs.get(number)
            layers.append(known if known and number >= lowest else LayerFiles(layer, ()))
        return with_layers(self.head, tuple(layers))

    def _absent(self, path: str, wanted: str) -> NotFound:
        names = {f"/{name}" if path.startswith("/") else name.removeprefix(MODELS) for name in self._above(0).files()}
        near = difflib.get_close_matches(path, names, 3)
        hint = f"did you mean {', '.join(near)}?" if near else "modelcar ls -R shows what it holds"
        return NotFound(f"{self.head.location} has no file /{wanted}", hint)


def _leading_bases(layers: Sequence[Descriptor]) -> list[int]:
    """The lowest compressed layers, as long as they are small: what stands on them is the model."""
    found = []
    for number, layer in enumerate(layers[:-1]):
        if not media.compression(layer.media_type) or layer.size > LARGEST_BASE:
            break
        found.append(number)
    return found


def _wanted(file: ImageFile) -> int:
    """What is kept of a file: configuration whole, of weights what their headers mostly need."""
    if not file.path.startswith(MODELS):
        return 0
    if file.path.endswith((".safetensors", ".gguf")):
        return 64 * 1024
    is_small = file.path.endswith((".json", ".jinja", ".md")) and file.size <= _KEPT // 4
    return file.size if is_small and not file.path.endswith(("tokenizer.json", "vocab.json")) else 0

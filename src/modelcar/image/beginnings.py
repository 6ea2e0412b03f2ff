"""The first bytes of files in layers that can only be read from their start."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelcar.image.blobfile import StreamInput
from modelcar.image.tree import ImageFile


class Beginnings:
    """What is kept while such layers are walked: each later look would begin at their start. For all threads.

    Args:
        wanted: How many bytes of a file.
        most: Bytes in all.
    """

    def __init__(self, wanted: Callable[[ImageFile], int], most: int) -> None:
        self._wanted = wanted
        self._left = most
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], bytes] = {}

    def take(self, file: ImageFile, opened: StreamInput) -> None:
        """Keep what is wanted of a file that the stream has come to. Raises as reading it does."""
        size = min(self._wanted(file), file.size)
        with self._lock:
            if not 0 < size <= self._left:
                return
            self._left -= size
        opened.seek(file.offset)
        self._kept[file.layer, file.offset] = b"".join(opened.stream(size))

    def get(self, file: ImageFile, offset: int, length: int) -> bytes | None:
        """A part of a file, if all of it was kept."""
        kept = self._kept.get((file.layer, file.offset), b"")
        return kept[offset : offset + length] if 0 < offset + length <= len(kept) else None

"""A blob of one store on its way into another."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelcar.errors import ContentMismatch
from modelcar.http import PIECE
from modelcar.oci import Descriptor, Digest
from modelcar.stores.contract import HashedStream, ReadableStore, Reader


class StoredBlob:
    """The bytes of a blob, read from its store anew at each pass.

    They must be as many as its descriptor says; their digest is for who stores them to compare.

    Args:
        store: Where it is.
        descriptor: Which.
        title: What it is, for people.
        progress: Told of the number of bytes of every piece that is passed on; may raise to end the pass.
    """

    def __init__(
        self,
        store: ReadableStore,
        descriptor: Descriptor,
        title: str,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.title = title
        self.size: int | None = descriptor.size
        self.digest: Digest | None = descriptor.digest
        self._store = store
        self._descriptor = descriptor
        self._progress = progress

    def open(self) -> HashedStream:
        """See `Blob.open`: the store has answered when this returns."""
        reader = self._store.open_blob(self._descriptor.digest)
        return HashedStream(self._pieces(reader), self._descriptor.digest.partition(":")[0])

    def _pieces(self, reader: Reader) -> Iterator[bytes]:
        left = self._descriptor.size
        try:
            while piece := reader.read(PIECE):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
                self._progress(len(piece))
        finally:
            reader.close()
        if left:
            more = "more than" if left < 0 else f"{self._descriptor.size - left:,} of"
            raise ContentMismatch(
                f"{self.title}: {self._store.name} has {more} the {self._descriptor.size:,} bytes stated"
            )

"""What compressing a model would cost and save, measured on a few pieces of it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from modelcar.build.compression import Compression
from modelcar.http import PIECE
from modelcar.retry import Patience
from modelcar.sources import Source, SourceFile

_SAMPLES = 8
"""Places of a piece each: 8 MiB tell what weights are like, and cost one second of a slow link."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a compression would do to all of a model's files.

    Attributes:
        compression: As a user writes it.
        sampled: Bytes that were read and compressed to find out.
        size: Bytes of all files.
        compressed: Bytes that they would have.
        cpu_seconds: Of this machine, to compress them.
    """

    compression: str
    sampled: int
    size: int
    compressed: int
    cpu_seconds: float

    @property
    def saved(self) -> int:
        """Bytes that it would save; negative where it would cost some."""
        return self.size - self.compressed

    def as_dict(self) -> dict[str, Any]:
        """The estimate as JSON-ready values."""
        return {
            "compression": self.compression,
            "sampled": self.sampled,
            "size": self.size,
            "compressed": self.compressed,
            "cpu_seconds": round(self.cpu_seconds, 3),
        }


def estimate(
    source: Source, files: Sequence[SourceFile], compression: Compression, patience: Patience
) -> Estimate | None:
    """Compress pieces of `files` that lie evenly over their bytes. None where there are no bytes.

    Raises:
        ModelcarError: As the source does.
    """
    sampled = compressed = 0
    seconds = 0.0
    for file, offset in _places(files):
        piece = patience.persist(partial(_read, source, file, offset), file.path)
        started = time.thread_time()
        compressor = compression.compressor()
        compressed += len(compressor.compress(piece)) + len(compressor.flush())
        seconds += time.thread_time() - started
        sampled += len(piece)
    if not sampled:
        return None
    size = sum(file.size for file in files)
    scale = size / sampled
    return Estimate(str(compression), sampled, size, round(compressed * scale), seconds * scale)


def _places(files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, int]]:
    """Where to read: each file by its start, a piece after the other, where there are only a few."""
    upto = [0, *accumulate(file.size for file in files)]
    if upto[-1] <= _SAMPLES * PIECE:
        for file in files:
            yield from ((file, offset) for offset in range(0, file.size, PIECE))
        return
    for number in range(_SAMPLES):
        at = upto[-1] * (2 * number + 1) // (2 * _SAMPLES)
        index = bisect_right(upto, at) - 1
        file = files[index]
        yield file, min(at - upto[index], max(0, file.size - PIECE))


def _read(source: Source, file: SourceFile, offset: int) -> bytes:
    """A piece of a file, shorter only where the file ends."""
    content = bytearray()
    with closing(source.open(file, offset)) as reader:
        while len(content) < PIECE and (piece := reader.read(PIECE - len(content))):
            content += piece
    return bytes(content)

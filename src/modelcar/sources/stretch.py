"""A part of a file by one connection, and by another one where that breaks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from modelcar.broken import WentSilent
from modelcar.errors import ContentMismatch, NetworkError, RateLimited
from modelcar.http import PIECE
from modelcar.retry import Patience
from modelcar.sources.contract import Reader, Source, SourceFile

_RECONNECTS = 4
_FIRST_WAIT = 0.25
"""Seconds. With all reconnections in a row, without a byte in between, the waits come to less than five: no proxy gives
up an idle upload so soon."""


def read_stretch(
    source: Source,
    file: SourceFile,
    patience: Patience,
    *,
    offset: int = 0,
    length: int | None = None,
    reader: Reader | None = None,
) -> Generator[bytes, None, None]:
    """`length` bytes of `file` from `offset` on, or all to its end, in pieces of up to 1 MiB.

    A connection that breaks, or ends too soon, is opened again at the offset reached. A wait that the server asks for
    is not granted here, and one that was silent for long isn't made longer.

    Args:
        source: Where it is read.
        file: What is read.
        patience: What ends it early, and who is told of reconnections; how they wait is no matter of its.
        offset: Of the first byte.
        length: Bytes; None reads to the end, by requests that name no end.
        reader: One that was opened at `offset` already.

    Raises:
        RateLimited: The source asks to wait.
        WentSilent: Nothing came for too long.
        NetworkError: The source can't be reached again.
        ContentMismatch: The source sends more bytes than the file has.
    """
    reconnecting = Patience(patience.cancel, patience.listener, first_wait=_FIRST_WAIT)
    stop = file.size if length is None else offset + length
    start, failures = offset, 0
    while True:
        try:
            left = None if length is None else stop - offset
            with closing(reader or source.open(file, offset, left)) as opened:
                reader = None
                while piece := opened.read(PIECE):
                    patience.check()
                    failures = 0
                    if offset + len(piece) > stop:
                        raise _too_much(file, length)
                    offset += len(piece)
                    yield piece
            if offset == stop:
                return
            raise NetworkError(f"{file.path}: the source sent {offset - start:,} of {stop - start:,} bytes")
        except (RateLimited, WentSilent):
            raise
        except NetworkError as error:
            failures += 1
            if error.final or failures > _RECONNECTS:
                raise
            reconnecting.pause(file.path, error, failures)


def _too_much(file: SourceFile, length: int | None) -> Exception:
    if length is None:
        return ContentMismatch(f"{file.path}: the source sends more than the {file.size:,} bytes it states")
    return NetworkError(f"{file.path}: the source sends more than the {length:,} bytes asked for")

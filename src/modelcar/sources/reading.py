"""Reading one file to its end, whatever happens to the connection, and checking it as it passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing

from modelcar.errors import ContentMismatch, NetworkError, RateLimited
from modelcar.http import PIECE, WentSilent
from modelcar.retry import Patience
from modelcar.sources.contract import Reader, Source, SourceFile

_RECONNECTS = 4
_FIRST_WAIT = 0.25
"""Seconds. With all reconnections in a row, without a byte in between, the waits come to less than five: no proxy gives
up an idle upload so soon."""


def read_file(source: Source, file: SourceFile, patience: Patience, reader: Reader | None = None) -> Iterator[bytes]:
    """The whole content of `file` in pieces of up to 1 MiB, checked against the size and digest that the source states.

    A connection that breaks is opened again at the offset reached. A wait that the server asks for is not granted here,
    and one that was silent for long isn't made longer, since an upload may be waiting for these bytes: the next try is
    the caller's, outside of it.

    Args:
        source: Where it is read.
        file: What is read.
        patience: What ends it early, and who is told of reconnections; how they wait is no matter of its.
        reader: One that was opened at offset 0 already.

    Raises:
        RateLimited: The source asks to wait.
        WentSilent: Nothing came for too long.
        NetworkError: The source can't be reached again.
        ContentMismatch: More or fewer bytes than stated, or other ones.
    """
    check = _check_of(file)
    reconnecting = Patience(patience.cancel, patience.listener, first_wait=_FIRST_WAIT)
    offset = failures = 0
    while True:
        try:
            with closing(reader or source.open(file, offset)) as opened:
                reader = None
                while piece := opened.read(PIECE):
                    patience.check()
                    failures = 0
                    offset += len(piece)
                    if offset > file.size:
                        raise ContentMismatch(
                            f"{file.path}: the source sends more than the {file.size:,} bytes it states"
                        )
                    if check:
                        check.update(piece)
                    yield piece
            if offset == file.size:
                break
            raise NetworkError(f"{file.path}: the source sent {offset:,} of {file.size:,} bytes")
        except (RateLimited, WentSilent):
            raise
        except NetworkError as error:
            failures += 1
            if error.final or failures > _RECONNECTS:
                raise
            reconnecting.pause(file.path, error, failures)
    if check and check.hexdigest() != (file.digest or "").partition(":")[2]:
        raise ContentMismatch(f"{file.path}: the bytes read are not those of {file.digest}, which the source states")


def _check_of(file: SourceFile) -> hashlib._Hash | None:
    """The hash that the source's digest is made with, started."""
    kind = (file.digest or "").partition(":")[0]
    if kind == "sha256":
        return hashlib.sha256()
    if kind == "git-sha1":
        # Git hashes a blob behind a header (git-scm.com, "Git Internals - Git Objects").
        return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    return None

"""Reading one file to its end, whatever happens to the connection, and checking it as it passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from modelcar.errors import ContentMismatch
from modelcar.retry import Patience
from modelcar.sources.contract import Reader, Source, SourceFile
from modelcar.sources.ranges import Lanes
from modelcar.sources.stretch import read_stretch


def read_file(
    source: Source,
    file: SourceFile,
    patience: Patience,
    reader: Reader | None = None,
    *,
    lanes: Lanes | None = None,
) -> Iterator[bytes]:
    """The whole content of `file` in pieces of up to 1 MiB, checked against the size and digest that the source states.

    It comes by one connection, and in ranges by several from where that proved to be slow while `lanes` has some free.
    A connection that breaks is opened again at the offset reached. A wait that the server asks for is not granted here,
    and one that was silent for long isn't made longer, since an upload may be waiting for these bytes: the next try is
    the caller's, outside of it.

    Args:
        source: Where it is read.
        file: What is read.
        patience: What ends it early, and who is told of reconnections; how they wait is no matter of its.
        reader: One that was opened at offset 0 already.
        lanes: The connections that may be had for ranges; none by default.

    Raises:
        RateLimited: The source asks to wait.
        WentSilent: Nothing came for too long.
        NetworkError: The source can't be reached again.
        ContentMismatch: More or fewer bytes than stated, or other ones.
    """
    check = _check_of(file)
    lanes = lanes or Lanes(1)
    pace = lanes.pace()
    pieces = read_stretch(source, file, patience, reader=reader)
    offset, in_ranges = 0, False
    try:
        while piece := pace.next(pieces):
            patience.check()
            offset += len(piece)
            if check:
                check.update(piece)
            yield piece
            if not in_ranges and pace.is_slow() and (ranges := lanes.read(source, file, offset, patience)):
                pieces.close()
                pieces, in_ranges = ranges, True
    finally:
        pieces.close()
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

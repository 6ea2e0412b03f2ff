"""Digests for the files of a source that states none: each is read once, before the plan is compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from modelcar.build.memory import Memory
from modelcar.events import HashingStarted, Listener
from modelcar.parallel import side_by_side
from modelcar.retry import Patience
from modelcar.sources import Source, SourceFile, read_file


def with_digests(
    source: Source, files: Sequence[SourceFile], memory: Memory, patience: Patience, listener: Listener, workers: int
) -> tuple[SourceFile, ...]:
    """The same files, each with a digest; those that `memory` knows aren't read.

    Raises:
        ModelcarError: As `read_file` does.
    """
    known = {file: memory.file_digest(file.fingerprint) for file in files if file.fingerprint and not file.digest}
    unknown = [file for file in files if not file.digest and not known.get(file)]
    if unknown:
        listener(HashingStarted(len(unknown), sum(file.size for file in unknown)))
        digests = side_by_side(lambda file: _hash(source, file, patience), unknown, workers, patience)
        for file, digest in zip(unknown, digests, strict=True):
            known[file] = digest
            if file.fingerprint:
                memory.remember_file(file.fingerprint, digest)
    return tuple(replace(file, digest=file.digest or known[file]) for file in files)


def _hash(source: Source, file: SourceFile, patience: Patience) -> str:
    sha256 = hashlib.sha256()
    for piece in read_file(source, file, patience):
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"

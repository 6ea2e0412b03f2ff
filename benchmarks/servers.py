"""What the programs talk to, each in a process of its own, so that only the programs' own costs are counted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.registry import Registry
from tests.peers import Peer, docker_registry

ROOT = Path(__file__).resolve().parent.parent
REPO = "acme/bench"


@contextmanager
def hub(model: Path, rate: int | None = None) -> Iterator[str]:
    """The Hub double, with a folder as the repository `REPO`; files go out by sendfile. Gives its endpoint.

    With a `rate` each connection gets so many bytes a second.
    """
    limit = ["--rate", str(rate)] if rate is not None else []
    with _program("tests.doubles.hub", "--dir", str(model), "--repo", REPO, *limit) as line:
        yield str(json.loads(line)["endpoint"])


@contextmanager
def fresh_registry(folder: Path) -> Iterator[Peer]:
    """Debian's docker-registry with nothing in it; what it then holds goes with it."""
    storage = Path(tempfile.mkdtemp(prefix="r", dir=folder))
    try:
        with docker_registry(storage) as peer:
            yield peer
    finally:
        shutil.rmtree(storage)


@contextmanager
def dropping_registry() -> Iterator[str]:
    """The registry double, which hashes large blobs and drops them. Gives its host."""
    with _program("benchmarks.servers") as line:
        yield line


@contextmanager
def _program(module: str, *arguments: str) -> Iterator[str]:
    """A module as a program, until the end of the context. Gives the first line that it prints."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline().strip()
            if not line:
                raise RuntimeError(f"{module} did not start")
            yield line
        finally:
            process.terminate()


def _drop() -> None:
    with Registry(keep_up_to=1024 * 1024) as registry:
        print(registry.host, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _drop()

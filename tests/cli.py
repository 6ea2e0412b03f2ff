"""The real command line as a process of its own; and the library, for what only prepares a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcar import BuildOptions, build_image

MODELCAR = (sys.executable, "-m", "modelcar")
_LONG = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """How a call ended: its exit code, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What stands behind `error: `, if that is all that it said at its end, in one line."""
        last = self.err.splitlines()[-1] if self.err else ""
        assert self.err.endswith("\n"), self.err
        assert last.startswith("error: "), self.err
        assert "Traceback" not in self.err, self.err
        assert "this is a bug" not in self.err, self.err
        return last.removeprefix("error: ")


def modelcar(
    *args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, wrap: Sequence[str] = ()
) -> Done:
    """Run it to its end. `wrap` is a program with arguments that runs it."""
    command = [*wrap, *MODELCAR, *map(str, args)]
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=_LONG, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def image(source: str | Path, target: str, **wishes: Any) -> str:
    """Build by the library, in this process, which is faster. Returns the digest."""
    return str(build_image(str(source), target, BuildOptions(**{"base": "none", **wishes})).digest)


def built(*args: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Build, and expect that to succeed. Returns the digest."""
    done = modelcar("build", *args, env=env, cwd=cwd)
    assert done.code == 0, done.err
    return done.out.strip().rpartition("@")[2]


@contextlib.contextmanager
def started(
    *args: str | Path, env: Mapping[str, str] | None = None, program: Sequence[str] = MODELCAR
) -> Iterator[subprocess.Popen[str]]:
    """Start it, and make sure that it has ended when the context does."""
    process = subprocess.Popen(
        [*program, *map(str, args)],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process: subprocess.Popen[str]) -> Done:
    """Wait for its end."""
    out, err = process.communicate(timeout=_LONG / 3)
    return Done(process.returncode, out, err)


def wait_for(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something has happened while the process runs."""
    deadline = time.monotonic() + _LONG
    while not happened():
        assert process.poll() is None, f"ended with {process.returncode}: {process.communicate()[1]}"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)

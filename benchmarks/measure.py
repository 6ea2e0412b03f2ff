"""What a program costs: wall time, CPU time, memory and disk, with all the programs that it starts."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOOK_AT_MEMORY = 0.02
_LOOK_AT_DISK = 0.25


@dataclass(frozen=True, slots=True)
class Usage:
    """What it took.

    Attributes:
        seconds: Wall time.
        cpu: Seconds of CPU, user and system, of the program and of all that it waited for.
        rss: Bytes of memory of the largest process, at its peak.
        disk: Bytes on disk below the watched folder at the peak, over what was there before.
    """

    seconds: float
    cpu: float
    rss: int
    disk: int


class Failed(Exception):
    """A program ended with an error; the message is its last words."""


def measure(
    commands: Sequence[Sequence[str | Path]], *, environment: Mapping[str, str], folder: Path, output: Path
) -> Usage:
    """Run commands one after another.

    Args:
        commands: Programs with their arguments.
        environment: All they get.
        folder: Where they run, and whose disk use is watched.
        output: Gets what they print.

    Raises:
        Failed: One of them did.
    """
    cpu = 0.0
    watch = _Watch(folder)
    with watch, output.open("wb") as printed:
        started = time.monotonic()
        for command in commands:
            cpu += _run([str(word) for word in command], environment, folder, printed.fileno(), watch, output)
        seconds = time.monotonic() - started
    return Usage(round(seconds, 3), round(cpu, 3), watch.rss, watch.disk)


def _run(
    command: list[str], environment: Mapping[str, str], folder: Path, printed: int, watch: _Watch, output: Path
) -> float:
    """The CPU seconds of one command."""
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
    )
    watch.root = process.pid
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        watch.root = None
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = output.read_text(errors="replace").strip().splitlines()
        raise Failed(f"{Path(command[0]).name} ended with {process.returncode}: {words[-1] if words else 'no word'}")
    return usage.ru_utime + usage.ru_stime


class _Watch:
    """Looks at memory and disk now and then, from a thread of its own.

    Memory is asked of each process (`VmHWM`), since `ru_maxrss` of a child begins with what its parent had.
    """

    def __init__(self, folder: Path) -> None:
        self.root: int | None = None
        self.rss = 0
        self._folder = folder
        self._before = disk_use(folder)
        self._most = self._before
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._most = max(self._most, disk_use(self._folder))

    @property
    def disk(self) -> int:
        return self._most - self._before

    def _look(self) -> None:
        disk_at = 0.0
        while not self._end.wait(_LOOK_AT_MEMORY):
            if self.root is not None:
                self.rss = max(self.rss, *map(_peak_of, _tree(self.root)))
            if time.monotonic() >= disk_at:
                self._most = max(self._most, disk_use(self._folder))
                disk_at = time.monotonic() + _LOOK_AT_DISK


def disk_use(folder: Path) -> int:
    """Bytes that the files below a folder take, each file once however many names it has."""
    sizes = {}
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it went in the meantime
                info = os.lstat(os.path.join(path, name))  # noqa: PTH118 - pathlib takes twice as long
                sizes[info.st_ino] = info.st_blocks * 512
    return sum(sizes.values())


def _tree(root: int) -> Iterator[int]:
    """A process and all below it."""
    yield root
    with suppress(OSError):
        for thread in Path(f"/proc/{root}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child))


def _peak_of(process: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{process}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    return 0

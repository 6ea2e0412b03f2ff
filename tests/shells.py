"""The embedded base as a container would run it, and Debian's dash with coreutils as what it must not differ from.

Both run by chroot in a root folder of their own, as a user of their own: `podman run` needs more than a build machine
gives. Programs for other processors run under qemu-user-static.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from platform import machine
from typing import IO

import pytest

from modelcar import base
from tests import peers

USER = 1001
GROUP = 0
HERE = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x"}.get(machine(), "")
ARCHITECTURES = tuple(platform.architecture for platform in base.PLATFORMS)
_EMULATORS = {name: f"qemu-{arch}-static" for arch, name in (
    ("x86_64", "amd64"), ("aarch64", "arm64"), ("ppc64le", "ppc64le"), ("s390x", "s390x"),
)}  # fmt: skip
_REFERENCE = ("dash", "[", "cat", "echo", "false", "ln", "ls", "mkdir", "sleep", "test", "true")
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a line came to.

    Attributes:
        code: Exit code, or minus the signal.
        output: Standard output.
        complained: Whether anything was said on standard error.
        tree: What is in the root beside the shell, by path: what `describe` says of it. The shell's number is PID.
    """

    code: int | None
    output: str
    complained: bool
    tree: dict[str, str]


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell in a root folder.

    Attributes:
        name: `dash`, or the architecture of ours.
        root: Its root folder.
        emulator: What runs it there, none for the machine's own programs.
        owned: What was in the root before anything else.
    """

    name: str
    root: Path
    emulator: str = ""
    owned: frozenset[str] = field(default_factory=frozenset)

    def command(self, *args: str, user: int = USER, group: int = GROUP) -> list[str]:
        """The command that runs `args` there: the first is `sh` or another name in /bin."""
        emulated = [self.emulator, "-0", args[0]] if self.emulator else []
        return ["chroot", f"--userspec={user}:{group}", str(self.root), *emulated, f"/bin/{args[0]}", *args[1:]]

    def run(self, *args: str, user: int = USER, group: int = GROUP, stdin: bytes = b"") -> Outcome:
        """Run a command to its end."""
        process = self._start(args, user, group)
        return self._outcome(process, *process.communicate(stdin, _PATIENCE))

    def said(self, *args: str) -> tuple[Outcome, str]:
        """Run a command to its end; also what it said on standard error."""
        process = self._start(args, USER, GROUP)
        output, errors = process.communicate(timeout=_PATIENCE)
        return self._outcome(process, output, errors), errors.decode()

    def exit_code(self, *args: str, stdout: IO[bytes]) -> int:
        """Run a command to its end, with its standard output elsewhere."""
        command = self.command(*args)
        return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, env=_ENV, check=False).returncode

    def line(self, line: str, user: int = USER, group: int = GROUP) -> Outcome:
        """`sh -c LINE`, to its end."""
        return self.run("sh", "-c", line, user=user, group=group)

    @contextlib.contextmanager
    def running(self, *args: str, user: int = USER, group: int = GROUP) -> Iterator[subprocess.Popen[bytes]]:
        """A command that runs on; at the end it is killed, if it still runs."""
        with self._start(args, user, group) as process:
            try:
                yield process
            finally:
                _kill_group(process.pid)

    def interrupted(self, line: str, ready: Callable[[], bool], number: int = signal.SIGTERM) -> Outcome:
        """`sh -c LINE`, ended by a signal when it is `ready`: within a second, and by nothing else before."""
        with self.running("sh", "-c", line) as process:
            wait_for(lambda: ready() or process.poll() is not None)
            # Ready is what it has just done: it may be on its way to what it does next.
            time.sleep(0.05)
            assert process.poll() is None, f"it ended by itself: {process.communicate()}"
            before = time.monotonic()
            process.send_signal(number)
            process.wait(_PATIENCE)
            assert time.monotonic() - before < 1
            _kill_group(process.pid)
            return self._outcome(process, *process.communicate(timeout=_PATIENCE))

    def put(self, path: str, content: str | None = "", mode: int | None = None) -> Path:
        """Make a file, or with None a folder, as root would when it makes an image or a volume."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            target.mkdir(exist_ok=True)
        else:
            target.write_text(content)
        if mode is not None:
            target.chmod(mode)
        return target

    def tree(self, pid: int = 0) -> dict[str, str]:
        """What is in the root now that wasn't there at first."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = Path(folder, name)
                relative = path.relative_to(self.root).as_posix()
                if relative not in self.owned:
                    found[relative] = describe(path).replace(f"/proc/{pid}/", "/proc/PID/")
        return found

    def _start(self, args: Sequence[str], user: int, group: int) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = self.command(*args, user=user, group=group)
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENV, start_new_session=True)

    def _outcome(self, process: subprocess.Popen[bytes], output: bytes, errors: bytes) -> Outcome:
        text = re.sub(rf"(?<!\d){process.pid}(?!\d)", "PID", output.decode())
        return Outcome(process.returncode, text, bool(errors), self.tree(process.pid))


def _kill_group(leader: int) -> None:
    """End what a command has left: dash's `sleep` outlives dash, and holds its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def describe(path: Path) -> str:
    """A file's kind, and its content, its mode if it is a folder, or where it leads."""
    kind = path.lstat().st_mode
    if stat.S_ISLNK(kind):
        return f"-> {path.readlink()}"
    return f"folder {stat.S_IMODE(kind):o}" if stat.S_ISDIR(kind) else f"file {path.read_text()}"


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, "it didn't happen"
        time.sleep(0.005)


def ours(architecture: str, folder: Path) -> Shell:
    """Our base, unpacked as its layer says, with the emulator that it may need beside it."""
    require_root()
    root = Path(tempfile.mkdtemp(prefix=f"{architecture}-", dir=folder))
    root.chmod(0o755)
    (platform,) = (p for p in base.PLATFORMS if p.architecture == architecture)
    with tarfile.open(fileobj=BytesIO(base.layer(platform))) as tar:
        _unpack(tar, root)
    emulator = ""
    if architecture != HERE:
        name = _EMULATORS[architecture]
        peers.require(name)
        emulator = "/emulator"
        os.link(_copied(_program(name), folder), root / "emulator")
    return Shell(architecture, root, emulator, _names(root))


def reference(folder: Path) -> Shell:
    """Dash as `sh`, with GNU coreutils."""
    require_root()
    peers.require(*_REFERENCE, "ldd")
    root = Path(tempfile.mkdtemp(prefix="dash-", dir=folder))
    root.chmod(0o755)
    (root / "bin").mkdir()
    (root / "dev").mkdir()
    null = root / "dev" / "null"  # an ordinary file does, where no device may be made
    null.touch()
    null.chmod(0o666)
    for name in _REFERENCE:
        os.link(_copied(_program(name), folder), root / "bin" / ("sh" if name == "dash" else name))
    for library in _libraries():
        target = root / str(library).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(_copied(library.resolve(), folder), target)
    return Shell("dash", root, owned=_names(root))


def require_root() -> None:
    """Skip the test where nobody may chroot."""
    if os.geteuid() != 0:
        pytest.skip("chroot is for root")
    peers.require("chroot")


def _unpack(tar: tarfile.TarFile, root: Path) -> None:
    """Unpack a layer as an engine does. What `extractall` does differs with the version of Python."""
    for member in tar:
        path = root / member.name
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.isdir():
            path.mkdir()
        else:
            opened = tar.extractfile(member)
            assert opened
            path.write_bytes(opened.read())
        if not member.issym():
            path.chmod(member.mode)


def _program(name: str) -> Path:
    return Path(str(shutil.which(name))).resolve()


@functools.cache
def _libraries() -> frozenset[Path]:
    """What the programs of the reference need, by the names under which they look for it."""
    found = (re.findall(r"(/\S+) \(0x", peers.run("ldd", _program(name))) for name in _REFERENCE)
    return frozenset(Path(path) for paths in found for path in paths)


def _names(root: Path) -> frozenset[str]:
    return frozenset(path.relative_to(root).as_posix() for path in root.rglob("*"))


def _copied(program: Path, folder: Path) -> Path:
    """A copy of a program that each root can have a hard link to."""
    copy = folder / f"copy-of-{program.name}"
    if not copy.exists():
        shutil.copy(program, copy)
        copy.chmod(0o755)
    return copy

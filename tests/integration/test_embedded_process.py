"""The embedded base as a process: signals, process 1, users, a read-only root, and what others see through /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import peers
from tests.shells import ARCHITECTURES, GROUP, HERE, USER, Shell, ours, wait_for

LINK = "ln -sf /proc/$$/root/models /mnt/models && sleep infinity"
ENDLESS = {
    "sleeping": "mkdir -p /mnt/x && sleep infinity",
    "sleeping for long": "mkdir -p /mnt/x && sleep 999d",
    "inside others": "(mkdir -p /mnt/x; (sleep infinity) && echo $(sleep 1))",
    "in a $( )": 'mkdir -p /mnt/x; echo "$(sleep infinity)"',
    "in a loop that sleeps": "until [ -f /none ]; do mkdir -p /mnt/x; sleep 1; done",
    "in a loop that does not": "mkdir -p /mnt/x; while true; do true; done",
}


@pytest.fixture(params=ARCHITECTURES)
def shell(request: pytest.FixtureRequest, roots: Path) -> Shell:
    return modelcar(ours(request.param, roots))


@pytest.fixture
def native(roots: Path) -> Shell:
    if not HERE:
        pytest.skip("there is no base for this machine")
    return modelcar(ours(HERE, roots))


def modelcar(shell: Shell) -> Shell:
    """With a model, and an empty volume at /mnt."""
    shell.put("/models/config.json", "{}")
    shell.put("/mnt", None, 0o777)
    return shell


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_ends_by_the_signal(shell: Shell, number: int) -> None:
    ready = shell.root / "mnt" / "x"
    assert shell.interrupted(ENDLESS["sleeping"], ready.exists, number).code == -number


@pytest.mark.parametrize("how", ENDLESS)
def test_ends_at_once_whatever_it_does(shell: Shell, how: str) -> None:
    ready = shell.root / "mnt" / "x"
    assert shell.interrupted(ENDLESS[how], ready.exists).code == -signal.SIGTERM


def test_ends_whatever_it_was_started_with(native: Shell) -> None:
    # What started it had the signal ignored, and blocked.
    start = "import signal, os, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pthread_sigmask("
    start += "signal.SIG_BLOCK, [signal.SIGTERM]); os.execvp(sys.argv[1], sys.argv[1:])"
    command = native.command("sh", "-c", ENDLESS["sleeping"])
    with subprocess.Popen(["python3", "-c", start, *command]) as process:
        wait_for((native.root / "mnt" / "x").exists)
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM


@pytest.fixture
def first(shell: Shell) -> Iterator[tuple[Shell, int, subprocess.Popen[bytes]]]:
    """A shell that is process 1, its number outside, and what waits for it."""
    with _namespace("--pid", "--fork", *shell.command("sh", "-c", LINK)) as process:
        wait_for((shell.root / "mnt" / "models").is_symlink)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield shell, int(child), process
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_by_the_signal_as_process_1(first: tuple[Shell, int, subprocess.Popen[bytes]], number: int) -> None:
    shell, child, process = first
    assert (shell.root / "mnt" / "models").readlink() == Path("/proc/1/root/models")
    os.kill(child, number)
    assert process.wait(5) == 128 + number


def test_waits_when_told_nothing(shell: Shell) -> None:
    # The image's Cmd.
    with shell.running("sleep", "infinity") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.terminate()
        assert process.wait(5) == -signal.SIGTERM


def _read(path: str, user: int, group: int = GROUP) -> subprocess.CompletedProcess[bytes]:
    """What another process of a user, with no capabilities, reads from a file."""
    command = ["chroot", f"--userspec={user}:{group}", "--groups=", "/", "cat", path]
    return subprocess.run(command, capture_output=True, check=False)


def test_another_process_of_the_same_user_reads_the_model(shell: Shell) -> None:
    with shell.running("sh", "-c", LINK) as process:
        link = shell.root / "mnt" / "models"
        wait_for(link.is_symlink)
        path = f"{link.readlink()}/config.json"
        assert path == f"/proc/{process.pid}/root/models/config.json"
        assert _read(path, USER).stdout == b"{}"
        assert _read(path, USER + 1).returncode == 1


def test_that_takes_a_program_which_its_user_may_read(native: Shell) -> None:
    # Why bin/sh is 0755: the kernel closes /proc/PID/root of a program that its user can run but not read.
    (native.root / "bin" / "sh").chmod(0o711)
    with native.running("sh", "-c", LINK) as process:
        wait_for((native.root / "mnt" / "models").is_symlink)
        assert _read(f"/proc/{process.pid}/root/models/config.json", USER).returncode == 1


@pytest.mark.parametrize("user", [0, 1010, 65534, 1000650000])
def test_runs_as_any_user(native: Shell, user: int) -> None:
    check = '[ -d /models ] && [ "$(ls -A /models)" ] && mkdir -p /mnt/a && ln -sf /proc/$$/root/models /mnt/a/b'
    for group in (0, user):
        assert native.line(check, user=user, group=group).code == 0
    assert (native.root / "mnt" / "a").stat().st_uid == user


def test_runs_with_a_read_only_root(shell: Shell) -> None:
    mount = f"mount --bind {shell.root} {shell.root} && mount -o remount,bind,ro {shell.root}"
    volume = f"mount -t tmpfs -o mode=777 tmpfs {shell.root}/mnt"
    line = f"echo a && mkdir -p /models/x; mkdir -p /mnt/a && {LINK.partition(' && ')[0]} && ls -A /mnt"
    command = shell.command("sh", "-c", line)
    script = f'{mount} && {volume} && exec "$@"'
    with _namespace("--mount", "sh", "-ec", script, "sh", *command) as process:
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, b"a\na\nmodels\n"), errors
    assert errors == b"mkdir: /models/x: Read-only file system\n"


@contextlib.contextmanager
def _namespace(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in namespaces of its own, where those may be made."""
    peers.require("unshare", "mount")
    if subprocess.run(["unshare", args[0], "--fork", "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"unshare {args[0]} isn't allowed here")
    pipe = subprocess.PIPE
    with subprocess.Popen(["unshare", *args], stdout=pipe, stderr=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def test_reads_neither_its_environment_nor_its_input_nor_any_file(native: Shell) -> None:
    peers.require("strace")
    trace = native.root.parent / "trace"
    command = ["strace", "-f", "-o", str(trace), *native.command("sh", "-c", '[ "$(ls -A /models)" ] && echo a')]
    done = subprocess.run(command, input=b"echo b\n", capture_output=True, check=False)
    assert done.stdout == b"a\n"
    calls = trace.read_text().split("execve(")[-1]  # chroot's come before
    names = {line.split("(")[0].split()[-1] for line in calls.splitlines()[1:] if "(" in line}
    assert not names & {"fork", "vfork", "clone", "clone3", "execve", "socket", "read", "ptrace", "prctl", "mount"}
    opened = [line for line in calls.splitlines() if "open" in line]
    assert len(opened) == 1, opened
    assert "O_DIRECTORY" in opened[0]

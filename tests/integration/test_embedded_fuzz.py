"""The embedded base under random lines, built with gcc's sanitizers: `embedded_fuzz.c` says what it looks for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from modelcar import base
from tests import peers

HARNESS = Path(__file__).with_name("embedded_fuzz.c")
SOURCE = Path(base.__file__).with_name("sh.c")
SANITIZED = ("-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
WARNED = ("-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual", "-fanalyzer", "-Werror")
SECONDS = 5
# So small that random lines get to them all.
TINY = {"DEPTH": "6", "TEXT": "300", "WORDS": "12", "OUTPUT": "24", "NAMES": "4"}


def compiled(source: Path, program: Path, *options: str) -> None:
    """Compile C, or skip the test where gcc can't compile anything with these options."""
    peers.require("gcc")
    trial = program.with_name("trial.c")
    trial.write_text("#include <stdio.h>\nint main(void) { return 0; }\n")
    command = ["gcc", *options, str(trial), "-o", str(program)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"gcc can't: {tried.stderr.strip().splitlines()[0]}")
    peers.run("gcc", *options, source, "-o", program)


@pytest.mark.parametrize("limits", ["as they are", "tiny"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_lines_do_no_harm(tmp_path: Path, limits: str, seed: int) -> None:
    text = SOURCE.read_text()
    for name, value in TINY.items() if limits == "tiny" else ():
        text, found = re.subn(rf"\b{name} = [^,]+,", f"{name} = {value},", text)
        assert found == 1
    (tmp_path / "sh.c").write_text(text)
    compiled(HARNESS, tmp_path / "fuzz", *SANITIZED, f"-I{tmp_path}")
    folder = tmp_path / "listed"
    folder.mkdir()
    for name in (".hidden", "a", "b c", "*", "it's", "å", *map(str, range(12))):
        (folder / name).touch()
    command = [str(tmp_path / "fuzz"), str(seed), str(SECONDS)]
    env = {"ASAN_OPTIONS": "detect_leaks=0"}  # a line that is cut short leaves its folder open
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=SECONDS + 60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    lines, understood = map(int, re.findall(rb"(\d+) lines, (\d+) understood", done.stdout)[0])
    assert lines > 1000
    assert understood > 100


def test_compiles_without_a_warning(tmp_path: Path) -> None:
    compiled(SOURCE, tmp_path / "sh", "-std=c11", *WARNED)


def test_uses_no_more_of_libc_than_it_says(tmp_path: Path) -> None:
    compiled(SOURCE, tmp_path / "sh.o", "-std=c11", "-O2", "-c", "-fno-builtin")
    peers.require("nm")
    needed = set(re.findall(r" U (?:__sysv_)?(\w+)", peers.run("nm", tmp_path / "sh.o")))
    assert needed - {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"} == {
        "_exit", "closedir", "getpid", "lstat", "memcpy", "memset", "mkdir", "nanosleep", "opendir", "pause", "qsort",
        "raise", "readdir", "rewinddir", "sigaction", "signal", "sigprocmask", "stat", "strchr", "strcmp", "strerror",
        "strlen", "strncmp", "strrchr", "strspn", "symlink", "unlink", "write",
        "__errno_location",
    }  # fmt: skip

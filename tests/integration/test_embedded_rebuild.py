"""The committed programs are what zig makes of their source, wherever that is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelcar import base
from tests import peers
from tests.shells import ARCHITECTURES

FOLDER = Path(base.__file__).parent
PROJECT = Path(__file__).parents[2]
PINNED = (PROJECT / "requirements" / "zig.in").read_text().strip().partition("==")[2]
_CACHE = Path("~/.cache/modelcar-tests/zig").expanduser()


def zig() -> str:
    """How zig is called here: from `make base`'s environment, or this one's. Skips the test where it is in none."""
    for python in (PROJECT / ".venv-zig" / "bin" / "python", Path(sys.executable)):
        command = [str(python), "-m", "ziglang"]
        if python.exists():
            done = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                assert done.stdout.strip() == PINNED, "another version makes other bytes"
                return " ".join(command)
    pytest.skip("ziglang is not installed: `make base` does that")


def test_the_same_bytes_again_in_another_folder(tmp_path: Path) -> None:
    peers.require("make")
    command = zig()
    copy = tmp_path / "another folder's name" / "of the source"
    copy.mkdir(parents=True)
    for name in ("sh.c", "Makefile"):
        shutil.copy(FOLDER / name, copy)
    # musl is compiled once for each processor, which takes a while; that is kept between runs of the tests.
    env = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(_CACHE), "ZIG_LOCAL_CACHE_DIR": str(copy / "cache")}
    make = ["make", "-C", str(copy), f"ZIG={command}"]
    done = subprocess.run(make, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for architecture in ARCHITECTURES:
        name = f"sh-{architecture}"
        assert (copy / "bin" / name).read_bytes() == (FOLDER / "bin" / name).read_bytes(), name

"""File systems that refuse: too small ones, and permissions that bind root too."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def without_rights() -> tuple[str, ...]:
    """What runs a program so that the permissions of files bind it, root's too."""
    if os.geteuid():
        return ()
    wrap = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    try:
        subprocess.run([*wrap, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"as root, and setpriv can't take its rights away: {error}")
    return wrap


@contextlib.contextmanager
def mounted_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size (as `3m`) of its own, mounted on a new folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tests", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)

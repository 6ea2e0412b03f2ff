"""The layer of the embedded base: the program for one platform as `bin/sh`, and a link for each of its commands.

The program is `sh.c`, compiled by the `Makefile` beside it; docs/base.md says what it understands.
"""

from __future__ import annotations

from importlib.resources import files

from modelcar.oci import Member, Platform, Symlink, frame

PLATFORMS = tuple(Platform(architecture, "linux") for architecture in ("amd64", "arm64", "ppc64le", "s390x"))
"""What there is a program for."""

COMMANDS = ("[", "echo", "false", "ln", "ls", "mkdir", "sleep", "test", "true")
"""The names by which it is called besides `sh`."""

CMD = ("sleep", "infinity")
"""What it does in a container that is told nothing else, so that `podman run` and `cp` work. KServe overrides it."""


def layer(platform: Platform) -> bytes:
    """The layer for one of `PLATFORMS`: an uncompressed tar, the same bytes everywhere.

    Its program is 0755: KServe has another process of the same user look through `/proc/PID/root`, which the kernel
    allows only where that user may read what PID runs.
    """
    program = (files(__package__) / "bin" / f"sh-{platform.architecture}").read_bytes()
    links = [Symlink(f"bin/{name}", "sh") for name in COMMANDS]
    framing = frame([Member("bin/sh", len(program), 0o755), *links])
    return b"".join(program if isinstance(piece, Member) else piece for piece in framing.pieces())

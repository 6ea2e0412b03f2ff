"""The layer of the embedded base: what is in it, and that it is the same everywhere."""

from __future__ import annotations

import re
import struct
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from modelcar import base
from modelcar.oci import Platform, digest_of

DOCS = Path(__file__).parents[3] / "docs" / "base.md"
SOURCE = Path(base.__file__).with_name("sh.c")
# ELF's numbers for processors, and its byte order.
MACHINES = {"amd64": (62, "<"), "arm64": (183, "<"), "ppc64le": (21, "<"), "s390x": (22, ">")}


@pytest.fixture(params=base.PLATFORMS, ids=str)
def platform(request: pytest.FixtureRequest) -> Platform:
    found = request.param
    assert isinstance(found, Platform)
    return found


def members(platform: Platform) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=BytesIO(base.layer(platform)), mode="r:") as tar:
        return tar.getmembers()


def test_is_for_four_platforms() -> None:
    assert [str(platform) for platform in base.PLATFORMS] == [f"linux/{name}" for name in MACHINES]


def test_holds_the_program_and_links_to_it_and_nothing_else(platform: Platform) -> None:
    assert [(m.name, m.type, m.linkname, f"{m.mode:o}") for m in members(platform)] == [
        ("bin", tarfile.DIRTYPE, "", "755"),
        *(("bin/" + name, tarfile.SYMTYPE, "sh", "777") for name in ("[", "echo", "false", "ln", "ls", "mkdir")),
        ("bin/sh", tarfile.REGTYPE, "", "755"),
        *(("bin/" + name, tarfile.SYMTYPE, "sh", "777") for name in ("sleep", "test", "true")),
    ]


def test_says_nothing_of_any_machine(platform: Platform) -> None:
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members(platform)} == {(0, 0, "", "", 0)}


def test_links_to_every_command_that_the_program_knows() -> None:
    known = re.findall(r'^\t\{ "(\S+)", do_\w+ \},$', SOURCE.read_text(), re.MULTILINE)
    assert sorted([*base.COMMANDS, "exit"]) == known


def program(platform: Platform) -> bytes:
    with tarfile.open(fileobj=BytesIO(base.layer(platform))) as tar:
        opened = tar.extractfile("bin/sh")
        assert opened
        return opened.read()


def test_the_program_is_for_its_platform(platform: Platform) -> None:
    number, order = MACHINES[platform.architecture]
    header = program(platform)[:20]
    assert header[:6] == b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02")
    position_independent = 3
    assert struct.unpack(f"{order}HH", header[16:20]) == (position_independent, number)


def test_the_program_needs_no_other(platform: Platform) -> None:
    _, order = MACHINES[platform.architecture]
    content = program(platform)
    (start,) = struct.unpack_from(f"{order}Q", content, 32)
    size, count = struct.unpack_from(f"{order}HH", content, 54)
    headers = [struct.unpack_from(f"{order}IIQQQQQQ", content, start + size * number) for number in range(count)]
    loaded, interpreter, stack = 1, 3, 0x6474E551
    assert interpreter not in {kind for kind, *_ in headers}
    assert [flags for kind, flags, *_ in headers if kind == stack] == [6]  # not executable
    assert not [
        flags for kind, flags, *_ in headers if kind == loaded and flags & 3 == 3
    ]  # no code that can be written
    assert max(alignment for kind, *_, alignment in headers if kind == loaded) >= {
        "amd64": 1 << 12,
        "s390x": 1 << 12,
        "arm64": 1 << 16,  # some of its kernels have pages of 64 KiB
        "ppc64le": 1 << 16,
    }.get(platform.architecture, 0)


def test_the_program_is_small_and_says_nothing_of_where_it_was_made(platform: Platform) -> None:
    content = program(platform)
    assert len(content) < 50_000
    for word in (b"/home", b"/root", b"/tmp", b"/work", b".cache", b"sh.c", b"GNU\0"):
        assert word not in content, word


def test_the_docs_name_its_size_and_digests(platform: Platform) -> None:
    content = program(platform)
    row = (
        f"| `{platform}` | {len(content):,} | `{digest_of(content).removeprefix('sha256:')}` "
        f"| `{digest_of(base.layer(platform)).removeprefix('sha256:')}` |"
    )
    assert row in DOCS.read_text(encoding="utf-8").splitlines()

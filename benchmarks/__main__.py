"""All benchmarks in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks import build, check, copy, memory, pull, read, rebuild, slow_link, startup, verify
from benchmarks.methods import install_peers
from benchmarks.report import options, say, write_json

_FULL = memory.Sizes(plain=128 * 1024**2, sparse=20 * 1024**3, files=2000)
_QUICK = memory.Sizes(plain=8 * 1024**2, sparse=64 * 1024**2, files=50)


@click.command()
@click.argument("only", required=False, type=click.Choice(["slow-link"]))
@options
def main(only: str | None, size: int, runs: int, folder: Path, quick: bool, json_file: Path | None) -> None:
    """Compare the ways to build a model's image, then measure rebuilds, start-up and memory.

    ONLY names one that is no part of that, since it mostly waits: slow-link.
    """
    if only:
        _slow_link(64 * 1024**2 if quick else 512 * 1024**2, folder, json_file)
        return
    if not quick:
        install_peers()
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        work = Path(name)
        outcomes = build.compare(size, runs, work)
        say("rebuilds")
        rebuilds = rebuild.rebuild(size, runs, work)
        pulls = pull.pull(size, runs, work)
        readings = read.read(runs, work)
        checkings = check.check(runs, work)
        copies = copy.copy(size, runs, work)
        checks = verify.verify(size, runs, work)
        say("start-up")
        starts = startup.startup(1 if quick else 10, work)
        peaks = memory.memory(_QUICK if quick else _FULL, work)
    tables = [
        build.as_table(outcomes, size, runs),
        rebuild.as_table(rebuilds, size),
        pull.as_table(pulls, size),
        read.as_table(readings),
        check.as_table(checkings),
        copy.as_table(copies, size),
        verify.as_table(checks, size),
        startup.as_table(starts),
        memory.as_table(peaks),
    ]
    print("\n\n".join(tables))
    values = {
        "size": size,
        "comparison": build.as_json(outcomes),
        "rebuild": rebuild.as_json(rebuilds),
        "pull": pull.as_json(pulls),
        "read": read.as_json(readings),
        "check": check.as_json(checkings),
        "copy": copy.as_json(copies),
        "verify": verify.as_json(checks),
        "startup": startup.as_json(starts),
        "memory": memory.as_json(peaks),
    }
    write_json(json_file, values)


def _slow_link(size: int, folder: Path, json_file: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="mb-", dir=folder) as name:
        crossings = slow_link.slow_link(size, Path(name))
    print(slow_link.as_table(crossings, size))
    write_json(json_file, {"size": size, "slow_link": slow_link.as_json(crossings)})


if __name__ == "__main__":
    main()

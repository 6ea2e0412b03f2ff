"""The benchmark runs, and tells all that the README's table is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.peers import require

ROOT = Path(__file__).resolve().parents[2]


def test_quick_run_gives_all_numbers(tmp_path: Path) -> None:
    require("docker-registry", "curl", "podman")
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--size", "8MiB", "--json", str(numbers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(numbers.read_text())

    methods = {method["method"]: method for method in told["comparison"]}
    ours, podman = methods["modelcar"], methods["podman build + push"]
    # Each is measured, or says why not: those from PyPI may be missing.
    assert all(method["reason"] or method["runs"] for method in methods.values())
    assert ours["median"].keys() == {"seconds", "cpu", "rss", "disk"}
    assert min(ours["wall_vs_podman"], ours["cpu_vs_podman"], ours["wall_vs_floor"], ours["median"]["rss"]) > 0
    assert podman["wall_vs_podman"] == podman["cpu_vs_podman"] == 1
    assert ours["median"]["disk"] < told["size"] / 4 < podman["median"]["disk"]
    assert [(rebuild["read"], rebuild["sent"]) for rebuild in told["rebuild"]] == [(0, 0), (0, 0)]
    pulls = {pull["method"]: pull for pull in told["pull"]}
    assert all(pull["reason"] or pull["seconds"] for pull in pulls.values())
    assert pulls["curl --parallel"]["wall_vs_curl"] == 1
    copies = {copy["method"]: copy for copy in told["copy"]}
    assert all(copy["reason"] or copy["seconds"] for copy in copies.values())
    assert all(verified["seconds"] > 0 for verified in told["verify"])
    assert {(reading["command"], reading["layers"]) for reading in told["read"]} == {
        (command, layers) for command in ("ls -l", "cat", "inspect") for layers in ("ours", "anyone's")
    }
    assert "modelcar --help" in [start["command"] for start in told["startup"]]
    assert all(peak["rss"] > 0 for peak in told["memory"])
    assert all(f"| {name} |" in done.stdout for name in methods)

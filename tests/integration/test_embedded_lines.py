"""Every line that KServe, Open Data Hub and Kubeflow Pipelines run in a ModelCar, under dash and under our base.

The lines stand here as they do in a Pod, where `$$` is Kubernetes' way to write `$`: see 1.2 of
../shared/kserve/KSERVE.md, and KServe's pull requests 4274 (-f), 5470 and 5780 (quotes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.shells import ARCHITECTURES, Outcome, Shell, ours, reference

IMAGE = "quay.io/acme/granite@sha256:" + 64 * "0"
SAMPLES = Path(__file__).parents[3] / "shared" / "kserve" / "samples"

_OK = "echo 'OK ... Prefetched and valid (/models exists)'"
_NOK = "echo 'NOK ... Prefetched but modelcar is invalid (/models does not exist or is empty)'"
_CHECK = "echo 'Pre-fetching modelcar {}: ' && [ -d /models ] && [ \"$$(ls -A /models)\" ] && " + _OK

CHECKS = {
    "KServe 0.14 to master, Open Data Hub": _CHECK.format(IMAGE) + f" || ({_NOK} && exit 1)",
    "Kubeflow Pipelines": _CHECK.format(IMAGE) + f" || ({_NOK} &&  exit 1)",
    "an image whose name holds sleep": _CHECK.format("quay.io/acme/sleep-infinity") + f" || ({_NOK} && exit 1)",
    "a DaemonSet that pulls ahead": "ls /models >/dev/null",
}
LINKS = {
    "KServe 0.12 to 0.14": "ln -s /proc/$$$$/root/models /mnt/models && sleep infinity",
    "KServe 0.15 to master, Open Data Hub": "ln -sf /proc/$$$$/root/models /mnt/models && sleep infinity",
    "KServe, each path quoted": "ln -sf /proc/$$$$/root/models '/mnt/models' && sleep infinity",
    "LLMInferenceService, scheduler and tokenizer": "mkdir -p /mnt/models && "
    "ln -sf /proc/$$$$/root/models /mnt/models/base && sleep infinity",
    "LLMInferenceService, a model's name with a slash": "mkdir -p /mnt/models/meta-llama && "
    "ln -sf /proc/$$$$/root/models /mnt/models/meta-llama/Llama-2-7b && sleep infinity",
    "storageUris, quoted": "mkdir -p '/mnt/second' && "
    "ln -sf /proc/$$$$/root/models '/mnt/second/model' && sleep infinity",
    "storageUris, a path with a blank and a quote": "mkdir -p '/mnt/it'\\''s a' && "
    "ln -sf /proc/$$$$/root/models '/mnt/it'\\''s a/model; $HOME `x` *' && sleep infinity",
}
KUBEFLOW = (
    'ln -s /proc/$$$$/root/models "/oci/quay.io_acme_granite/models" && echo "Running Modelcar container..." && '
    'until [ -f "/oci/quay.io_acme_granite/launcher-complete" ]; do sleep 1; done'
)


def _many(shell: Shell) -> None:
    for number in range(1400):
        shell.put(f"/models/weights of layer {number:05}, in float16.safetensors")


MODELS: dict[str, Callable[[Shell], object]] = {
    "a model": lambda shell: (shell.put("/models/config.json", "{}"), shell.put("/models/a/model.gguf", "x")),
    "more than one file's worth of names": _many,
    "only a hidden file": lambda shell: shell.put("/models/.config"),
    "none": lambda shell: None,
    "an empty folder": lambda shell: shell.put("/models", None),
    "a folder closed to this user": lambda shell: (shell.put("/models/x"), shell.put("/models", None, 0o700)),
    "a folder without names for this user": lambda shell: (shell.put("/models/x"), shell.put("/models", None, 0o711)),
    "a file": lambda shell: shell.put("/models", "x"),
    "a link that leads nowhere": lambda shell: (shell.root / "models").symlink_to("/gone"),
}
VALID = ("a model", "more than one file's worth of names", "only a hidden file")


def as_kubernetes(text: str) -> str:
    """What a container gets of an argument in a Pod: two dollar signs stand for one."""
    return text.replace("$$", "$")


@pytest.fixture(params=ARCHITECTURES)
def shells(request: pytest.FixtureRequest, roots: Path) -> tuple[Shell, Shell]:
    """Ours for one architecture, and dash."""
    return ours(request.param, roots), reference(roots)


def same(shells: tuple[Shell, Shell], act: Callable[[Shell], Outcome]) -> Outcome:
    """What both come to."""
    ours, theirs = map(act, shells)
    assert ours == theirs
    return ours


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("line", CHECKS)
def test_checks_of_the_model(shells: tuple[Shell, Shell], line: str, model: str) -> None:
    def check(shell: Shell) -> Outcome:
        MODELS[model](shell)
        return shell.line(as_kubernetes(CHECKS[line]))

    found = same(shells, check)
    if line != "a DaemonSet that pulls ahead":
        assert found.code == (0 if model in VALID else 1)
        assert found.output.splitlines()[-1].startswith("OK" if model in VALID else "NOK")


@pytest.mark.parametrize("line", LINKS)
def test_links_to_the_model_and_waits(shells: tuple[Shell, Shell], line: str) -> None:
    def link(shell: Shell) -> Outcome:
        MODELS["a model"](shell)
        volume = shell.put("/mnt", None, 0o777)
        linked = lambda: any(path.is_symlink() for path in volume.rglob("*"))  # noqa: E731
        return shell.interrupted(as_kubernetes(LINKS[line]), linked)

    found = same(shells, link)
    assert found.code == -15
    assert "-> /proc/PID/root/models" in found.tree.values()


@pytest.mark.parametrize("line", ["KServe 0.12 to 0.14", "KServe 0.15 to master, Open Data Hub"])
def test_a_container_that_starts_again_finds_its_old_link(shells: tuple[Shell, Shell], line: str) -> None:
    def again(shell: Shell) -> Outcome:
        MODELS["a model"](shell)
        link = shell.put("/mnt", None, 0o777) / "models"
        link.symlink_to("/proc/999999999/root/models")
        if "-sf" not in LINKS[line]:
            return shell.line(as_kubernetes(LINKS[line]))
        return shell.interrupted(as_kubernetes(LINKS[line]), lambda: "999999999" not in str(link.readlink()))

    found = same(shells, again)
    assert found.code == (-15 if "-sf" in LINKS[line] else 1)


@pytest.fixture
def waiting(shells: tuple[Shell, Shell]) -> tuple[Shell, Shell]:
    for shell in shells:
        MODELS["a model"](shell)
        shell.put("/oci/quay.io_acme_granite", None, 0o777)
    return shells


def test_waits_for_the_launcher_and_ends(waiting: tuple[Shell, Shell]) -> None:
    def launch(shell: Shell) -> Outcome:
        with shell.running("sh", "-c", as_kubernetes(KUBEFLOW)) as process:
            assert process.stdout
            assert process.stdout.readline() == b"Running Modelcar container...\n"
            shell.put("/oci/quay.io_acme_granite/launcher-complete")
            return Outcome(process.wait(10), process.stdout.read().decode(), False, shell.tree(process.pid))

    found = same(waiting, launch)
    assert found.code == 0
    assert found.tree["oci/quay.io_acme_granite/models"] == "-> /proc/PID/root/models"


def test_ends_while_it_waits_for_the_launcher(waiting: tuple[Shell, Shell]) -> None:
    def interrupt(shell: Shell) -> Outcome:
        link = shell.root / "oci/quay.io_acme_granite/models"
        return shell.interrupted(as_kubernetes(KUBEFLOW), link.is_symlink)

    assert same(waiting, interrupt).code == -15


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared is not beside this checkout")
def test_samples(shells: tuple[Shell, Shell]) -> None:
    samples = [yaml.safe_load_all(path.read_text()) for path in sorted(SAMPLES.glob("*.yaml"))]
    found = [*_lines(samples)]
    assert found == ["ls /models >/dev/null"]
    for line in found:
        assert line in CHECKS.values()
        same(shells, lambda shell, line=line: shell.line(as_kubernetes(line)))  # type: ignore[misc]


def _lines(value: Any) -> Iterator[str]:
    """The shell lines in some objects: what comes after `sh -c` in a command or its arguments."""
    if isinstance(value, dict):
        words = [*(value.get("command") or []), *(value.get("args") or [])]
        if words[:2] == ["sh", "-c"]:
            yield words[2]
        value = value.values()
    if not isinstance(value, str | int | float | bool | None):
        for inner in value:
            yield from _lines(inner)

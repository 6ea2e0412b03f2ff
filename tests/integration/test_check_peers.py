"""Images by buildah, in a real registry, as `check` sees them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import peers
from tests.bases import busybox
from tests.checkpoints import LLAMA, decoder, write_checkpoint
from tests.cli import built, modelcar


@dataclass(frozen=True, slots=True)
class Made:
    """Images of one model: their registry, and the folder that the model is in."""

    host: str
    model: Path

    def verdict(self, tag: str, *options: str) -> tuple[int, list[str]]:
        """The exit code, and what is wrong."""
        done = modelcar("check", f"{self.host}/acme/m:{tag}", "--format", "json", *options)
        assert done.err == "", done.err
        wrong = [each["rule"] for each in json.loads(done.out)["findings"] if each["severity"] != "ok"]
        return done.code, sorted(wrong)


CONTAINERFILES = {
    "good": "COPY root /\nCOPY model /models\n",
    "entrypoint": 'COPY root /\nCOPY model /models\nENTRYPOINT ["/bin/sh"]\n',
    "no-shell": "COPY model /models\n",
    "elsewhere": "COPY root /\nCOPY model /model\n",
    "closed": "COPY root /\nCOPY --chmod=600 --chown=1001:1001 model/config.json /models/config.json\n",
}


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    peers.require("buildah", "docker-registry")
    if os.geteuid():
        pytest.skip("buildah needs root")
    folder = Path(tempfile.mkdtemp(prefix="bc-", dir="/tmp"))
    try:
        context = folder / "context"
        busybox(context / "root")
        model = write_checkpoint(context / "model", LLAMA, decoder())
        buildah = ("buildah", "--root", folder / "r", "--runroot", folder / "run", "--storage-driver", "vfs")
        with peers.docker_registry(folder) as registry:

            def push(name: str, tag: str, *options: str) -> None:
                place = f"docker://{registry.host}/acme/m:{tag}"
                peers.run(*buildah, "push", "--quiet", "--tls-verify=false", *options, name, place)

            for name, lines in CONTAINERFILES.items():
                (context / "Containerfile").write_text(f"FROM scratch\n{lines}")
                build = ("build", "--isolation", "chroot", "--quiet", "--layers=false", "--tag", name)
                peers.run(*buildah, *build, "--platform", "linux/amd64", context)
                push(name, name)
            # Into the registry it would push the gzip layers that are there.
            layout = f"oci:{folder}/out:zstd"
            peers.run(*buildah, "push", "--quiet", "--compression-format", "zstd", "good", layout)
            assert modelcar("copy", layout, f"{registry.host}/acme/m:zstd").code == 0
            push("good", "docker", "--format", "v2s2")
            yield Made(registry.host, model)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("tag", "mode", "code", "wrong"),
    [
        ("good", "modelcar", 0, []),
        ("good", "fetch", 0, []),
        ("docker", "fetch", 0, []),
        ("zstd", "modelcar", 0, ["fetch-mode"]),
        ("zstd", "fetch", 1, ["fetch-mode"]),
        ("entrypoint", "modelcar", 1, ["modelcar-mode"]),
        ("entrypoint", "native", 0, ["modelcar-mode"]),
        ("no-shell", "modelcar", 1, ["modelcar-mode"]),
        ("no-shell", "native", 0, ["modelcar-mode"]),
        ("elsewhere", "native", 1, ["no-models"]),
        ("closed", "native", 1, ["unreadable"]),
    ],
)
def test_images_of_others(made: Made, tag: str, mode: str, code: int, wrong: list[str]) -> None:
    assert made.verdict(tag, "--mode", mode) == (code, wrong)


def test_another_architecture(made: Made) -> None:
    assert made.verdict("good", "--arch", "arm64") == (1, ["architecture"])


def test_images_of_ours_are_for_all_nodes_and_modes(made: Made) -> None:
    built(made.model, f"{made.host}/acme/m:ours", "--base", "embedded")
    for arch in ("amd64", "arm64", "ppc64le", "s390x"):
        for mode in ("modelcar", "native", "fetch"):
            assert made.verdict("ours", "--arch", arch, "--mode", mode) == (0, [])


def test_an_image_on_a_base_of_others(made: Made) -> None:
    base = f"{made.host}/acme/m:good"
    built(made.model, f"{made.host}/acme/m:based", "--base", base)
    assert made.verdict("based") == (0, [])

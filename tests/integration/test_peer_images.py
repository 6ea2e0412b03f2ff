"""Images that this project did not make: by buildah, podman and olot, copied by skopeo, in every kind of layer."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from modelcar import open_image, read_image
from tests import peers
from tests.cli import modelcar
from tests.models import read_files, write_files

WEIGHTS = Random(5).randbytes(700_000)
BELOW = {
    "config.json": b"old",
    "gone.json": b"gone",
    "sub/old.txt": b"old",
    "deep/" + "n" * 120 + "/" + "x" * 120: b"a long name",
    "w.safetensors": WEIGHTS,
}
SEEN = {
    "config.json": b'{"new": 1}',
    "deep/" + "n" * 120 + "/" + "x" * 120: b"a long name",
    "hard.safetensors": WEIGHTS,
    "link.json": b'{"new": 1}',
    "sub/new.txt": b"new",
    "w.safetensors": WEIGHTS,
}
"""What a container sees: a file replaced and one removed, a folder emptied and refilled, a hard and a symbolic link."""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A layout of one image in two layers, by buildah, under a tag for each compression."""
    peers.require("buildah", "skopeo")
    if os.geteuid():
        pytest.skip("buildah mount needs root")
    folder = Path(tempfile.mkdtemp(prefix="bm-", dir="/tmp"))
    try:
        buildah = ("buildah", "--root", folder / "r", "--runroot", folder / "run", "--storage-driver", "vfs")

        def layer(base: str, name: str) -> Iterator[Path]:
            container = peers.run(*buildah, "from", base).strip()
            yield Path(peers.run(*buildah, "mount", container).strip(), "models")
            peers.run(*buildah, "umount", container)
            peers.run(*buildah, "commit", "--quiet", container, name)

        for models in layer("scratch", "below"):
            write_files(models, BELOW)
            (models / "hard.safetensors").hardlink_to(models / "w.safetensors")
            (models / "link.json").symlink_to("config.json")
            (models / "w.safetensors").chmod(0o4755)
        for models in layer("localhost/below", "both"):
            (models / "gone.json").unlink()
            shutil.rmtree(models / "sub")
            write_files(models, {"config.json": SEEN["config.json"], "sub/new.txt": b"new"})
        for tag, options in (
            ("gzip", ["--compression-format", "gzip"]),
            ("zstd", ["--compression-format", "zstd"]),
            ("chunked", ["--compression-format", "zstd:chunked"]),
            ("plain", ["--disable-compression"]),
        ):
            peers.run(*buildah, "push", "--quiet", *options, "both", f"oci:{folder}/out:{tag}")
        yield folder / "out"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(place: str, folder: Path, *options: str) -> None:
    """ls, cat and pull, twice, see what a container would."""
    listed = modelcar("ls", "-R", place, *options)
    assert listed.code == 0, listed.err
    assert listed.out.splitlines() == sorted(SEEN)
    for name in ("config.json", "hard.safetensors", "link.json"):
        files = open_image(place)
        assert files.read_range(files.find(name)) == SEEN[name]
    for _ in range(2):
        done = modelcar("pull", place, folder, *options)
        assert done.code == 0, done.err
        assert read_files(folder) == SEEN
    assert (folder / "link.json").is_symlink()
    assert (folder / "w.safetensors").samefile(folder / "hard.safetensors")
    assert not (folder / "w.safetensors").stat().st_mode & 0o7111


@pytest.mark.parametrize("tag", ["gzip", "zstd", "chunked", "plain"])
def test_layers_of_every_kind_by_buildah(made: Path, tmp_path: Path, tag: str) -> None:
    check(f"oci:{made}:{tag}", tmp_path / "out")


@pytest.mark.parametrize(("format", "compression"), [("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd")])
def test_copies_of_skopeo_in_a_registry(made: Path, tmp_path: Path, format: str, compression: str) -> None:
    """Docker's schema 2 has no zstd."""
    with peers.docker_registry(tmp_path) as registry:
        place = f"{registry.host}/acme/peer:1"
        peers.skopeo_copy(
            f"oci:{made}:plain", f"docker://{place}", "--format", format, "--dest-compress-format", compression
        )
        (kind,) = {layer.media_type for layer in read_image(place).manifest.layers[:1]}
        assert kind.endswith("tar.gzip" if format == "v2s2" else f"tar+{compression}")
        check(place, tmp_path / "out")


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_a_containerfile_by_podman(tmp_path: Path, format: str) -> None:
    """A RUN over a busybox: its shell, its links, and the whiteout of what it removes."""
    peers.require("podman", "busybox")
    context = write_files(tmp_path / "context", {f"models/{path}": content for path, content in BELOW.items()})
    shutil.copy2(str(shutil.which("busybox")), context / "busybox")
    (context / "Containerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/sh\nCOPY models /models\n"
        "RUN ln -s sh /bin/cat && cd /models && rm gone.json && rm -r sub"
        " && mkdir sub && printf new > sub/new.txt && printf '{\"new\": 1}' > config.json"
        " && ln w.safetensors hard.safetensors && ln -s /models/config.json link.json\n"
    )
    with tempfile.TemporaryDirectory(prefix="pm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        podman = ("podman", "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        build = ("build", "--isolation", "chroot", "--quiet", "--format", format, "--tag", "peer", context)
        peers.run(*podman, *build)
        peers.run(*podman, "push", "--quiet", "peer", f"oci:{tmp_path}/layout:1")
    place = f"oci:{tmp_path}/layout:1"
    listed = json.loads(modelcar("ls", "--format", "json", place, "/*").out)
    assert {"bin/sh", "bin/cat", *(f"models/{path}" for path in SEEN)} <= {each["path"] for each in listed["files"]}
    done = modelcar("pull", place, tmp_path / "out")
    assert done.code == 0, done.err
    assert read_files(tmp_path / "out") == SEEN
    files = open_image(place)
    assert files.read_range(files.find("/bin/cat")) == (context / "busybox").read_bytes()


def test_an_image_by_olot(tmp_path: Path) -> None:
    """It adds a layer a file to a base in a layout, by hand."""
    olot = peers.olot()
    if olot is None:
        pytest.skip("olot can't be installed here")
    peers.require("buildah", "busybox")
    model = write_files(tmp_path / "model", {"config.json": b"{}", "w.safetensors": WEIGHTS})
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy2(str(shutil.which("busybox")), context / "busybox")
    (context / "Containerfile").write_text("FROM scratch\nCOPY busybox /bin/sh\n")
    with tempfile.TemporaryDirectory(prefix="bo-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        buildah = ("buildah", "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        peers.run(*buildah, "build", "--isolation", "chroot", "--quiet", "--tag", "base", context)
        peers.run(*buildah, "push", "--quiet", "base", f"oci:{tmp_path}/layout:latest")
    peers.run(olot, tmp_path / "layout", model / "config.json", model / "w.safetensors")
    place = f"oci:{tmp_path}/layout:latest"
    assert modelcar("ls", place).out.splitlines() == ["config.json", "w.safetensors"]
    assert modelcar("pull", place, tmp_path / "out").code == 0
    assert read_files(tmp_path / "out") == {"config.json": b"{}", "w.safetensors": WEIGHTS}
    copied = f"oci-archive:{tmp_path}/copy.tar:1"
    assert modelcar("copy", "--quiet", place, copied).out.rpartition("@")[2].strip() == read_image(place).digest
    assert modelcar("verify", copied, "--source", model).code == 0
    assert "files: 2 the same" in modelcar("diff", place, copied).out
    assert json.loads(modelcar("inspect", place, "--format", "json").out)["kserve"]
    assert modelcar("check", place, "--mode", "native").code == 0

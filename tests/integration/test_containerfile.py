"""Images that podman and buildah build from a Containerfile of ours, beside the image that we build ourselves."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelcar import BuildOptions, Wish, plan_image
from tests import peers
from tests.builds import NAME, SOURCE, served
from tests.cli import image, modelcar
from tests.doubles.hub import TOKEN, Hub
from tests.models import model_files, write_files

PAGE = Path(__file__).parent.parent.parent / "docs" / "containerfile.md"
PYTHON = "localhost/python:tests"
ODD = {"odd/a b #1 $HOME 'q\".txt": b"odd", "odd/back\\slash.txt": b"odder"}

_HOST_PYTHON = Path("/usr/bin/python3")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        yield hub


class Engine:
    """podman or buildah, with a storage of its own and an image of the host's python3 in it.

    Args:
        name: Which.
        folder: A short path: podman refuses a runroot of more than 50 characters.
    """

    def __init__(self, name: str, folder: Path) -> None:
        peers.require(name)
        self._command = (name, "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        self._layers = ("--layers",) if name == "buildah" else ()
        self._folder = folder
        python_root(folder / "python" / "root")
        (folder / "python" / "Containerfile").write_text("FROM scratch\nCOPY root /\nENV PATH=/usr/bin:/bin\n")
        self.build(folder / "python", PYTHON)

    def build(self, context: Path, tag: str, *options: str) -> None:
        """As the head of the Containerfile says; in a container of the tests only chroot isolates."""
        isolation = ("--isolation", "chroot", "--network", "host")
        peers.run(*self._command, "build", *isolation, *self._layers, *options, "-t", tag, context)

    def save(self, tag: str) -> Path:
        """The image as an OCI layout."""
        layout = self._folder / "saved"
        peers.run(*self._command, "push", tag, f"oci:{layout}:saved")
        return layout


@pytest.fixture(params=["podman", "buildah"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Engine(request.param, Path(folder))


def python_root(root: Path) -> None:
    """A root file system with the host's own python3 and what it links to."""
    if not _HOST_PYTHON.exists():
        pytest.skip(f"{_HOST_PYTHON} is not there")
    version = peers.run(_HOST_PYTHON, "-c", "import sysconfig; print(sysconfig.get_python_version())")
    name = f"python{version.strip()}"
    library = Path("/usr/lib") / name
    programs = {_HOST_PYTHON: "usr/bin/python3", Path("/bin/sh"): "usr/bin/sh"}
    linked = peers.run("ldd", *programs, *library.glob("lib-dynload/*.so"))
    words = {word for word in linked.split() if word.startswith("/") and ".so" in word and not word.endswith(":")}
    for path in programs:
        write_files(root, {programs[path]: path.read_bytes()})
        (root / programs[path]).chmod(0o755)
    for word in words:
        write_files(root, {word.lstrip("/"): Path(word).read_bytes()})
        (root / word.lstrip("/")).chmod(0o755)
    (root / "tmp").mkdir()
    (root / "bin").symlink_to("usr/bin")
    left_out = [f"--exclude={part}" for part in ("test", "__pycache__", "config-*", "idlelib", "ensurepip")]
    packed = subprocess.run(["tar", "c", *left_out, "-C", "/usr/lib", name], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        # Debian's Python 3.11.2 has no filters yet, and what is extracted is what was packed a moment ago.
        archive.extraction_filter = staticmethod(lambda member, path: member)
        archive.extractall(root / "usr" / "lib")


def members(layout: Path) -> list[dict[str, tuple[int, int, int, bytes]]]:
    """Permissions, owner, group and bytes by path of what is below `models`, for each layer of a layout's image.

    Engines write the file's type into the mode as well.
    """

    def blob(digest: str) -> bytes:
        return (layout / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes()

    manifest = json.loads(blob(json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]))
    if "manifests" in manifest:
        manifest = json.loads(blob(manifest["manifests"][0]["digest"]))
    layers = []
    for layer in manifest["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as archive:
            layers.append(
                {
                    member.name.strip("/"): (member.mode & 0o7777, member.uid, member.gid, content_of(archive, member))
                    for member in archive
                    if member.name.strip("/").partition("/")[0] == "models"
                }
            )
    return layers


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    return opened.read() if opened else b""


def test_an_image_of_the_hub(engine: Engine, hub: Hub, tmp_path: Path) -> None:
    """A private model, by the build's secret. Layer by layer it is what we build, to mode and owner."""
    hub.repo(NAME, {**model_files(shards=3), **ODD}, private=True)
    context = tmp_path / "context"
    done = modelcar("containerfile", SOURCE, context, "--base", "none", "--all-files", "--downloader", PYTHON)
    # localhost is where podman keeps images of its own: no registry answers there.
    assert done.code == 0, done.err
    assert "is not pinned to a digest" in done.err
    (tmp_path / "token").write_text(TOKEN)
    engine.build(context, "localhost/out:1", "--secret", f"id=hf_token,src={tmp_path / 'token'}")
    theirs = engine.save("localhost/out:1")
    compare(SOURCE, theirs, tmp_path)
    labels = peers.skopeo_inspect(f"oci:{theirs}:saved")["Labels"]
    assert isinstance(labels, dict)
    assert labels["org.opencontainers.image.source"] == f"{hub.endpoint}/{NAME}"
    assert labels["org.opencontainers.image.licenses"] == "apache-2.0"
    assert TOKEN.encode() not in b"".join(path.read_bytes() for path in context.iterdir())


def test_an_image_of_a_folder(engine: Engine, tmp_path: Path) -> None:
    source = write_files(tmp_path / "model", {**model_files(), **ODD})
    context = tmp_path / "context"
    done = modelcar("containerfile", source, context, "--base", "none", "--all-files", "--downloader", PYTHON)
    assert done.code == 0, done.err
    engine.build(context, "localhost/out:1", "--build-context", f"model={source}")
    compare(str(source), engine.save("localhost/out:1"), tmp_path)


def compare(source: str, theirs: Path, folder: Path) -> None:
    """Their image and ours, layer by layer."""
    wish = Wish(all_files=True)
    image(source, f"oci:{folder / 'ours'}:tag", wish=wish, platforms=("linux/amd64",))
    ours = members(folder / "ours")
    plan = plan_image(source, None, BuildOptions(wish=wish)).plan
    assert members(theirs) == ours
    assert len(ours) == len(plan.layers)
    config = peers.skopeo_inspect(f"oci:{theirs}:saved", "--config")["config"]
    assert isinstance(config, dict)
    assert (config["User"], config.get("Entrypoint"), config.get("Cmd")) == ("1001", None, None)


def test_the_base_is_pinned_where_its_registry_answers(tmp_path: Path) -> None:
    source = write_files(tmp_path / "model", {"config.json": b"{}"})
    with peers.docker_registry(tmp_path) as registry:
        base = f"{registry.host}/base:1"
        digest = image(source, base)
        done = modelcar("containerfile", source, "-", "--base", base, "--downloader", base)
        missing = modelcar("containerfile", source, "-", "--base", f"{registry.host}/none:1", "--downloader", base)
    assert (done.code, done.err) == (0, "")
    assert f"FROM {registry.host}/base@{digest}\n" in done.out
    assert f'"org.opencontainers.image.base.name"="{base}"' in done.out
    assert (missing.code, missing.out) == (3, ""), missing.err


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    source = write_files(tmp_path / "model", {"config.json": b"{}"})
    done = modelcar("containerfile", source, source)
    assert done.code == 6
    assert "'config.json' that modelcar containerfile didn't write" in done.error
    assert done.out == ""
    assert [path.name for path in source.iterdir()] == ["config.json"]


def test_the_page_holds_yaml() -> None:
    blocks = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1:]
    kinds = [document["kind"] for block in blocks for document in yaml.safe_load_all(block.partition("```")[0])]
    assert kinds == ["TaskRun", "BuildConfig"]

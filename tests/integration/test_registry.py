"""Real registries: what is built into them is read by the tools that people use, and updated by the layer."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelcar.build import BuildOptions, BuildResult, build_image
from modelcar.http import Http
from modelcar.settings import Access
from modelcar.stores import locate
from tests import peers
from tests.cli import MODELCAR, modelcar
from tests.models import model_files, read_files, write_files
from tests.pushing import write_login

SHARD = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A registry that runs, and how it is reached."""

    host: str
    access: Access = field(default_factory=Access)

    @property
    def image(self) -> str:
        return f"{self.host}/acme/tiny:1"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files(shard_size=SHARD))


@pytest.fixture(params=["docker-registry", "htpasswd", "tls", "crane"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each kind of registry; where it wants a login, there is one."""
    match request.param:
        case "docker-registry":
            with peers.docker_registry(tmp_path) as peer:
                yield Place(peer.host)
        case "htpasswd":
            with peers.docker_registry(tmp_path, htpasswd={"me": "the-secret"}) as peer:
                write_login(peer.host)
                yield Place(peer.host)
        case "tls":
            made = peers.self_signed(tmp_path)
            with peers.docker_registry(tmp_path, tls=made.server) as peer:
                yield Place(peer.host, Access(ca_file=made.ca))
        case _:
            with peers.crane_registry(tmp_path) as peer:
                yield Place(peer.host)


def build(model: Path, place: Place, image: str | None = None, *, memory: Path | None = None) -> BuildResult:
    options = BuildOptions(base="none", access=place.access, cache_dir=memory, retry=1, retry_delay=0.01)
    return build_image(str(model), image or place.image, options)


def as_in_container(model: Path) -> dict[str, bytes]:
    return {f"/models/{path}": content for path, content in read_files(model).items()}


def test_skopeo_and_umoci_read_what_was_built(model: Path, place: Place, tmp_path: Path) -> None:
    digest = build(model, place).digest
    login = Path(os.environ["DOCKER_CONFIG"])
    has_login = login if (login / "config.json").exists() else None
    raw = peers.skopeo_inspect(f"docker://{place.image}", "--raw", login=has_login)
    assert raw["mediaType"] == "application/vnd.oci.image.index.v1+json"
    one = f"docker://{place.host}/acme/tiny@{digest}"
    peers.skopeo_copy(one, f"oci:{tmp_path}/layout:tiny", "--override-arch", "arm64", login=has_login)
    assert peers.umoci_files(tmp_path / "layout", "tiny") == as_in_container(model)


def test_a_second_build_sends_nothing_and_a_new_revision_what_changed(model: Path, place: Place) -> None:
    first = build(model, place)
    second = build(model, place)
    assert (second.digest, second.sent, second.read) == (first.digest, 0, 0)
    write_files(model, {"config.json": b'{"changed": true}'})
    third = build(model, place)
    assert third.digest != first.digest
    assert 0 < third.sent < 100_000
    assert third.reused > 2 * SHARD


def test_a_neighbour_is_mounted(model: Path, place: Place, tmp_path: Path) -> None:
    """Or found at once, in a registry whose repositories share all blobs, as crane's do."""
    first = build(model, place, memory=tmp_path / "memory")
    other = build(model, place, f"{place.host}/acme/other:1", memory=tmp_path / "memory")
    assert other.digest == first.digest
    assert {fate.how for fate in other.fates} <= {"mounted", "reused"}
    assert other.sent == 0


def test_pull_gives_the_files_back(model: Path, place: Place, tmp_path: Path) -> None:
    build(model, place)
    ca = ("--ca-file", place.access.ca_file) if place.access.ca_file else ()
    done = modelcar("pull", *ca, place.image, tmp_path / "out")
    assert done.code == 0, done.err
    pulled = read_files(tmp_path / "out")
    assert {path.removeprefix("models/"): content for path, content in pulled.items()} == read_files(model)


def test_podman_and_crane_read_what_was_built(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path) as peer:
        place = Place(peer.host)
        build(model, place)
        assert peers.podman_files(f"docker://{place.image}") == as_in_container(model)
        assert peers.crane_files(place.image) == as_in_container(model)


@pytest.mark.parametrize("delete", [True, False])
def test_docker_registry_deletes_as_it_is_told(model: Path, tmp_path: Path, delete: bool) -> None:
    """By digest, since it knows no deletion by tag."""
    with peers.docker_registry(tmp_path, delete=delete) as peer:
        place = Place(peer.host)
        digest = build(model, place).digest
        assert digest is not None
        store = locate(place.image, Http(), place.access).store
        assert store.delete_tag("1", digest) is delete


# Logging in


def logged_in(host: str, password: str, *options: str | Path) -> int:
    command = [*MODELCAR, "login", host, "-u", "me", "--password-stdin", *map(str, options)]
    return subprocess.run(command, input=password, text=True, capture_output=True, timeout=60, check=False).returncode


def test_skopeo_uses_what_modelcar_login_keeps(model: Path, tmp_path: Path) -> None:
    with peers.docker_registry(tmp_path, htpasswd={"me": "the-secret"}) as peer:
        assert logged_in(peer.host, "a-guess") == 4
        assert logged_in(peer.host, "the-secret") == 0
        build(model, Place(peer.host))
        # Where it looks by itself: podman's file first, then docker's.
        home = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
        (tmp_path / ".docker").symlink_to(os.environ["DOCKER_CONFIG"])
        said = peers.run(
            "skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{peer.host}/acme/tiny:1", env=home
        )
        assert len(json.loads(said)["manifests"]) == 4


@pytest.mark.parametrize("tool", ["skopeo", "podman", "crane"])
def test_modelcar_uses_what_other_tools_keep(model: Path, tmp_path: Path, tool: str) -> None:
    peers.require(tool)
    with peers.docker_registry(tmp_path, htpasswd={"me": "the-secret"}) as peer:
        password = ("-u", "me", "--password-stdin")
        match tool:
            case "crane":
                peers.run(str(peers.crane()), "auth", "login", peer.host, *password, stdin=b"the-secret")
            case _:
                peers.run(tool, "login", "--tls-verify=false", peer.host, *password, stdin=b"the-secret")
        assert build(model, Place(peer.host)).digest

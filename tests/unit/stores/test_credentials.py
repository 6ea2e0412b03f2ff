"""Credentials in the files and helpers of the user's other tools."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from modelcar.errors import Denied, NotFound, Refused, UsageError
from modelcar.stores.registry.credentials import Credentials, find_credentials, forget_credentials, keep_credentials
from tests.pushing import write_helper

HOST = "quay.io"
ME = Credentials("me", "secret")


def entry(user: str = "me", secret: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def docker_file() -> Path:
    return Path(os.environ["DOCKER_CONFIG"], "config.json")


def files_by_precedence(tmp_path: Path) -> dict[str, Path]:
    """All places, the first to be looked at first. `named` and `env` have to be named."""
    return {
        "named": tmp_path / "named.json",
        "env": tmp_path / "env.json",
        "runtime": Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json"),
        "config": Path(os.environ["XDG_CONFIG_HOME"], "containers", "auth.json"),
        "docker": docker_file(),
    }


# Files


def test_nothing_kept() -> None:
    assert find_credentials(HOST, "acme/tiny", None) is None


@pytest.mark.parametrize("first", range(5))
def test_files_in_their_order(first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file from the `first` on holds an entry of its own: the first one counts."""
    files = files_by_precedence(tmp_path)
    for number, (name, path) in enumerate(files.items()):
        write(path, {"auths": {HOST: entry(secret=name)} if number >= first else {}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(files["env"]))
    found = find_credentials(HOST, "acme/tiny", files["named"])
    assert found == Credentials("me", list(files)[first])


def test_an_authfile_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="doesn't exist"):
        find_credentials(HOST, "acme/tiny", tmp_path / "absent")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "\xff"])
def test_a_file_that_is_no_object_is_named(text: str) -> None:
    docker_file().write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"config\.json is no JSON object"):
        find_credentials(HOST, "acme/tiny", None)
    with pytest.raises(UsageError):
        keep_credentials(HOST, ME, None)
    assert docker_file().read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("content", ["", "{}", '{"auths": null}', '{"auths": {"quay.io": null}}', '{"auths": []}'])
def test_a_file_may_hold_nothing(content: str) -> None:
    docker_file().write_text(content)
    assert find_credentials(HOST, "acme/tiny", None) is None
    keep_credentials(HOST, ME, None)
    assert find_credentials(HOST, "acme/tiny", None) == ME


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (entry(), ME),
        (entry(secret="with:colon"), Credentials("me", "with:colon")),
        ({"username": "me", "password": "secret"}, ME),
        ({**entry("<token>", ""), "identitytoken": "identity"}, Credentials("", "identity")),
        ({}, None),
        ({"auth": ""}, None),
        ({"auth": "%%%"}, None),
        ({"auth": "bm9jb2xvbg=="}, None),
        ({"auth": 5}, None),
    ],
)
def test_kinds_of_entries(kept: dict[str, object], found: Credentials | None) -> None:
    write(docker_file(), {"auths": {HOST: kept}})
    assert find_credentials(HOST, "acme/tiny", None) == found


@pytest.mark.parametrize("key", ["quay.io", "https://quay.io", "http://quay.io/", "https://quay.io/v1/", "quay.io/v2/"])
def test_spellings_of_a_key(key: str) -> None:
    write(docker_file(), {"auths": {key: entry()}})
    assert find_credentials(HOST, "acme/tiny", None) == ME


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_by_its_old_keys(key: str) -> None:
    write(docker_file(), {"auths": {key: entry()}})
    assert find_credentials("docker.io", "library/tiny", None) == ME


@pytest.mark.parametrize(
    ("repository", "secret"),
    [("acme/team/tiny", "team"), ("acme/team", "team"), ("acme/tiny", "acme"), ("acmes/tiny", "host")],
)
def test_the_longest_name_that_fits(repository: str, secret: str) -> None:
    keys = {"quay.io": "host", "quay.io/acme": "acme", "quay.io/acme/team": "team"}
    write(docker_file(), {"auths": {key: entry(secret=secret) for key, secret in keys.items()}})
    assert find_credentials(HOST, repository, None) == Credentials("me", secret)


@pytest.mark.parametrize("host", ["quay.io:443", "evil.quay.io", "quay.io.evil.test", "uay.io"])
def test_a_host_is_a_whole_name(host: str) -> None:
    write(docker_file(), {"auths": {HOST: entry(), "https://quay.io": entry()}})
    assert find_credentials(host, "acme/tiny", None) is None


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(ME)


# Helpers


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A helper named `tests` on PATH."""
    script = write_helper(tmp_path / "bin", "tests")
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    return script


@pytest.mark.parametrize("content", [{"credsStore": "tests"}, {"credHelpers": {HOST: "tests"}}])
def test_a_helper_keeps_and_gives(helper: Path, content: dict[str, object]) -> None:
    write(docker_file(), content)
    assert find_credentials(HOST, "acme/tiny", None) is None
    assert keep_credentials(HOST, ME, None) == "docker-credential-tests"
    assert json.loads(docker_file().read_text()) == content
    assert find_credentials(HOST, "acme/tiny", None) == ME
    assert forget_credentials(HOST, None) == "docker-credential-tests"
    assert find_credentials(HOST, "acme/tiny", None) is None
    with pytest.raises(NotFound):
        forget_credentials(HOST, None)


def test_a_helper_is_for_its_own_host(helper: Path) -> None:
    write(docker_file(), {"credHelpers": {"ghcr.io": "tests"}, "auths": {HOST: entry()}})
    assert find_credentials(HOST, "acme/tiny", None) == ME


def test_what_a_helper_lacks_may_be_in_the_file(helper: Path) -> None:
    write(docker_file(), {"credsStore": "tests", "auths": {HOST: entry(), "docker.io": {}}})
    assert find_credentials(HOST, "acme/tiny", None) == ME
    assert forget_credentials(HOST, None) == str(docker_file())
    assert find_credentials(HOST, "acme/tiny", None) is None


def test_docker_hub_has_its_old_address_in_a_helper(helper: Path) -> None:
    write(docker_file(), {"credsStore": "tests"})
    keep_credentials("docker.io", ME, None)
    assert (helper.parent / "kept-https:__index.docker.io_v1_").exists()
    assert find_credentials("docker.io", "library/tiny", None) == ME


def test_a_helper_gives_an_identity_token(helper: Path) -> None:
    write(docker_file(), {"credsStore": "tests"})
    keep_credentials(HOST, Credentials("<token>", "identity"), None)
    assert find_credentials(HOST, "acme/tiny", None) == Credentials("", "identity")


@pytest.mark.parametrize(
    ("first_line", "said"),
    [
        ("sys.exit('the keyring is locked')", "the keyring is locked"),
        ("sys.exit(3)", "failed: 3"),
        ("print('{}'); sys.exit()", "gave no credentials"),
        ("print('no json'); sys.exit()", "gave no credentials"),
    ],
)
def test_a_helper_that_fails(helper: Path, first_line: str, said: str) -> None:
    write_helper(helper.parent, "tests", first_line=first_line)
    write(docker_file(), {"credsStore": "tests"})
    with pytest.raises(Denied, match=said):
        find_credentials(HOST, "acme/tiny", None)


def test_a_helper_that_is_not_installed() -> None:
    write(docker_file(), {"credsStore": "absent"})
    with pytest.raises(Denied, match="docker-credential-absent is not installed"):
        find_credentials(HOST, "acme/tiny", None)


# Keeping and forgetting in files


def test_keep_and_forget() -> None:
    assert keep_credentials(HOST, ME, None) == str(docker_file())
    assert json.loads(docker_file().read_text()) == {"auths": {HOST: entry()}}
    assert docker_file().stat().st_mode & 0o777 == 0o600
    assert forget_credentials(HOST, None) == str(docker_file())
    assert json.loads(docker_file().read_text()) == {"auths": {}}


def test_docker_hub_is_kept_where_docker_looks() -> None:
    keep_credentials("docker.io", ME, None)
    assert list(json.loads(docker_file().read_text())["auths"]) == ["https://index.docker.io/v1/"]


def test_forgetting_takes_all_spellings_and_no_namespace() -> None:
    keys = ["quay.io", "https://quay.io/v1/", "quay.io/acme", "ghcr.io"]
    write(docker_file(), {"auths": {key: entry() for key in keys}})
    forget_credentials(HOST, None)
    assert list(json.loads(docker_file().read_text())["auths"]) == ["quay.io/acme", "ghcr.io"]


def test_nothing_to_forget() -> None:
    with pytest.raises(NotFound, match=r"no credentials for quay\.io"):
        forget_credentials(HOST, None)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """As people have it who keep their dotfiles elsewhere."""
    real = write(tmp_path / "dotfiles" / "config.json", {"auths": {}})
    docker_file().unlink()
    docker_file().symlink_to(real)
    keep_credentials(HOST, ME, None)
    assert docker_file().is_symlink()
    assert HOST in real.read_text()


def test_a_place_that_can_not_be_written() -> None:
    with pytest.raises(Refused, match="can't be written"):
        keep_credentials(HOST, ME, Path("/proc/absent/auth.json"))


def test_a_failed_write_leaves_no_secret_behind(tmp_path: Path) -> None:
    """The place is a folder: all is written beside it before that is found."""
    place = tmp_path / "auth.json"
    place.mkdir()
    with pytest.raises((Refused, UsageError)):
        keep_credentials(HOST, ME, place)
    assert list(tmp_path.iterdir()) == [place]

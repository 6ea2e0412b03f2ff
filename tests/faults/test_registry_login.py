"""`modelcar login` and `logout` against a registry, where each keeps and finds credentials."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli import MODELCAR, Done, modelcar
from tests.doubles.registry import Basic, Bearer, Refuse, Registry
from tests.models import model_files, write_files
from tests.pushing import ME, push, refusal, write_helper, write_login

PASSWORD = ME["me"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", model_files())


@pytest.fixture(params=["basic", "bearer"])
def guarded(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry of each kind; no credentials are kept for it yet."""
    with Registry(auth=Basic(ME) if request.param == "basic" else Bearer(ME)) as running:
        yield running


def log_in(registry: Registry, password: str, *options: str | Path, user: str = "me") -> Done:
    command = [*MODELCAR, "login", registry.host, "-u", user, "--password-stdin", *map(str, options)]
    done = subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, timeout=60, check=False)
    assert password not in done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def docker_file() -> Path:
    return Path(os.environ["DOCKER_CONFIG"], "config.json")


def test_login_keeps_what_works_for_its_owner_alone(model: Path, guarded: Registry) -> None:
    done = log_in(guarded, PASSWORD)
    assert done.code == 0, done.err
    assert str(docker_file()) in done.err
    assert stat.S_IMODE(docker_file().stat().st_mode) == 0o600
    push(model, guarded)
    assert modelcar("logout", guarded.host).code == 0
    assert PASSWORD not in docker_file().read_text()
    assert "modelcar login" in refusal(model, guarded, 4, no_clobber=True)


def test_login_with_a_wrong_password_keeps_nothing(guarded: Registry) -> None:
    done = log_in(guarded, "a-guess")
    assert done.code == 4
    assert "refuses the credentials" in done.error
    assert guarded.host not in docker_file().read_text()


def test_login_leaves_other_entries_alone(guarded: Registry) -> None:
    write_login("quay.io", {"auth": "b3RoZXI6b3RoZXI="}, detachKeys="ctrl-q")
    assert log_in(guarded, PASSWORD).code == 0
    text = docker_file().read_text()
    assert '"quay.io"' in text
    assert '"detachKeys": "ctrl-q"' in text


def test_login_at_something_else_is_no_login(registry_like: Registry) -> None:
    done = log_in(registry_like, PASSWORD)
    assert done.code == 6
    assert "is that a registry?" in done.error
    assert registry_like.host not in docker_file().read_text()


@pytest.fixture(params=["page", "redirect"])
def registry_like(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A web site that is no registry."""
    with Registry() as site:
        if request.param == "page":
            site.fault(Refuse(404, {}, b"<html>"), "GET", "/v2/", times=None)
        else:
            site.fault(Refuse(302, {"Location": "/sign-in"}), "GET", "/v2/", times=None)
            site.fault(Refuse(200, {}, b"<html>"), "GET", "/sign-in", times=None)
        yield site


def test_login_wants_a_user_beside_a_password_from_stdin() -> None:
    done = modelcar("login", "quay.io", "--password-stdin")
    assert done.code == 2
    assert "--username" in done.error


def test_logout_where_there_is_nothing(guarded: Registry) -> None:
    done = modelcar("logout", guarded.host)
    assert done.code == 3
    assert "no credentials" in done.error


def test_login_writes_where_credentials_are_found_first(model: Path, guarded: Registry, tmp_path: Path) -> None:
    """An old entry of podman's would win over docker's file: so it is that one which is brought up to date."""
    auth_json = Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json")
    auth_json.parent.mkdir()
    old = write_login(guarded.host, {"auth": "bWU6b2xk"})
    old.rename(auth_json)
    done = log_in(guarded, PASSWORD)
    assert str(auth_json) in done.err
    push(model, guarded)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_login_into_a_named_file(guarded: Registry, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "auth.json"
    if how == "environment":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(named))
    options = ("--authfile", named) if how == "option" else ()
    assert log_in(guarded, PASSWORD, *options).code == 0
    assert guarded.host in named.read_text()
    assert guarded.host not in docker_file().read_text()
    assert modelcar("logout", guarded.host, *options).code == 0
    assert guarded.host not in named.read_text()


def test_login_and_logout_through_a_helper(
    model: Path, guarded: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is with the helper then, and in no file of ours."""
    helper = write_helper(tmp_path / "bin", "tests")
    monkeypatch.setenv("PATH", f"{helper.parent}{os.pathsep}{os.environ['PATH']}")
    write_login("unrelated", {}, credsStore="tests")
    done = log_in(guarded, PASSWORD)
    assert "docker-credential-tests" in done.err
    assert guarded.host not in docker_file().read_text()
    push(model, guarded)
    assert modelcar("logout", guarded.host).code == 0
    assert modelcar("logout", guarded.host).code == 3
    assert "modelcar login" in refusal(model, guarded, 4, no_clobber=True)

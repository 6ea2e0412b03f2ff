"""Credentials from where the user's other tools keep them: no store of our own.

Files: docker's `config.json` (docker docs, "docker login") and podman's `auth.json` (containers-auth.json(5)).
Programs: credential helpers, which speak docker's protocol (docker/docker-credential-helpers).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelcar.errors import Denied, NotFound, Refused, UsageError

_HELPER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and a secret, or an identity token alone (`user` is empty then). Never shown."""

    user: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def find_credentials(registry: str, repository: str, authfile: Path | None) -> Credentials | None:
    """What the user's files and helpers hold for a repository; None where they hold nothing.

    Args:
        registry: Host, with port where it has one.
        repository: Below it. `auth.json` may name a part of its path.
        authfile: A file to look at before all others.

    Raises:
        Denied: A helper that is named there failed.
        UsageError: A file that can't be read.
    """
    for path in _files(authfile):
        content = _read(path)
        if content and (found := _look_up(content, registry, repository)):
            return found
    return None


def keep_credentials(registry: str, credentials: Credentials, authfile: Path | None) -> str:
    """Write credentials to where `find_credentials` will meet them first. Returns the place.

    That is the file that was named, else the one that holds some for this registry now, else docker's; or the helper
    that this file names for the registry.

    Raises:
        Denied: The helper failed.
        Refused: The file can't be written.
        UsageError: It can't be read.
    """
    path = _place(registry, authfile)
    content = _read(path) or {}
    if helper := _helper(content, registry):
        value = {"ServerURL": _key(registry), "Username": credentials.user, "Secret": credentials.secret}
        _run_helper(helper, "store", json.dumps(value))
        return f"docker-credential-{helper}"
    auth = base64.b64encode(f"{credentials.user}:{credentials.secret}".encode()).decode()
    content["auths"] = {**_auths(content), _key(registry): {"auth": auth}}
    _write(path, content)
    return str(path)


def forget_credentials(registry: str, authfile: Path | None) -> str:
    """Remove credentials from where `keep_credentials` writes them. Returns the place.

    Raises:
        NotFound: There was nothing to remove.
        Denied, Refused, UsageError: As `keep_credentials`.
    """
    path = _place(registry, authfile)
    content = _read(path) or {}
    helper = _helper(content, registry)
    if helper and _from_helper(helper, registry):
        _run_helper(helper, "erase", _key(registry))
        return f"docker-credential-{helper}"
    auths = _auths(content)
    kept = {key: value for key, value in auths.items() if _name_of(key) != registry}
    if len(kept) == len(auths):
        raise NotFound(f"{path} holds no credentials for {registry}")
    _write(path, {**content, "auths": kept})
    return str(path)


def _place(registry: str, authfile: Path | None) -> Path:
    named = os.environ.get("REGISTRY_AUTH_FILE")
    if authfile or named:
        return authfile or Path(str(named))
    holding = (path for path in _files(None) if _look_up(_read(path) or {}, registry, ""))
    return next(holding, _docker_file())


def _files(authfile: Path | None) -> Iterator[Path]:
    """Where credentials may lie, the most specific first."""
    if authfile is not None:
        if not authfile.exists():
            raise UsageError(f"the authfile {authfile} doesn't exist")
        yield authfile
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime) / "containers" / "auth.json"
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    yield Path(config).expanduser() / "containers" / "auth.json"
    yield _docker_file()


def _docker_file() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"the credentials in {path} can't be read: {error.strerror}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UsageError(f"{path} is no JSON object", "repair or remove it")
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    """Replace the file at once, readable by its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = path.resolve()  # it may be a link into someone's dotfiles
        with tempfile.NamedTemporaryFile("w", dir=target.parent, prefix=".modelcar-", delete=False) as opened:
            made = Path(opened.name)
            try:
                json.dump(content, opened, indent="\t")
                opened.flush()
                made.replace(target)
            except OSError:
                made.unlink()
                raise
    except OSError as error:
        raise Refused(f"{path} can't be written: {error.strerror}") from None


def _look_up(content: dict[str, Any], registry: str, repository: str) -> Credentials | None:
    """What one file holds, in its helper or by itself, under the longest name that fits."""
    if (helper := _helper(content, registry)) and (found := _from_helper(helper, registry)):
        return found
    by_name = {_name_of(key): value for key, value in _auths(content).items() if isinstance(value, dict)}
    parts = [registry, *repository.split("/")]
    for length in range(len(parts), 0, -1):
        if found := _from_entry(by_name.get("/".join(parts[:length]), {})):
            return found
    return None


def _auths(content: dict[str, Any]) -> dict[str, Any]:
    auths = content.get("auths")
    return auths if isinstance(auths, dict) else {}


def _from_entry(entry: dict[str, Any]) -> Credentials | None:
    if token := entry.get("identitytoken"):
        return Credentials("", str(token))
    if "username" in entry and "password" in entry:
        return Credentials(str(entry["username"]), str(entry["password"]))
    with contextlib.suppress(binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        user, colon, secret = base64.b64decode(entry.get("auth", "")).decode().partition(":")
        if colon:
            return Credentials(user, secret.rstrip("\0"))
    return None


def _helper(content: dict[str, Any], registry: str) -> str | None:
    helpers = content.get("credHelpers")
    named = helpers.get(registry) or helpers.get(_key(registry)) if isinstance(helpers, dict) else None
    helper = named or content.get("credsStore")
    return str(helper) if helper else None


def _from_helper(helper: str, registry: str) -> Credentials | None:
    try:
        answer = _run_helper(helper, "get", _key(registry))
    except NotFound:
        return None
    try:
        value = json.loads(answer)
        user, secret = str(value["Username"]), str(value["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Denied(f"the credential helper docker-credential-{helper} gave no credentials for {registry}") from None
    return Credentials("" if user == "<token>" else user, secret) if secret else None


def _run_helper(helper: str, verb: str, text: str) -> str:
    """What the helper answers.

    Raises:
        NotFound: It has no such credentials.
        Denied: It failed.
    """
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb], input=text, capture_output=True, text=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Denied(f"the credential helper {program} is not installed", "the docker configuration names it") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Denied(f"the credential helper {program} failed: {type(error).__name__}") from None
    if done.returncode:
        said = done.stdout.strip() or done.stderr.strip()
        if "not found" in said.lower():
            raise NotFound(f"the credential helper {program} has no such credentials")
        raise Denied(
            f"the credential helper {program} failed: {said.splitlines()[0][:200] if said else done.returncode}"
        )
    return done.stdout


def _key(registry: str) -> str:
    """How docker writes a registry's name; for Docker Hub it is an old address."""
    return "https://index.docker.io/v1/" if registry == "docker.io" else registry


def _name_of(key: str) -> str:
    """A key of `auths` as `host[/path]`."""
    name = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    for suffix in ("/v1", "/v2"):
        name = name.removesuffix(suffix)
    host, slash, path = name.partition("/")
    host = "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host
    return host + slash + path

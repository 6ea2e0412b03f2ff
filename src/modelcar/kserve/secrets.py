"""What is secret in a deployment's objects: from a file, the environment or docker's configuration."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelcar.errors import NotFound, UsageError

_KEYS = {"AWS_ACCESS_KEY_ID": "access_key", "AWS_SECRET_ACCESS_KEY": "secret_key"}


@dataclass(frozen=True, slots=True)
class SecretValues:
    """Values for Secrets. Never shown.

    Attributes:
        docker_config: The text of a `.dockerconfigjson`.
        access_key: Of an S3 server.
        secret_key: Of it.
    """

    docker_config: str = field(default="", repr=False)
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


def docker_config_for(registry: str, user: str, secret: str) -> str:
    """A `.dockerconfigjson` for one registry. Docker Hub has an old address there."""
    registry = "https://index.docker.io/v1/" if registry == "docker.io" else registry
    auth = base64.b64encode(f"{user}:{secret}".encode()).decode()
    return json.dumps({"auths": {registry: {"auth": auth}}}, separators=(",", ":"))


def docker_config_in(path: Path) -> str:
    """The credentials in a file that docker or podman would read, as a `.dockerconfigjson`.

    Raises:
        NotFound: It isn't there.
        UsageError: It can't be read, or holds no credentials of its own.
    """
    text = _text(path)
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    auths = content.get("auths") if isinstance(content, dict) else None
    if not isinstance(auths, dict) or not any(isinstance(one, dict) and one.get("auth") for one in auths.values()):
        raise UsageError(
            f"{path} holds no credentials", "a file with `auths`; a cluster can't ask this machine's credential helper"
        )
    return json.dumps({"auths": auths}, separators=(",", ":"))


def s3_keys(path: Path | None, environment: Mapping[str, str]) -> tuple[str, str]:
    """Access key and secret key of an S3 server.

    Args:
        path: A file with `AWS_ACCESS_KEY_ID=…` and `AWS_SECRET_ACCESS_KEY=…`, or an AWS credentials file with one
            profile; None takes the environment.
        environment: What stands in for it.

    Raises:
        NotFound: There is no such file.
        UsageError: One of them is missing.
    """
    found: Mapping[str, str] = environment
    if path is not None:
        pairs = (line.partition("=") for line in _text(path).splitlines() if not line.lstrip().startswith(("#", "[")))
        found = {key.strip().removeprefix("export ").upper(): value.strip().strip("\"'") for key, _, value in pairs}
    for key in _KEYS:
        if not found.get(key):
            where = str(path) if path else "the environment"
            raise UsageError(f"{where} has no {key}", "set it, or name a file by --s3-credentials-file")
    return found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path} doesn't exist") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8") from None

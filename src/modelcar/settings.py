"""Settings: a flag wins over the environment, that over `modelcar.toml`, that over the default."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelcar.errors import UsageError

FILE = "modelcar.toml"


@dataclass(frozen=True, slots=True)
class Access:
    """How registries are reached.

    Attributes:
        ca_file: PEM file of certificate authorities to trust besides the system's own.
        plain_http: Speak HTTP without TLS to any registry. Without it only loopback may.
        authfile: A file of credentials to read before all others, as `podman --authfile`.
    """

    ca_file: Path | None = None
    plain_http: bool = False
    authfile: Path | None = None


def cache_folder() -> Path:
    """Where we remember what would cost time to learn again: `MODELCAR_CACHE_DIR`, else the user's cache folder."""
    if named := os.environ.get("MODELCAR_CACHE_DIR"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("modelcar")


def read_settings(path: Path) -> dict[str, Any]:
    """The tables of a `modelcar.toml`: one a command, its keys the command's long options. Empty where there is none.

    Raises:
        UsageError: It can't be read or is no TOML.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    import tomllib

    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from None

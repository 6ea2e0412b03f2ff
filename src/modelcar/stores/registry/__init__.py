"""The OCI Distribution API as a client: credentials, tokens, uploads, quirks."""

from __future__ import annotations

import re
from pathlib import Path

from modelcar.errors import UsageError
from modelcar.http import Http
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry.credentials import Credentials, forget_credentials, keep_credentials
from modelcar.stores.registry.login import check_credentials
from modelcar.stores.registry.store import RegistryStore

__all__ = ["RegistryStore", "log_in", "log_out"]


def log_in(registry: str, user: str, secret: str, access: Access) -> str:
    """Try credentials at a registry and keep them. Returns where.

    Raises:
        UsageError: No registry's name, or an empty user or secret.
        Denied: The registry refuses them.
        NetworkError: It can't be reached.
    """
    host = _host(registry)
    if not user or not secret:
        raise UsageError("user name and password must not be empty")
    credentials = Credentials(user, secret)
    check_credentials(host, credentials, Http(ca_file=access.ca_file), access, Patience())
    return keep_credentials(host, credentials, access.authfile)


def log_out(registry: str, authfile: Path | None = None) -> str:
    """Forget the credentials for a registry. Returns where they were.

    Raises:
        UsageError: No registry's name.
        NotFound: There were none.
    """
    return forget_credentials(_host(registry), authfile)


def _host(registry: str) -> str:
    name = registry.removeprefix("https://").removeprefix("http://").rstrip("/")
    if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", name):
        raise UsageError(f"{registry!r} is no registry", "it is HOST or HOST:PORT")
    return "docker.io" if name in ("index.docker.io", "registry-1.docker.io") else name

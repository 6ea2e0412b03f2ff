"""Whether a registry takes credentials."""

from __future__ import annotations

from modelcar.errors import Denied, Refused
from modelcar.http import Http
from modelcar.oci import Reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry.client import Client
from modelcar.stores.registry.credentials import Credentials


def check_credentials(registry: str, credentials: Credentials, http: Http, access: Access, patience: Patience) -> None:
    """Ask for the API's root with them (distribution-spec v1.1, "Determining Support").

    Raises:
        Denied: They are refused.
        Refused: There is no registry at that host.
        NetworkError: It can't be reached.
    """
    client = Client(Reference(registry, ""), http, access, patience, credentials)
    what = f"logging in to {registry}"
    with client.ask("GET", f"{client.base()}/v2/", what, actions="") as response:
        if response.status in (401, 403):
            raise Denied(f"{what}: the credentials are refused", "check user name and password")
        if response.status >= 400:
            raise Refused(f"{what}: it answered {response.status}", "is that a container registry?")

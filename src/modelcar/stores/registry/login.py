"""Whether a registry takes credentials."""

from __future__ import annotations

from modelcar.errors import Refused
from modelcar.http import Http, shown
from modelcar.oci import Reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry.client import Client, refusal_of
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
    url = f"{client.base()}/v2/"
    with client.ask("GET", url, what, actions="") as response:
        if response.status in (401, 403):
            raise client.error(refusal_of(response), what)
        # Sites that are no registry send people to a page of theirs.
        if response.status != 200 or response.url != url:
            raise Refused(f"{what}: it answered {response.status} at {shown(response.url)}", "is that a registry?")

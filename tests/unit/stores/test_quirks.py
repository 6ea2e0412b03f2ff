"""What is known of the registries of this world."""

from __future__ import annotations

import pytest

from modelcar.http import Http
from modelcar.oci import parse_reference
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores.registry import RegistryStore
from modelcar.stores.registry.client import Client, Refusal
from modelcar.stores.registry.quirks import quirks_of

ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "limit"),
    [
        ("ghcr.io", 10_000_000_000),
        ("quay.io", 20_000_000_000),
        (ECR, 54_525_952_000),
        ("acme.azurecr.io", 214_748_364_800),
        ("docker.io", None),
        ("127.0.0.1:5000", None),
        ("quay.io.evil.test", None),
        ("notghcr.io", None),
    ],
)
def test_limits_go_by_host(host: str, limit: int | None) -> None:
    store = RegistryStore(parse_reference(f"{host}/acme/tiny:1"), Http(), Access(), Patience())
    assert store.limits.blob == limit
    assert bool(store.limits.reason) == (limit is not None)


def test_docker_hub_has_its_api_elsewhere() -> None:
    assert quirks_of("docker.io").api == "registry-1.docker.io"
    assert quirks_of("quay.io").api == ""


def test_a_repository_that_must_be_made_comes_with_the_command_for_it() -> None:
    client = Client(parse_reference(f"{ECR}/acme/tiny:1"), Http(), Access(), Patience(), None)
    error = client.error(Refusal(404, frozenset({"NAME_UNKNOWN"}), ""), "pushing")
    assert error.hint == "make it first: aws ecr create-repository --repository-name acme/tiny"

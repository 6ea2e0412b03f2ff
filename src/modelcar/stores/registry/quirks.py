"""What is known of the registries of this world: one table, each row with where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelcar.stores.contract import GIB, Limits


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one registry differs.

    Attributes:
        host: Its name, or the end of it when it begins with a dot.
        api: The host that its API is at, where that is another.
        limits: What it takes at the most.
        create: How a repository is made there, for those that don't make it at the first push.
    """

    host: str
    api: str = ""
    limits: Limits = field(default_factory=Limits)
    create: str = ""


_TABLE = (
    # docs.github.com, "Working with the Container registry": 10 GB a layer, 10 minutes an upload.
    Quirks("ghcr.io", limits=Limits(10 * 10**9, "GHCR")),
    # Quay's configuration field MAXIMUM_LAYER_SIZE, "20G" by default.
    Quirks("quay.io", limits=Limits(20 * 10**9, "Quay")),
    # docs.aws.amazon.com, "Amazon ECR service quotas": 52,000 MiB a layer; a repository is made first.
    Quirks(
        ".amazonaws.com",
        limits=Limits(52_000 * 1024**2, "Amazon ECR"),
        create="aws ecr create-repository --repository-name {repository}",
    ),
    # learn.microsoft.com, "Azure Container Registry service tiers": 200 GiB a layer.
    Quirks(".azurecr.io", limits=Limits(200 * GIB, "Azure Container Registry")),
    # Docker Hub answers under two names: that of its references and that of its API.
    Quirks("docker.io", api="registry-1.docker.io"),
)


def quirks_of(host: str) -> Quirks:
    """What is known of a registry; a row without differences where nothing is."""
    for row in _TABLE:
        if host == row.host or (row.host.startswith(".") and host.endswith(row.host)):
            return row
    return Quirks(host)

"""Connection and pull secrets (KSERVE.md 4, "Connections"). What is secret in them comes in by `SecretValues` alone."""

from __future__ import annotations

from modelcar.kserve.connections import Connection
from modelcar.kserve.resources.parts import DASHBOARD, Manifest, metadata, without_empty
from modelcar.kserve.secrets import SecretValues
from modelcar.kserve.settle import Settled

_TYPES = {"uri": "uri-v1", "oci": "oci-v1", "s3": "s3"}
_DOCKER = "kubernetes.io/dockerconfigjson"


def uri_secret(settled: Settled, connection: Connection) -> Manifest:
    """A `URI - v1` connection. A URI is no secret, so it is always written whole."""
    assert settled.source is not None
    return _secret(settled, connection, "Opaque", {"URI": settled.source.uri})


def oci_secret(settled: Settled, connection: Connection, values: SecretValues) -> Manifest:
    """An `OCI compliant registry - v1` connection: a pull secret."""
    access = settled.wish.access_type or ("Pull",)
    data = {
        "ACCESS_TYPE": "[" + ", ".join(f'"{one}"' for one in access) + "]",
        ".dockerconfigjson": values.docker_config,
        "OCI_HOST": registry_host(settled),
    }
    return _secret(settled, connection, _DOCKER, data)


def s3_secret(settled: Settled, connection: Connection, values: SecretValues) -> Manifest:
    """An S3 connection."""
    wish = settled.wish
    data = {
        "AWS_ACCESS_KEY_ID": values.access_key,
        "AWS_SECRET_ACCESS_KEY": values.secret_key,
        "AWS_S3_ENDPOINT": wish.s3_endpoint or "",
        "AWS_DEFAULT_REGION": wish.s3_region or "",
        "AWS_S3_BUCKET": wish.s3_bucket or "",
    }
    return _secret(settled, connection, "Opaque", without_empty(data))


def pull_secret(settled: Settled, name: str, values: SecretValues) -> Manifest:
    """A pull secret that is no connection."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(settled, name),
        "type": _DOCKER,
        "stringData": {".dockerconfigjson": values.docker_config},
    }


def registry_host(settled: Settled) -> str:
    """The registry of an oci connection: the one said, else the model's."""
    reference = settled.source.reference if settled.source else None
    return settled.wish.registry_host or (reference.registry if reference else "")


def _secret(settled: Settled, connection: Connection, kind: str, data: dict[str, str]) -> Manifest:
    s3 = connection.kind == "s3"
    labels = {**DASHBOARD, "opendatahub.io/managed": "true" if s3 else None}
    annotations = {
        "openshift.io/display-name": connection.display,
        "openshift.io/description": settled.wish.connection_description,
        "opendatahub.io/connection-type": "s3" if s3 else None,
        "opendatahub.io/connection-type-ref": _TYPES[connection.kind],
        "opendatahub.io/connection-type-protocol": connection.kind,
        "opendatahub.io/connection-hidden": "true" if connection.hidden else None,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(settled, connection.name, labels, annotations),
        "type": kind,
        "stringData": data,
    }

"""The connection of a deployment: one that is there, or one that is written with it (KSERVE.md 4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modelcar.errors import Refused, UsageError
from modelcar.kserve.deployment import Deployment
from modelcar.kserve.names import OBJECT_LENGTH, OBJECT_NAME, from_display_name
from modelcar.kserve.source import Source

NEW_ONLY = (
    "connection-description", "save-connection", "access-type", "registry-host", "s3-endpoint", "s3-region",
    "s3-bucket",
)  # fmt: skip
"""Fields that say what a new connection holds."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A Secret that says where a model is, or how to get there.

    Attributes:
        name: The Secret's.
        kind: `uri`, `oci` or `s3`; empty for one that is there and that nobody told us of.
        new: Whether it is written, and not only named.
        display: What people read.
        hidden: Whether the dashboard leaves it out of its list.
    """

    name: str
    kind: str = ""
    new: bool = False
    display: str = ""
    hidden: bool = False


def connection_of(deployment: Deployment, source: Source | None) -> Connection | None:
    """The connection that a deployment names.

    Raises:
        UsageError: Two of them, fields that it doesn't have, or a name that Kubernetes doesn't take.
        Refused: Its type doesn't go with the model.
    """
    new = deployment.new_connection is not None or deployment.save_connection is False
    if deployment.connection is not None and new:
        raise UsageError("--connection names one that is there, and --new-connection writes one", "leave one out")
    said = deployment.said()
    if deployment.connection is None and not new:
        for name in ("connection-type", "connection-path", *NEW_ONLY):
            if name in said:
                raise UsageError(f"--{name}: there is no connection", "add --connection or --new-connection")
        return None
    kind = deployment.connection_type or ("s3" if deployment.connection_path is not None else "uri" if new else "")
    if not new:
        for name in NEW_ONLY:
            if name in said:
                raise UsageError(f"--{name} is of a new connection, and --connection names one that is there")
    _fitting(kind, deployment, source, new)
    if not new:
        assert deployment.connection is not None
        return Connection(_name(deployment.connection, "connection"), kind)
    hidden = deployment.save_connection is False
    display = deployment.new_connection or ""
    if hidden:
        # The form takes six letters by chance; ours are the same in each run.
        seed = f"{deployment.namespace}/{deployment.name or deployment.display_name}/{kind}"
        name = f"secret-{hashlib.sha256(seed.encode()).hexdigest()[:6]}"
        return Connection(name, kind, True, display or name, True)
    name = from_display_name(display, "")
    if not name:
        raise UsageError(f"--new-connection: nothing of {display!r} can be a name", "use letters or digits")
    return Connection(_name(name, "new-connection"), kind, True, display)


def _fitting(kind: str, deployment: Deployment, source: Source | None, new: bool) -> None:
    said = deployment.said()
    for name in ("connection-path", "s3-endpoint", "s3-region", "s3-bucket"):
        if name in said and kind != "s3":
            raise UsageError(f"--{name} is of an s3 connection", "add --connection-type s3, or leave it out")
    for name in ("access-type", "registry-host"):
        if name in said and kind != "oci":
            raise UsageError(f"--{name} is of an oci connection", "add --connection-type oci, or leave it out")
    if kind == "s3":
        _fitting_s3(deployment, source, new)
    elif kind == "oci":
        if source is None or source.reference is None:
            raise Refused("--connection-type: an oci connection is for an image", "give MODEL as oci://HOST/REPOSITORY")
        access = deployment.access_type
        if access and "Pull" not in access:
            raise Refused("--access-type: only Pull connections serve models", "add --access-type Pull")
    elif new and source is None:
        raise UsageError("MODEL: a new uri connection needs the URI", "give MODEL")


def _fitting_s3(deployment: Deployment, source: Source | None, new: bool) -> None:
    if not deployment.connection_path:
        raise UsageError("--connection-path: an s3 connection needs the model's path in its bucket")
    if source is not None:
        raise UsageError("MODEL: an s3 connection says where the model is", "leave MODEL or the connection out")
    for name in ("s3-endpoint", "s3-bucket"):
        if new and not deployment.said().get(name):
            raise UsageError(f"--{name}: a new s3 connection needs it")


def _name(text: str, field: str) -> str:
    if not OBJECT_NAME.fullmatch(text) or len(text) > OBJECT_LENGTH:
        raise UsageError(f"--{field}: {text!r} is no name of a Secret", "small letters, digits, '-' and '.'")
    return text

"""Connections: Secrets that the dashboard and odh-model-controller know, and who names them."""

from __future__ import annotations

import base64
import binascii
import json
from fnmatch import fnmatchcase

from modelcar.kserve.lint.document import Node
from modelcar.kserve.lint.findings import Report
from modelcar.kserve.lint.objects import Item, World
from modelcar.kserve.lint.rules_uri import LONGEST, check_uri
from modelcar.kserve.lint.service import CONNECTIONS, Service

PROTOCOL = "opendatahub.io/connection-type-protocol"
_LEGACY = "opendatahub.io/connection-type-ref"
_OLD = "opendatahub.io/connection-type"
_PULL_SECRETS = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
_PROTOCOLS = ("uri", "oci", "s3")
_MOST_LOGINS = 1000
_MANAGED = "opendatahub.io/managed"
_LEGACY_PROTOCOLS = {"uri-v1": "uri", "oci-v1": "oci", "s3": "s3"}


def check_secret(item: Item, world: World, report: Report) -> None:
    """A Secret that is a connection, or that someone names as one."""
    _data(item, report)
    _pull_secret(item, world, report)
    protocol = protocol_of(item)
    if not (
        protocol or item.annotation(_LEGACY) or item.annotation(_OLD) or _looks_like_one(item) or _is_named(item, world)
    ):
        return
    if not item.annotation(PROTOCOL):
        kind = _guess(item)
        fix = f'add the annotation {PROTOCOL}: "{kind}"' if kind else f"add the annotation {PROTOCOL}"
        if item.annotation(_LEGACY):
            report.add("connection-protocol-legacy", item.title, f"the connection {item.name} has only {_LEGACY}", fix)
        else:
            report.add("connection-protocol", item.title, f"the connection {item.name} has no {PROTOCOL}", fix)
    elif protocol not in _PROTOCOLS and "${" not in protocol:
        place = item.meta("annotations", PROTOCOL) or item.title
        meant = _LEGACY_PROTOCOLS.get(protocol) or _guess(item)
        fix = f'write "{meant}"' if meant else f"one of {', '.join(_PROTOCOLS)}"
        report.add("connection-protocol-unknown", place, f"no webhook knows the protocol {protocol!r}", fix)
    _keys(item, kind_of(item), report)


def kind_of(item: Item) -> str:
    """`uri`, `oci` or `s3`: as the Secret says it, else by its keys; empty where neither tells."""
    protocol = protocol_of(item)
    return protocol if protocol in _PROTOCOLS else _guess(item)


def connection_of(service: Service) -> Item | None:
    """The connection that an object names, where it is among the files."""
    name = service.item.meta("annotations", CONNECTIONS)
    return service.world.find("Secret", name.string, service.item.namespace) if name and name.string else None


def uri_of_connection(service: Service) -> tuple[Node, str] | None:
    """The URI that a service's connection brings, and where it stands; None for none among the files."""
    secret = connection_of(service)
    if secret is None or kind_of(secret) != "uri":
        return None
    key = "URI" if value_of(secret, "URI") else "https-host"
    found = value_of(secret, key)
    return (found, clear(secret, key)) if found else None


def protocol_of(item: Item) -> str:
    """`uri`, `oci`, `s3`, or what else the Secret says; empty where it says nothing."""
    return item.annotation(PROTOCOL) or _LEGACY_PROTOCOLS.get(item.annotation(_LEGACY), "")


def value_of(item: Item, key: str) -> Node | None:
    """Where a Secret's key stands, in clear or encoded."""
    return item.node.at("stringData", key) or item.node.at("data", key)


def clear(item: Item, key: str) -> str:
    """A Secret's value, decoded where it is encoded; empty where it can't be read."""
    found = item.node.at("stringData", key)
    if found is not None:
        return found.text
    found = item.node.at("data", key)
    if found is None:
        return ""
    try:
        return base64.b64decode("".join(found.text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _looks_like_one(item: Item) -> bool:
    return item.label("opendatahub.io/dashboard") == "true" and bool(_guess(item))


def _is_named(item: Item, world: World) -> bool:
    spaces = world.connected.get(item.name, set())
    return bool(spaces) and (not item.namespace or "" in spaces or item.namespace in spaces)


def _guess(item: Item) -> str:
    if value_of(item, "OCI_HOST") or value_of(item, ".dockerconfigjson"):
        return "oci"
    if value_of(item, "URI") or value_of(item, "https-host"):
        return "uri"
    return "s3" if value_of(item, "AWS_S3_BUCKET") else ""


def _keys(item: Item, protocol: str, report: Report) -> None:
    title = item.title
    if protocol == "uri":
        key = "URI" if value_of(item, "URI") else "https-host"
        uri = value_of(item, key)
        if uri is None:
            report.add("connection-keys", title, f"the URI connection {item.name} has no key URI")
        else:
            check_uri(uri, clear(item, key), report)
    if protocol == "oci":
        if not value_of(item, ".dockerconfigjson"):
            report.add("connection-keys", title, f"the OCI connection {item.name} has no key .dockerconfigjson")
        written = item.node.get("type")
        if written is None or written.text not in _PULL_SECRETS:
            message = f"the OCI connection {item.name} isn't of type {_PULL_SECRETS[0]}: no pull uses it"
            report.add("connection-type", written or title, message, f"write type: {_PULL_SECRETS[0]}")
        _access(item, report)
    if protocol == "s3":
        if not value_of(item, "AWS_S3_BUCKET"):
            report.add("connection-keys", title, f"the S3 connection {item.name} has no key AWS_S3_BUCKET")
        if item.label(_MANAGED) != "true":
            report.add("connection-managed", title, f"the S3 connection {item.name} lacks the label {_MANAGED}")


def _pull_secret(item: Item, world: World, report: Report) -> None:
    written = item.node.get("type")
    if written is None or written.text != _PULL_SECRETS[0] or item.patch:
        return
    found = value_of(item, ".dockerconfigjson")
    if found is None:
        if protocol_of(item) != "oci":  # else it is told as what the connection lacks
            report.add("pull-secret", item.title, f"the pull secret {item.name} has no key .dockerconfigjson")
    elif "${" not in found.text and _logins(item, world) is None:
        report.add("pull-secret", found, f".dockerconfigjson of {item.name} is no JSON object")


def _logins(item: Item, world: World) -> dict[str, object] | None:
    """The logins of a pull secret by registry; None where it is no JSON object."""
    if item not in world.logins:
        world.logins[item] = _read_logins(item)
    return world.logins[item]


def _read_logins(item: Item) -> dict[str, object] | None:
    try:
        held = json.loads(clear(item, ".dockerconfigjson"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(held, dict):
        return None
    logins = held.get("auths")
    return logins if isinstance(logins, dict) else {}


def _has_login(item: Item, image: str, world: World) -> bool:
    """Whether a pull secret is for an image's registry, as the kubelet matches it: by host, a path's begin, or `*`."""
    logins = _logins(item, world)
    if not logins or len(logins) > _MOST_LOGINS:
        return True  # another rule says so, or it is public; nor are thousands looked through for each image
    for login in logins:
        place = login.partition("://")[2] or login
        place = "docker.io" if place.startswith("index.docker.io") else place.rstrip("/")
        host, _, path = place.partition("/")
        if fnmatchcase(image.partition("/")[0], host) and f"{image.partition('/')[2]}/".startswith(path):
            return True
    return False


def _access(item: Item, report: Report) -> None:
    found = value_of(item, "ACCESS_TYPE")
    if found is None:
        return
    try:
        kinds = json.loads(clear(item, "ACCESS_TYPE") or "[]")
    except (ValueError, RecursionError):
        kinds = [""]
    if kinds and (not isinstance(kinds, list) or "Pull" not in kinds):
        report.add("connection-access", found, f"the OCI connection {item.name} isn't for pulling")


def _data(item: Item, report: Report) -> None:
    found = item.node.get("data")
    for key, value in found.pairs() if found else ():
        if value.type != "string" or "${" in value.text:
            continue
        try:
            base64.b64decode("".join(value.text.split()), validate=True)
        except (binascii.Error, ValueError):
            report.add("secret-base64", value, f"the value of {key.text} isn't base64", "write it below stringData")


def check_connection(service: Service, report: Report) -> None:
    """An object's connection against its URI."""
    secret, sources = connection_of(service), service.sources
    if secret is None or not sources or not sources[0].node.text:
        return
    uri = sources[0].node
    protocol = kind_of(secret)
    if protocol == "oci":
        written = clear(secret, "OCI_HOST")[:LONGEST]
        host = written.partition("://")[2] or written
        image = uri.text.partition("://")[2]
        if host and uri.text.startswith("oci") and not f"{image}/".startswith(f"{host.rstrip('/')}/"):
            message = f"the image is in {image.partition('/')[0]}, and the connection {secret.name} is for {host}"
            report.add("connection-host", uri, message)
        elif uri.text.startswith("oci") and not _has_login(secret, image, service.world):
            message = f".dockerconfigjson of the connection {secret.name} has no login for {image.partition('/')[0]}"
            report.add("connection-host", uri, message)
    elif (found := uri_of_connection(service)) and found[1] not in ("", uri.text):
        report.add("connection-uri", uri, f"the connection {secret.name} has another URI, and on creation it wins")

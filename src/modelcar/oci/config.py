"""The image config (OCI image-spec v1.1, config.md): what a container made of the image starts with."""

from __future__ import annotations

import msgspec

from modelcar.errors import ContentMismatch
from modelcar.oci.digest import Digest
from modelcar.oci.manifest import Platform


class Execution(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """The `config` object: defaults of a container. Names are Docker's own, in capitals."""

    user: str = ""
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None


class RootFS(msgspec.Struct, frozen=True):
    """The diffIDs of the layers, lowest first."""

    type: str
    diff_ids: tuple[Digest, ...]


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a layer came to be. An entry with `empty_layer` has no layer."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    empty_layer: bool = False


class Config(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image config."""

    architecture: str
    os: str
    rootfs: RootFS
    config: Execution | None = None
    created: str = ""
    variant: str = ""
    history: tuple[History, ...] | None = None

    @property
    def platform(self) -> Platform:
        """The platform that this config is for."""
        return Platform(self.architecture, self.os, self.variant)


def encode(config: Config) -> bytes:
    """The bytes of a config that we write."""
    return msgspec.json.encode(config)


def decode(content: bytes, where: str) -> Config:
    """A config from the bytes of a store.

    Raises:
        ContentMismatch: They aren't one.
    """
    try:
        # Docker and buildah write null where the spec leaves a field out.
        plain = msgspec.json.decode(content)
        return msgspec.convert(_without_nulls(plain), Config)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ContentMismatch(f"the config of {where} can't be read: {error}") from None


def _without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value

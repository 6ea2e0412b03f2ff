"""Media types of images (OCI image-spec, media-types.md; Docker image manifest V2, schema 2)."""

from __future__ import annotations

from enum import Enum

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"

DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"

INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
ACCEPT = ", ".join([OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST])

_OCI_LAYER_OF_DOCKER = {
    DOCKER_LAYER: OCI_LAYER,
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    DOCKER_LAYER_ZSTD: OCI_LAYER_ZSTD,
}

_DOCKER_LAYER_OF_OCI = {oci: docker for docker, oci in _OCI_LAYER_OF_DOCKER.items()}


def as_oci_layer(media_type: str) -> str:
    """The OCI name of a layer's media type: the same bytes go by both."""
    return _OCI_LAYER_OF_DOCKER.get(media_type, media_type)


class Format(Enum):
    """The two families of manifests that registries and engines know."""

    OCI = "oci"
    DOCKER = "docker"

    def __str__(self) -> str:
        return self.value

    @property
    def index(self) -> str:
        """Of an image for several platforms."""
        return DOCKER_LIST if self is Format.DOCKER else OCI_INDEX

    @property
    def manifest(self) -> str:
        """Of an image for one platform."""
        return DOCKER_MANIFEST if self is Format.DOCKER else OCI_MANIFEST

    @property
    def config(self) -> str:
        """Of an image's config, whose content is the same in both."""
        return DOCKER_CONFIG if self is Format.DOCKER else OCI_CONFIG

    def layer(self, media_type: str) -> str:
        """The name in this family of a layer that is called `media_type` in either."""
        oci = as_oci_layer(media_type)
        return _DOCKER_LAYER_OF_OCI.get(oci, oci) if self is Format.DOCKER else oci


def compression(media_type: str) -> str | None:
    """How a layer is compressed: `""`, `gzip` or `zstd`; None where it is no tar layer at all."""
    known = {OCI_LAYER: "", OCI_LAYER_GZIP: "gzip", OCI_LAYER_ZSTD: "zstd"}
    return known.get(as_oci_layer(media_type))

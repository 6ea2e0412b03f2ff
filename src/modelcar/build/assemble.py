"""From layers and a base to configs, manifests and an index: pure, and the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelcar.build.plan import KEY, PATH, PlannedLayer
from modelcar.oci import (
    Config,
    Descriptor,
    Digest,
    Execution,
    Format,
    History,
    Index,
    Manifest,
    Platform,
    RootFS,
    StoredLayer,
)
from modelcar.oci import config as configs
from modelcar.oci import manifest as manifests
from modelcar.sources import Snapshot
from modelcar.stores import BytesBlob

USER = "1001"
"""The user that OpenShift replaces by one of the namespace: it owns nothing here."""

_PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class BaseLayer:
    """A layer of a base image: its descriptor in OCI's words, and its diffID."""

    descriptor: Descriptor
    diff_id: Digest


@dataclass(frozen=True, slots=True)
class PlatformBase:
    """What lies under the model on one platform.

    Attributes:
        platform: Which.
        layers: Lowest first.
        env: The base's environment, as `NAME=value`.
        entrypoint: Only that of a base which stands in for a shell.
        cmd: Only that of our own base.
    """

    platform: Platform
    layers: tuple[BaseLayer, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelLayer:
    """A layer of model files in a store.

    Attributes:
        descriptor: Of its blob, with the annotations by which the next build finds it.
        diff_id: Of its tar.
        key: What its bytes depend on, as one hash.
        title: A name for people.
    """

    descriptor: Descriptor
    diff_id: Digest
    key: str
    title: str = ""

    @property
    def stored(self) -> StoredLayer:
        """Its blob."""
        return StoredLayer(self.descriptor.digest, self.descriptor.size, self.diff_id)

    @property
    def comment(self) -> str:
        """Its key, for the config's history, which no manifest format and no tool that copies images leaves out.

        That of a compressed layer names the blob too: a tool that compresses it anew makes another one of it.
        """
        return self.key if self.descriptor.digest == self.diff_id else f"{self.key} {self.descriptor.digest}"


@dataclass(frozen=True, slots=True)
class Image:
    """All of an image but its layers.

    Attributes:
        configs: One a platform.
        manifests: Descriptor and bytes of each platform's manifest.
        index: Descriptor and bytes of the index.
    """

    configs: tuple[BytesBlob, ...]
    manifests: tuple[tuple[Descriptor, bytes], ...]
    index: tuple[Descriptor, bytes]


@dataclass(frozen=True, slots=True)
class Description:
    """What an image says of itself.

    Attributes:
        created: RFC 3339.
        labels: Of the config.
        annotations: Of manifests and index.
    """

    created: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def assemble(
    bases: Sequence[PlatformBase],
    layers: Sequence[ModelLayer],
    description: Description,
    format: Format = Format.OCI,
) -> Image:
    """The image of a model on some platforms. Docker's manifests hold no annotations: the configs tell the keys there.

    Raises:
        Refused: A manifest would be larger than registries take.
    """
    blobs, described = [], []
    annotations = dict(description.annotations) if format is Format.OCI else None
    above = [layer.descriptor for layer in layers]
    for base in bases:
        under = [layer.descriptor for layer in base.layers]
        config = BytesBlob(configs.encode(_config(base, layers, description)), f"config for {base.platform}")
        manifest = Manifest(
            2,
            config.described_as(format.config),
            tuple(_in_words_of(format, descriptor) for descriptor in (*under, *above)),
            format.manifest,
            annotations,
        )
        blobs.append(config)
        described.append(manifests.describe(manifest, base.platform))
    index = Index(2, tuple(d for d, _ in described), format.index, annotations)
    return Image(tuple(blobs), tuple(described), manifests.describe(index))


def model_layer(layer: PlannedLayer, stored: StoredLayer) -> ModelLayer:
    """What a planned layer has become."""
    annotations = {KEY: layer.key, **({PATH: layer.path} if layer.path else {})}
    blob = Descriptor(layer.compression.media_type, stored.digest, stored.size, annotations=annotations)
    return ModelLayer(blob, stored.diff_id, layer.key, layer.title)


def _in_words_of(format: Format, layer: Descriptor) -> Descriptor:
    """A layer's descriptor as the manifests of a format have it."""
    annotations = layer.annotations if format is Format.OCI else None
    return Descriptor(format.layer(layer.media_type), layer.digest, layer.size, annotations=annotations)


def standard_keys(snapshot: Snapshot, created: str, base_name: str | None, base_digest: str | None) -> dict[str, str]:
    """Labels and annotations that every image of a snapshot has (image-spec, annotations.md); `created` is RFC 3339."""
    standard = {
        "title": snapshot.title,
        "source": snapshot.url,
        "revision": snapshot.revision,
        "licenses": snapshot.licenses,
        "created": created,
        "base.name": base_name,
        "base.digest": base_digest,
    }
    return {f"org.opencontainers.image.{key}": value for key, value in standard.items() if value}


def _config(base: PlatformBase, layers: Sequence[ModelLayer], description: Description) -> Config:
    # KServe passes its shell line through `args`: an Entrypoint would swallow it, and a Cmd runs only elsewhere.
    execution = Execution(
        user=USER,
        env=base.env or (_PATH_VARIABLE,),
        entrypoint=base.entrypoint or None,
        cmd=base.cmd or None,
        working_dir="/",
        labels=dict(sorted(description.labels.items())) or None,
    )
    history = [History(description.created, "base image") for _ in base.layers]
    history += [History(description.created, f"modelcar: {layer.title}", layer.comment) for layer in layers]
    return Config(
        architecture=base.platform.architecture,
        os=base.platform.os,
        variant=base.platform.variant,
        rootfs=RootFS("layers", (*(layer.diff_id for layer in base.layers), *(layer.diff_id for layer in layers))),
        config=execution,
        created=description.created,
        history=tuple(history) or None,
    )

"""From layers and a base to configs, manifests and an index: pure, and the same bytes for the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelcar.build.plan import KEY, PATH
from modelcar.oci import Config, Descriptor, Digest, Execution, History, Index, Manifest, Platform, RootFS, media
from modelcar.oci import config as configs
from modelcar.oci import manifest as manifests
from modelcar.stores import BytesBlob

USER = "1001"
"""The user that OpenShift replaces by one of the namespace: it owns nothing here."""

_PATH_VARIABLE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class BaseLayer:
    """A layer of a base image: its descriptor in the target's words, and its diffID."""

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
    """A layer of model files in the store: uncompressed, so that its digest is its diffID."""

    descriptor: Descriptor
    title: str


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


def assemble(bases: Sequence[PlatformBase], layers: Sequence[ModelLayer], description: Description) -> Image:
    """The image of a model on some platforms.

    Raises:
        Refused: A manifest would be larger than registries take.
    """
    blobs, described = [], []
    for base in bases:
        config = BytesBlob(configs.encode(_config(base, layers, description)), f"config for {base.platform}")
        manifest = Manifest(
            2,
            config.described_as(media.OCI_CONFIG),
            (*(layer.descriptor for layer in base.layers), *(layer.descriptor for layer in layers)),
            media.OCI_MANIFEST,
            dict(description.annotations),
        )
        blobs.append(config)
        described.append(manifests.describe(manifest, base.platform))
    index = Index(2, tuple(d for d, _ in described), media.OCI_INDEX, dict(description.annotations))
    return Image(tuple(blobs), tuple(described), manifests.describe(index))


def model_layer(blob: Descriptor, key: str, path: str | None, title: str) -> ModelLayer:
    """A stored blob as a layer of the model, with the annotations by which the next build finds it."""
    annotations = {KEY: key, **({PATH: path} if path else {})}
    return ModelLayer(Descriptor(media.OCI_LAYER, blob.digest, blob.size, annotations=annotations), title)


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
    history += [History(description.created, f"modelcar: {layer.title}") for layer in layers]
    return Config(
        architecture=base.platform.architecture,
        os=base.platform.os,
        variant=base.platform.variant,
        rootfs=RootFS(
            "layers", (*(layer.diff_id for layer in base.layers), *(layer.descriptor.digest for layer in layers))
        ),
        config=execution,
        created=description.created,
        history=tuple(history) or None,
    )

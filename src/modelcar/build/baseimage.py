"""The image under the model: found, checked and put into the target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from modelcar import base as embedded
from modelcar.base.needs import STAND_IN, missing_commands
from modelcar.build.assemble import BaseLayer, PlatformBase
from modelcar.build.compression import GZIP, CompressedStream
from modelcar.build.memory import Memory
from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.image.head import ImageHead, read_head
from modelcar.image.tree import read_layers
from modelcar.oci import Descriptor, Digest, Platform, media, parse_platform
from modelcar.retry import Patience
from modelcar.stores import Blob, BytesBlob, Location, Store, StoredBlob


@dataclass(frozen=True, slots=True)
class Base:
    """A base on the platforms that were asked for.

    Attributes:
        platforms: Each with its layers.
        name: Its reference; None for no base, for our own, which is in no registry, and for one of a layout, whose name
            is a path of this machine only.
        digest: Of its index or manifest.
        location: Where its blobs are, but for those at hand.
        at_hand: Blobs of layers that are not in `location`: made here.
    """

    platforms: tuple[PlatformBase, ...]
    name: str | None = None
    digest: str | None = None
    location: Location | None = None
    at_hand: Mapping[Digest, Blob] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """Layers of the platform that has the most."""
        return max((len(platform.layers) for platform in self.platforms), default=0)


def no_base(wanted: Sequence[str]) -> Base:
    """Nothing under the model, for the platforms wanted: each is only a small manifest then."""
    return Base(tuple(map(PlatformBase, _each_once(map(parse_platform, wanted)) or embedded.PLATFORMS)))


def embedded_base(wanted: Sequence[str]) -> Base:
    """Our own base, for the platforms wanted or all of its own.

    Raises:
        NotFound: It is not for a platform that is wanted.
    """
    chosen = _each_once(_find(parse_platform(text), embedded.PLATFORMS, "embedded") for text in wanted)
    platforms, at_hand = [], {}
    for platform in chosen or embedded.PLATFORMS:
        blob = BytesBlob(embedded.layer(platform), f"base layer for {platform}")
        layer = BaseLayer(blob.described_as(media.OCI_LAYER), blob.digest)
        platforms.append(PlatformBase(platform, (layer,), cmd=embedded.CMD))
        at_hand[blob.digest] = blob
    return Base(tuple(platforms), at_hand=at_hand)


def full_name(name: str) -> str:
    """The reference of a base as its user names it: with its registry, also where that is `ubi9/ubi-micro` alone.

    That is how our own base, in a container, names one that can do more.
    """
    return f"registry.access.redhat.com/{name}" if re.match(r"ubi\d+/", name) else name


def read_base(location: Location, wanted: Sequence[str], memory: Memory, *, need_shell: bool) -> Base:
    """A base image, for the platforms wanted or all of its own.

    Args:
        location: Where it is.
        wanted: `os/architecture[/variant]` each.
        memory: Which bases have been looked into already.
        need_shell: Whether KServe's shell lines must run in it.

    Raises:
        NotFound: No such image, or not for a platform that is wanted.
        Refused: It has no shell, `ln` and `sleep`, which KServe runs in every ModelCar.
        ModelcarError: As the store does.
    """
    named, first = location, read_head(location)
    location = replace(location, digest=first.digest)  # all platforms are of one image, if the tag moves meanwhile
    chosen = _each_once(_find(parse_platform(text), first.platforms, str(named)) for text in wanted)
    heads = {platform: read_head(location, platform) for platform in chosen or first.platforms}
    if need_shell:
        for platform, head in heads.items():
            _check_shell(head, platform, memory)
    platforms = tuple(_platform_base(head, platform) for platform, head in heads.items())
    return Base(platforms, _public_name(named), first.digest, location)


def for_docker(base: Base, patience: Patience) -> Base:
    """The same base with all its layers in gzip, the one compression that every reader of Docker's manifests takes.

    A layer that is not compressed is read, to know what it becomes, and read again when it is sent: nothing is kept.

    Raises:
        Refused: It has a layer that Docker's manifests don't know.
        ContentMismatch: A layer has other bytes than its digest says.
        ModelcarError: As its store does.
    """
    at_hand = dict(base.at_hand)
    gzipped: dict[Digest, BaseLayer] = {}
    for layer in {layer.descriptor.digest: layer for p in base.platforms for layer in p.layers}.values():
        kind = media.compression(layer.descriptor.media_type)
        if kind == "":
            blob = _GzippedBlob(_blob(base, layer.descriptor))
            descriptor = patience.persist(blob.measure, blob.title)
            at_hand[descriptor.digest] = blob
            gzipped[layer.descriptor.digest] = BaseLayer(descriptor, layer.diff_id)
        elif kind != "gzip":
            raise Refused(
                f"the base {base.name or base.location} has a layer of type {layer.descriptor.media_type}, "
                "and Docker's manifests know none but gzip",
                "choose a base of gzip layers, or leave --image-format docker out",
            )
    platforms = tuple(
        replace(p, layers=tuple(gzipped.get(layer.descriptor.digest, layer) for layer in p.layers))
        for p in base.platforms
    )
    return replace(base, platforms=platforms, at_hand=at_hand)


def send_base(base: Base, store: Store, patience: Patience) -> int:
    """Put the base's layers into the target: mounted where that can be, else copied. Returns the bytes sent.

    Raises:
        ModelcarError: As the stores do.
    """
    sent = 0
    for layer in {layer.descriptor.digest: layer for p in base.platforms for layer in p.layers}.values():
        digest = layer.descriptor.digest
        origin = base.location.store.name if base.location and digest not in base.at_hand else None
        if store.has_blob(digest) or (origin and store.mount_blob(digest, origin)):
            continue
        blob = _blob(base, layer.descriptor)
        patience.persist(partial(store.write_blob, blob), blob.title)
        sent += layer.descriptor.size
    return sent


class _GzippedBlob:
    """Another blob, compressed as it is read."""

    def __init__(self, plain: Blob) -> None:
        self.title = plain.title
        self.size: int | None = None
        self.digest: Digest | None = None
        self._plain = plain

    def measure(self) -> Descriptor:
        """Find out digest and size, by reading it once.

        Raises:
            ContentMismatch: The other blob's bytes aren't those of its digest.
        """
        with closing(self.open()) as stream:
            for _ in stream:
                pass
        if stream.diff_id != self._plain.digest:
            raise ContentMismatch(f"{self.title}: the bytes are those of {stream.diff_id}, not of {self._plain.digest}")
        self.digest, self.size = stream.digest, stream.size
        return Descriptor(media.OCI_LAYER_GZIP, stream.digest, stream.size)

    def open(self) -> CompressedStream:
        """See `Blob.open`."""
        stream = self._plain.open()

        def pieces() -> Iterator[bytes]:
            try:
                yield from stream
            finally:
                stream.close()

        return CompressedStream(pieces(), GZIP)


def _blob(base: Base, descriptor: Descriptor) -> Blob:
    if descriptor.digest in base.at_hand or base.location is None:
        return base.at_hand[descriptor.digest]
    return StoredBlob(base.location.store, descriptor, f"base layer {descriptor.digest[:19]}")


def _public_name(location: Location) -> str | None:
    name = location.store.name
    if location.is_path:
        return None
    return f"{name}:{location.tag}" if location.tag else name


def _each_once(platforms: Iterable[Platform]) -> list[Platform]:
    return list(dict.fromkeys(platforms))


def _find(platform: Platform, available: Sequence[Platform], base: str) -> Platform:
    for other in available:
        if other.meets(platform):
            return other
    names = ", ".join(map(str, available))
    raise NotFound(f"the base {base} is not for {platform}", f"it is for {names}: choose among these with --platform")


def _platform_base(tree: ImageHead, platform: Platform) -> PlatformBase:
    execution = tree.config.config
    diff_ids = tree.config.rootfs.diff_ids
    descriptors = tree.manifest.layers
    if len(diff_ids) != len(descriptors):
        raise Refused(f"the base {tree.location} has {len(descriptors)} layers and {len(diff_ids)} diffIDs")
    layers = tuple(
        BaseLayer(Descriptor(media.as_oci_layer(d.media_type), d.digest, d.size), diff_id)
        for d, diff_id in zip(descriptors, diff_ids, strict=True)
    )
    env = (execution.env if execution else None) or ()
    entrypoint = (execution.entrypoint if execution else None) or ()
    return PlatformBase(platform, layers, env, entrypoint if entrypoint == STAND_IN else ())


def _check_shell(head: ImageHead, platform: Platform, memory: Memory) -> None:
    execution = head.config.config
    # The config names the layers by their diffIDs: one that had a shell has it still.
    if (execution and execution.entrypoint == STAND_IN) or memory.has_shell(head.manifest.config.digest):
        return
    tree = read_layers(head)
    missing = missing_commands(tree.has_file)
    if missing:
        raise Refused(
            f"the base {head.location} has no {', '.join(missing)} for {platform}, and KServe runs a shell line in it",
            "choose another base; for image volumes and fetch mode alone, --base-without-shell goes on",
        )
    memory.remember_shell(head.manifest.config.digest)

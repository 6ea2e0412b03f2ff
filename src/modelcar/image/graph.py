"""All that an image consists of: the manifests below its index, and their blobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelcar.errors import ContentMismatch, NotFound, Refused
from modelcar.oci import Descriptor, Digest, Index, Manifest, digest_of
from modelcar.oci.manifest import decode
from modelcar.stores import ReadableStore, StoredManifest

_MOST_MANIFESTS = 2_000
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest or index: its bytes as stored, and what they say."""

    stored: StoredManifest
    value: Manifest | Index

    @property
    def digest(self) -> Digest:
        """Of its bytes."""
        return self.stored.digest

    @property
    def descriptor(self) -> Descriptor:
        """What lists of referrers say of it (distribution-spec v1.1, "Listing Referrers")."""
        value = self.value
        kind = value.artifact_type or (value.config.media_type if isinstance(value, Manifest) else "")
        return Descriptor(
            self.stored.media_type,
            self.digest,
            len(self.stored.content),
            annotations=value.annotations,
            artifact_type=kind,
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """An image or artifact, on all its platforms.

    Attributes:
        nodes: Its manifests, each after those that it names: the last one is the whole.
        blobs: Configs and layers of all of them, each once.
    """

    nodes: tuple[Node, ...]
    blobs: Mapping[Digest, Descriptor] = field(repr=False)

    @property
    def root(self) -> Node:
        """The manifest or index that stands for the whole."""
        return self.nodes[-1]


def read_graph(store: ReadableStore, stored: StoredManifest) -> Graph:
    """Follow a manifest to everything below it.

    Args:
        store: Where it is.
        stored: The manifest or index to begin with.

    Raises:
        NotFound: An index names a manifest that is not there.
        ContentMismatch: A manifest is none, or another one than its index says.
        Refused: Docker's schema 1, indexes too deep in each other, or too many manifests.
        ModelcarError: As the store does.
    """
    nodes: dict[Digest, Node] = {}
    blobs: dict[Digest, Descriptor] = {}

    def visit(stored: StoredManifest, depth: int) -> None:
        where = f"{store.name}@{stored.digest}"
        if stored.digest.startswith("sha256:") and digest_of(stored.content) != stored.digest:
            raise ContentMismatch(f"the manifest {where} has other bytes than its digest says")
        if depth > _DEEPEST or len(nodes) >= _MOST_MANIFESTS:
            raise Refused(f"{where}: more manifests, or deeper in each other, than any image has")
        value = decode(stored.content, stored.media_type, where)
        if isinstance(value, Index):
            for child in value.manifests:
                if child.digest not in nodes:
                    visit(_child(store, child, where), depth + 1)
        else:
            blobs.update((each.digest, each) for each in (value.config, *value.layers))
        nodes[stored.digest] = Node(stored, value)

    visit(stored, 0)
    return Graph(tuple(nodes.values()), blobs)


def _child(store: ReadableStore, descriptor: Descriptor, where: str) -> StoredManifest:
    try:
        stored = store.manifest(descriptor.digest)
    except NotFound:
        raise NotFound(
            f"{where} is an index that names the manifest {descriptor.digest}, and that is not there",
            "push the image again, all of its platforms",
        ) from None
    if len(stored.content) != descriptor.size:
        raise ContentMismatch(
            f"{where} says that the manifest {descriptor.digest} has {descriptor.size:,} bytes, "
            f"and it has {len(stored.content):,}"
        )
    # The index knows what it is: a layout does not, and some registries answer with what they like.
    return StoredManifest(stored.content, descriptor.media_type or stored.media_type, stored.digest)

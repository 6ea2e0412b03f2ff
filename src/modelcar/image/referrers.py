"""What hangs on an image: artifacts that name it as their subject, and those under cosign's tags.

Registries list the former by an API; where one has none (it answers 404), clients keep the list under a tag
(distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema"). So do layouts and archives here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelcar.errors import NotFound, Refused
from modelcar.events import Listener, Warned
from modelcar.image.graph import Graph, Node, read_graph
from modelcar.oci import Descriptor, Digest, Index, Manifest, media
from modelcar.oci.attached import cosign_tags, referrers_tag
from modelcar.oci.manifest import decode, encode
from modelcar.parallel import QUESTIONS, side_by_side
from modelcar.retry import Patience
from modelcar.stores import ReadableStore, Store

_MOST = 1_000
"""Artifacts that hang on one image, and on each other."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What hangs on an image.

    Attributes:
        referrers: Artifacts with a subject.
        tagged: Artifacts by cosign's tags.
    """

    referrers: tuple[Graph, ...] = ()
    tagged: Mapping[str, Graph] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Graph]:
        yield from self.referrers
        yield from self.tagged.values()

    def __len__(self) -> int:
        return len(self.referrers) + len(self.tagged)


def find_attached(store: ReadableStore, image: Graph, patience: Patience, listener: Listener) -> Attached:
    """What hangs on an image, on its platforms' manifests, and on what hangs there.

    Args:
        store: Where the image is.
        image: All of it.
        patience: What ends it early.
        listener: Is told of what is listed and not there.

    Raises:
        Refused: It is more than any image has.
        ModelcarError: As the store does.
    """
    seen = {node.digest for node in image.nodes}
    referrers: list[Graph] = []
    tagged: dict[str, Graph] = {}
    waiting = list(seen)
    while waiting:
        found = list(side_by_side(lambda d: _hanging_on(store, d, listener), waiting, QUESTIONS, patience))
        waiting = []
        for graphs, tags in found:
            referrers += [graph for graph in graphs if graph.root.digest not in seen]
            tagged |= tags
            for node in (node for graph in (*graphs, *tags.values()) for node in graph.nodes):
                if node.digest not in seen:
                    seen.add(node.digest)
                    waiting.append(node.digest)
        if len(referrers) + len(tagged) > _MOST:
            raise Refused(f"more than {_MOST:,} artifacts refer to the image", "copy it with --no-referrers")
    return Attached(tuple(referrers), tagged)


def list_referrers(store: Store, nodes: Iterable[Node]) -> bool:
    """Make sure that the store lists artifacts that were put there under their subjects. True if that took a write.

    A registry that takes notice of subjects says so (the header `OCI-Subject`) and lists them; what counts is the list.

    Raises:
        ModelcarError: As the store does.
    """
    subjects: dict[Digest, list[Descriptor]] = {}
    for node in nodes:
        if node.value.subject is not None:
            subjects.setdefault(node.value.subject.digest, []).append(node.descriptor)
    written = [_list_under(store, subject, descriptors) for subject, descriptors in subjects.items()]
    return any(written)


def _list_under(store: Store, subject: Digest, descriptors: Sequence[Descriptor]) -> bool:
    listed = store.referrers(subject)
    if listed is not None and {d.digest for d in descriptors} <= {d.digest for d in listed}:
        return False
    there = _tagged_list(store, subject)
    new = [d for d in descriptors if d.digest not in {other.digest for other in there}]
    if new:
        index = Index(2, (*there, *new), media.OCI_INDEX)
        store.write_manifest(encode(index), media.OCI_INDEX, referrers_tag(subject))
    return bool(new)


def _hanging_on(store: ReadableStore, digest: Digest, listener: Listener) -> tuple[tuple[Graph, ...], dict[str, Graph]]:
    listed = store.referrers(digest)
    referrers = []
    for descriptor in _tagged_list(store, digest) if listed is None else listed:
        try:
            graph = read_graph(store, store.manifest(descriptor.digest))
        except NotFound:
            listener(Warned(f"{store.name} lists {descriptor.digest} as referring to {digest[:19]}, and has it not"))
            continue
        subject = graph.root.value.subject
        if subject is not None and subject.digest == digest:
            referrers.append(graph)
    tagged = {}
    for tag in cosign_tags(digest):
        try:
            tagged[tag] = read_graph(store, store.manifest(tag))
        except NotFound:
            continue
    return tuple(referrers), tagged


def _tagged_list(store: ReadableStore, subject: Digest) -> tuple[Descriptor, ...]:
    """The list under the tag that stands in for the API; empty where there is none."""
    try:
        stored = store.manifest(referrers_tag(subject))
    except NotFound:
        return ()
    value = decode(stored.content, stored.media_type, f"{store.name}:{referrers_tag(subject)}")
    return () if isinstance(value, Manifest) else value.manifests

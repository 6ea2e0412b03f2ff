"""An image into another place, byte for byte: its digest never changes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelcar.errors import NetworkError, NotFound, Refused, UsageError
from modelcar.events import Cancel, Copied, Listener, Warned, one_at_a_time
from modelcar.http import Http
from modelcar.image.graph import Graph, Node, read_graph
from modelcar.image.partial import find_elsewhere, is_marked_otherwise, leave_out, read_old
from modelcar.image.referrers import Attached, find_attached, list_referrers
from modelcar.image.transfer import Supply, Transfer
from modelcar.oci import Digest, Index, Platform
from modelcar.retry import Patience
from modelcar.settings import Access
from modelcar.stores import Location, StoredManifest, locate
from modelcar.stores.archive import ArchiveStore
from modelcar.stores.named import named_manifest
from modelcar.stores.tags import forbidden, replaces, tag_names

_TRIES = 3


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How an image is copied.

    Attributes:
        platform: Copy the image of this platform alone; its own digest is then that of the copy.
        referrers: Whether what refers to the image goes along: signatures, attestations, SBOMs.
        no_clobber: Never move a tag that names another image.
        mount_from: Further repositories of the target's registry to take blobs from.
        since: An image that whoever gets the copy has: its blobs are left out.
        split: Bytes of the pieces that an archive is left in, for media with a limit; None for one file.
        workers: Blobs in flight at a time.
        retry: Tries after the first one failed.
        retry_delay: Seconds before the first of them; each further one waits twice as long.
        access: How registries are reached.
    """

    platform: Platform | None = None
    referrers: bool = True
    no_clobber: bool = False
    mount_from: tuple[str, ...] = ()
    since: str | None = None
    split: int | None = None
    workers: int = 4
    retry: int = 5
    retry_delay: float = 0.5
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did.

    Attributes:
        reference: The copy, with its digest.
        digest: Of both, the original and the copy.
        sent: Bytes of blobs that were moved.
        mounted: Bytes that the target's registry took over by itself.
        there: Bytes that were there already.
        referrers: Artifacts that went along.
        seconds: Wall time.
        pieces: Names of the files that an archive was left in, where it was to be split.
    """

    reference: str
    digest: Digest
    sent: int
    mounted: int
    there: int
    referrers: int
    seconds: float
    pieces: tuple[str, ...] = ()


class Copier:
    """One copy.

    Args:
        source: The image.
        target: Where it goes.
        options: All wishes.
        listener: Is told of what happens, from several threads, one call at a time.
        cancel: Ends it early.
    """

    def __init__(
        self, source: str, target: str, options: CopyOptions, listener: Listener, cancel: Cancel | None = None
    ) -> None:
        self._options = options
        self._listener = one_at_a_time(listener)
        self._started = time.monotonic()
        self._patience = Patience(
            Cancel(cancel), self._listener, tries=1 + options.retry, first_wait=options.retry_delay
        )
        self._http = Http(ca_file=options.access.ca_file, connections=4 * options.workers)
        self._source = self._locate(source)
        self._target = self._locate(target)
        self._others = [self._locate(_beside(text, self._target)).store for text in options.mount_from]
        self._is_changed = False
        self._transfer = Transfer(self._target.store, self._patience, self._listener, options.workers)

    def run(self) -> CopyResult:
        """Copy: blobs, then manifests, and at last the tag.

        Raises:
            ModelcarError: As `copy_image` says.
        """
        try:
            archive = self._target.store
            if self._options.split is not None and not isinstance(archive, ArchiveStore):
                raise UsageError(f"--split cuts an archive, and {archive.name} is none", "copy to oci-archive:FILE")
            graph = read_graph(self._source.store, self._root())
            self._check_target(graph.root.digest)
            attached = self._attached(graph)
            held = self._held()
            self._target.store.prepare()
            self._complete([graph, *attached], held)
            self._attach(graph, attached)
            self._tag(graph.root)
            pieces: list[Path] = []
            if self._options.split is not None and isinstance(archive, ArchiveStore):
                pieces = archive.split(self._options.split)
            return self._result(graph.root.digest, len(attached), pieces)
        finally:
            self._patience.cancel.set()
            self._target.store.close()

    def _locate(self, text: str) -> Location:
        return locate(text, self._http, self._options.access, self._patience)

    def _root(self) -> StoredManifest:
        stored = named_manifest(self._source)
        wanted = self._options.platform
        return stored if wanted is None else _of_platform(self._source, stored, wanted)

    def _check_target(self, digest: Digest) -> None:
        target = self._target
        if target.digest not in (None, digest):
            raise UsageError(f"{target} names another digest than {self._source} has ({digest})", "name a tag alone")
        self._check_no_other(digest)

    def _check_no_other(self, digest: Digest) -> None:
        """Raises `Refused` where `--no-clobber` forbids what the tag would do."""
        if not self._options.no_clobber or (self._target.digest and not self._target.tag):
            return
        taken = replaces(self._target)
        if taken is not None and taken != digest:
            raise forbidden(self._target, taken)

    def _attached(self, graph: Graph) -> Attached:
        if not self._options.referrers:
            return Attached()
        return find_attached(self._source.store, graph, self._patience, self._listener)

    def _held(self) -> frozenset[Digest]:
        """Blobs that needn't go along; the target is told whose they are."""
        if self._options.since is None:
            return frozenset()
        graph = read_old(self._locate(self._options.since))
        leave_out(self._target, graph)
        return frozenset(graph.blobs)

    def _complete(self, graphs: Sequence[Graph], held: frozenset[Digest]) -> None:
        """All of an image and its artifacts, under their digests alone."""
        blobs = {d: blob for graph in graphs for d, blob in graph.blobs.items() if d not in held}
        nodes = [node for graph in graphs for node in graph.nodes]
        attempt = 1
        while True:
            missing = self._transfer.missing(blobs.values())
            elsewhere = find_elsewhere(self._source, self._target, missing, self._others, self._patience)
            self._transfer.send(missing, Supply(self._source.store, self._others, elsewhere))
            try:
                self._put_manifests(nodes)
            except NotFound as error:
                # What was there a moment ago is gone: garbage was collected.
                if attempt == _TRIES:
                    raise
                self._patience.pause("copying", NetworkError(error.what), attempt)
                attempt += 1
            else:
                return

    def _put_manifests(self, nodes: Iterable[Node]) -> None:
        store = self._target.store
        for node in nodes:
            try:
                store.resolve(node.digest)
            except NotFound:
                store.write_manifest(node.stored.content, node.stored.media_type, node.digest)
                self._is_changed = True

    def _attach(self, graph: Graph, attached: Attached) -> None:
        """Let the target find what hangs on the image, before its tag says that the image is there."""
        store = self._target.store
        nodes = [node for each in (graph, *attached) for node in each.nodes]
        self._is_changed |= list_referrers(store, nodes)
        for tag, artifact in attached.tagged.items():
            stored = artifact.root.stored
            named = tag_names(Location(store, tag))
            if named == stored.digest:
                continue
            if named is not None and self._options.no_clobber:
                self._listener(Warned(f"{store.name}:{tag} names another artifact, and --no-clobber leaves it there"))
                continue
            store.write_manifest(stored.content, stored.media_type, tag)
            self._is_changed = True

    def _tag(self, root: Node) -> None:
        target, stored = self._target, root.stored
        if target.digest and not target.tag and not target.is_path:
            return
        moved = self._transfer.moved
        is_changed = self._is_changed or moved.sent or moved.mounted or is_marked_otherwise(target)
        if isinstance(target.store, ArchiveStore) and not target.store.lies_as(self._options.split):
            is_changed = True
        if not is_changed and tag_names(target) == root.digest:
            return
        self._check_no_other(root.digest)  # once more: somebody else may have been faster
        try:
            target.store.write_manifest(stored.content, stored.media_type, target.tag)
        except Refused as error:
            hint = f"the image is there without it, and can be deployed as {target.store.name}@{root.digest}"
            raise Refused(error.what, hint) from None

    def _result(self, digest: Digest, referrers: int, pieces: list[Path]) -> CopyResult:
        moved = self._transfer.moved
        target = self._target
        reference = str(target) if target.digest else f"{target}@{digest}"
        seconds = round(time.monotonic() - self._started, 3)
        self._listener(Copied(reference, digest, moved.sent, moved.mounted, moved.there, referrers, seconds))
        names = tuple(path.name for path in pieces)
        return CopyResult(reference, digest, moved.sent, moved.mounted, moved.there, referrers, seconds, names)


def _of_platform(source: Location, stored: StoredManifest, wanted: Platform) -> StoredManifest:
    """The manifest for one platform of what an index lists."""
    graph = read_graph(source.store, stored)
    value = graph.root.value
    if not isinstance(value, Index):
        raise NotFound(f"{source} is an image for one platform only", "copy it without --platform")
    for descriptor in value.manifests:
        if descriptor.platform and descriptor.platform.meets(wanted):
            return next(node.stored for node in graph.nodes if node.digest == descriptor.digest)
    names = ", ".join(str(each.platform) for each in value.manifests if each.platform)
    raise NotFound(f"{source} is not for {wanted}", f"it is for {names}")


def _beside(text: str, target: Location) -> str:
    """A repository to mount from, as a reference: one without a host is of the target's registry."""
    host = text.partition("/")[0]
    if "." in host or ":" in host or host == "localhost":
        return text
    return f"{target.store.name.partition('/')[0]}/{text}"

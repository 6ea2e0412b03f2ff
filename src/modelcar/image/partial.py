"""Images without the blobs that whoever gets them has already: what to leave out, and where to find it again."""

from __future__ import annotations

from collections.abc import Sequence

from modelcar.errors import NotFound, UsageError
from modelcar.image.graph import Graph, read_graph
from modelcar.oci import Descriptor, Digest
from modelcar.parallel import QUESTIONS, side_by_side
from modelcar.retry import Patience
from modelcar.stores import Location, ReadableStore
from modelcar.stores.indexed import IndexedStore
from modelcar.stores.named import listed, named_manifest


def read_old(old: Location) -> Graph:
    """The image whose blobs are to be left out. Raises as `read_graph`."""
    return read_graph(old.store, named_manifest(old))


def leave_out(target: Location, old: Graph) -> None:
    """Let the target say of the image that comes that the blobs of `old` aren't with it.

    Raises:
        UsageError: It is a registry, which takes whole images only.
    """
    if not isinstance(target.store, IndexedStore):
        raise UsageError(
            f"--since leaves blobs out, and {target.store.name} is a registry, which takes whole images only",
            "copy to oci:PATH or oci-archive:FILE; into a registry nothing that is there is sent anyway",
        )
    target.store.left_out = old.root.digest


def is_marked_otherwise(target: Location) -> bool:
    """Whether what the target's tag names now is marked as partial and should not be, or the other way round."""
    store = target.store
    try:
        return isinstance(store, IndexedStore) and store.since(target.tag) != store.left_out
    except NotFound:
        return True


def find_elsewhere(
    source: Location,
    target: Location,
    blobs: Sequence[Descriptor],
    others: Sequence[ReadableStore],
    patience: Patience,
) -> dict[Digest, ReadableStore]:
    """Where to find each of the blobs that the target wants and the source was left without.

    Args:
        source: The image.
        target: Where it goes.
        blobs: What the target doesn't have.
        others: Repositories that may have it.
        patience: What ends it early.

    Raises:
        NotFound: Some are nowhere; which.
        ModelcarError: As the stores do.
    """
    if not isinstance(source.store, IndexedStore):
        return {}
    lacking = [blob.digest for blob in blobs if not source.store.has_blob(blob.digest)]

    def home(digest: Digest) -> ReadableStore | None:
        return next((store for store in others if store.has_blob(digest)), None)

    homes = list(side_by_side(home, lacking, QUESTIONS, patience))
    nowhere = [digest for digest, store in zip(lacking, homes, strict=True) if store is None]
    if nowhere:
        raise _nowhere(source, source.store.since(source.version), target, nowhere, others)
    return {digest: store for digest, store in zip(lacking, homes, strict=True) if store is not None}


def _nowhere(
    source: Location, since: Digest | None, target: Location, missing: Sequence[Digest], others: Sequence[ReadableStore]
) -> NotFound:
    names = ", ".join([target.store.name, *(store.name for store in others)])
    if since is None:
        return NotFound(f"{source} lacks of its image {listed(missing)}", "copy it again")
    return NotFound(
        f"{source} is partial, made since {since}, and neither it nor {names} has {listed(missing)}",
        "name a repository of that registry that holds that image, with --mount-from; nothing was sent",
    )

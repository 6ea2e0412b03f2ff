"""What a new image would take the place of, where that is forbidden."""

from __future__ import annotations

from modelcar.errors import NotFound, Refused
from modelcar.oci import Digest
from modelcar.stores import Ambiguous, Location


def tag_names(target: Location) -> Digest | None:
    """What the target's tag names now."""
    try:
        return target.store.resolve(target.tag).digest
    except NotFound:
        return None


def replaces(target: Location) -> Digest | None:
    """What a new image would take the place of: the tag's, or in a store of one file the one that is there.

    Raises:
        Refused: There are several in the file.
    """
    named = tag_names(target)
    if named is not None or not target.store.is_one_file:
        return named
    try:
        return target.store.resolve("").digest
    except Ambiguous:
        what = f"{target.store.name} holds several images and --no-clobber forbids to replace them"
        raise Refused(what, "choose another file") from None
    except NotFound:
        return None


def forbidden(target: Location, taken: Digest) -> Refused:
    """The error for a tag that exists and must not be moved, or a file that must not be replaced."""
    if target.store.is_one_file:
        what = f"{target.store.name} exists (with {taken}) and --no-clobber forbids to replace it"
        return Refused(what, "choose another file")
    return Refused(f"{target} exists ({taken}) and --no-clobber forbids to move it", "choose another tag")

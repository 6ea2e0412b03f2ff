"""What a reference names; and how errors speak of what is not there: by the names like it, by the first few blobs."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from modelcar.errors import ModelcarError, NotFound
from modelcar.oci import Digest
from modelcar.oci.attached import is_attached_tag
from modelcar.stores import Location, StoredManifest

_SHOWN = 5
_SHOWN_BLOBS = 3


def named_manifest(location: Location) -> StoredManifest:
    """The manifest that a reference names.

    Raises:
        NotFound: It is not there; the hint names the tags that look like it.
        ModelcarError: As the store does.
    """
    try:
        return location.store.manifest(location.version)
    except NotFound as error:
        if location.digest or not location.tag or error.hint:
            raise
        try:
            tags = location.store.tags()
        except ModelcarError:
            raise error from None  # not even the repository is there, or its list is not ours to read
        names = [tag for tag in tags if not is_attached_tag(tag)]
        raise NotFound(error.what, like(location.tag, names) or "the repository has no tags") from None


def like(wanted: str, names: Sequence[str]) -> str:
    """A store's names as a hint, of many those that look like the wanted one; empty where it has none."""
    if not names:
        return ""
    near = difflib.get_close_matches(wanted, names, _SHOWN, 0.5) if len(names) > _SHOWN else []
    shown = near or names[-_SHOWN:]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return f"it has {', '.join(shown)}{more}"


def listed(digests: Sequence[Digest]) -> str:
    """How many blobs these are, and which the first few: `7 blobs: sha256:…, sha256:…, sha256:… and 4 more`."""
    count = f"{len(digests):,} blob{'' if len(digests) == 1 else 's'}"
    more = f" and {len(digests) - _SHOWN_BLOBS:,} more" if len(digests) > _SHOWN_BLOBS else ""
    return f"{count}: {', '.join(digests[:_SHOWN_BLOBS])}{more}"

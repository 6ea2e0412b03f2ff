"""What a reference names; and where that is not there, which names of the store look like it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from modelcar.errors import ModelcarError, NotFound
from modelcar.oci.attached import is_attached_tag
from modelcar.stores import Location, StoredManifest

_SHOWN = 5


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

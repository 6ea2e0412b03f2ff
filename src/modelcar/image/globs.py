"""Which paths are meant by `--include` and `--exclude`: the same globs as those of a build."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase


def is_chosen(path: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether a path is left by globs. `*` matches `/` too, and a glob that ends in `/` all below that folder."""
    return (not include or _matches(path, include)) and not _matches(path, exclude)


def _matches(path: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(path, glob + "*" if glob.endswith("/") else glob) for glob in globs)

"""The files of a model, wherever they are: what this package needs of a folder, a repository or an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from modelcar.errors import ContentMismatch

MAX_JSON = 100_000_000
"""Bytes of a JSON file that is read at the most: an index of 100,000 tensors has a tenth of it."""


class ModelFiles(Protocol):
    """Files by path, read by range. Methods may be called from several threads."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file by its path, relative and with `/`."""
        ...

    def read(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes of a file from `offset` on, fewer only where it ends.

        Raises:
            ModelcarError: As the place where it is.
        """
        ...


class SomeFiles:
    """Those of other files whose paths are wanted."""

    def __init__(self, files: ModelFiles, is_wanted: Callable[[str], bool]) -> None:
        self._files = files
        self._sizes = {path: size for path, size in files.sizes.items() if is_wanted(path)}

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`."""
        return self._files.read(path, offset, length)


class FilesIn:
    """Files of one folder of others, by their paths from there."""

    def __init__(self, files: ModelFiles, folder: str) -> None:
        self._files = files
        self._prefix = prefix = f"{folder}/" if folder else ""
        self._sizes = {path[len(prefix) :]: size for path, size in files.sizes.items() if path.startswith(prefix)}

    @property
    def sizes(self) -> Mapping[str, int]:
        """See `ModelFiles`."""
        return self._sizes

    def read(self, path: str, offset: int, length: int) -> bytes:
        """See `ModelFiles`."""
        return self._files.read(self._prefix + path, offset, length)


def read_whole(files: ModelFiles, path: str, limit: int = MAX_JSON) -> bytes:
    """A small file.

    Raises:
        ContentMismatch: It is larger than `limit`, or shorter than its size says.
        ModelcarError: As `ModelFiles.read`.
    """
    size = files.sizes[path]
    if size > limit:
        raise ContentMismatch(f"{path} has {size:,} bytes: more than the {limit:,} that such a file may have")
    content = files.read(path, 0, size)
    if len(content) != size:
        raise ContentMismatch(f"{path} ends at {len(content):,} of {size:,} bytes")
    return content


def read_object(files: ModelFiles, path: str, limit: int = MAX_JSON) -> dict[str, Any]:
    """A file that holds one JSON object. Python's reader also takes the `Infinity` that Mamba's configurations have.

    Raises:
        ContentMismatch: It holds something else.
        ModelcarError: As `read_whole`.
    """
    content = read_whole(files, path, limit)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ContentMismatch(f"{path} is no JSON: {str(error)[:200] or type(error).__name__}") from None
    if not isinstance(value, dict):
        raise ContentMismatch(f"{path} holds no JSON object")
    return value

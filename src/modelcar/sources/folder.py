"""A local folder as a source."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused, UsageError
from modelcar.sources.card import license_of
from modelcar.sources.contract import LeftOut, Snapshot, SourceFile

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A path that may have been meant as a repository of the Hub."""

_OUR_ARCHIVE = b"oci-layout\0"
"""How an OCI archive begins that modelcar wrote: with the name of its first member."""

_PIECE = re.compile(r"(.+)\.part(\d{3})")
"""A piece of an archive that `modelcar copy --split` wrote; the first one begins as the whole would."""


class FolderSource:
    """The files below a folder, less hidden ones, and OCI layouts and our OCI archives: those are images built there.

    Links are followed while they stay inside.

    Args:
        path: The folder.
    """

    remote = False

    def __init__(self, path: Path) -> None:
        self._root = path
        self._snapshot: Snapshot | None = None
        self._seen: dict[str, str] = {}
        self._left_out: list[LeftOut] = []

    def snapshot(self) -> Snapshot:
        """See `Source.snapshot`. A second call gives what the first one saw.

        Raises:
            NotFound: No such folder, or no file in it; a link to nothing.
            UsageError: It is not a folder.
            Refused: A link that leads out of the folder, or something that is neither file nor folder.
            Denied: A file or folder that may not be read.
            ModelcarError: One that can't be read, or a link to itself.
        """
        if self._snapshot is None:
            self._snapshot = self._look()
        return self._snapshot

    def _look(self) -> Snapshot:
        hint = f"for the Hub write hf://{self._root}" if _HUB_NAME.fullmatch(str(self._root)) else ""
        info = _stat(self._root, f"the folder {self._root}", "doesn't exist", hint)
        if not stat.S_ISDIR(info.st_mode):
            raise UsageError(f"{self._root} is not a folder", "name the folder that holds the model's files")
        root = self._root.resolve()
        files: list[SourceFile] = []
        self._walk(root, root, "", files, frozenset({root}))
        if not files:
            raise NotFound(f"the folder {self._root} holds no files (hidden ones and images don't count)")
        files.sort(key=lambda file: file.path)
        return Snapshot(
            str(self._root),
            tuple(files),
            curated=True,
            licenses=license_of(root / "README.md"),
            left_out=tuple(self._left_out),
        )

    def _walk(self, root: Path, folder: Path, prefix: str, files: list[SourceFile], above: frozenset[Path]) -> None:
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            raise _unreadable(f"the folder {prefix or self._root}", error) from None
        if prefix and "oci-layout" in names:
            self._leave_out(prefix, 0, "an OCI layout")
            return
        split: set[str] = set()  # archives of which the first piece is here, and so comes first
        for name in names:
            shown = f"{prefix}{name}"
            if name.startswith("."):
                self._leave_out_hidden(folder / name, shown)
                continue
            # Path.resolve() would raise RuntimeError for a link to itself, in some versions of Python.
            real = Path(os.path.realpath(folder / name))
            if not real.is_relative_to(root):
                raise Refused(
                    f"{shown} is a link that leads out of the folder {self._root}, to {real}",
                    "copy the file, or for a Hugging Face cache build from hf://OWNER/NAME, which reads the cache",
                )
            info = _stat(real, shown, "is a link to something that is not there")
            if stat.S_ISDIR(info.st_mode):
                if real in above:
                    raise Refused(f"{shown} is a link to a folder above it: it would never end", "remove the link")
                self._walk(root, real, f"{shown}/", files, above | {real})
            elif stat.S_ISREG(info.st_mode):
                if not os.access(real, os.R_OK):
                    raise Denied(f"the file {shown} can't be read", "check its permissions")
                if _is_image(real, shown, split):
                    self._leave_out(shown, info.st_size, "an OCI archive" + " in pieces" * bool(_PIECE.fullmatch(name)))
                    continue
                self._seen[shown] = _fingerprint(info)
                files.append(SourceFile(shown, info.st_size, fingerprint=self._seen[shown] if _settled(info) else None))
            else:
                raise Refused(f"{shown} is neither a file nor a folder", "move it out of the folder")

    def _leave_out(self, shown: str, size: int, reason: str) -> None:
        self._left_out.append(LeftOut(SourceFile(shown, size), reason))

    def _leave_out_hidden(self, path: Path, shown: str) -> None:
        with suppress(OSError):  # whatever it is, it stays behind
            info = path.lstat()
            is_folder = stat.S_ISDIR(info.st_mode)
            self._leave_out(f"{shown}/" if is_folder else shown, 0 if is_folder else info.st_size, "hidden")

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> _FolderReader:
        """See `Source.open`."""
        try:
            opened = FileIO(self._root / file.path)
        except OSError as error:
            raise _unreadable(f"the file {file.path}", error) from None
        reader = _FolderReader(opened, file.path, self._seen[file.path], length)
        opened.seek(offset)
        return reader

    def prepare(self, file: SourceFile, offset: int, length: int) -> None:
        """See `Source.prepare`: there is nothing to do."""

    def distrust(self, file: SourceFile) -> bool:
        """See `Source.distrust`: there is no other copy."""
        return False


class _FolderReader:
    """An open file that must stay what the snapshot saw, from the first byte to the last."""

    def __init__(self, opened: FileIO, path: str, fingerprint: str, length: int | None) -> None:
        self._opened = opened
        self._left = length
        self._path = path
        self._fingerprint = fingerprint
        self._check()

    def read(self, size: int) -> bytes:
        try:
            piece = self._opened.read(size if self._left is None else min(size, self._left))
        except OSError as error:
            self.close()
            raise _unreadable(f"the file {self._path}", error) from None
        if self._left is not None:
            self._left -= len(piece)
        if not piece:
            self._check()
        return piece

    def close(self) -> None:
        self._opened.close()

    def _check(self) -> None:
        if _fingerprint(os.fstat(self._opened.fileno())) != self._fingerprint:
            self.close()
            raise ContentMismatch(f"the file {self._path} changed while the build was reading it", "run it again")


def _stat(path: Path, shown: str, gone: str, hint: str = "") -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise NotFound(f"{shown} {gone}", hint) from None
    except OSError as error:
        raise _unreadable(shown, error) from None


def _is_image(path: Path, shown: str, split: set[str]) -> bool:
    """Whether it is an OCI archive that modelcar wrote, or a piece of one. `split` holds what is in pieces."""
    whole = _PIECE.fullmatch(shown)
    if whole and whole[1] in split:
        return True
    is_ours = (not whole or int(whole[2]) == 1) and _is_our_archive(path, shown)
    if whole and is_ours:
        split.add(whole[1])
    return is_ours


def _is_our_archive(path: Path, shown: str) -> bool:
    """Whether it is an OCI archive that modelcar wrote: as with a layout, an image of the model is no part of it."""
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(len(_OUR_ARCHIVE)) == _OUR_ARCHIVE
    except OSError as error:
        raise _unreadable(f"the file {shown}", error) from None


def _unreadable(what: str, error: OSError) -> ModelcarError:
    """What the system said, in our words."""
    if isinstance(error, PermissionError):
        return Denied(f"{what} can't be read", "check its permissions")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{what} is gone")
    return ModelcarError(f"{what} can't be read: {error.strerror}")


def _settled(info: os.stat_result) -> bool:
    """Whether the last change lies far enough back that another one would show in the times (git: "racily clean")."""
    return time.time() - max(info.st_mtime, info.st_ctime) > 2


def _fingerprint(info: os.stat_result) -> str:
    return f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"

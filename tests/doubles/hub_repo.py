"""Repositories of the Hub double as values: files, commits, branches, tags, and how the API shows them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import yaml

from tests.doubles.content import Bytes, Content, as_content, digest, read

USER = "reader"
LFS_SUFFIXES = (".safetensors", ".gguf", ".bin")
_LFS_FROM = 10_000_000
_BEGINNING = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Entry:
    """One file of a commit."""

    path: str
    content: Content
    lfs: bool

    @property
    def sha256(self) -> str:
        return self.content.sha256

    @cached_property
    def pointer(self) -> bytes:
        """What git holds of an LFS file."""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.content.size}\n".encode()
        )

    @cached_property
    def oid(self) -> str:
        """The id of the git blob: of the pointer for an LFS file."""
        blob = Bytes(self.pointer) if self.lfs else self.content
        return digest(blob, "sha1", b"blob %d\0" % blob.size)

    @property
    def size(self) -> int:
        return self.content.size

    def as_sibling(self) -> dict[str, object]:
        """The file as `model_info` shows it with `blobs`."""
        return {"rfilename": self.path, "blobId": self.oid, "size": self.size, **self._lfs("sha256")}

    def as_item(self) -> dict[str, object]:
        """The file as a tree listing shows it."""
        return {"type": "file", "oid": self.oid, "size": self.size, "path": self.path, **self._lfs("oid")}

    def _lfs(self, name: str) -> dict[str, object]:
        """The part about LFS; the two places name the sha256 differently."""
        return {"lfs": {name: self.sha256, "size": self.size, "pointerSize": len(self.pointer)}} if self.lfs else {}


@dataclass(frozen=True)
class Commit:
    """The files of a repository at one time. `id` depends on the commits before and the files, on nothing else."""

    id: str
    number: int
    files: Mapping[str, Entry]

    @property
    def date(self) -> str:
        return _iso(_BEGINNING + timedelta(days=self.number))

    @cached_property
    def card(self) -> dict[str, object]:
        """The header of the README, between two lines of dashes."""
        readme = self.files.get("README.md")
        match = re.match(r"---\n(.*?)\n---\n", read(readme.content).decode(), re.DOTALL) if readme else None
        card = yaml.safe_load(match[1]) if match else None
        return card if isinstance(card, dict) else {}

    @property
    def labels(self) -> list[str]:
        """The tags that the Hub makes from the card."""
        plain = [word for key in ("library_name", "pipeline_tag", "tags") for word in _words(self.card.get(key))]
        return plain + [f"license:{word}" for word in _words(self.card.get("license"))]

    def listing(self, folder: str, *, recursive: bool) -> list[dict[str, object]]:
        """The items of a tree listing: files, and each folder before what it holds."""
        inside = f"{folder}/" if folder else ""
        items: dict[str, dict[str, object]] = {}
        for path, entry in self.files.items():
            if not path.startswith(inside):
                continue
            names = path.removeprefix(inside).split("/")
            for depth in range(1, len(names) if recursive else min(len(names), 2)):
                parent = inside + "/".join(names[:depth])
                oid = digest(Bytes(f"{self.id}/{parent}".encode()), "sha1")
                items.setdefault(parent, {"type": "directory", "oid": oid, "size": 0, "path": parent})
            if recursive or len(names) == 1:
                items[path] = entry.as_item()
        return list(items.values())


@dataclass
class Repo:
    """A model repository.

    Attributes:
        readers: The users who may read it when it is private, and its files when it is gated.
        lfs: Files with these endings are LFS files; files past 10 MB are always.

    """

    name: str
    private: bool = False
    gated: Literal[False, "auto", "manual"] = False
    readers: Collection[str] = (USER,)
    lfs: tuple[str, ...] = LFS_SUFFIXES
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes | Path | Content | None], branch: str = "main") -> str:
        """Add, replace or (None) delete files, and move the branch. Returns the new commit's id."""
        parent = self.branches.get(branch, self.branches.get("main", ""))
        entries = dict(self.commits[parent].files) if parent else {}
        for path, value in files.items():
            if value is None:
                del entries[path]
            else:
                content = as_content(value)
                entries[path] = Entry(path, content, path.endswith(self.lfs) or content.size > _LFS_FROM)
        listing = [f"{path}\0{entries[path].content.identity}" for path in sorted(entries)]
        new = hashlib.sha1("\n".join([parent, str(len(self.commits)), *listing]).encode()).hexdigest()
        self.commits[new] = Commit(new, len(self.commits), {path: entries[path] for path in sorted(entries)})
        self.branches[branch] = new
        return new

    def info(self, commit: Commit, *, blobs: bool) -> dict[str, object]:
        """What `model_info` shows."""
        files = commit.files.values()
        return {
            "_id": hashlib.sha1(self.name.encode()).hexdigest()[:24],
            "id": self.name,
            "modelId": self.name,
            "author": self.name.partition("/")[0],
            "sha": commit.id,
            "lastModified": commit.date,
            "createdAt": _iso(_BEGINNING),
            "private": self.private,
            "gated": self.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": commit.labels,
            "cardData": commit.card,
            "siblings": [entry.as_sibling() if blobs else {"rfilename": entry.path} for entry in files],
            "usedStorage": sum(entry.size for entry in files),
        }

    def tag(self, name: str, revision: str = "main") -> None:
        """Name a commit."""
        self.tags[name] = self.at(revision).id

    def at(self, revision: str = "main") -> Commit:
        """The commit of a branch, a tag or an id.

        Raises:
            KeyError: There is none.

        """
        return self.commits[self.branches.get(revision) or self.tags.get(revision) or revision]


def _words(value: object) -> list[str]:
    if value is None:
        return []
    return [str(word) for word in value] if isinstance(value, list) else [str(value)]


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds") + "Z"

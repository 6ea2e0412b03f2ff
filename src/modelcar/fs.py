"""Images as a file system of fsspec: `fsspec.open("modelcar://quay.io/acme/granite:3.1-2b/config.json")`.

The host ends at the first `/`; after it the first `:` or `@` starts tag or digest; the file is what follows the next
`/`, a path below the image's `/models`. Registries only. fsspec itself can't hold IPv6 literals in a URL's host: give
the registry a name.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from modelcar.errors import NotFound, Refused, UsageError
from modelcar.image import ImageFile, ImageFiles, open_image
from modelcar.image.lookup import MODELS
from modelcar.settings import Access

_SPELLING = "write modelcar://HOST/REPOSITORY:TAG/FILE"
_IN_MEMORY = 64 * 1024 * 1024


class ModelcarFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The model files of images in registries, read-only.

    Bytes of uncompressed layers are read by range. A file of a compressed layer is read once, from the layer's start,
    into a temporary file.

    Args:
        platform: `os/architecture[/variant]`; by default the first of an image.
        ca_file: PEM file of certificate authorities to trust besides the system's own.
        plain_http: Speak HTTP without TLS to registries that aren't on loopback too.
        authfile: Credentials to look at first.
        **options: Those of every fsspec file system.

    Raises:
        FileNotFoundError: From its methods, where no such image or file is.
        ModelcarError: From its methods, for all else.
    """

    protocol = "modelcar"
    root_marker = ""

    def __init__(
        self,
        platform: str | None = None,
        ca_file: str | Path | None = None,
        plain_http: bool = False,
        authfile: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._platform = platform
        self._access = Access(Path(ca_file) if ca_file else None, plain_http, Path(authfile) if authfile else None)
        self._images: dict[str, ImageFiles] = {}
        self._lock = threading.Lock()

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        """The files and folders of a folder; a file alone, where `path` is one."""
        image, file = split(self._strip_protocol(path))
        found: dict[str, dict[str, Any]] = {}
        below = f"{MODELS}{file}/" if file else MODELS
        tree = self._read(lambda: self._image(image).tree())
        for name in tree.files():
            inner = name.removeprefix(below)
            if not name.startswith(below) or not inner:
                continue
            first, slash, _ = inner.partition("/")
            content = tree.follow(name)
            if slash or (content is not None and content.kind == "folder"):
                found[first] = _folder(f"{image}/{below.removeprefix(MODELS)}{first}")
            elif content is not None and content.kind == "file":
                found[first] = _file(f"{image}/{below.removeprefix(MODELS)}{first}", content)
        entries = list(found.values()) or [self.info(path)]
        return entries if detail else sorted(entry["name"] for entry in entries)

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Name, size in bytes and type (`file` or `directory`) of a path."""
        path = self._strip_protocol(path)
        image, file = split(path)
        if not file:
            self._read(lambda: self._image(image))
            return _folder(path)
        try:
            return _file(path, self._image(image).find(file))
        except (NotFound, Refused) as error:
            if any(name.startswith(f"{MODELS}{file}/") for name in self._read(self._image(image).tree).files()):
                return _folder(path)
            raise FileNotFoundError(str(error)) from None

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """The bytes of a file from `start` to `end`; negative ones count from its end."""
        image, name = split(self._strip_protocol(path))
        file = self._read(lambda: self._image(image).find(name))
        begin, stop, _ = slice(start, end).indices(file.size)
        return self._image(image).read_range(file, begin, max(0, stop - begin))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> IO[bytes] | _ModelcarFile:
        if mode != "rb":
            raise Refused(f"modelcar://{path} can only be read", "modelcar build makes images")
        image, name = split(self._strip_protocol(path))
        files = self._image(image)
        file = self._read(lambda: files.find(name))
        if not files.is_plain(file):
            spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - the caller closes it
            for piece in files.stream(file):
                spool.write(piece)
            spool.seek(0)
            return spool
        return _ModelcarFile(
            self, path, mode, block_size or "default", cache_options=cache_options, size=file.size, **options
        )

    def _image(self, name: str) -> ImageFiles:
        with self._lock:
            if name not in self._images:
                self._images[name] = self._read(lambda: open_image(name, platform=self._platform, access=self._access))
            return self._images[name]

    @staticmethod
    def _read(work: Any) -> Any:
        """What fsspec's users expect to be told: a missing image or file is one of Python's own errors."""
        try:
            return work()
        except NotFound as error:
            raise FileNotFoundError(str(error)) from None


class _ModelcarFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start, end)  # type: ignore[no-any-return]


def split(path: str) -> tuple[str, str]:
    """The reference of an image and the path of a file in it, empty for the image's root.

    Raises:
        UsageError: There is no repository, or no tag and no digest.
    """
    host, _, rest = path.partition("/")
    at = min((rest.index(mark) for mark in ":@" if mark in rest), default=-1)
    if not host or at < 1 or host.startswith("["):
        raise UsageError(f"modelcar://{path} names no image of a registry", _SPELLING)
    version, _, file = rest[at:].partition("/")
    return f"{host}/{rest[:at]}{version}", file.strip("/")


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _file(name: str, file: ImageFile) -> dict[str, Any]:
    return {"name": name, "size": file.size, "type": "file"}

"""The Hugging Face Hub as a source.

`huggingface_hub` lists, and knows the user's token, endpoint and cache; bytes move through our own connections, from
the `/resolve/` address, which answers with the file or a signed link to it (Hub docs, "Download files").
"""

from __future__ import annotations

import os
import re
import threading
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcar.errors import (
    ContentMismatch,
    Denied,
    ModelcarError,
    NetworkError,
    NotFound,
    RateLimited,
    Refused,
    UsageError,
)
from modelcar.http import Http, Response, check_status, origin, retry_after
from modelcar.sources.card import license_in
from modelcar.sources.contract import Reader, Snapshot, SourceFile

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_LONGEST_LIST = 50_000
"""Files that the Hub lists with a repository; longer lists break off there (`huggingface_hub`, snapshot_download)."""


class HuggingFaceSource:
    """A model repository of the Hub at one commit.

    Args:
        name: `owner/name`.
        revision: Branch, tag or commit; None for the default branch.
        http: Connections for the files.
    """

    remote = True

    def __init__(self, name: str, revision: str | None, http: Http) -> None:
        from huggingface_hub import constants
        from huggingface_hub.errors import OIDCError
        from huggingface_hub.utils import build_hf_headers

        self._name = name
        self._revision = revision
        self._http = http
        # huggingface_hub reads this one when it is imported, and it may have been set since.
        self._endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        if "@" in self._endpoint:
            # It becomes an annotation of the image, and stands in errors.
            raise UsageError("HF_ENDPOINT holds a user or a password", "take them out; HF_TOKEN holds a token")
        try:
            self._headers = build_hf_headers(library_name="modelcar")
        except OIDCError as error:
            raise Denied(f"there is no token for HF_OIDC_RESOURCE: {error}") from None
        self._token = self._headers.get("authorization")
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._distrusted: set[str] = set()
        self._links: dict[tuple[str, int, int], str] = {}
        self._gives_links = True

    @classmethod
    def parse(cls, text: str, http: Http) -> HuggingFaceSource:
        """The source that stands behind `hf://`.

        Raises:
            UsageError: It is no OWNER/NAME[@REVISION].
            Denied: The environment asks for a token that can't be had.
        """
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        name, at, revision = text.partition("@")
        try:
            validate_repo_id(name)
        except HFValidationError:
            name = ""
        if not name or (at and not revision):
            raise UsageError(f"'hf://{text}' names no model", "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
        return cls(name, revision or None, http)

    def snapshot(self) -> Snapshot:
        """See `Source.snapshot`: the revision is resolved to a commit once, and stays that."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = self._list()
            return self._snapshot

    def open(self, file: SourceFile, offset: int = 0, length: int | None = None) -> Reader:
        """See `Source.open`: from the user's Hugging Face cache where it is there, else from the Hub."""
        if cached := self._cached(file):
            return _CachedCopy(cached, file, offset, length)
        if length is not None and (link := self._links.pop((file.path, offset, length), None)):
            response = self._http.follow("GET", link, headers={"Range": _range(offset, length)})
            if response.status not in (401, 403):
                return self._checked(response, file, offset, length, at_hub=False)
            response.close()  # it has expired, and another one needn't be waited for
        return self._request(file, offset, length)

    def prepare(self, file: SourceFile, offset: int, length: int) -> None:
        """See `Source.prepare`: the Hub signs a link for this range. It is good for an hour, and for one use here."""
        if not self._gives_links or self._cached(file):
            return
        url = self._address(file)
        with self._http.request("GET", url, headers=self._asking(offset, length)) as response:
            link = response.redirect()
            if link is not None and origin(link) != origin(url):
                self._links[file.path, offset, length] = link
                return
            # Whatever else it says, opening the range hears it again, but for a wish to wait.
            check_status(response, file.path)
            # A mirror may send the file itself: asking ahead would only be asking twice.
            self._gives_links = response.status not in (200, 206)

    def distrust(self, file: SourceFile) -> bool:
        """See `Source.distrust`: a damaged copy in the cache is passed over."""
        was_cached = self._cached(file) is not None
        self._distrusted.add(file.path)
        return was_cached

    def _list(self) -> Snapshot:
        """One request: the commit, the card, and all files with size and digest.

        The tree's listing, in pages, would wait for a silent Hub forever, and retry unseen and not to be stopped.
        """
        from httpx2 import HTTPError, InvalidURL
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        where = f"hf://{self._name}" + (f"@{self._revision}" if self._revision else "")
        api = HfApi(endpoint=self._endpoint, library_name="modelcar")
        try:
            info = api.model_info(self._name, revision=self._revision, files_metadata=True, timeout=self._http.silence)
            commit, siblings = str(info.sha or ""), info.siblings or []
            files = tuple(sorted(map(_file_of, siblings), key=lambda file: file.path))
        except OfflineModeIsEnabled:
            raise NetworkError(
                f"{where} can't be listed: HF_HUB_OFFLINE is set", "unset it, or build from a folder", final=True
            ) from None
        except HfHubHTTPError as error:
            raise self._failed(error, where) from None
        except HTTPError as error:
            raise NetworkError(f"{where}: no answer of {self._endpoint} ({type(error).__name__})") from None
        except (InvalidURL, ValueError, TypeError, KeyError, AttributeError):
            commit = ""
        if not commit:
            raise NetworkError(
                f"{where}: what {self._endpoint} answers is not a Hub's", "check HF_ENDPOINT and the proxy", final=True
            )
        if not files:
            raise NotFound(f"{where} holds no files")
        if len(files) >= _LONGEST_LIST:
            raise Refused(f"{where} holds {len(files):,} files or more, too many to list", "build it from a folder")
        return Snapshot(
            location=f"hf://{self._name}@{commit}",
            files=files,
            curated=False,
            revision=commit,
            url=self._page,
            title=self._name,
            licenses=license_in(vars(info.card_data)) if info.card_data else None,
        )

    def _cached(self, file: SourceFile) -> Path | None:
        """The file in the cache that `huggingface_hub` fills, if it is there for this commit and whole."""
        from huggingface_hub import try_to_load_from_cache

        snapshot = self.snapshot()
        if file.path in self._distrusted:
            return None
        try:
            found = try_to_load_from_cache(self._name, file.path, revision=snapshot.revision)
            if isinstance(found, str) and Path(found).stat().st_size == file.size:
                return Path(found)
        except (OSError, ValueError):
            pass  # the cache can't be read, or holds no such names
        return None

    def _address(self, file: SourceFile) -> str:
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self._name, file.path, revision=self.snapshot().revision, endpoint=self._endpoint)

    def _asking(self, offset: int, length: int | None) -> dict[str, str]:
        headers = {"Authorization": self._token} if self._token else {}
        if offset or length is not None:
            headers["Range"] = _range(offset, length)
        return headers

    def _request(self, file: SourceFile, offset: int, length: int | None) -> Response:
        url = self._address(file)
        response = self._http.follow("GET", url, headers=self._asking(offset, length))
        return self._checked(response, file, offset, length, at_hub=origin(response.url) == origin(url))

    def _checked(
        self, response: Response, file: SourceFile, offset: int, length: int | None, *, at_hub: bool
    ) -> Response:
        try:
            self._check(response, file, offset, length, at_hub=at_hub)
        except ModelcarError:
            response.close()
            raise
        return response

    def _check(self, response: Response, file: SourceFile, offset: int, length: int | None, *, at_hub: bool) -> None:
        """Make sure that what comes is the file from `offset` on, or the range that was asked for or its beginning."""
        status, headers = response.status, response.headers
        check_status(response, file.path)
        if status in (401, 403) and not at_hub:
            # Links expire, and are signed for one range: the next try gets a new one.
            raise NetworkError(f"{file.path}: the link to the file has expired")
        if status in (401, 403):
            raise self._denied(gated=headers.get("X-Error-Code") == "GatedRepo")
        if status == 404:
            raise NotFound(f"{file.path} is not in hf://{self._name} any more")
        if status == 416:
            raise ContentMismatch(f"{file.path}: the source has fewer bytes than the {file.size:,} it states")
        if status == 206 and not _is_of(headers.get("Content-Range", ""), offset, length):
            raise NetworkError(f"{file.path}: the server sent another range than was asked for")
        if status == 200 and (offset or length not in (None, file.size)):
            raise NetworkError(f"{file.path}: the server ignored the range that was asked for")
        if status not in (200, 206):
            raise NetworkError(f"{file.path}: the Hub answered {status}", final=status < 500)

    def _failed(self, error: Any, where: str) -> ModelcarError:
        """What listing ended with, in our words."""
        from huggingface_hub.errors import (
            DisabledRepoError,
            GatedRepoError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        response = error.response
        status, wait = response.status_code, retry_after(response.headers)
        if isinstance(error, RevisionNotFoundError):
            return NotFound(f"hf://{self._name} has no revision {self._revision!r}", f"see {self._page}/tree/main")
        if isinstance(error, RepositoryNotFoundError):
            hint = "check its name; if it is private, " + (
                "your token has no right to it" if self._token else "log in (hf auth login) or set HF_TOKEN"
            )
            return NotFound(f"{where} doesn't exist on {self._endpoint}, or is private", hint)
        if isinstance(error, DisabledRepoError):
            return Denied(f"{where} has been disabled", f"see {self._page}")
        if status in (401, 403):
            return self._denied(gated=isinstance(error, GatedRepoError))
        if status == 429:
            hint = "run it again later" + ("" if self._token else ", or with a token, which has a higher limit")
            return RateLimited(f"{where}: the Hub asks to slow down (429)", hint, retry_after=wait)
        return NetworkError(
            f"{where}: the Hub answered {status}", retry_after=wait, final=400 <= status < 500 and status != 408
        )

    def _denied(self, *, gated: bool) -> Denied:
        if gated and self._token:
            hint = f"accept its terms at {self._page} with the account of your token, then run it again"
            return Denied(f"hf://{self._name} is gated, and your token has no access to it", hint)
        if gated:
            hint = f"accept its terms at {self._page}, then log in (hf auth login) or set HF_TOKEN"
            return Denied(f"hf://{self._name} is gated, and there is no token", hint)
        if self._token:
            hint = "check HF_TOKEN, or log in again: hf auth login"
            return Denied(f"the Hub refuses your token for hf://{self._name}", hint)
        return Denied(f"hf://{self._name} needs a token", "log in (hf auth login) or set HF_TOKEN")

    @property
    def _page(self) -> str:
        return f"{self._endpoint}/{self._name}"


def _file_of(sibling: RepoSibling) -> SourceFile:
    """A listed file. What lies in LFS or Xet has a sha256, its size as that says it; the others a git blob id."""
    path = sibling.rfilename
    path.encode()  # JSON can spell what is no text
    if sibling.lfs is not None:
        return SourceFile(path, int(sibling.lfs.size), f"sha256:{sibling.lfs.sha256}")
    if sibling.size is None or sibling.blob_id is None:
        raise ValueError(path)
    return SourceFile(path, int(sibling.size), f"git-sha1:{sibling.blob_id}")


def _range(offset: int, length: int | None) -> str:
    """A `Range` (RFC 9110, 14.2)."""
    return f"bytes={offset}-" + ("" if length is None else str(offset + length - 1))


def _is_of(content_range: str, offset: int, length: int | None) -> bool:
    """Whether a `Content-Range` (RFC 9110, 14.4) begins at `offset` and doesn't go on for more than `length` bytes."""
    found = re.match(r"bytes ([0-9]+)-([0-9]+)/", content_range)
    return bool(found and int(found[1]) == offset and (length is None or int(found[2]) < offset + length))


class _CachedCopy:
    """A file of the user's Hugging Face cache. One that can't be read is as good as a damaged one."""

    def __init__(self, path: Path, file: SourceFile, offset: int, length: int | None) -> None:
        self._left = file.size if length is None else length
        self._mismatch = ContentMismatch(f"{file.path}: the copy in the Hugging Face cache can't be read")
        try:
            self._opened = FileIO(path)
            self._opened.seek(offset)
        except OSError:
            raise self._mismatch from None

    def read(self, size: int) -> bytes:
        try:
            piece = self._opened.read(min(size, self._left))
        except OSError:
            raise self._mismatch from None
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._opened.close()

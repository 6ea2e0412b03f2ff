"""The Hugging Face Hub as a source.

`huggingface_hub` lists, and knows the user's token, endpoint and cache; bytes move through our own connections, from
the `/resolve/` address, which answers with the file or a signed link to it (Hub docs, "Download files").
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelcar.errors import Denied, ModelcarError, NetworkError, NotFound, RateLimited, UsageError
from modelcar.http import Http, Response, check_status, origin, retry_after
from modelcar.sources.card import license_in
from modelcar.sources.contract import Reader, Snapshot, SourceFile

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class HuggingFaceSource:
    """A model repository of the Hub at one commit.

    Args:
        name: `owner/name`.
        revision: Branch, tag or commit; None for the default branch.
        http: Connections for the files.
    """

    def __init__(self, name: str, revision: str | None, http: Http) -> None:
        from huggingface_hub import HfApi
        from huggingface_hub import get_token

        self._name = name
        self._revision = revision
        self._http = http
        self._token = get_token()
        self._api: HfApi = HfApi(library_name="modelcar")
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self._distrusted: set[str] = set()

    @classmethod
    def parse(cls, text: str, http: Http) -> HuggingFaceSource:
        """The source that stands behind `hf://`.

        Raises:
            UsageError: It is no OWNER/NAME[@REVISION].
        """
        name, at, revision = text.partition("@")
        if not _NAME.fullmatch(name) or "--" in name or ".." in name or (at and not revision):
            raise UsageError(f"'hf://{text}' names no model", "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
        return cls(name, revision or None, http)

    def snapshot(self) -> Snapshot:
        """See `Source.snapshot`: the revision is resolved to a commit once, and stays that."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = self._list()
            return self._snapshot

    def open(self, file: SourceFile, offset: int = 0) -> Reader:
        """See `Source.open`: from the user's Hugging Face cache where it is there, else from the Hub."""
        if cached := self._cached(file):
            opened = cached.open("rb", buffering=0)
            opened.seek(offset)
            return opened
        return self._request(file, offset)

    def distrust(self, file: SourceFile) -> bool:
        """See `Source.distrust`: a damaged copy in the cache is passed over."""
        was_cached = self._cached(file) is not None
        self._distrusted.add(file.path)
        return was_cached

    def _list(self) -> Snapshot:
        """Two requests and more for long lists: the commit and the card, then the files at that commit."""
        from httpx2 import HTTPError
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        where = f"hf://{self._name}" + (f"@{self._revision}" if self._revision else "")
        try:
            info = self._api.model_info(self._name, revision=self._revision)
            commit = str(info.sha)
            entries = self._api.list_repo_tree(self._name, recursive=True, revision=commit)
            files = [_file_of(entry) for entry in entries if isinstance(entry, RepoFile)]
        except OfflineModeIsEnabled:
            raise NetworkError(
                f"{where} can't be listed: HF_HUB_OFFLINE is set", "unset it, or build from a folder", final=True
            ) from None
        except HfHubHTTPError as error:
            raise self._failed(error, where) from None
        except HTTPError as error:
            raise NetworkError(f"{where}: no answer of {self._api.endpoint} ({type(error).__name__})") from None
        if not files:
            raise NotFound(f"{where} holds no files")
        return Snapshot(
            location=f"hf://{self._name}@{commit}",
            files=tuple(sorted(files, key=lambda file: file.path)),
            curated=False,
            revision=commit,
            url=f"{self._api.endpoint}/{self._name}",
            title=self._name,
            licenses=license_in(vars(info.card_data)) if info.card_data else None,
        )

    def _cached(self, file: SourceFile) -> Path | None:
        """The file in the cache that `huggingface_hub` fills, if it is there for this commit and whole."""
        from huggingface_hub import try_to_load_from_cache

        snapshot = self.snapshot()
        if file.path in self._distrusted:
            return None
        found = try_to_load_from_cache(self._name, file.path, revision=snapshot.revision)
        if not isinstance(found, str):
            return None
        path = Path(found)
        try:
            return path if path.stat().st_size == file.size else None
        except OSError:
            return None

    def _request(self, file: SourceFile, offset: int) -> Response:
        from huggingface_hub import hf_hub_url

        url = hf_hub_url(self._name, file.path, revision=self.snapshot().revision, endpoint=self._api.endpoint)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        response = self._http.follow("GET", url, headers=headers)
        try:
            self._check(response, file, offset, at_hub=origin(response.url) == origin(url))
        except ModelcarError:
            response.close()
            raise
        return response

    def _check(self, response: Response, file: SourceFile, offset: int, *, at_hub: bool) -> None:
        """Make sure that what comes is the file from `offset` on."""
        status, headers = response.status, response.headers
        check_status(response, file.path)
        if status in (401, 403) and not at_hub:
            # Links expire, and are signed for one range: the next try gets a new one.
            raise NetworkError(f"{file.path}: the link to the file has expired")
        if status in (401, 403):
            raise _denied(headers.get("X-Error-Code", ""), self._name, self._api, has_token=bool(self._token))
        if status == 404:
            raise NotFound(f"{file.path} is not in hf://{self._name} any more")
        if status == 206 and not headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise NetworkError(f"{file.path}: the server sent another range than was asked for")
        if status == 200 and offset:
            raise NetworkError(f"{file.path}: the server ignored the range that was asked for")
        if status not in (200, 206):
            raise NetworkError(f"{file.path}: the Hub answered {status}", final=status < 500)

    def _failed(self, error: Any, where: str) -> ModelcarError:
        """What listing ended with, in our words."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

        status = error.response.status_code if error.response is not None else 0
        if isinstance(error, GatedRepoError):
            return _denied("GatedRepo", self._name, self._api, has_token=bool(self._token))
        if isinstance(error, RevisionNotFoundError):
            return NotFound(f"hf://{self._name} has no revision {self._revision!r}", f"see {self._page()}/tree/main")
        if status == 401 and self._token and "credential" in str(error).lower():
            return _denied("", self._name, self._api, has_token=True)
        if isinstance(error, RepositoryNotFoundError):
            hint = "check its name; if it is private, " + (
                "your token has no right to it" if self._token else "log in (hf auth login) or set HF_TOKEN"
            )
            return NotFound(f"{where} doesn't exist on {self._api.endpoint}, or is private", hint)
        if status in (401, 403):
            return _denied("", self._name, self._api, has_token=bool(self._token))
        wait = retry_after(error.response.headers) if error.response is not None else None
        if status == 429:
            return RateLimited(f"{where}: the Hub asks to slow down (429)", retry_after=wait)
        return NetworkError(f"{where}: the Hub answered {status}", retry_after=wait, final=400 <= status < 500)

    def _page(self) -> str:
        return f"{self._api.endpoint}/{self._name}"


def _file_of(entry: Any) -> SourceFile:
    """A listed file, with the digest that its storage gives it: sha256 in LFS and Xet, the git blob id elsewhere."""
    if entry.lfs is not None:
        return SourceFile(entry.path, entry.lfs.size, f"sha256:{entry.lfs.sha256}")
    return SourceFile(entry.path, entry.size, f"git-sha1:{entry.blob_id}")


def _denied(code: str, name: str, api: HfApi, *, has_token: bool) -> Denied:
    if code == "GatedRepo" and has_token:
        hint = f"accept its terms at {api.endpoint}/{name} with the account of your token, then run it again"
        return Denied(f"hf://{name} is gated, and your token has no access to it", hint)
    if code == "GatedRepo":
        hint = f"accept its terms at {api.endpoint}/{name}, then log in (hf auth login) or set HF_TOKEN"
        return Denied(f"hf://{name} is gated, and there is no token", hint)
    if has_token:
        return Denied(f"the Hub refuses your token for hf://{name}", "check HF_TOKEN, or log in again: hf auth login")
    return Denied(f"hf://{name} needs a token", "log in (hf auth login) or set HF_TOKEN")

"""The Hugging Face Hub as a double: repositories as Python values, served over HTTP to any client.

Two servers, two host names: the Hub at `127.0.0.1` (the API and `/resolve/`) and the CDN at `localhost`, where signed
links to the content of LFS files lead. A link signed for a range serves that range only; one signed for none serves
any, since `huggingface_hub` asks for a link once and resumes on it.

It leaves out: Xet (no xetHash is stated, so clients take plain HTTP), datasets and spaces, repositories without an
owner, uploads and everything else that writes, POST endpoints such as paths-info, commit history, pull requests,
`expand` (accepted, answered as if absent), `raw` and `blame`, gzip and chunked answers, conditional requests,
renamed repositories, real counting of rate limits (a fault says when one is reached), TLS.

As a program it serves a folder: `python -m tests.doubles.hub --dir FOLDER --repo owner/name`.
"""

from __future__ import annotations

import argparse
import hmac
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote, unquote, urlencode

from tests.doubles.content import Content
from tests.doubles.faults import DENIED, Fault, Match, Script
from tests.doubles.hub_repo import LFS_SUFFIXES, USER, Commit, Entry, Repo
from tests.doubles.serving import Answer, Record, Request, Server

TOKEN = "hf_double"
_KEY = b"the CDN's secret"


class Hub:
    """The two servers, from `with` to its end.

    Args:
        tokens: The tokens that are known, and their users.
        rate: Bytes a second that a connection to the CDN gets.
        page_size: How many entries a page of a tree listing has.
        resolve_cache: Small files are answered by a relative redirect to `/api/resolve-cache/`, as on the real Hub.
        link_life: Seconds until a signed link expires.

    """

    def __init__(
        self,
        *,
        tokens: Mapping[str, str] | None = None,
        rate: float | None = None,
        page_size: int = 1000,
        resolve_cache: bool = False,
        link_life: float = 3600,
        port: int = 0,
        cdn_port: int = 0,
    ) -> None:
        self.tokens = dict(tokens) if tokens is not None else {TOKEN: USER}
        self.rate, self.page_size, self.resolve_cache, self.link_life = rate, page_size, resolve_cache, link_life
        self._repos: dict[str, Repo] = {}
        self._records: list[Record] = []
        self._script = Script()
        self._hooks: list[Callable[[Request], None]] = []
        self._hub = Server("hub", self._answer, self._records, port=port)
        self._cdn = Server("cdn", self._answer, self._records, host="localhost", port=cdn_port)
        self._open = ExitStack()
        self.endpoint, self.cdn = self._hub.url, self._cdn.url

    def __enter__(self) -> Self:
        self._open.enter_context(self._hub)
        self._open.enter_context(self._cdn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def repo(
        self,
        name: str,
        files: Mapping[str, bytes | Path | Content],
        *,
        private: bool = False,
        gated: Literal[False, "auto", "manual"] = False,
        readers: Collection[str] = (USER,),
        lfs: tuple[str, ...] = LFS_SUFFIXES,
    ) -> Repo:
        """A new repository with one commit. Its licence and tags are what the header of its README.md says."""
        repo = Repo(name, private, gated, readers, lfs)
        repo.commit(files)
        self._repos[name] = repo
        return repo

    def fault(
        self, fault: Fault, match: Match = "", *, where: str = "any", method: str | None = "GET", times: int = 1
    ) -> None:
        """Let a fault of `tests.doubles.faults` happen; the arguments are those of `Script.add`."""
        self._script.add(fault, match, where=where, method=method, times=times)

    def on_request(self, hook: Callable[[Request], None]) -> None:
        """Call this before each request is answered, in the thread that answers it."""
        self._hooks.append(hook)

    @property
    def requests(self) -> list[Record]:
        """All requests so far, in the order of their arrival."""
        return list(self._records)

    @property
    def leaks(self) -> list[Record]:
        """Requests that carried credentials to the CDN."""
        return [record for record in self.requests if record.server == "cdn" and record.authorized]

    @property
    def pending_faults(self) -> int:
        """How many faults have not happened yet."""
        return self._script.pending

    def bytes_sent(self, path: str) -> int:
        """Bytes of this file that were sent, over all requests."""
        return sum(record.sent for record in self.requests if record.file == path)

    def _answer(self, request: Request) -> Answer:
        for hook in self._hooks:
            hook(request)
        try:
            answer = self._download(request) if request.server == "cdn" else self._route(request)
        except _RefusedError as refused:
            answer = refused.answer
        return self._script.apply(request, answer)

    def _route(self, request: Request) -> Answer:
        if request.token is not None and request.token not in self.tokens:
            raise _RefusedError(401, "", "Invalid credentials in Authorization header")
        for pattern, handle in _ROUTES:
            if match := pattern.fullmatch(request.path):
                answer = handle(self, request, *(unquote(group or "") for group in match.groups()))
                return replace(answer, headers={"RateLimit": '"api";r=499;t=300', **answer.headers})
        raise _RefusedError(404, "", "Sorry, we can't find the page you are looking for.")

    def _readable(self, request: Request, name: str) -> Repo:
        """The repository, if the user may know of it."""
        repo = self._repos.get(name)
        if repo is None or (repo.private and self._user(request) not in repo.readers):
            if request.token is None:
                raise _RefusedError(401, "RepoNotFound", "Invalid username or password.")
            raise _RefusedError(404, "RepoNotFound", "Repository not found")
        return repo

    def _user(self, request: Request) -> str | None:
        return self.tokens.get(request.token or "")

    def _info(self, request: Request, name: str, revision: str) -> Answer:
        repo = self._readable(request, name)
        return _json(repo.info(_commit(repo, revision or "main"), blobs="blobs" in request.query))

    def _tree(self, request: Request, name: str, revision: str, folder: str) -> Answer:
        commit = _commit(self._readable(request, name), revision)
        items = commit.listing(folder, recursive=request.query.get("recursive", "").lower() == "true")
        if folder and not items:
            raise _RefusedError(404, "EntryNotFound", f"{folder} does not exist on {revision}")
        begin = int(request.query.get("cursor") or 0)
        end = begin + self.page_size
        headers = {}
        if end < len(items):
            query = urlencode({**request.query, "cursor": end})
            headers["Link"] = f'<{self.endpoint}{request.path}?{query}>; rel="next"'
        return _json(items[begin:end], headers)

    def _refs(self, request: Request, name: str) -> Answer:
        repo = self._readable(request, name)

        def refs(kind: str, names: Mapping[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": at} for name, at in names.items()]

        branches, tags = refs("heads", repo.branches), refs("tags", repo.tags)
        return _json({"branches": branches, "tags": tags, "converts": [], "pullRequests": []})

    def _whoami(self, request: Request) -> Answer:
        user = self._user(request)
        if user is None:
            raise _RefusedError(401, "", "Invalid username or password.")
        access = {"displayName": user, "role": "read"}
        auth = {"type": "access_token", "accessToken": access}
        return _json({"type": "user", "id": user, "name": user, "fullname": user, "orgs": [], "auth": auth})

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        commit, entry, headers = self._file(request, name, revision, path)
        if entry.lfs:
            headers |= {"X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.sha256}"'}
            return _redirect(302, self._link(request, name, commit, path), headers)
        if self.resolve_cache:
            query = f"{quote(request.path, safe='')}=&etag=%22{entry.oid}%22"
            return _redirect(307, f"/api/resolve-cache/models/{name}/{commit.id}/{quote(path)}?{query}", headers)
        return Answer.ranged(request, entry.content, {**headers, "ETag": f'"{entry.oid}"'}, path)

    def _cached(self, request: Request, name: str, revision: str, path: str) -> Answer:
        _, entry, headers = self._file(request, name, revision, path)
        return Answer.ranged(request, entry.content, {**headers, "ETag": f'"{entry.oid}"'}, path)

    def _file(self, request: Request, name: str, revision: str, path: str) -> tuple[Commit, Entry, dict[str, str]]:
        repo = self._readable(request, name)
        if repo.gated and self._user(request) not in repo.readers:
            if request.token is None:
                raise _RefusedError(401, "GatedRepo", f"Access to model {name} is restricted. Please log in.")
            reason = (
                "your request is awaiting a review" if repo.gated == "manual" else "you have not accepted its terms"
            )
            raise _RefusedError(403, "GatedRepo", f"Access to model {name} is restricted: {reason}.")
        commit = _commit(repo, revision)
        headers = {"X-Repo-Commit": commit.id}
        if path not in commit.files:
            raise _RefusedError(404, "EntryNotFound", "Entry not found", headers)
        return commit, commit.files[path], headers

    def _link(self, request: Request, name: str, commit: Commit, path: str) -> str:
        """A link to an LFS file's content, signed for the range of the request.

        Its query has the escapes of the real one: a client that encodes it anew breaks the signature.
        """
        shown = quote(path.rpartition("/")[2], safe="")
        target = (
            f"/{name}/{commit.id}/{quote(path)}"
            f"?response-content-disposition=inline%3B+filename*%3DUTF-8%27%27{shown}%3B"
            f"&Expires={time.time() + self.link_life:.3f}"
        )
        if request.range is not None:
            target += "&Range=" + quote(request.range, safe="")
        return f"{self.cdn}{target}&Signature={_signature(target)}"

    def _download(self, request: Request) -> Answer:
        target, _, signature = request.target.rpartition("&Signature=")
        if not hmac.compare_digest(signature, _signature(target)):
            return DENIED
        query = request.query
        if float(query["Expires"]) < time.time() or query.get("Range", request.range) != request.range:
            return DENIED
        owner, model, commit, path = unquote(request.path).lstrip("/").split("/", 3)
        entry = self._repos[f"{owner}/{model}"].commits[commit].files[path]
        headers = {"ETag": f'"{entry.sha256}"', "Content-Disposition": query["response-content-disposition"]}
        return replace(Answer.ranged(request, entry.content, headers, path), rate=self.rate)


_REPO = r"([^/]+/[^/]+)"
_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Answer]], ...] = (
    (re.compile(rf"/api/models/{_REPO}(?:/revision/([^/]+))?"), Hub._info),
    (re.compile(rf"/api/models/{_REPO}/tree/([^/]+)(?:/(.+))?"), Hub._tree),
    (re.compile(rf"/api/models/{_REPO}/refs"), Hub._refs),
    (re.compile(r"/api/whoami-v2"), Hub._whoami),
    (re.compile(rf"/{_REPO}/resolve/([^/]+)/(.+)"), Hub._resolve),
    (re.compile(rf"/api/resolve-cache/models/{_REPO}/([^/]+)/(.+)"), Hub._cached),
)


class _RefusedError(Exception):
    """An answer that ends the handling of a request, with the headers by which clients tell errors apart."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        known = {"X-Error-Code": code} if code else {}
        self.answer = _json({"error": message}, {**(headers or {}), **known, "X-Error-Message": message}, status)


def _json(value: object, headers: Mapping[str, str] | None = None, status: int = 200) -> Answer:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    return Answer.whole(status, json.dumps(value).encode(), {**kind, **(headers or {})})


def _redirect(status: int, location: str, headers: Mapping[str, str]) -> Answer:
    return Answer.whole(status, f"Redirecting to {location}".encode(), {**headers, "Location": location})


def _signature(target: str) -> str:
    return hmac.new(_KEY, target.encode(), "sha256").hexdigest()


def _commit(repo: Repo, revision: str) -> Commit:
    try:
        return repo.at(revision)
    except KeyError:
        raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}") from None


def main(arguments: list[str] | None = None) -> None:
    """Serve a folder as one repository until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="tests.doubles.hub", description=main.__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--repo", required=True, metavar="OWNER/NAME")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--rate", type=float, help="bytes a second for each connection to the CDN")
    given = parser.parse_args(arguments)
    folder: Path = given.dir
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Hub(rate=given.rate, port=given.port, cdn_port=given.cdn_port) as hub:
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        repo = hub.repo(given.repo, files)
        sys.stdout.write(json.dumps({"endpoint": hub.endpoint, "cdn": hub.cdn, "commit": repo.at().id}) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()

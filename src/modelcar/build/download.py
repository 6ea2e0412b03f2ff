"""Get the files of a model that model.json names, check each, and lay them out: a folder for each layer.

    python3 download.py model.json DESTINATION [FOLDER]

Written by `modelcar containerfile`; it needs Python 3.9 or later and nothing else. Files come from the Hugging Face
Hub, or from FOLDER. DESTINATION/0/models/… is the first layer, and so on. A file is there whole and right, or not at
all; run again, it goes on where it was. The token is HF_TOKEN or a file (see _TOKEN_FILES); HF_ENDPOINT names a mirror;
proxies are those of the environment.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

_TOKEN_FILES = ("/run/secrets/hf_token", "/hf-token/token")
"""Where a build's secret (`--secret id=hf_token`) and the volume of an OpenShift build are mounted."""

_PIECE = 1024**2
_AT_A_TIME = 4
_TRIES = 6
"""Tries in a row that bring nothing."""
_SILENCE = 60.0
_LONGEST_WAIT = 300.0


class Failure(Exception):
    """What ends the download: one line, and an exit code as modelcar's own."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(what)
        self.code = code


class _Again(Exception):
    """What another try may mend, after so many seconds if the server names them."""

    def __init__(self, what: str, wait: float | None = None) -> None:
        super().__init__(what)
        self.wait = wait


def main(arguments: list[str]) -> int:
    """Do it all. Returns the exit code."""
    if len(arguments) not in (2, 3):
        sys.stderr.write("usage: download.py model.json DESTINATION [FOLDER]\n")
        return 2
    try:
        get_all(arguments[0], Path(arguments[1]), Path(arguments[2]) if len(arguments) > 2 else None)
    except Failure as failure:
        sys.stderr.write(f"error: {failure}\n")
        return failure.code
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or arguments[1]} can't be read or written: {error.strerror}\n")
        return _code(error)
    return 0


def get_all(description: str, destination: Path, folder: Path | None) -> None:
    """All files of all layers. Raises `Failure`, and `OSError` for what can't be written."""
    try:
        model = json.loads(Path(description).read_text(encoding="utf-8"))
        layers = [[(f["path"], int(f["size"]), str(f["digest"])) for f in layer["files"]] for layer in model["layers"]]
    except (ValueError, KeyError, TypeError):
        raise Failure(
            f"{description} is no list of model files; write it again with modelcar containerfile", 2
        ) from None
    if folder is None and not model.get("repository"):
        raise Failure(f"{description} is of a folder; name the folder that is to be copied", 2)
    hub = _Hub(model) if folder is None else None
    parts = destination / ".parts"
    parts.mkdir(parents=True, exist_ok=True)

    def get(number: int, path: str, size: int, digest: str) -> None:
        target = destination / str(number) / "models" / path
        if target.exists() and target.stat().st_size == size and _digest_of(target, size, digest) == digest:
            return
        part = parts / hashlib.sha256(path.encode()).hexdigest()
        if folder is not None:
            _copy(folder / path, part)
        elif hub is not None:
            _download(hub, part, path, size)
        found = part.stat().st_size
        if found != size or _digest_of(part, size, digest) != digest:
            part.unlink()
            raise Failure(f"{path} is not what was planned: its size or digest differs from {digest}", 5)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        sys.stderr.write(f"{size:>16,}  {path}\n")

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        tasks = [pool.submit(get, number, *file) for number, files in enumerate(layers) for file in files]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
    shutil.rmtree(parts)
    for number in range(len(layers)):
        _settle(destination / str(number))


def _settle(layer: Path) -> None:
    """Modes and times that depend on nothing of this machine: any user may read."""
    for path in (*layer.rglob("*"), layer):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))


def _digest_of(path: Path, size: int, stated: str) -> str:
    """The digest of a file, of the kind of the stated one: `sha256:` or `git-sha1:` (a git blob id)."""
    kind = stated.partition(":")[0]
    git = kind == "git-sha1"
    state = hashlib.sha1(b"blob %d\0" % size) if git else hashlib.sha256()  # noqa: S324 - git's own
    with path.open("rb") as opened:
        for piece in iter(lambda: opened.read(_PIECE), b""):
            state.update(piece)
    return f"{kind}:{state.hexdigest()}"


def _copy(source: Path, part: Path) -> None:
    try:
        opened = source.open("rb")
    except FileNotFoundError:
        raise Failure(f"{source} doesn't exist; is the build context `model` the folder that was planned?", 3) from None
    with opened, part.open("wb") as output:
        shutil.copyfileobj(opened, output, _PIECE)


def _download(hub: _Hub, part: Path, path: str, size: int) -> None:
    """Fill the file up to its size; each try goes on where the last one ended."""
    failed = 0
    with part.open("ab") as output:
        while output.tell() < size:
            before = output.tell()
            try:
                hub.read(path, before, size, output)
            except (_Again, http.client.HTTPException, OSError) as error:
                if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                    raise Failure(f"{path}: {error}; see SSL_CERT_FILE", 7) from None
                failed = 1 if output.tell() > before else failed + 1
                if failed >= _TRIES:
                    raise Failure(
                        f"{path}: {error or type(error).__name__}; given up after {failed} tries", 7
                    ) from None
                wait = error.wait if isinstance(error, _Again) else None
                time.sleep(min(_LONGEST_WAIT, 0.5 * 2**failed if wait is None else wait))


def _write(output: BinaryIO, piece: bytes, path: str) -> None:
    """Apart from reading, so that a full disk isn't taken for a network that fails."""
    try:
        output.write(piece)
        output.flush()
    except OSError as error:
        raise Failure(f"{path} can't be written: {error.strerror}", _code(error)) from None


def _code(error: OSError) -> int:
    return 6 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1


class _Hub:
    """The repository at its commit."""

    def __init__(self, model: dict[str, Any]) -> None:
        endpoint = (os.environ.get("HF_ENDPOINT") or model["endpoint"]).rstrip("/")
        self._name = model["repository"]
        self._base = f"{endpoint}/{self._name}/resolve/{quote(model['commit'], safe='')}/"
        self._origin = _origin(self._base)
        self._token = _token()
        self._opener = urllib.request.build_opener(_Redirects(self._token, self._origin))

    def read(self, path: str, offset: int, size: int, output: BinaryIO) -> None:
        """Append what comes of a file from `offset` on."""
        request = urllib.request.Request(self._base + quote(path), headers={"User-Agent": "modelcar-containerfile"})
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        try:
            answer = self._opener.open(request, timeout=_SILENCE)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error, path) from None
        with answer:
            if offset and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {offset}-"):
                raise _Again("the server sent another range than was asked for")
            while offset < size:
                piece = answer.read(min(_PIECE, size - offset))
                if not piece:
                    raise _Again("the connection was cut")
                _write(output, piece, path)
                offset += len(piece)

    def _refusal(self, error: urllib.error.HTTPError, path: str) -> Exception:
        status, at_hub = error.code, _origin(error.url or self._base) == self._origin
        if status in (401, 403) and not at_hub:
            return _Again("the link to the file has expired")
        if status in (401, 403):
            gated = error.headers.get("X-Error-Code") == "GatedRepo"
            what = f"{self._name} is gated" if gated else f"the Hub refuses {self._name} ({status})"
            hint = "accept its terms with the account of the token" if gated else "check the token"
            if not self._token:
                hint = "there is no token: give one as HF_TOKEN or as the build's secret hf_token"
            return Failure(f"{what}; {hint}", 4)
        if status == 404:
            return Failure(f"{path} is not in {self._name} at this commit", 3)
        if status == 416:
            return Failure(f"{path}: the source has fewer bytes than were planned", 5)
        if status in (408, 429) or status >= 500:
            return _Again(f"the server answered {status}", _asked_wait(error.headers))
        return Failure(f"{path}: the server answered {status}", 7)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects. The token goes along to its own origin and nowhere else."""

    def __init__(self, token: str | None, origin: tuple[str, str, int | None]) -> None:
        self._token, self._own = token, origin

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """See `HTTPRedirectHandler`; Python 3.9 knows no 308."""
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise Failure(f"the Hub redirects to {scheme}://, which is not as safe as it is itself", 7)
        request = urllib.request.Request(newurl, headers=req.headers)
        if self._token and _origin(newurl) == self._own:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return request

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _asked_wait(headers: Any) -> float | None:
    """Seconds that the server asks to wait: Retry-After, or `t` of the Hub's RateLimit."""
    found = re.search(r"^(\d+)$", headers.get("Retry-After") or "") or re.search(
        r"\bt=(\d+)", headers.get("RateLimit") or ""
    )
    return float(found[1]) if found else None


def _token() -> str | None:
    token = os.environ.get("HF_TOKEN", "").strip()
    for name in _TOKEN_FILES:
        if not token and Path(name).is_file():
            token = Path(name).read_text(encoding="utf-8").strip()
    if token and not (token.isascii() and token.isprintable()):
        raise Failure("the token holds characters that no token has; check HF_TOKEN or the secret", 2)
    return token or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

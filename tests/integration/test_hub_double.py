"""The Hub double holds against the client that it stands for: `huggingface_hub`, with no patching but its endpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from huggingface_hub import HfApi, RepoFile, RepoFolder, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.doubles import faults
from tests.doubles.content import PIECE, Bytes, Content, File, Generated, Sparse, read
from tests.doubles.hub import TOKEN, Hub
from tests.doubles.serving import Request

NAME = "acme/tiny"
README = b"---\nlicense: mit\ntags:\n- tiny\n---\n# Tiny\n"
WEIGHTS = Generated(3 * PIECE + 17, seed=1)
FILES: dict[str, bytes | Path | Content] = {
    "README.md": README,
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": WEIGHTS,
    "extra/a b+c%.txt": b"a name to be escaped",
    "extra/deep/x.bin": b"small, and in LFS by its name",
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.repo(NAME, FILES)
        yield hub
        assert hub.leaks == []


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False) as pool:
        yield pool


def api(hub: Hub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=token)


def link(hub: Hub, http: urllib3.PoolManager, path: str = "model.safetensors", range_: str | None = None) -> str:
    headers = {"Range": range_} if range_ else {}
    answer = http.request("HEAD", f"{hub.endpoint}/{NAME}/resolve/main/{path}", headers=headers, redirect=False)
    assert answer.status == 302
    return answer.headers["Location"]


def test_model_info(hub: Hub) -> None:
    info = api(hub).model_info(NAME, files_metadata=True)
    assert (info.id, info.private, info.gated) == (NAME, False, False)
    assert info.sha is not None
    assert len(info.sha) == 40
    assert info.tags == ["tiny", "license:mit"]
    assert info.card_data is not None
    assert info.card_data["license"] == "mit"
    files = {file.rfilename: file for file in info.siblings or []}
    assert set(files) == set(FILES)
    lfs = files["model.safetensors"].lfs
    assert lfs is not None
    assert (lfs.size, lfs.sha256) == (WEIGHTS.size, WEIGHTS.sha256)
    assert files["config.json"].lfs is None
    plain = api(hub).model_info(NAME).siblings or []
    assert plain[0].size is None


def test_blob_ids_are_those_of_git(hub: Hub, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    ours = subprocess.run(["git", "hash-object", "--stdin"], cwd=tmp_path, input=README, stdout=-1, check=True)
    item = next(item for item in api(hub).list_repo_tree(NAME) if item.path == "README.md")
    assert isinstance(item, RepoFile)
    assert item.blob_id == ours.stdout.decode().strip()


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_tree(page_size: int) -> None:
    with Hub(page_size=page_size) as hub:
        hub.repo(NAME, FILES)
        items = list(api(hub).list_repo_tree(NAME, recursive=True))
        assert {item.path for item in items if isinstance(item, RepoFile)} == set(FILES)
        assert [item.path for item in items if isinstance(item, RepoFolder)] == ["extra", "extra/deep"]
        assert len(hub.requests) == -(-len(items) // page_size)
        top = {item.path for item in api(hub).list_repo_tree(NAME)}
        assert top == {"README.md", "config.json", "model.safetensors", "extra"}
        inner = {item.path for item in api(hub).list_repo_tree(NAME, "extra")}
        assert inner == {"extra/a b+c%.txt", "extra/deep"}


def test_refs_and_commits(hub: Hub) -> None:
    repo = hub.repo("acme/moving", {"a.txt": b"1", "b.txt": b"1"})
    first = repo.at().id
    repo.tag("v1")
    second = repo.commit({"a.txt": b"2", "b.txt": None})
    repo.commit({"c.txt": b"3"}, branch="refs/pr/1")
    refs = api(hub).list_repo_refs("acme/moving")
    assert {ref.name: ref.target_commit for ref in refs.branches}["main"] == second
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first)]
    for revision, files in (("main", ["a.txt"]), ("v1", ["a.txt", "b.txt"]), (first, ["a.txt", "b.txt"])):
        assert api(hub).list_repo_files("acme/moving", revision=revision) == files
    assert api(hub).list_repo_files("acme/moving", revision="refs/pr/1") == ["a.txt", "c.txt"]


def test_ids_depend_on_content_only() -> None:
    with Hub() as one, Hub() as two:
        ids = [hub.repo(NAME, FILES).at().id for hub in (one, two)]
        other = two.repo("acme/other", {**FILES, "config.json": b"{}"}).at().id
    assert ids[0] == ids[1] != other


def test_whoami(hub: Hub) -> None:
    assert api(hub, TOKEN).whoami()["name"] == "reader"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api(hub, "hf_wrong").whoami()


@pytest.mark.parametrize("resolve_cache", [False, True])
@pytest.mark.parametrize("path", sorted(FILES))
def test_download(path: str, resolve_cache: bool, tmp_path: Path) -> None:
    with Hub(resolve_cache=resolve_cache) as hub:
        hub.repo(NAME, FILES)
        got = hf_hub_download(NAME, path, cache_dir=tmp_path, endpoint=hub.endpoint, token=TOKEN)
        content = FILES[path]
        assert not isinstance(content, Path)
        assert Path(got).read_bytes() == (content if isinstance(content, bytes) else read(content))
        assert hub.bytes_sent(path) == Path(got).stat().st_size
        assert any(record.authorized for record in hub.requests)
        assert hub.leaks == []


def test_snapshot(hub: Hub, tmp_path: Path) -> None:
    folder = Path(snapshot_download(NAME, cache_dir=tmp_path, endpoint=hub.endpoint, token=TOKEN))
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(FILES)
    assert (folder / "model.safetensors").read_bytes() == read(WEIGHTS)


def test_endpoint_from_the_environment(hub: Hub, tmp_path: Path) -> None:
    code = f"import huggingface_hub; print(huggingface_hub.snapshot_download({NAME!r}))"
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
    told = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True, text=True).stdout
    assert (Path(told.strip()) / "model.safetensors").read_bytes() == read(WEIGHTS)


def test_unknown_repository(hub: Hub) -> None:
    for token, status in ((False, 401), (TOKEN, 404)):
        with pytest.raises(RepositoryNotFoundError) as raised:
            api(hub, token).model_info("acme/none")
        assert raised.value.response.status_code == status


def test_private_repository(hub: Hub) -> None:
    hub.repo("acme/secret", FILES, private=True)
    assert api(hub, TOKEN).model_info("acme/secret").private
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("acme/secret")
    hub.repo("acme/secret", FILES, private=True, readers=())
    with pytest.raises(RepositoryNotFoundError):
        api(hub, TOKEN).model_info("acme/secret")


def test_wrong_token(hub: Hub) -> None:
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as raised:
        api(hub, "hf_wrong").model_info(NAME)
    assert not isinstance(raised.value, RepositoryNotFoundError)


def test_gated_repository(hub: Hub, tmp_path: Path) -> None:
    hub.repo("acme/gated", FILES, gated="manual", readers=())
    assert api(hub).model_info("acme/gated").gated == "manual"
    for token, status in ((False, 401), (TOKEN, 403)):
        with pytest.raises(GatedRepoError) as raised:
            hf_hub_download("acme/gated", "config.json", cache_dir=tmp_path, endpoint=hub.endpoint, token=token)
        assert raised.value.response.status_code == status
    hub.repo("acme/gated", FILES, gated="auto")
    hf_hub_download("acme/gated", "config.json", cache_dir=tmp_path, endpoint=hub.endpoint, token=TOKEN)


def test_unknown_revision_and_file(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError):
        api(hub).model_info(NAME, revision="nope")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(NAME, "config.json", revision="nope", cache_dir=tmp_path, endpoint=hub.endpoint)
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(NAME, "nope.json", cache_dir=tmp_path, endpoint=hub.endpoint)
    with pytest.raises(EntryNotFoundError):
        list(api(hub).list_repo_tree(NAME, "nope"))


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        (f"bytes={PIECE - 5}-{PIECE + 5}", 206, PIECE - 5, PIECE + 6),
        ("bytes=-7", 206, WEIGHTS.size - 7, WEIGHTS.size),
        (f"bytes={2 * PIECE}-", 206, 2 * PIECE, WEIGHTS.size),
        ("bytes=0-0,5-9", 200, 0, WEIGHTS.size),
    ],
)
def test_range(hub: Hub, http: urllib3.PoolManager, asked: str, status: int, start: int, stop: int) -> None:
    answer = http.request("GET", link(hub, http, range_=asked), headers={"Range": asked})
    assert (answer.status, answer.data) == (status, read(WEIGHTS, start, stop))
    assert answer.headers.get("Content-Range") == (
        f"bytes {start}-{stop - 1}/{WEIGHTS.size}" if status == 206 else None
    )
    record = hub.requests[-1]
    assert (record.server, record.method, record.range, record.sent) == ("cdn", "GET", asked, stop - start)


def test_range_past_the_end(hub: Hub, http: urllib3.PoolManager) -> None:
    answer = http.request("GET", link(hub, http), headers={"Range": f"bytes={WEIGHTS.size}-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{WEIGHTS.size}")


def test_link_serves_what_it_was_signed_for(hub: Hub, http: urllib3.PoolManager) -> None:
    signed = link(hub, http, range_="bytes=0-9")
    for wrong in ({"Range": "bytes=0-10"}, {}):
        assert http.request("GET", signed, headers=wrong).status == 403
    assert http.request("GET", link(hub, http), headers={"Range": "bytes=0-10"}).status == 206
    assert (
        http.request("GET", signed.replace("bytes%3D0-9", "bytes%3D0-8"), headers={"Range": "bytes=0-8"}).status == 403
    )
    hub.link_life = -1
    assert http.request("GET", link(hub, http)).status == 403


def test_leak_is_noticed(http: urllib3.PoolManager) -> None:
    with Hub() as hub:
        hub.repo(NAME, FILES)
        http.request("GET", link(hub, http), headers={"Authorization": f"Bearer {TOKEN}"})
        assert [record.method for record in hub.leaks] == ["GET"]


def test_connections_are_kept(hub: Hub, http: urllib3.PoolManager) -> None:
    for _ in range(3):
        http.request("GET", f"{hub.endpoint}/{NAME}/resolve/main/config.json")
    assert http.connection_from_url(hub.endpoint).num_connections == 1


def test_branch_moves_while_listing(hub: Hub) -> None:
    repo = hub.repo("acme/moving", {"a.txt": b"1"})
    first = repo.at().id

    def move(request: Request) -> None:
        if "/tree/" in request.target and repo.at().id == first:
            repo.commit({"a.txt": b"2"})

    hub.on_request(move)
    list(api(hub).list_repo_tree("acme/moving", revision=first))
    assert api(hub).model_info("acme/moving").sha != first


class TestFaults:
    def get(self, hub: Hub, http: urllib3.PoolManager, range_: str | None = None) -> urllib3.BaseHTTPResponse:
        headers = {"Range": range_} if range_ else {}
        return http.request("GET", link(hub, http, range_=range_), headers=headers)

    def test_status_comes_as_often_as_said(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.status(503), "config.json", times=2)
        hub.fault(faults.status(429, {"Retry-After": "7"}), "config.json", where="hub")
        answers = [http.request("GET", f"{hub.endpoint}/{NAME}/resolve/main/config.json") for _ in range(4)]
        assert [answer.status for answer in answers] == [503, 503, 429, 200]
        assert answers[2].headers["Retry-After"] == "7"
        assert hub.pending_faults == 0

    def test_rate_limit(self, hub: Hub) -> None:
        hub.fault(faults.rate_limited(55), "/api/models/")
        with pytest.raises(HfHubHTTPError, match="Retry after 55 seconds"):
            api(hub).model_info(NAME)

    def test_cut_is_resumed_by_the_real_client(self, hub: Hub, tmp_path: Path) -> None:
        # The client keeps whole pieces of 10 MiB only.
        weights = Generated(12 * PIECE, seed=2)
        hub.repo(NAME, {"model.safetensors": weights})
        hub.fault(faults.cut(11 * PIECE), "model.safetensors", where="cdn")
        got = hf_hub_download(NAME, "model.safetensors", cache_dir=tmp_path, endpoint=hub.endpoint)
        assert Path(got).read_bytes() == read(weights)
        asked = [(record.range, record.sent) for record in hub.requests if record.server == "cdn"]
        assert asked == [(None, 11 * PIECE), (f"bytes={10 * PIECE}-", 2 * PIECE)]

    def test_drop(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.drop(), where="cdn")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            self.get(hub, http)

    def test_silence_ends_with_the_server(self, http: urllib3.PoolManager) -> None:
        with Hub() as hub:
            hub.repo(NAME, FILES)
            hub.fault(faults.silence(100, seconds=60), where="cdn")
            answer = http.request("GET", link(hub, http), preload_content=False)
            assert answer.read(100) == read(WEIGHTS, 0, 100)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        with pytest.raises(urllib3.exceptions.ProtocolError):
            answer.read()

    def test_silence_goes_on(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.silence(100, seconds=0.2), where="cdn")
        began = time.monotonic()
        assert self.get(hub, http).data == read(WEIGHTS)
        assert time.monotonic() - began >= 0.2

    def test_wrong_byte(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.flip(PIECE + 1), where="cdn")
        right, wrong = read(WEIGHTS), self.get(hub, http).data
        assert [at for at in range(len(right)) if right[at] != wrong[at]] == [PIECE + 1]

    def test_short_file(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.truncate(1000), where="cdn", times=3)
        assert self.get(hub, http).data == read(WEIGHTS, 0, 1000)
        assert self.get(hub, http, "bytes=990-1009").headers["Content-Range"] == "bytes 990-999/1000"
        assert self.get(hub, http, "bytes=1000-1009").status == 416

    def test_range_ignored_and_another(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.ignore_range(), where="cdn")
        hub.fault(faults.other_range(5), where="cdn")
        assert (everything := self.get(hub, http, "bytes=0-9")).status == 200
        assert everything.data == read(WEIGHTS)
        other = self.get(hub, http, "bytes=0-9")
        assert (other.data, other.headers["Content-Range"]) == (read(WEIGHTS, 5, 15), f"bytes 5-14/{WEIGHTS.size}")

    def test_expired_and_redirected(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.expired(), where="cdn")
        assert self.get(hub, http).status == 403
        hub.fault(faults.redirect("https://elsewhere.example/"), where="cdn")
        answer = http.request("GET", link(hub, http), redirect=False)
        assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/")

    def test_slow(self, hub: Hub, http: urllib3.PoolManager) -> None:
        hub.fault(faults.slow(10 * PIECE), where="cdn")
        began = time.monotonic()
        assert self.get(hub, http).data == read(WEIGHTS)
        assert 0.25 < time.monotonic() - began < 3


def test_rate_of_the_cdn(http: urllib3.PoolManager) -> None:
    with Hub(rate=10 * PIECE) as hub:
        hub.repo(NAME, FILES)
        began = time.monotonic()
        http.request("GET", link(hub, http))
        assert 0.25 < time.monotonic() - began < 3


def test_contents_agree(tmp_path: Path) -> None:
    data = read(Generated(PIECE + 100, seed=3))
    (tmp_path / "file").write_bytes(data)
    contents: list[Content] = [Bytes(data), File(tmp_path / "file"), Generated(PIECE + 100, seed=3)]
    assert len({content.sha256 for content in contents}) == 1
    for content in contents:
        for start, stop in ((0, 1), (PIECE - 3, PIECE + 3), (7, content.size)):
            assert read(content, start, stop) == data[start:stop]
        assert b"".join(content.pieces(5, 2005, step=100)) == data[5:2005]
    assert read(Sparse(10)) == bytes(10)
    assert read(Generated(1 << 50), 1 << 49, (1 << 49) + 8) == (1 << 29).to_bytes(8, "little")


def test_huge_file_costs_nothing(hub: Hub, http: urllib3.PoolManager) -> None:
    huge = Sparse(1 << 40, stated="0" * 64)
    hub.repo(NAME, {"model.safetensors": huge})
    asked = f"bytes={1 << 39}-{(1 << 39) + 9}"
    assert http.request("GET", link(hub, http, range_=asked), headers={"Range": asked}).data == bytes(10)


def test_as_a_program(tmp_path: Path, http: urllib3.PoolManager) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.safetensors").write_bytes(read(WEIGHTS))
    command = [sys.executable, "-m", "tests.doubles.hub", "--dir", str(tmp_path), "--repo", NAME]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    ) as program:
        assert program.stdout is not None
        told = json.loads(program.stdout.readline())
        got = http.request("GET", f"{told['endpoint']}/{NAME}/resolve/{told['commit']}/sub/w.safetensors", retries=1)
        assert got.data == read(WEIGHTS)
        program.send_signal(signal.SIGTERM)
        assert program.wait(5) == 0

"""Images of models on a Hub: what goes in, what is read for it, and the same bytes as `huggingface_hub` downloads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from modelcar import Refused, Wish, plan_image, read_image
from tests import peers
from tests.builds import CARD, FILES, NAME, SOURCE, Builds, served
from tests.cli import built, modelcar
from tests.doubles.content import Content, read
from tests.doubles.hub import Hub
from tests.models import model_files, read_files, write_files

LABEL = "org.opencontainers.image"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        yield hub


@pytest.fixture
def builds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Builds:
    return Builds(tmp_path, caplog)


def bytes_of(files: dict[str, bytes | Path | Content]) -> dict[str, bytes]:
    return {
        path: content if isinstance(content, bytes) else read(content)
        for path, content in files.items()
        if not isinstance(content, Path)
    }


def manifests(layout: Path) -> list[dict[str, Any]]:
    """The tagged index of a layout, and the manifests in it."""

    def blob(digest: str) -> dict[str, Any]:
        value = json.loads((layout / "blobs" / "sha256" / digest.partition(":")[2]).read_bytes())
        assert isinstance(value, dict)
        return value

    index = blob(json.loads((layout / "index.json").read_bytes())["manifests"][-1]["digest"])
    return [index, *(blob(manifest["digest"]) for manifest in index["manifests"])]


def layers(builds: Builds) -> dict[str, str]:
    """The digest of each layer by the files in it."""
    return {
        " ".join(file.path for file in layer.files if file.kind == "file"): layer.descriptor.digest
        for layer in read_image(builds.target).layers
    }


def reads(hub: Hub, before: int = 0) -> set[str]:
    """The files of which bytes were sent after so many requests."""
    return {record.file for record in hub.requests[before:] if record.file}


def test_into_a_registry(hub: Hub, tmp_path: Path) -> None:
    """The command line into docker-registry; what comes out again is what huggingface_hub downloads."""
    hub.repo(NAME, model_files(shards=3))
    with peers.docker_registry(tmp_path) as registry:
        target = f"{registry.host}/{NAME}:1"
        built(SOURCE, target)
        assert modelcar("pull", target, tmp_path / "out").code == 0
    theirs = Path(snapshot_download(NAME, endpoint=hub.endpoint, cache_dir=tmp_path / "cache"))
    assert read_files(tmp_path / "out") == read_files(theirs) == model_files(shards=3)


@pytest.mark.parametrize("resolve_cache", [False, True])
def test_into_a_layout(
    builds: Builds,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    resolve_cache: bool,
) -> None:
    """Whether or not the Hub redirects small files too."""
    with served(monkeypatch, caplog, resolve_cache=resolve_cache) as hub:
        hub.repo(NAME, FILES)
        builds.run()
        assert builds.files() == bytes_of(FILES)


@pytest.mark.parametrize("rights", [{"private": True}, {"gated": "auto"}, {"gated": "manual"}])
def test_with_the_users_token(hub: Hub, builds: Builds, rights: dict[str, Any]) -> None:
    hub.repo(NAME, FILES, **rights)
    builds.run()
    assert builds.files() == bytes_of(FILES)


def test_revisions(hub: Hub, builds: Builds) -> None:
    """Branch, tag and commit: each is pinned to the commit that it names."""
    repo = hub.repo(NAME, {"model.safetensors": b"1"})
    first = repo.at().id
    repo.tag("v1.0")
    second = repo.commit({"model.safetensors": b"2"})
    third = repo.commit({"model.safetensors": b"3"}, branch="refs/pr/1")
    wanted = {"": second, "@main": second, "@v1.0": first, f"@{first}": first, "@refs/pr/1": third}
    content = {first: b"1", second: b"2", third: b"3"}
    for suffix, commit in wanted.items():
        builds.run(f"{SOURCE}{suffix}")
        assert builds.files() == {"model.safetensors": content[commit]}
        for each in manifests(builds.layout):
            assert each["annotations"][f"{LABEL}.revision"] == commit


def test_annotations_and_labels(hub: Hub, builds: Builds) -> None:
    repo = hub.repo(NAME, FILES)
    builds.run()
    said = {
        f"{LABEL}.created": "1970-01-01T00:00:00Z",
        f"{LABEL}.licenses": "apache-2.0",
        f"{LABEL}.revision": repo.at().id,
        f"{LABEL}.source": f"{hub.endpoint}/{NAME}",
        f"{LABEL}.title": NAME,
    }
    index, manifest = manifests(builds.layout)
    assert index["annotations"] == manifest["annotations"] == said
    config = builds.layout / "blobs" / "sha256" / manifest["config"]["digest"].partition(":")[2]
    assert json.loads(config.read_bytes())["config"]["Labels"] == said


def test_a_license_by_another_name(hub: Hub) -> None:
    hub.repo(NAME, {**FILES, "README.md": b"---\nlicense: other\nlicense_name: gemma\n---\n"})
    assert plan_image(SOURCE).plan.snapshot.licenses == "gemma"


def test_the_layers_are_those_of_a_folder(hub: Hub, builds: Builds, tmp_path: Path) -> None:
    hub.repo(NAME, FILES)
    builds.run()
    from_hub = layers(builds)
    builds.run(write_files(tmp_path / "model", bytes_of(FILES)), use_cache=False)
    assert layers(builds) == from_hub


def test_the_same_again(hub: Hub, builds: Builds) -> None:
    """Nothing is read, nothing sent, and the digest stays; without the tag of before, the local memory knows."""
    hub.repo(NAME, FILES)
    first = builds.run()
    assert (first.read, reads(hub)) == (sum(len(content) for content in bytes_of(FILES).values()), set(FILES))
    for target in ("", f"oci:{builds.layout}:other"):
        before = len(hub.requests)
        again = builds.run(target=target)
        assert (again.digest, again.read, again.sent) == (first.digest, 0, 0)
        assert reads(hub, before) == set()


def test_a_new_revision(hub: Hub, builds: Builds) -> None:
    """Only what changed is read, though the local memory is lost: the image of before says what it holds."""
    repo = hub.repo(NAME, model_files(shards=3))
    builds.run(cache_dir=None)
    change = {"model-00002-of-00003.safetensors": b"new", "README.md": b"# New"}
    repo.commit(change)
    before = len(hub.requests)
    result = builds.run(cache_dir=None)
    small = {"config.json", "model.safetensors.index.json", "tokenizer/vocab.txt"}
    assert reads(hub, before) == {*change, *small}
    assert sorted(fate.how for fate in result.fates) == ["reused", "reused", "send", "send"]
    assert builds.files() == {**model_files(shards=3), **change}


def test_without_cache_all_is_read(hub: Hub, builds: Builds) -> None:
    hub.repo(NAME, FILES)
    first = builds.run()
    before = len(hub.requests)
    assert builds.run(use_cache=False).digest == first.digest
    assert reads(hub, before) == set(FILES)


def test_a_choice_of_gguf(hub: Hub, builds: Builds) -> None:
    quantised: dict[str, bytes | Path | Content] = {
        "x-Q4_K_M.gguf": b"four",
        "x-Q8_0.gguf": b"eight",
        "x-F16-00001-of-00002.gguf": b"half",
        "x-F16-00002-of-00002.gguf": b"another half",
    }
    hub.repo(NAME, {"README.md": CARD, **quantised})
    line = builds.fails(Refused)
    assert "holds 3 GGUF models: x-F16" in line
    assert "pick one with --include" in line
    builds.run(wish=Wish(include=("*Q4_K_M*", "README.md")))
    assert builds.files() == {"README.md": CARD, "x-Q4_K_M.gguf": b"four"}
    builds.run(wish=Wish(include=("x-F16-*",)))
    assert set(builds.files()) == {"x-F16-00001-of-00002.gguf", "x-F16-00002-of-00002.gguf"}
    builds.run(wish=Wish(all_files=True))
    assert builds.files() == {"README.md": CARD, **quantised}


def test_a_plan_of_200_files(hub: Hub) -> None:
    """One question to the Hub, and no file read."""
    shards = {f"model-{n:05}-of-00190.safetensors": b"%d" % n for n in range(1, 191)}
    docs = {f"docs/picture-{n}.png": b"png" for n in range(8)}
    hub.repo(NAME, {**shards, **docs, "config.json": b"{}", "README.md": CARD})
    done = modelcar("plan", SOURCE)
    assert (done.code, done.err.count("error")) == (0, 0)
    assert "192 files" in done.out
    assert "8 files" in done.out
    assert all(name in done.out for name in (*shards, *docs))
    asked = [record.path for record in hub.requests if "/agent-harnesses" not in record.path]
    assert len(asked) == 1
    assert all(path.startswith(f"/api/models/{NAME}") for path in asked)


def test_names_that_an_image_holds(hub: Hub, builds: Builds) -> None:
    names = ["a b.txt", "a+b%20c?#&.txt", "ünï-文.txt", "back\\slash.txt", "n" * 255, "/".join(["d" * 99] * 3) + "/x"]
    files: dict[str, bytes | Path | Content] = {name: name.encode() for name in names}
    files |= {"zero.txt": b"", "zero.safetensors": b"", "some.safetensors": b"weights"}
    hub.repo(NAME, files)
    builds.run()
    assert builds.files() == files

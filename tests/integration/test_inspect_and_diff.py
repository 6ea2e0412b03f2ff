"""`inspect` and `diff` on images by modelcar, podman, buildah and skopeo, and on a Hub, as a user runs them."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelcar.http import Http
from modelcar.sources import open_source
from tests import peers
from tests.builds import NAME, SOURCE, served
from tests.checkpoints import LLAMA, decoder, header, write_checkpoint
from tests.cli import image, modelcar
from tests.doubles.hub import Hub
from tests.models import write_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "model", LLAMA, decoder())
    write_files(folder, {"tokenizer_config.json": b'{"chat_template": "{{ a }}\\nend", "eos_token": "</s>"}'})
    return folder


@pytest.fixture
def newer(tmp_path: Path, model: Path) -> Path:
    """The same with another context, template, and types and shapes of tensors."""
    tensors = [(name, "F16" if "q_proj" in name else kind, shape) for name, kind, shape in decoder()]
    tensors[-1] = ("lm_head.weight", "BF16", [128, 128])
    folder = write_checkpoint(tmp_path / "newer", {**LLAMA, "max_position_embeddings": 8192}, tensors[1:])
    write_files(folder, {"tokenizer_config.json": b'{"chat_template": "{{ b }}\\nend", "eos_token": "</s>"}'})
    return write_files(folder, {"NOTICE": b"new"})


def inspected(place: str | Path, *options: str) -> dict[str, Any]:
    done = modelcar("inspect", place, "--format", "json", *options)
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert isinstance(value, dict)
    return value


def compared(*args: str | Path, code: int = 0) -> dict[str, Any]:
    done = modelcar("diff", *args, "--format", "json")
    assert done.code == code, done.err
    value = json.loads(done.out)
    assert isinstance(value, dict)
    return value


def kinds(found: dict[str, Any]) -> dict[str, str]:
    return {change["path"]: change["change"] for change in found["files"]["changes"]}


def works(found: dict[str, Any]) -> dict[str, bool | None]:
    return {each["mode"]: each["works"] for each in found["kserve"]}


EVERYWHERE = {"modelcar": True, "native": True, "fetch": True}


def test_an_image_of_ours_as_text_and_json(model: Path, tmp_path: Path) -> None:
    place = f"oci:{tmp_path}/layout:1"
    image(model, place, base="embedded")
    found = inspected(place)
    assert found["model"]["parameters"] == 61440
    assert found["model"]["chat_template"] == "tokenizer_config.json"
    assert [each["platform"] for each in found["platforms"]] == [
        "linux/amd64",
        "linux/arm64",
        "linux/ppc64le",
        "linux/s390x",
    ]
    assert found["base"] == {"name": "modelcar's own", "digest": None}
    assert [layer["base"] for layer in found["layers"]] == [True, False, False]
    assert works(found) == EVERYWHERE
    text = modelcar("inspect", place, "--platform", "linux/arm64").out
    assert "parameters     0.1 M" in text
    assert "KV cache       128 B a token in 16 bits; see modelcar fit" in text
    assert modelcar("inspect", model).out.startswith(f"{model}\n\narchitecture   LlamaForCausalLM\n")


@pytest.mark.parametrize("format", ["oci", "docker"])
def test_an_image_by_podman(model: Path, tmp_path: Path, format: str) -> None:
    """A busybox for a shell, all of the model in one layer; then Docker's schema 2 with gzip, in a registry."""
    peers.require("podman", "busybox", "skopeo")
    context = tmp_path / "context"
    context.mkdir()
    shutil.copytree(model, context / "models")
    shutil.copy2(str(shutil.which("busybox")), context / "busybox")
    (context / "Containerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/sh\nRUN ln -s sh /bin/ln && ln -s sh /bin/sleep\nCOPY models /models\n"
    )
    with (
        tempfile.TemporaryDirectory(prefix="pi-", dir="/tmp", ignore_cleanup_errors=True) as folder,
        peers.docker_registry(tmp_path) as registry,
    ):
        podman = ("podman", "--root", f"{folder}/r", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        peers.run(*podman, "build", "--isolation", "chroot", "--quiet", "--format", format, "--tag", "peer", context)
        place = f"{registry.host}/acme/peer:1"
        peers.run(*podman, "push", "--quiet", "--tls-verify=false", "peer", f"docker://{place}")
        found = inspected(place)
        assert {layer["compression"] for layer in found["layers"]} == {"gzip"}
        assert found["model"]["parameters"] == 61440
        assert works(found) == EVERYWHERE
        ours = f"oci:{tmp_path}/layout:1"
        image(model, ours)
        same = compared(place, ours, "--exit-code")
        assert (same["differs"], same["files"]["same"], same["tensors"]["same"]) == (False, 3, 10)
        assert same["fetch"]["layers"] == same["fetch"]["of_layers"]
        zstd = f"oci:{tmp_path}/copy:1"
        peers.skopeo_copy(f"docker://{place}", zstd, "--format", "oci", "--dest-compress-format", "zstd")
        again = compared(place, zstd, "--exit-code")
        assert again["files"]["same_by"] == {"layer": 3}  # the diffIDs stay
        assert works(inspected(zstd))["fetch"] is False


def test_what_changed_between_two_images(model: Path, newer: Path, tmp_path: Path) -> None:
    old, new = f"oci:{tmp_path}/layout:1", f"oci:{tmp_path}/layout:2"
    image(model, old, base="embedded")
    image(newer, new, base="embedded")
    found = compared(old, new, "--exit-code", code=1)
    assert kinds(found) == {
        "NOTICE": "added",
        "config.json": "changed",
        "model.safetensors": "changed",
        "tokenizer_config.json": "changed",
    }
    (key,) = found["configuration"]
    assert (key["key"], key["old"], key["new"]) == ("max_position_embeddings", 4096, 8192)
    assert found["chat_template"][2:] == ["@@ -1,2 +1,2 @@", "-{{ a }}", "+{{ b }}", " end"]
    tensors = found["tensors"]
    assert [each["name"] for each in tensors["removed"]] == ["model.embed_tokens.weight"]
    assert [each["new"]["dtype"] for each in tensors["retyped"]] == ["F16", "F16"]
    assert [each["new"]["shape"] for each in tensors["reshaped"]] == [[128, 128]]
    assert (found["fetch"]["layers"], found["fetch"]["of_layers"]) == (2, 3)
    text = modelcar("diff", old, new)
    assert text.code == 0
    assert "~ max_position_embeddings: 4096 -> 8192" in text.out
    assert "a node that holds the first fetches 2 of 3 layers for the second" in text.out
    assert compared(old, old)["files"]["same_by"] == {"layer": 3}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Hub]:
    with served(monkeypatch, caplog) as hub:
        yield hub


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_an_image_and_the_repository_it_was_made_of(hub: Hub, tmp_path: Path, compression: str) -> None:
    """By the layers' keys, made anew of the Hub's digests: no file is read, but for the headers of the tensors."""
    start, size = header(decoder())
    files: dict[str, Any] = {
        "config.json": json.dumps(LLAMA).encode(),
        "model.safetensors": start + bytes(size - len(start)),
        ".gitattributes": b"x",
    }
    hub.repo(NAME, files)
    place = f"oci:{tmp_path}/layout:1"
    image(SOURCE, place, compression=compression)
    found = compared(place, SOURCE, "--exit-code")
    assert (kinds(found), found["files"]["same_by"]) == ({}, {"layer key": 2})
    assert found["fetch"] is None
    hub.repo(NAME, {**files, "config.json": json.dumps({**LLAMA, "vocab_size": 512}).encode()})
    later = compared(place, SOURCE, "--exit-code", code=1)
    assert kinds(later) == {"config.json": "changed"}
    assert [change["key"] for change in later["configuration"]] == ["vocab_size"]
    assert kinds(compared(place, SOURCE, "--all-files"))[".gitattributes"] == "added"
    assert inspected(SOURCE)["revision"] == later["new"].rpartition("@")[2]


def test_large_files_are_read_when_told_so(tmp_path: Path) -> None:
    """An image of anyone's and a folder: nothing tells of a large file but its bytes."""
    tensors = [("w", "U8", [17 * 1024**2])]
    folder = write_checkpoint(tmp_path / "model", LLAMA, tensors)
    place = f"oci:{tmp_path}/layout:1"
    image(folder, place, cache_dir=None)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    found = compared(place, folder, "--exit-code")
    assert kinds(found) == {"model.safetensors": "not compared"}
    assert "not compared: --full reads it" in modelcar("diff", place, folder).out
    assert kinds(compared(place, folder, "--full", "--exit-code", code=1)) == {"model.safetensors": "changed"}


def test_a_digest_that_a_build_learned_tells_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAR_CACHE_DIR", str(tmp_path / "cache"))
    folder = write_checkpoint(tmp_path / "model", LLAMA, [("w", "U8", [17 * 1024**2])])
    place = f"oci:{tmp_path}/layout:1"
    while not all(file.fingerprint for file in open_source(str(folder), Http()).snapshot().files):
        time.sleep(0.1)  # what was written just now may change within the clock's tick
    image(folder, place)
    assert kinds(compared(place, folder)) == {}
    assert compared(place, folder)["files"]["same"] == 2

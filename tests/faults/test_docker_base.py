"""A plain base that is compressed for Docker's manifests while its registry or the target breaks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from modelcar import BuildOptions, BuildResult, ContentMismatch, NotFound, build_image
from tests.bases import write_base
from tests.doubles.registry import Amend, CutAnswer, CutBody, Do, LoseAnswer, Registry
from tests.models import write_files

BIG = Random(3).randbytes(3_000_000)
REPO = "bases/plain"


@pytest.fixture
def registry() -> Iterator[Registry]:
    """The base's registry."""
    with Registry() as running:
        yield running


@pytest.fixture
def target() -> Iterator[Registry]:
    with Registry() as running:
        yield running


@pytest.fixture
def layer(registry: Registry, tmp_path: Path) -> str:
    """The digest of the plain layer of a base in the registry."""
    write_base(tmp_path / "base", {"big": BIG})
    for path in (tmp_path / "base" / "blobs" / "sha256").iterdir():
        registry.put_blob(REPO, path.read_bytes())
    (named,) = json.loads((tmp_path / "base" / "index.json").read_text())["manifests"]
    content = (tmp_path / "base" / "blobs" / "sha256" / named["digest"].partition(":")[2]).read_bytes()
    registry.put_manifest(REPO, "1", content, named["mediaType"])
    return str(json.loads(content)["layers"][0]["digest"])


def build(registry: Registry, target: Registry, tmp_path: Path) -> BuildResult:
    model = write_files(tmp_path / "model", {"model.safetensors": b"\x02" + bytes(7) + b"{}"})
    wishes = {"base": f"{registry.host}/{REPO}:1", "base_without_shell": True, "image_format": "docker"}
    options: dict[str, Any] = {**wishes, "cache_dir": None, "retry": 2, "retry_delay": 0.01}
    return build_image(str(model), f"{target.host}/acme/tiny:1", BuildOptions(**options))


def check(target: Registry, result: BuildResult, layer: str) -> None:
    """The base's layer is in the image, whole."""
    index = json.loads(target.manifest("acme/tiny", str(result.digest)) or b"")
    manifest = json.loads(target.manifest("acme/tiny", index["manifests"][0]["digest"]) or b"")
    packed = target.blob(manifest["layers"][0]["digest"]) or b""
    assert len(packed) == manifest["layers"][0]["size"]
    assert f"sha256:{sha256(gzip.decompress(packed)).hexdigest()}" == layer
    assert target.tags("acme/tiny") == {"1": result.digest}
    assert target.unfinished_uploads == 0


@pytest.mark.parametrize("already", [0, 1])
def test_a_read_that_is_cut_goes_on(
    registry: Registry, target: Registry, layer: str, tmp_path: Path, already: int
) -> None:
    """While it is measured, and while it is sent."""
    registry.fault(CutAnswer(1_000_000), "GET", f"/blobs/{layer}", skip=already)
    check(target, build(registry, target, tmp_path), layer)
    assert registry.count("GET", f"/blobs/{layer}") == 3


def test_an_upload_that_is_cut_starts_again(registry: Registry, target: Registry, layer: str, tmp_path: Path) -> None:
    target.fault(CutBody(1_000_000), "PATCH")
    check(target, build(registry, target, tmp_path), layer)


def test_an_answer_that_is_lost(registry: Registry, target: Registry, layer: str, tmp_path: Path) -> None:
    target.fault(LoseAnswer(), "PUT", "/blobs/uploads/")
    check(target, build(registry, target, tmp_path), layer)


def test_other_bytes_than_the_digest_says(registry: Registry, target: Registry, layer: str, tmp_path: Path) -> None:
    content = registry.blob(layer) or b""
    wrong = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
    registry.fault(Amend(body=wrong), "GET", f"/blobs/{layer}", times=None)
    with pytest.raises(ContentMismatch, match=f"base layer {layer[:19]}: the bytes are those of"):
        build(registry, target, tmp_path)
    assert target.tags("acme/tiny") == {}
    assert target.uploaded == 0


def test_a_base_that_vanishes_before_it_is_sent(
    registry: Registry, target: Registry, layer: str, tmp_path: Path
) -> None:
    registry.fault(Do(lambda: registry.drop_blob(layer)), "GET", f"/blobs/{layer}", skip=1)
    with pytest.raises(NotFound):
        build(registry, target, tmp_path)
    assert target.tags("acme/tiny") == {}

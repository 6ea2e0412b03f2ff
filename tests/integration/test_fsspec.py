"""Images through fsspec, as pandas, pyarrow and others open them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from modelcar import ModelcarError, Refused
from modelcar.oci import digest_of, media
from tests.doubles.registry import Registry
from tests.images import publish
from tests.models import model_files
from tests.unit.image.tars import Layer, file, link, tar

FILES = model_files()
MADE = tar(*[file(f"models/{path}", content) for path, content in FILES.items()], link("models/link", "config.json"))


@pytest.fixture(params=["plain", "gzip"])
def place(request: pytest.FixtureRequest, registry: Registry) -> str:
    layer: Layer = MADE if request.param == "plain" else (media.OCI_LAYER_GZIP, gzip.compress(MADE))
    return publish(registry, layer)


@pytest.fixture
def registry() -> Iterator[Registry]:
    fsspec.filesystem("modelcar").clear_instance_cache()
    with Registry() as running:
        yield running


def file_system() -> Any:
    return fsspec.filesystem("modelcar", skip_instance_cache=True)


def test_open_reads_and_seeks(place: str) -> None:
    for path, content in FILES.items():
        with fsspec.open(f"modelcar://{place}/{path}") as opened:
            assert opened.read() == content
            assert opened.seek(-2, io.SEEK_END) == len(content) - 2
            opened.seek(2)
            assert opened.read(3) == content[2:5]
    with fsspec.open(f"modelcar://{place}/link", "rt") as opened:
        assert json.load(opened)["model_type"] == "tests"


def test_a_safetensors_header_is_read_by_range(registry: Registry) -> None:
    """What `safetensors` and `huggingface_hub` do with remote files."""
    place = publish(registry, MADE)
    path = "model-00001-of-00002.safetensors"
    fs = file_system()
    size = int.from_bytes(fs.cat_file(f"{place}/{path}", 0, 8), "little")
    registry.forget_requests()
    header = json.loads(fs.cat_file(f"{place}/{path}", 8, 8 + size))
    assert [*header] == ["layer.0.weight"]
    (asked,) = [each.headers["range"] for each in registry.requests if digest_of(MADE) in each.target]
    start, _, end = asked.removeprefix("bytes=").partition("-")
    assert int(end) + 1 - int(start) == size


def test_listing_and_facts(place: str) -> None:
    fs = file_system()
    assert fs.ls(place, detail=False) == sorted(
        f"{place}/{name}" for name in [*(name for name in FILES if "/" not in name), "link", "tokenizer"]
    )
    assert fs.ls(f"modelcar://{place}/tokenizer") == [
        {"name": f"{place}/tokenizer/vocab.txt", "size": 4, "type": "file"}
    ]
    assert fs.info(f"{place}/tokenizer")["type"] == fs.info(place)["type"] == "directory"
    assert fs.size(f"{place}/config.json") == len(FILES["config.json"])
    assert sorted(fs.find(place)) == sorted(f"{place}/{name}" for name in [*FILES, "link"])
    assert sorted(fs.glob(f"{place}/*.safetensors")) == sorted(
        f"{place}/{name}" for name in FILES if name.endswith(".safetensors")
    )
    assert fs.isfile(f"{place}/config.json")
    assert fs.isdir(f"{place}/tokenizer")
    assert not fs.exists(f"{place}/none")


def test_cat_file_counts_as_python_does(place: str) -> None:
    fs, content = file_system(), FILES["config.json"]
    for start, end in ((None, None), (3, None), (None, 3), (2, 5), (-4, None), (None, -4), (5, 2), (0, 10**9)):
        assert fs.cat_file(f"{place}/config.json", start, end) == content[start:end]


def test_what_is_not_there_and_what_can_not_be(place: str, registry: Registry) -> None:
    fs = file_system()
    with pytest.raises(FileNotFoundError, match="did you mean config"):
        fs.open(f"{place}/confg.json")
    with pytest.raises(FileNotFoundError, match="it has 1"):
        fs.ls(f"{place}1")
    with pytest.raises(Refused, match="can only be read"):
        fs.open(f"{place}/config.json", "wb")
    with pytest.raises(ModelcarError, match=r"write modelcar://HOST/REPOSITORY:TAG/FILE"):
        fs.open(f"{registry.host}/config.json")

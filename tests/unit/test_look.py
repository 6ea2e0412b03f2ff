"""Models looked at where they are: sources and images as files by range."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, Denied, NetworkError
from modelcar.image import ImageFiles, read_head
from modelcar.look import FilesOfImage, SourceFiles, is_source
from modelcar.model import read_facts
from modelcar.oci import media
from modelcar.retry import Patience
from tests.checkpoints import LLAMA, checkpoint, decoder
from tests.doubles.content import Bytes, Content, Sparse
from tests.doubles.in_memory import Break, MemorySource, MemoryStore, put_image
from tests.unit.image.tars import COMPRESSIONS, file, hard, link, tar

MODEL = checkpoint(LLAMA, decoder())
CONFIG = MODEL.contents["config.json"]
WEIGHTS = MODEL.contents["model.safetensors"] + bytes(
    MODEL.sizes["model.safetensors"] - len(MODEL.contents["model.safetensors"])
)
PARAMETERS = read_facts(MODEL).parameters


def source(**options: Any) -> MemorySource:
    return MemorySource({"config.json": CONFIG, "model.safetensors": WEIGHTS}, **options)


def patient() -> Patience:
    return Patience(tries=3, first_wait=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://a/b", True), ("./x", True), ("/x", True), ("~/x", True), ("", True),
        ("https://huggingface.co/a/b", True),
        ("quay.io/a/b:1", False), ("oci:./x", False), ("oci://quay.io/a", False), ("docker://quay.io/a", False),
    ],
)  # fmt: skip
def test_a_source_or_an_image(text: str, expected: bool) -> None:
    assert is_source(text) is expected


def test_a_folder_that_is_there_is_a_source(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_source("granite")
    (tmp_path / "granite").mkdir()
    assert is_source("granite")


def test_a_source_is_read_by_range() -> None:
    files = SourceFiles(source(), patient())
    assert files.read("model.safetensors", 8, 2) == b'{"'
    assert files.read("config.json", len(CONFIG) - 1, 99) == b"}"
    assert read_facts(files).parameters == PARAMETERS


def test_a_connection_that_breaks_is_opened_again() -> None:
    breaks = (Break("model.safetensors", 10, NetworkError("cut")), Break("config.json", 0, NetworkError("x")))
    broken = source(breaks=breaks)
    assert read_facts(SourceFiles(broken, patient())).parameters == PARAMETERS
    assert broken.open_now == 0


def test_a_source_that_stays_broken_or_is_denied() -> None:
    breaks = tuple(Break("config.json", 0, NetworkError("down")) for _ in range(3))
    with pytest.raises(NetworkError, match="down"):
        read_facts(SourceFiles(source(breaks=breaks), patient()))
    with pytest.raises(Denied, match="no"):
        read_facts(SourceFiles(source(breaks=(Break("config.json", 0, Denied("no")),)), patient()))


def test_a_source_that_ends_too_early() -> None:
    short = source(sizes={"model.safetensors": len(WEIGHTS), "config.json": len(CONFIG) + 5})
    with pytest.raises(NetworkError, match=r"config\.json: the source ended 5 bytes too early"):
        read_facts(SourceFiles(short, patient()))


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_an_image_whatever_its_layers(compress: Any) -> None:
    layer = compress(tar(file("./models/config.json", CONFIG), file("/models/model.safetensors", WEIGHTS)))
    files = FilesOfImage(ImageFiles(read_head(put_image(MemoryStore(), layer))))
    assert dict(files.sizes) == {"config.json": len(CONFIG), "model.safetensors": len(WEIGHTS)}
    assert files.read("config.json", 1, 4) == CONFIG[1:5]
    assert files.read("config.json", len(CONFIG) - 2, 400) == CONFIG[-2:]
    assert read_facts(files).parameters == PARAMETERS


def test_what_a_later_layer_replaces_and_links() -> None:
    old = json.dumps({**LLAMA, "num_hidden_layers": 1}).encode()
    first = tar(file("models/config.json", old), file("blobs/w", WEIGHTS), file("models/gone.gguf", b"x"))
    second = tar(
        file("models/config.json", CONFIG),
        link("models/model.safetensors", "../blobs/w"),
        hard("models/again.bin", "blobs/w"),
        file("models/.wh.gone.gguf"),
        link("models/loop", "loop"),
        link("models/nowhere", "/etc/shadow"),
    )
    files = FilesOfImage(ImageFiles(read_head(put_image(MemoryStore(), first, second))))
    assert set(files.sizes) == {"config.json", "model.safetensors", "again.bin"}
    assert read_facts(files).parameters == PARAMETERS


def test_an_image_with_its_model_elsewhere() -> None:
    files = FilesOfImage(ImageFiles(read_head(put_image(MemoryStore(), tar(file("data/config.json", CONFIG))))))
    assert read_facts(files).folder == "data"


def test_a_damaged_layer() -> None:
    whole = gzip.compress(tar(file("models/config.json", CONFIG), file("models/model.safetensors", WEIGHTS)))
    store = MemoryStore()
    head = read_head(put_image(store, (media.OCI_LAYER_GZIP, whole)))
    files = FilesOfImage(ImageFiles(head))
    store.blobs[head.manifest.layers[0].digest] = whole[:60]
    with pytest.raises(ContentMismatch):
        files.read("model.safetensors", 0, 100)


def test_only_headers_are_read_of_a_large_model() -> None:
    tensors = [(f"model.layers.{n}.w", "BF16", [8192, 8192]) for n in range(500)]
    big = checkpoint(LLAMA, tensors)
    content: dict[str, bytes | Content] = {"config.json": CONFIG, "model.safetensors": _Holes(big)}
    asked = SourceFiles(MemorySource(content, states={"model.safetensors": None}), patient())
    assert read_facts(asked).parameters == 500 * 8192 * 8192


class _Holes:
    """A header, and then as many zeros as it says."""

    def __init__(self, files: Any) -> None:
        self._head = Bytes(files.contents["model.safetensors"])
        self.size = files.sizes["model.safetensors"]
        self.identity = "holes"
        self.sha256 = "0" * 64

    def pieces(self, start: int, stop: int, step: int = 65536) -> Any:
        yield from self._head.pieces(start, min(stop, self._head.size), step)
        if stop > self._head.size:
            yield from Sparse(self.size).pieces(max(start, self._head.size), stop, step)

"""What `inspect` says of images that other tools could have made, and of sources."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from modelcar import inspection
from modelcar.base import PLATFORMS, layer
from modelcar.errors import Denied, NotFound
from modelcar.image import ImageFiles, read_head
from modelcar.inspection import Inspection, inspect, inspect_image
from modelcar.look import FilesOfImage, ImagePlace
from modelcar.oci import Config, Execution, Manifest, Platform, RootFS, media
from modelcar.oci import config as configs
from modelcar.oci.manifest import Descriptor, Index, encode
from modelcar.stores import Location
from tests.checkpoints import LLAMA, decoder, header, write_checkpoint
from tests.doubles.in_memory import MemoryStore, put_blob, put_image
from tests.unit.image.tars import COMPRESSIONS, Layer, file, folder, tar

SHELL = tar(file("bin/sh"), file("bin/ln"), file("bin/sleep"))
CONFIG = json.dumps({**LLAMA, "max_position_embeddings": 2048}).encode()


def weights(length: int | None = None) -> bytes:
    start, size = header(decoder())
    return start + bytes((length or size) - len(start))


def model_layer(prefix: str = "models/") -> bytes:
    return tar(
        folder(prefix.rstrip("/")),
        file(f"{prefix}README.md", b"---\nlicense: mit\n---\n"),
        file(f"{prefix}config.json", CONFIG),
        file(f"{prefix}model.safetensors", weights()),
    )


def place_of(location: Location, depth: int = inspection.DEPTH) -> ImagePlace:
    return ImagePlace(FilesOfImage(ImageFiles(read_head(location), depth=depth)))


def inspected(*layers: Layer, depth: int = inspection.DEPTH) -> Inspection:
    return inspect_image(place_of(put_image(MemoryStore(), *layers), depth))


def answers(found: Inspection) -> list[bool | None]:
    return [finding.works for finding in found.modes]


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_model_in_layers_of_every_kind(kind: str) -> None:
    found = inspected(SHELL, COMPRESSIONS[kind](model_layer("./models/")))
    assert found.facts is not None
    assert found.facts.architecture is not None
    assert (found.facts.parameters, found.facts.architecture.context) == (61440, 2048)
    assert found.kv_bytes_per_token == 128
    assert (found.license, found.files) == ("mit", 3)
    assert [known.is_base for known in found.layers] == [True, False]
    assert found.layers[1].files == ("README.md", "config.json", "model.safetensors")
    assert answers(found) == [True, True, False]  # fetch mode wants models/, not ./models/


def test_layers_that_are_named_plainly_can_be_fetched() -> None:
    assert answers(inspected(SHELL, model_layer())) == [True, True, True]


def test_an_image_without_a_model() -> None:
    found = inspected(tar(file("etc/os-release", b"x"), file("bin/sh")))
    assert found.facts is None
    assert "no model is there" in found.no_facts
    assert (found.files, answers(found)) == (0, [False, False, False])
    assert not found.layers[0].is_base
    assert found.layers[0].files == ("/etc/os-release", "/bin/sh")


def test_a_damaged_model_is_no_reason_to_say_nothing_of_the_image() -> None:
    found = inspected(tar(file("models/config.json", b"{"), file("models/model.safetensors", b"short")))
    assert found.facts is None
    assert "config.json is no JSON" in found.no_facts
    assert answers(found) == [False, True, True]


def test_no_more_of_a_compressed_layer_is_read_than_its_beginning() -> None:
    noise = Random(1).randbytes(3_000_000)
    index = json.dumps({"weight_map": {"a": "model-2.safetensors"}}).encode()
    named = file("models/model.safetensors.index.json", index)
    rest = tar(
        named, file("models/config.json", CONFIG), file("models/a.txt", noise), file("models/model-2.safetensors")
    )
    store = MemoryStore()
    found = inspect_image(place_of(put_image(store, (media.OCI_LAYER_GZIP, gzip.compress(rest))), 1_000_000))
    assert found.facts is not None
    assert found.facts.parameters is None
    assert found.facts.architecture is not None
    assert found.facts.architecture.context == 2048
    assert "the weights were not checked: their headers are not in what was looked at" in found.notes
    assert "no weights are there" not in found.notes
    assert any(note.startswith("layer 0 is gzip: only the first") for note in found.notes)
    assert (found.layers[0].files, found.layers[0].is_whole) == (
        ("model.safetensors.index.json", "config.json", "a.txt"),
        False,
    )
    assert answers(found) == [None, True, True]  # whether there is a shell behind it nobody has looked


def test_weights_that_no_index_names_may_not_be_all() -> None:
    noise = Random(1).randbytes(3_000_000)
    layers = gzip.compress(tar(file("models/a.safetensors", weights()), file("models/noise", noise)))
    found = inspected((media.OCI_LAYER_GZIP, layers), depth=1_000_000)
    assert found.facts is not None
    assert found.facts.parameters == 61440
    assert any("there may be more weights" in note for note in found.notes)


def test_nothing_at_all_in_what_was_looked_at() -> None:
    noise = Random(1).randbytes(3_000_000)
    layers = gzip.compress(tar(file("opt/noise", noise), file("models/config.json", CONFIG)))
    found = inspected((media.OCI_LAYER_GZIP, layers), depth=1_000_000)
    assert found.facts is None
    assert "in what was looked at" in found.no_facts
    assert answers(found) == [None, None, None]


def test_the_embedded_base_is_known_by_its_layer_however_it_is_stored() -> None:
    store = MemoryStore()
    plain = layer(PLATFORMS[0])
    found = inspect_image(place_of(put_image(store, plain, model_layer())))
    assert found.base is not None
    assert found.base.name == "modelcar's own"
    assert answers(found) == [True, True, True]


def test_what_the_image_says_of_itself_in_labels_and_an_entrypoint() -> None:
    """Docker's manifests have no annotations."""
    store = MemoryStore()
    stored = put_blob(store, model_layer(), media.DOCKER_LAYER_GZIP)
    prefix = "org.opencontainers.image."
    labels = {f"{prefix}source": "https://x/y", f"{prefix}revision": "abc", f"{prefix}base.name": "ubi9:1"}
    labels[f"{prefix}licenses"] = "Apache-2.0"
    execution = Execution(entrypoint=("/run",), labels=labels)
    config = Config("arm64", "linux", RootFS("layers", (stored.digest,)), execution)
    zipped = gzip.compress(model_layer())
    stored = put_blob(store, zipped, media.DOCKER_LAYER_GZIP)
    described = put_blob(store, configs.encode(config), media.DOCKER_CONFIG)
    manifest = Manifest(2, described, (stored,), media.DOCKER_MANIFEST)
    store.write_manifest(encode(manifest), media.DOCKER_MANIFEST, "1")
    found = inspect_image(place_of(Location(store, "1")))
    assert (found.source, found.revision, found.license) == ("https://x/y", "abc", "Apache-2.0")
    assert found.base == inspection.Base("ubi9:1")
    assert (found.platform, answers(found)) == ("linux/arm64", [False, True, True])


def test_platforms_of_an_index_one_of_which_is_missing() -> None:
    store = MemoryStore()
    put_image(store, SHELL, model_layer())
    there = store.manifests["1"]
    arm = Platform("arm64", "linux")
    index = Index(
        2,
        (
            Descriptor(media.OCI_MANIFEST, there.digest, len(there.content), Platform("amd64", "linux")),
            Descriptor(media.OCI_MANIFEST, put_blob(store, b"gone", "").digest, 4, arm),
        ),
        media.OCI_INDEX,
    )
    store.write_manifest(encode(index), media.OCI_INDEX, "all")
    found = inspect_image(place_of(Location(store, "all")))
    assert [(str(image.platform), image.size) for image in found.platforms] == [
        ("linux/amd64", len(SHELL) + len(model_layer())),
        ("linux/arm64", None),
    ]
    assert any("for linux/arm64, and it is not there" in note for note in found.notes)


def test_a_source(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "model", LLAMA, decoder())
    found = inspect(str(tmp_path / "model"))
    assert found.facts is not None
    assert (found.facts.parameters, found.files, found.platforms, found.modes) == (61440, 2, (), ())


def test_a_source_that_is_not_there_and_one_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        inspect(str(tmp_path / "nothing"))
    (tmp_path / "notes.txt").write_text("x")
    found = inspect(str(tmp_path))
    assert found.facts is None
    assert "no model is there" in found.no_facts


def test_what_a_store_refuses_while_files_are_read_is_no_finding() -> None:
    class Closing(MemoryStore):
        """Open until the layers are listed."""

        has_ranges = True

        def open_blob(self, digest, offset=0, length=None):  # type: ignore[no-untyped-def]
            if length is not None and offset and length < 4096:
                raise Denied("no")
            return super().open_blob(digest, offset, length)

    place = place_of(put_image(Closing(), model_layer()))
    with pytest.raises(Denied):
        inspect_image(place)

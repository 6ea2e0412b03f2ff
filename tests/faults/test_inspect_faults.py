"""What goes wrong when images are inspected and compared, over a real socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from random import Random

import pytest

from modelcar.oci import digest_of, media
from tests.checkpoints import LLAMA, decoder, header
from tests.cli import modelcar
from tests.doubles.registry import Registry
from tests.doubles.registry_auth import Basic
from tests.images import publish
from tests.pushing import ME, REPO
from tests.unit.image.tars import file, tar

_START, _SIZE = header(decoder())
MODEL = tar(
    file("models/config.json", json.dumps(LLAMA).encode()),
    file("models/model.safetensors", _START + bytes(_SIZE - len(_START))),
)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


def test_a_tag_that_is_not_there(registry: Registry) -> None:
    there = publish(registry, MODEL, tag="3.1")
    missing = f"{registry.host}/{REPO}:3.2"
    for words in (("inspect", missing), ("diff", there, missing), ("diff", missing, there)):
        done = modelcar(*words)
        assert (done.code, done.out) == (3, "")
        assert done.error == f"{missing} doesn't exist; it has 3.1"


def test_a_platform_that_is_not_there(registry: Registry) -> None:
    there = publish(registry, MODEL)
    for words in (("inspect", there), ("diff", there, there)):
        done = modelcar(*words, "--platform", "linux/riscv64")
        assert done.code == 3
        assert "is not for linux/riscv64; it is for linux/amd64" in done.error


def test_who_may_not_read_is_told_so() -> None:
    with Registry(auth=Basic(ME)) as registry:
        place = publish(registry, MODEL)
        for words in (("inspect", place), ("diff", place, place)):
            done = modelcar(*words)
            assert done.code == 4
            assert "the-secret" not in done.err


@pytest.mark.parametrize("layer", [(media.OCI_LAYER_GZIP, gzip.compress(MODEL)[:200]), MODEL[:1000]])
def test_a_layer_that_is_cut_off(registry: Registry, layer: bytes | tuple[str, bytes]) -> None:
    place = publish(registry, layer)
    content = layer if isinstance(layer, bytes) else layer[1]
    for words in (("inspect", place), ("diff", place, place)):
        done = modelcar(*words)
        assert done.code == 5
        assert digest_of(content) in done.error


def test_a_file_that_lies_deep_in_a_compressed_layer(registry: Registry) -> None:
    """Noise that gzip can't shrink, more than is read of a layer, then the weights."""
    noise = Random(1).randbytes(1024**2) * 33
    config = file("models/config.json", json.dumps(LLAMA).encode())
    weights = file("models/model.safetensors", _START + bytes(_SIZE - len(_START)))
    deep = tar(config, file("models/noise.bin", noise), weights)
    place = publish(registry, (media.OCI_LAYER_GZIP, gzip.compress(deep, 0)))
    whole = publish(registry, MODEL, tag="2")
    done = modelcar("inspect", place)
    assert done.code == 0, done.err
    assert "context        4,096 tokens" in done.out
    assert "config.json, noise.bin, the rest not checked" in done.out
    found = modelcar("diff", place, whole, "--exit-code")
    assert "? model.safetensors  124 kB (not seen in the first: --full looks for it)" in found.out
    assert "tensors were not compared" in found.out
    full = modelcar("diff", place, whole, "--full")
    assert "2 the same (2 by content)" in full.out
    assert "tensors: 10 with the same type and shape" in full.out


def test_weights_cut_off_are_told_beside_what_is_known(registry: Registry) -> None:
    place = publish(registry, tar(file("models/config.json", b"{}"), file("models/model.safetensors", _START[:50])))
    done = modelcar("inspect", place)
    assert done.code == 0
    assert "none found: model.safetensors is no safetensors file, or one that was cut off" in done.out
    found = modelcar("diff", place, place)
    assert found.code == 0
    assert "2 the same" in found.out
    assert "note: tensors were not compared: model.safetensors" in found.out


def test_names_from_elsewhere_do_nothing_to_a_terminal(registry: Registry) -> None:
    hostile = tar(file("models/\x1b[2Jx", b"x"), file("models/config.json", b'{"architectures": ["\\u001b[31m"]}'))
    place, other = publish(registry, hostile), publish(registry, MODEL, tag="2")
    for words in (("inspect", place), ("diff", other, place)):
        done = modelcar(*words)
        assert done.code == 0, done.err
        assert "\x1b" not in done.out

"""What goes wrong when an image is read, over a real socket: its heads, its layers, registries without ranges."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from modelcar import ContentMismatch, NotFound, Refused, open_image, read_image
from modelcar.events import Event, Warned
from modelcar.image.decompress import BOMB_FLOOR
from modelcar.oci import Descriptor, Index, Manifest, Platform, digest_of, media
from modelcar.oci.manifest import MAX_MANIFEST, encode
from tests.cli import modelcar
from tests.doubles.content import PIECE
from tests.doubles.registry import Amend, CutAnswer, Registry
from tests.images import publish
from tests.pushing import REPO
from tests.unit.image.tars import Layer, file, folder, tar

CONFIG = b'{"model_type": "tests"}'
LARGE = bytes(range(256)) * 40_000
PLAIN = tar(file("models/model.safetensors", LARGE), file("models/config.json", CONFIG), file("models/z", LARGE))


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as running:
        yield running


# Heads


@pytest.mark.parametrize("command", ["ls", "pull", "copy", "copy --since", "verify", "inspect"])
def test_a_tag_that_is_not_there_names_the_near_ones(registry: Registry, tmp_path: Path, command: str) -> None:
    for tag in ("3.1-2b", "3.1-8b", "latest", f"sha256-{'0' * 64}.sig"):
        publish(registry, PLAIN, tag=tag)
    missing, name = f"{registry.host}/{REPO}:3.1-2", command.partition(" ")[0]
    more: dict[str, list[str | Path]] = {
        "pull": [tmp_path],
        "copy": [f"oci:{tmp_path}:1"],
        "copy --since": ["--since", missing, f"{registry.host}/{REPO}:latest", f"oci:{tmp_path}:1"],
    }
    arguments = more[command] if "--" in command else [missing, *more.get(command, [])]
    done = modelcar(name, *arguments)
    assert (done.code, done.out) == (3, "")
    assert done.error == f"{missing} doesn't exist; it has 3.1-2b, 3.1-8b, latest"
    for number in range(3):
        publish(registry, PLAIN, tag=f"v{number}")
    assert modelcar(name, *arguments).error == f"{missing} doesn't exist; it has 3.1-2b, 3.1-8b and 4 more"


def test_a_registry_that_is_not_there(registry: Registry) -> None:
    registry.close()
    done = modelcar("ls", f"{registry.host}/{REPO}:1")
    assert done.code == 7
    assert (
        done.error == f"no connection to {registry.host}: Connection refused; check its name and port, and that it runs"
    )
    assert done.err.count("trying again") == 2


def test_a_repository_that_is_not_there(registry: Registry) -> None:
    done = modelcar("cat", f"{registry.host}/{REPO}:1", "config.json")
    assert (done.code, done.error) == (3, f"{registry.host}/{REPO}:1 doesn't exist")


def index(*manifests: tuple[str, str, int]) -> bytes:
    """Of platforms, digests and sizes."""
    described = tuple(
        Descriptor(media.OCI_MANIFEST, digest_of(digest.encode()), size, Platform(architecture, "linux"))
        for architecture, digest, size in manifests
    )
    return encode(Index(2, described, media.OCI_INDEX))


def test_a_platform_that_is_not_there_and_a_manifest_that_is_missing(registry: Registry) -> None:
    content = index(("amd64", "gone", 1), ("arm64", "too", 1))
    registry.put_manifest(REPO, "1", content, media.OCI_INDEX)
    place = f"{registry.host}/{REPO}:1"
    done = modelcar("ls", place, "--platform", "linux/s390x")
    assert (done.code, done.error) == (3, f"{place} is not for linux/s390x; it is for linux/amd64, linux/arm64")
    done = modelcar("pull", place, "out", "--platform", "linux/arm64")
    assert done.code == 3
    assert done.error == (
        f"{place} is an index, and the manifest {digest_of(b'too')} that it names for linux/arm64 is not there; "
        "copy or push the image again with all its platforms"
    )


def test_a_manifest_over_four_mebibytes(registry: Registry) -> None:
    layer = Descriptor(media.OCI_LAYER, digest_of(b""), 0, annotations={"x": "y" * MAX_MANIFEST})
    big = json.dumps({"schemaVersion": 2, "config": {}, "layers": [], "x": layer.annotations}).encode()
    registry.put_manifest(REPO, "1", big, media.OCI_MANIFEST)
    done = modelcar("ls", f"{registry.host}/{REPO}:1")
    assert done.code == 6
    assert done.error.startswith(f"the manifest {registry.host}/{REPO}:1 is larger than 4,194,304 bytes")


def test_a_schema_1_manifest(registry: Registry) -> None:
    """Its digest is of the manifest without the signatures, so it isn't that of the bytes."""
    old = json.dumps({"schemaVersion": 1, "name": REPO, "tag": "1", "fsLayers": [], "signatures": []}).encode()
    registry.put_manifest(REPO, "1", old, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    registry.fault(Amend(headers={"Docker-Content-Digest": digest_of(b"unsigned")}), "GET", "/manifests/", times=None)
    done = modelcar("ls", f"{registry.host}/{REPO}:1")
    assert done.code == 6
    assert "is a Docker schema 1 manifest, the format of before 2016" in done.error
    assert "skopeo copy --format v2s2" in done.error


def test_an_artifact_that_is_no_image(registry: Registry) -> None:
    config = Descriptor("application/vnd.cncf.model.config.v1+json", digest_of(b"{}"), 2)
    registry.put_manifest(REPO, "1", encode(Manifest(2, config, (), media.OCI_MANIFEST)), media.OCI_MANIFEST)
    with pytest.raises(ContentMismatch, match="holds an artifact of type application"):
        read_image(f"{registry.host}/{REPO}:1")


# Single files


def bytes_of_blobs(registry: Registry) -> int:
    """What was asked for of blobs, by range or as a whole."""
    total = 0
    for each in registry.requests:
        if "/blobs/" in each.target and each.method == "GET":
            start, _, end = each.headers.get("range", "").removeprefix("bytes=").partition("-")
            whole = len(registry.blob(each.target.rpartition("/")[2]) or b"")
            total += int(end) + 1 - int(start) if end else whole - int(start or 0)
    return total


def test_a_file_of_a_plain_layer_costs_few_requests_and_few_bytes(registry: Registry) -> None:
    place = publish(registry, PLAIN)
    registry.forget_requests()
    done = modelcar("cat", place, "config.json")
    assert (done.out.encode(), done.err) == (CONFIG, "")
    assert registry.count("GET", "/blobs/") <= 5  # the config, three windows of headers, the file
    assert bytes_of_blobs(registry) < 30_000


def test_parts_of_a_file_are_read_by_range(registry: Registry) -> None:
    files = open_image(publish(registry, PLAIN))
    found = files.find("model.safetensors")
    registry.forget_requests()
    assert files.read_range(found, 300, 500) == LARGE[300:800]
    assert files.read_range(found, len(LARGE) - 10, 500) == LARGE[-10:]
    assert files.read_range(found, len(LARGE) + 10) == b""
    assert (registry.count("GET", "/blobs/"), bytes_of_blobs(registry)) == (2, 510)


@pytest.mark.parametrize("kind", [media.OCI_LAYER_GZIP, media.OCI_LAYER_ZSTD])
def test_a_compressed_layer_says_what_it_costs(registry: Registry, kind: str) -> None:
    squeeze = gzip.compress if kind == media.OCI_LAYER_GZIP else zstandard.compress
    place = publish(registry, (kind, squeeze(PLAIN)))
    name = kind.rpartition("+")[2]
    done = modelcar("cat", place, "config.json")
    assert (done.code, done.out.encode()) == (0, CONFIG)
    first, second = done.err.splitlines()
    assert first.endswith(f" bytes had to be read from start to end: a {name} stream has no list of its files")
    assert second.startswith(f"note: /models/config.json is {name}: its layer of ")


def test_a_file_of_the_upper_layer_leaves_compressed_ones_below_unread(registry: Registry) -> None:
    below = gzip.compress(tar(file("models/a", LARGE), file("models/config.json", b"old")))
    place = publish(registry, (media.OCI_LAYER_GZIP, below), tar(file("models/config.json", CONFIG)))
    assert modelcar("cat", place, "config.json").out.encode() == CONFIG
    assert registry.count("GET", digest_of(below)) == 0
    files = open_image(place)
    assert files.read_range(files.find("/models/a")) == LARGE
    assert registry.count("GET", digest_of(below)) == 2  # once for its files, once up to this one


def test_a_file_that_is_not_there_names_those_like_it(registry: Registry) -> None:
    place = publish(registry, PLAIN)
    done = modelcar("cat", place, "confg.json")
    assert (done.code, done.out) == (3, "")
    assert done.error == f"{place} has no file /models/confg.json; did you mean config.json?"
    assert modelcar("cat", place, "/etc/x").error == f"{place} has no file /etc/x; modelcar ls -R shows what it holds"


def test_a_connection_that_breaks_is_gone_on_with(registry: Registry) -> None:
    place = publish(registry, PLAIN)
    registry.fault(CutAnswer(100_000), "GET", digest_of(PLAIN), skip=3)
    files = open_image(place)
    assert files.read_range(files.find("model.safetensors")) == LARGE


# A registry without ranges


def without_ranges(registry: Registry, blob: bytes) -> None:
    headers = {"Content-Length": str(len(blob)), "Content-Range": None}
    registry.fault(Amend(status=200, body=blob, headers=headers), "GET", digest_of(blob), times=None)


def test_a_registry_without_ranges_says_that_it_costs_all(registry: Registry) -> None:
    place = publish(registry, PLAIN)
    without_ranges(registry, PLAIN)
    said: list[Event] = []
    assert [*read_image(place, listener=said.append).files()] == [
        "models/config.json", "models/model.safetensors", "models/z",
    ]  # fmt: skip
    (warned,) = said
    assert isinstance(warned, Warned)
    assert warned.message.endswith(f"{registry.host}/{REPO} sends no part of a blob, only all")
    assert registry.count("GET", digest_of(PLAIN)) == 2  # the first shows it
    done = modelcar("cat", place, "config.json")
    assert done.out.encode() == CONFIG
    assert "is read from the start up to the file" in done.err


# Layers that lie


def test_a_layer_that_ends_before_its_size(registry: Registry) -> None:
    place = publish(registry, PLAIN)
    short = PLAIN[:600]
    registry.fault(Amend(body=short, headers={"Content-Length": "600"}), "GET", digest_of(PLAIN), times=None)
    done = modelcar("ls", place)
    assert done.code in (5, 7)
    assert digest_of(PLAIN)[:19] in done.error


@pytest.mark.parametrize("size", [20_000_000_000, 100])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_tar_that_lies_about_a_size(registry: Registry, size: int, compressed: bool) -> None:
    """Larger than the layer, and smaller than what follows."""
    head, rest = PLAIN[:512], PLAIN[512:]
    header = bytearray(head)
    header[124:136] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    lying = bytes(header) + rest
    layer: Layer = (media.OCI_LAYER_GZIP, gzip.compress(lying)) if compressed else lying
    done = modelcar("ls", publish(registry, layer))
    assert done.code == 5
    assert done.error.startswith("the layer sha256:")
    assert "can't be read: " in done.error


def bombs() -> Iterator[Layer]:
    """Layers of a few KB that grow to more than any memory."""
    zeros = bytes(PIECE)
    count = BOMB_FLOOR // PIECE + 8
    info, _ = file("models/a")
    info.size = count * PIECE
    header = info.tobuf()
    squeeze = zstandard.ZstdCompressor().compressobj()
    small = [squeeze.compress(header), *(squeeze.compress(zeros) for _ in range(count)), squeeze.flush()]
    yield media.OCI_LAYER_ZSTD, b"".join(small)
    yield media.OCI_LAYER_GZIP, gzip.compress(header, 1) + gzip.compress(zeros) * count


@pytest.mark.parametrize("layer", [*bombs()], ids=["zstd", "gzip"])
def test_a_decompression_bomb(registry: Registry, layer: Layer, tmp_path: Path) -> None:
    place = publish(registry, layer)
    for command in (("ls", place), ("pull", place, tmp_path / "out")):
        done = modelcar(*command)
        assert done.code == 6
        assert "it may be a decompression bomb" in done.error


def test_a_header_that_claims_all_memory(registry: Registry) -> None:
    """A PAX header of 3 GB of zeros, in a layer of 12 MB at the most."""
    info, _ = file("x")
    info.type, info.size = b"x", 3_000_000_000
    place = publish(registry, (media.OCI_LAYER_GZIP, gzip.compress(info.tobuf() + bytes(4 * PIECE))))
    done = modelcar("ls", place)
    assert done.code == 5
    assert done.error.endswith("can't be read: a header of 3,000,000,000 bytes")


def test_a_folder_is_no_file(registry: Registry) -> None:
    place = publish(registry, tar(folder("models/a"), file("models/a/b")))
    with pytest.raises(Refused, match="is a folder, not a file"):
        open_image(place).find("a/b/..")
    with pytest.raises(NotFound, match="has no file /models/b"):
        open_image(place).find("b")

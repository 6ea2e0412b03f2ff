"""Config, manifests and index of an image, as KServe, image volumes and every other reader want them."""

from __future__ import annotations

import json
from typing import Any

from modelcar.build.assemble import BaseLayer, Description, Image, PlatformBase, assemble, model_layer
from modelcar.build.compression import parse_compression
from modelcar.build.plan import PlannedLayer
from modelcar.oci import Descriptor, Digest, Format, Platform, StoredLayer, digest_of, media
from modelcar.sources import SourceFile

BASE = Digest("sha256:" + "0b" * 32)
DIFF = Digest("sha256:" + "0c" * 32)
ONE, TWO = Digest("sha256:" + "01" * 32), Digest("sha256:" + "02" * 32)
SHARED = PlannedLayer((SourceFile("a", 1, "sha256:1"), SourceFile("b", 1, "sha256:2")))
WEIGHTS = PlannedLayer((SourceFile("m.safetensors", 1, "sha256:3"),))
MODEL = [model_layer(SHARED, StoredLayer(ONE, 10, ONE)), model_layer(WEIGHTS, StoredLayer(TWO, 20, TWO))]
AMD64 = PlatformBase(Platform("amd64", "linux"))
ARM64 = PlatformBase(
    Platform("arm64", "linux", "v8"),
    (BaseLayer(Descriptor(media.OCI_LAYER_GZIP, BASE, 5), DIFF),),
    ("PATH=/bin", "A=b"),
    ("/bin/link-model-and-wait",),
)
DESCRIPTION = Description("2024-01-01T00:00:00Z", {"b": "2", "a": "1"}, {"z": "26", "y": "25"})


def assembled(*bases: PlatformBase, description: Description = DESCRIPTION) -> Image:
    return assemble(bases, MODEL, description)


def config(image: Image, number: int = 0) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(b"".join(image.configs[number].open()))
    return value


def test_config_without_a_base() -> None:
    """No Entrypoint, which would swallow KServe's arguments; a PATH, by which its shell line is found."""
    assert config(assembled(AMD64)) == {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {
            "User": "1001",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "WorkingDir": "/",
            "Labels": {"a": "1", "b": "2"},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.descriptor.digest for layer in MODEL]},
        "history": [
            {"created": "2024-01-01T00:00:00Z", "created_by": "modelcar: a … b (2 files)", "comment": SHARED.key},
            {"created": "2024-01-01T00:00:00Z", "created_by": "modelcar: m.safetensors", "comment": WEIGHTS.key},
        ],
    }


def test_config_on_a_base() -> None:
    made = config(assembled(ARM64))
    assert (made["architecture"], made["variant"]) == ("arm64", "v8")
    assert made["config"]["Env"] == ["PATH=/bin", "A=b"]
    assert made["config"]["Entrypoint"] == ["/bin/link-model-and-wait"]
    assert made["rootfs"]["diff_ids"] == [DIFF, *(layer.descriptor.digest for layer in MODEL)]
    assert made["history"][0]["created_by"] == "base image"
    assert len(made["history"]) == len(made["rootfs"]["diff_ids"])


def test_manifests_share_the_model_s_layers() -> None:
    image = assembled(AMD64, ARM64)
    first, second = (json.loads(content) for _, content in image.manifests)
    assert first["layers"] == second["layers"][1:]
    assert second["layers"][0] == {"mediaType": media.OCI_LAYER_GZIP, "digest": BASE, "size": 5}
    assert first["layers"] == [
        {
            "mediaType": media.OCI_LAYER,
            "digest": MODEL[0].descriptor.digest,
            "size": 10,
            "annotations": {"modelcar.key": SHARED.key},
        },
        {
            "mediaType": media.OCI_LAYER,
            "digest": MODEL[1].descriptor.digest,
            "size": 20,
            "annotations": {"modelcar.key": WEIGHTS.key, "modelcar.path": "m.safetensors"},
        },
    ]
    for manifest, blob in zip((first, second), image.configs, strict=True):
        assert manifest["config"] == {"mediaType": media.OCI_CONFIG, "digest": blob.digest, "size": blob.size}
        assert manifest["annotations"] == {"y": "25", "z": "26"}


def test_index_names_each_platform_s_manifest() -> None:
    image = assembled(AMD64, ARM64)
    descriptor, content = image.index
    index = json.loads(content)
    assert (descriptor.digest, descriptor.media_type) == (digest_of(content), media.OCI_INDEX)
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux", "variant": "v8"},
    ]
    assert [entry["digest"] for entry in index["manifests"]] == [digest_of(bytes_) for _, bytes_ in image.manifests]


def test_same_bytes_whatever_the_order_of_labels_and_annotations() -> None:
    turned = Description(DESCRIPTION.created, {"a": "1", "b": "2"}, {"y": "25", "z": "26"})
    assert assembled(AMD64, ARM64, description=turned).index == assembled(AMD64, ARM64).index


PACKED = PlannedLayer(WEIGHTS.files, parse_compression("gzip"))


def test_a_compressed_layer_has_its_own_digest_and_diff_id() -> None:
    image = assemble([AMD64], [model_layer(PACKED, StoredLayer(ONE, 10, TWO))], DESCRIPTION)
    (layer,) = json.loads(image.manifests[0][1])["layers"]
    assert (layer["mediaType"], layer["digest"]) == (media.OCI_LAYER_GZIP, ONE)
    made = config(image)
    assert made["rootfs"]["diff_ids"] == [TWO]
    assert made["history"][0]["comment"] == f"{PACKED.key} {ONE}"


def test_docker_s_manifests_have_docker_s_types_and_no_annotations() -> None:
    layers = [model_layer(PACKED, StoredLayer(ONE, 10, TWO))]
    image = assemble([AMD64, ARM64], layers, DESCRIPTION, Format.DOCKER)
    (_, content), (descriptor, second) = image.manifests
    assert json.loads(content) == {
        "schemaVersion": 2,
        "mediaType": media.DOCKER_MANIFEST,
        "config": {"mediaType": media.DOCKER_CONFIG, "digest": image.configs[0].digest, "size": image.configs[0].size},
        "layers": [{"mediaType": media.DOCKER_LAYER_GZIP, "digest": ONE, "size": 10}],
    }
    assert [layer["mediaType"] for layer in json.loads(second)["layers"]] == [media.DOCKER_LAYER_GZIP] * 2
    index = json.loads(image.index[1])
    assert index.keys() == {"schemaVersion", "mediaType", "manifests"}
    assert (index["mediaType"], image.index[0].media_type) == (media.DOCKER_LIST, media.DOCKER_LIST)
    assert index["manifests"][1]["mediaType"] == descriptor.media_type == media.DOCKER_MANIFEST
    assert config(image) == config(assemble([AMD64, ARM64], layers, DESCRIPTION))

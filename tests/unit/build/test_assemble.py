"""Config, manifests and index of an image, as KServe, image volumes and every other reader want them."""

from __future__ import annotations

import json
from typing import Any

from modelcar.build.assemble import BaseLayer, Description, Image, PlatformBase, assemble, model_layer
from modelcar.oci import Descriptor, Digest, Platform, digest_of, media

BASE = Digest("sha256:" + "0b" * 32)
DIFF = Digest("sha256:" + "0c" * 32)
MODEL = [
    model_layer(Descriptor("", Digest("sha256:" + "01" * 32), 10), "key-1", None, "a … b (2 files)"),
    model_layer(Descriptor("", Digest("sha256:" + "02" * 32), 20), "key-2", "m.safetensors", "m.safetensors"),
]
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
            {"created": "2024-01-01T00:00:00Z", "created_by": "modelcar: a … b (2 files)"},
            {"created": "2024-01-01T00:00:00Z", "created_by": "modelcar: m.safetensors"},
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
            "annotations": {"modelcar.key": "key-1"},
        },
        {
            "mediaType": media.OCI_LAYER,
            "digest": MODEL[1].descriptor.digest,
            "size": 20,
            "annotations": {"modelcar.key": "key-2", "modelcar.path": "m.safetensors"},
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

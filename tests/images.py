"""Images of any layers in a registry double: what our own builds would never make."""

from __future__ import annotations

from modelcar.oci import media
from tests.doubles.in_memory import MemoryStore, put_image
from tests.doubles.registry import Registry
from tests.pushing import REPO
from tests.unit.image.tars import Layer


def publish(registry: Registry, *layers: Layer, tag: str = "1", entrypoint: tuple[str, ...] = ()) -> str:
    """Put an image of these layers into a registry. Returns its reference."""
    store = MemoryStore()
    put_image(store, *layers, tag=tag, entrypoint=entrypoint)
    for content in store.blobs.values():
        registry.put_blob(REPO, content)
    registry.put_manifest(REPO, tag, store.manifests[tag].content, media.OCI_MANIFEST)
    return f"{registry.host}/{REPO}:{tag}"

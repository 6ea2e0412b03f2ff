"""An OCI archive: a tar of an OCI image layout in one file, as skopeo and podman write it."""

from modelcar.stores.archive.store import ArchiveStore

__all__ = ["ArchiveStore"]

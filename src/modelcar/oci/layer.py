"""A layer as it lies in a store."""

from __future__ import annotations

from dataclasses import dataclass

from modelcar.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer's blob, and what it is inside (image-spec, config.md, "Layer DiffID").

    Attributes:
        digest: Of the blob.
        size: Bytes of the blob.
        diff_id: Of the uncompressed tar; the digest itself where the blob is not compressed.
    """

    digest: Digest
    size: int
    diff_id: Digest

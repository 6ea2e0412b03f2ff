"""Tags by which signatures, SBOMs and the like hang on an image where a store keeps no list of referrers."""

from __future__ import annotations

import re

from modelcar.oci.digest import Digest, encoded

COSIGN = (".sig", ".att", ".sbom")
"""What cosign puts behind an image's digest to name its signatures, attestations and SBOM."""

_FORM = re.compile(r"sha(256|512)-[0-9a-f]{64}(\.[A-Za-z0-9]+)?")


def referrers_tag(digest: Digest) -> str:
    """The tag of the index that lists the referrers of `digest` (distribution-spec v1.1, "Referrers Tag Schema")."""
    algorithm, name = encoded(digest)
    return f"{algorithm[:32]}-{name[:64]}"


def cosign_tags(digest: Digest) -> tuple[str, ...]:
    """The tags under which cosign keeps what belongs to `digest`."""
    return tuple("-".join(encoded(digest)) + suffix for suffix in COSIGN)


def is_attached_tag(tag: str) -> bool:
    """Whether a tag names what hangs on an image, not an image."""
    return _FORM.fullmatch(tag) is not None

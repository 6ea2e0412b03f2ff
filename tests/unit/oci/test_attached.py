"""Tags of what hangs on an image."""

from __future__ import annotations

import pytest

from modelcar.oci import Digest
from modelcar.oci.attached import cosign_tags, is_attached_tag, referrers_tag

_DIGEST = Digest(f"sha256:{'a' * 64}")


def test_tags_of_a_digest() -> None:
    assert referrers_tag(_DIGEST) == f"sha256-{'a' * 64}"
    assert referrers_tag(Digest(f"sha512:{'b' * 128}")) == f"sha512-{'b' * 64}"  # no tag is longer than 128
    assert cosign_tags(_DIGEST) == tuple(f"sha256-{'a' * 64}{end}" for end in (".sig", ".att", ".sbom"))


@pytest.mark.parametrize("tag", ["", "1", "sha256-abc", f"x-sha256-{'a' * 64}", f"sha256-{'a' * 64}-1"])
def test_other_tags(tag: str) -> None:
    assert not is_attached_tag(tag)


def test_its_own_tags() -> None:
    assert all(is_attached_tag(tag) for tag in (referrers_tag(_DIGEST), *cosign_tags(_DIGEST)))

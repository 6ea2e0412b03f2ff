"""References: what they mean, and which part of a wrong one is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import UsageError
from modelcar.oci import Digest, Reference, is_digest, parse_reference
from modelcar.oci.reference import is_tag

SHA256 = Digest("sha256:" + "0a" * 32)
SHA512 = Digest("sha512:" + "0a" * 64)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("quay.io/acme/granite:3.1", Reference("quay.io", "acme/granite", "3.1")),
        ("quay.io/granite", Reference("quay.io", "granite")),
        ("localhost/granite:x", Reference("localhost", "granite", "x")),
        ("localhost:5000/a/b/c:x", Reference("localhost:5000", "a/b/c", "x")),
        ("registry:5000/a", Reference("registry:5000", "a")),
        ("127.0.0.1:5000/a:x", Reference("127.0.0.1:5000", "a", "x")),
        ("[::1]:5000/a:x", Reference("[::1]:5000", "a", "x")),
        ("[2001:db8::1]/a", Reference("[2001:db8::1]", "a")),
        (f"quay.io/a@{SHA256}", Reference("quay.io", "a", None, SHA256)),
        (f"quay.io/a:x@{SHA512}", Reference("quay.io", "a", "x", SHA512)),
        ("quay.io/a__b-c--d.e/f:_-.x", Reference("quay.io", "a__b-c--d.e/f", "_-.x")),
        ("docker.io/ubuntu:24.04", Reference("docker.io", "library/ubuntu", "24.04")),
        ("docker.io/acme/granite", Reference("docker.io", "acme/granite")),
        ("index.docker.io/ubuntu", Reference("docker.io", "library/ubuntu")),
    ],
)
def test_meaning(text: str, meant: Reference) -> None:
    assert parse_reference(text) == meant
    assert parse_reference(str(meant)) == meant


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "names no registry"),
        ("granite", "names no registry; write it as HOST/REPOSITORY:TAG, for example docker.io/granite"),
        ("acme/granite:1", "names no registry"),
        ("-quay.io/a", "'-quay.io' is no registry host"),
        ("quay.io:port/a", "'quay.io:port' is no registry host"),
        ("quay..io/a", "'quay..io' is no registry host"),
        ("[::1/a", "'[::1' is no registry host"),
        ("quay.io/", "'' is no repository name"),
        ("quay.io/Acme/granite", "'Acme/granite' is no repository name"),
        ("quay.io/a//b", "'a//b' is no repository name"),
        ("quay.io/a___b", "'a___b' is no repository name"),
        ("quay.io/a b", "'a b' is no repository name"),
        ("quay.io/" + "a" * 255, "is no repository name"),
        ("quay.io/a:", "'' is no tag"),
        ("quay.io/a:-x", "'-x' is no tag"),
        ("quay.io/a:x:y", "'x:y' is no tag"),
        ("quay.io/a:x\n", "is no tag"),
        ("quay.io/a:" + "x" * 129, "is no tag"),
        ("quay.io/a@", "after '@' comes a digest"),
        ("quay.io/a@sha256:0a", "not 'sha256:0a'"),
        (f"quay.io/a@{SHA256.upper()}", "after '@' comes a digest"),
        (f"quay.io/a@{SHA256}\n", "after '@' comes a digest"),
    ],
)
def test_wrong_part_is_named(text: str, named: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_reference(text)
    assert named in str(raised.value)


def test_password_in_a_reference_is_not_repeated() -> None:
    with pytest.raises(UsageError) as raised:
        parse_reference("me:hunter2@quay.io/acme/granite")
    assert "hunter2" not in str(raised.value)
    assert "write it as quay.io/acme/granite; `modelcar login`" in str(raised.value)


@given(st.text() | st.from_regex(r"[a-z.:\[\]@/_-]{0,40}", fullmatch=True))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    assert str(reference).isascii()


def test_version_is_digest_before_tag_before_latest() -> None:
    reference = parse_reference("quay.io/a")
    assert reference.version == "latest"
    assert Reference("quay.io", "a", "x").version == "x"
    assert Reference("quay.io", "a", "x", SHA256).version == SHA256
    assert reference.at(SHA256) == Reference("quay.io", "a", None, SHA256)
    assert reference.name == "quay.io/a"


def test_forms_of_digests_and_tags() -> None:
    assert is_digest(SHA256)
    assert is_digest(SHA512)
    assert not any(map(is_digest, ["", "sha256:", SHA256[:-1], SHA256 + "0", SHA256.upper(), "md5:" + "0" * 32]))
    assert is_tag("x" * 128)
    assert not any(map(is_tag, ["", ".x", "-x", "x/y", "x" * 129, "é"]))

"""How fsspec's URLs are split. What a file system does is tested over a socket, in tests/integration/test_fsspec.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcar.errors import UsageError
from modelcar.fs import split

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("path", "image", "file"),
    [
        ("quay.io/acme/granite:3.1/config.json", "quay.io/acme/granite:3.1", "config.json"),
        ("127.0.0.1:5000/x:1/a/b.json", "127.0.0.1:5000/x:1", "a/b.json"),
        (f"localhost:5000/a/b/c@{DIGEST}/x", f"localhost:5000/a/b/c@{DIGEST}", "x"),
        (f"h/a:1@{DIGEST}/x", f"h/a:1@{DIGEST}", "x"),
        ("h/a:1/with:colon@and/at", "h/a:1", "with:colon@and/at"),
        ("h/a:1", "h/a:1", ""),
        ("h/a:1/", "h/a:1", ""),
    ],
)
def test_where_host_tag_and_file_end(path: str, image: str, file: str) -> None:
    assert split(path) == (image, file)


@pytest.mark.parametrize("path", ["", "h", "h/a", "h/a/config.json", "h:1", "h/:1/x", "/a:1/x", "[::1]:5000/a:1/x"])
def test_what_names_no_image(path: str) -> None:
    with pytest.raises(UsageError, match="names no image of a registry"):
        split(path)


@given(st.text(alphabet="ab:@/[]."))
def test_any_path(path: str) -> None:
    try:
        image, file = split(path)
    except UsageError:
        return
    assert path.startswith(image)
    assert path.strip("/").endswith(file)

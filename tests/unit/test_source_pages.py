"""The source that an image names by its annotations."""

from __future__ import annotations

import pytest

from modelcar.sources import source_of_page

_COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("url", "revision", "expected"),
    [
        ("https://huggingface.co/acme/x", _COMMIT, f"hf://acme/x@{_COMMIT}"),
        ("https://hub.example/acme/x", _COMMIT, f"hf://acme/x@{_COMMIT}"),
        ("https://huggingface.co/acme/x", "main", None),
        ("https://huggingface.co/acme/x", "", None),
        ("https://huggingface.co/acme", _COMMIT, None),
        ("https://huggingface.co/datasets/acme/x", _COMMIT, None),
        ("https://huggingface.co.evil.example/acme/x", _COMMIT, None),
        ("https://github.com/acme/x", _COMMIT, None),
        ("", _COMMIT, None),
    ],
)
def test_only_a_commit_on_the_hub_that_is_in_use(
    url: str, revision: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    assert source_of_page(url, revision) == expected

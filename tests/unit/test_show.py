"""How values look on a terminal."""

from __future__ import annotations

import pytest

from modelcar.cli import show
from modelcar.errors import UsageError
from modelcar.http import Http
from modelcar.settings import Access
from modelcar.sources import open_source
from modelcar.stores import locate


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("models/a b é.json", "models/a b é.json"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("\udcff.bin", "\\xff.bin"),
        ("\u202eevil", "\\u202eevil"),
    ],
)
def test_names_cannot_steer_a_terminal(path: str, shown: str) -> None:
    assert show.name(path) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "typed",
    [
        "https://user:s3cret@quay.io/a/b",
        "user:s3cret@quay.io/a:1",
        "user:s3cret@quay.io",
        "docker://user:s3cret@quay.io/a",
        "hf://user:s3cret@huggingface.co/a",
    ],
)
def test_a_password_in_a_name_is_not_repeated(typed: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_source(typed, Http()) if typed.startswith("hf:") else locate(typed, Http(), Access())
    assert "s3cret" not in str(raised.value)
    assert "modelcar login" in str(raised.value)


def test_sizes_and_counts() -> None:
    assert [show.size(n) for n in (0, 999, 1000, 253_113_024, 5_000_000_000, 810_000_000_000)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "253 MB",
        "5.0 GB",
        "810 GB",
    ]
    assert [show.count(n, "file") for n in (0, 1, 2, 2000)] == ["0 files", "1 file", "2 files", "2,000 files"]


def test_few_parameters_are_counted() -> None:
    assert [show.parameters(count) for count in (340, 49_999, 61_000, 268_098_176, 2_530_000_000)] == [
        "340", "49,999", "0.1 M", "268.1 M", "2.53 B"
    ]  # fmt: skip

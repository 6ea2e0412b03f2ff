"""What kubectl reads in a scalar."""

from __future__ import annotations

import pytest

from modelcar.kserve.scalars import integer_of, plain_type, quoted


@pytest.mark.parametrize(
    ("type_", "texts"),
    [
        ("boolean", "y Y yes Yes YES n N no No NO true True TRUE false on On ON off Off OFF"),
        ("null", "~ null Null NULL"),
        ("integer", "0 1 -1 +7 017 0o17 0x1F 0b11 1_000 12345678901234567890"),
        ("number", "18446744073709551616 08 09 1e3 1.5 .5 1. -2.5e-3 .inf -.Inf .nan"),
        ("string", "yEs tRue oN nULL 1.2.3 1Gi 100m 12:30:45 2001-01-01 0x 0o8 - + . .e3 e3 = << v1 on-call Notes"),
    ],
)
def test_types(type_: str, texts: str) -> None:
    assert {text: plain_type(text) for text in texts.split()} == dict.fromkeys(texts.split(), type_)


def test_nothing_is_null() -> None:
    assert plain_type("") == "null"


@pytest.mark.parametrize(
    ("text", "value"),
    [("017", 15), ("0o17", 15), ("0x1F", 31), ("-0b11", -3), ("1e3", 1000), ("08", 8), ("1.5", None), ("x", None),
     ("1_000", 1000), ("0", 0), ("1e400", None), ("9" * 40, None)],
)  # fmt: skip
def test_whole_numbers(text: str, value: int | None) -> None:
    assert integer_of(text) == value


def test_what_we_write_is_a_string_everywhere() -> None:
    assert quoted("yes") == '"yes"'
    assert quoted('a"b\\ü') == '"a\\"b\\\\ü"'

"""A config.json as typed fields: any name may be missing, and each value is of the kind asked for or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelcar.errors import ContentMismatch

LARGEST = 2**48
"""No count in a configuration is larger."""

MAX_LAYERS = 10_000


class Fields:
    """An object of a configuration.

    Args:
        values: As JSON has them.
        where: What it is called in errors.
    """

    def __init__(self, values: Mapping[str, Any], where: str = "config.json") -> None:
        self.values = values
        self._where = where

    def has(self, name: str) -> bool:
        """Whether the field is there, if only as null."""
        return name in self.values

    def given(self, name: str) -> bool:
        """Whether the field has a value."""
        return self.values.get(name) is not None

    def number(self, *names: str, default: int = 0) -> int:
        """The first of the fields that has a value, as a whole number from 0 up.

        Raises:
            ContentMismatch: It is something else.
        """
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
                raise self._wrong(name, "a whole number")
            return value
        return default

    def largest(self, name: str) -> int:
        """A whole number, or the largest of a list with one for each layer."""
        if isinstance(self.values.get(name), list):
            return max(self.numbers(name), default=0)
        return self.number(name)

    def only(self, *names: str) -> Fields:
        """What of these fields is of the simplest kind: a number, true or false."""
        kept = {name: self.values[name] for name in names if isinstance(self.values.get(name), int)}
        return Fields({name: value for name, value in kept.items() if 0 <= value <= LARGEST}, self._where)

    def ratio(self, *names: str, default: float = 1.0) -> float:
        """The same as a number with a fraction."""
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
                raise self._wrong(name, "a number")
            return float(value)
        return default

    def flag(self, name: str, default: bool = False) -> bool:
        """A field that is true or false. Null is the default."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def text(self, name: str) -> str:
        """A field that is a text; empty where it is missing."""
        value = self.values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def words(self, name: str) -> list[str]:
        """A field that is a list of texts."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of texts")
        return values

    def numbers(self, name: str) -> list[int]:
        """A field that is a list of whole numbers."""
        values = self._list(name)
        if not all(isinstance(value, int) and 0 <= value <= LARGEST for value in values):
            raise self._wrong(name, "a list of whole numbers")
        return [int(value) for value in values]

    def objects(self, name: str) -> list[Fields]:
        """A field that is a list of objects."""
        values = self._list(name)
        if not all(isinstance(value, dict) for value in values):
            raise self._wrong(name, "a list of objects")
        return [Fields(value, f"{self._where}: {name}") for value in values]

    def inner(self, name: str) -> Fields | None:
        """A field that is an object itself; None where it is missing."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return Fields(value, f"{self._where}: {name}")

    def wrong(self, what: str) -> ContentMismatch:
        """An error about this configuration."""
        return ContentMismatch(f"{self._where}: {what}")

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > MAX_LAYERS:
            raise self._wrong(name, "a list")
        return value

    def _wrong(self, name: str, kind: str) -> ContentMismatch:
        shown = repr(self.values[name])
        return self.wrong(f"{name} is {shown if len(shown) < 60 else shown[:57] + '…'}, not {kind}")

"""What a model card says of itself in its header (Hugging Face Hub docs, "Model Cards", "Model card metadata")."""

from __future__ import annotations

import re
from pathlib import Path

_HEADER = re.compile(rb"---[ \t]*\r?\n(.*?\n)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
LONGEST = 1024 * 1024
"""Bytes of a card that are looked at."""


def license_of(card: Path) -> str | None:
    """The `license` of a README.md's YAML header, None where there is none or it can't be read."""
    try:
        with card.open("rb") as opened:
            return license_in_text(opened.read(LONGEST))
    except OSError:
        return None


def license_in_text(card: bytes) -> str | None:
    """The `license` that a card's text states in its YAML header, None where there is none or it can't be read."""
    header = _HEADER.match(card)
    if header is None:
        return None
    import yaml

    try:
        return license_in(yaml.safe_load(header[1]))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def license_in(values: object) -> str | None:
    """The license that a card's metadata names: `license_name` where `license` is only "other"."""
    if not isinstance(values, dict):
        return None
    license_ = values.get("license")
    if license_ == "other":
        license_ = values.get("license_name", license_)
    return license_ if isinstance(license_, str) and license_ else None

"""What a model card says of itself in its header (Hugging Face Hub docs, "Model Cards", "Model card metadata")."""

from __future__ import annotations

from pathlib import Path


def license_of(card: Path) -> str | None:
    """The `license` of a README.md's YAML header, None where there is none or it can't be read."""
    try:
        with card.open(encoding="utf-8") as lines:
            if lines.readline().strip() != "---":
                return None
            header: list[str] = []
            for line in lines:
                if line.strip() == "---":
                    break
                header.append(line)
                if len(header) > 10_000:
                    return None
    except (OSError, UnicodeDecodeError):
        return None
    import yaml

    try:
        values = yaml.safe_load("".join(header))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return license_in(values)


def license_in(values: object) -> str | None:
    """The license that a card's metadata names: `license_name` where `license` is only "other"."""
    if not isinstance(values, dict):
        return None
    license_ = values.get("license")
    if license_ == "other":
        license_ = values.get("license_name", license_)
    return license_ if isinstance(license_, str) and license_ else None

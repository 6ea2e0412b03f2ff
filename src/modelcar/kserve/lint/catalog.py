"""The rules, from rules.toml: what each finds, why that is wrong, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

PLACE = Path(__file__).with_name("rules.toml")


class Severity(StrEnum):
    """How bad it is. `ERROR` decides the exit code; `WARNING` does with `--strict`."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """A mistake that lint knows.

    Attributes:
        id: What users ignore it by; stays the same for ever.
        group: Under which heading of the docs it stands.
        severity: How bad it is.
        what: One sentence.
        why: What happens on the cluster.
        fix: What to do.
        source: Whose code says so, as `repository: path`; empty where a page of Kubernetes' own does or none needs to.
    """

    id: str
    group: str
    severity: Severity
    what: str
    why: str
    fix: str
    source: str = ""


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its id, in the order of the docs."""
    # Loaded here: files without a finding needn't wait for it.
    import tomllib

    return {
        id_: Rule(
            id_,
            rule["group"],
            Severity(rule["severity"]),
            rule["what"],
            rule["why"],
            rule["fix"],
            rule.get("source", ""),
        )
        for id_, rule in tomllib.loads(PLACE.read_text(encoding="utf-8")).items()
    }

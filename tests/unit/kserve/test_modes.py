"""Which of KServe's modes can take an image."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelcar.base.needs import STAND_IN, missing_commands
from modelcar.kserve.modes import (
    Finding,
    LayerTraits,
    Traits,
    findings,
    is_plainly_named,
)
from modelcar.oci import media

MODEL = LayerTraits(media.OCI_LAYER, True)
GOOD = Traits((LayerTraits(media.OCI_LAYER_GZIP, False), MODEL), True)


def answers(traits: Traits) -> tuple[bool | None, ...]:
    return tuple(finding.works for finding in findings(traits))


def fetch(*layers: LayerTraits) -> Finding:
    return findings(Traits(layers, True))[2]


def test_an_image_with_a_shell_and_a_model_goes_everywhere() -> None:
    assert answers(GOOD) == (True, True, True)
    assert [finding.mode for finding in findings(GOOD)] == ["modelcar", "native", "fetch"]


def test_without_models_it_goes_nowhere() -> None:
    assert answers(replace(GOOD, has_models=False)) == (False, False, False)
    assert all("modelcar build" in finding.fix for finding in findings(replace(GOOD, has_models=False)))


def test_what_was_not_seen_is_not_known() -> None:
    assert answers(replace(GOOD, has_models=None)) == (None, None, None)
    assert answers(replace(GOOD, missing=None)) == (None, True, True)


def test_modelcar_mode_wants_a_shell_and_no_entrypoint() -> None:
    (finding, *others) = findings(replace(GOOD, missing=("sh", "ln", "sleep")))
    assert not finding.works
    assert "there is no sh, ln, sleep" in finding.reason
    assert all(other.works for other in others)
    (finding, *_) = findings(replace(GOOD, entrypoint=("/bin/vllm", "serve")))
    assert not finding.works
    assert "(/bin/vllm serve)" in finding.reason
    assert finding.fix == "build the image without an Entrypoint"
    (finding, *_) = findings(replace(GOOD, entrypoint=("/bin/serve",), missing=("sh", "ln")))
    assert finding.reason.endswith("the Entrypoint (/bin/serve) would take them; nor is there sh, ln in it")
    assert "on a base that has them" in finding.fix


@pytest.mark.parametrize(
    ("entrypoint", "works"),
    [
        (("/usr/bin/tini", "--"), True),
        (("tini",), True),
        (("/usr/bin/env",), True),
        (("/usr/bin/env", "python"), False),
        (("/entrypoint.sh",), False),
    ],
)
def test_an_entrypoint_that_runs_what_it_is_given(entrypoint: tuple[str, ...], works: bool) -> None:
    assert findings(replace(GOOD, entrypoint=entrypoint))[0].works is works


def test_the_base_that_stands_in_for_a_shell() -> None:
    (finding, *_) = findings(replace(GOOD, entrypoint=STAND_IN, missing=("sh", "ln", "sleep")))
    assert finding.works
    assert "one model" in finding.reason


@pytest.mark.parametrize("kind", [media.OCI_LAYER_ZSTD, media.DOCKER_LAYER_ZSTD])
def test_fetch_mode_refuses_zstd_even_in_the_base(kind: str) -> None:
    finding = fetch(LayerTraits(kind, False), MODEL)
    assert not finding.works
    assert "1 of 2 layers is zstd" in finding.reason


@pytest.mark.parametrize("kind", [media.DOCKER_LAYER, "application/vnd.cncf.model.weight.v1.tar"])
def test_fetch_mode_skips_other_layers_without_a_word(kind: str) -> None:
    assert fetch(LayerTraits(kind, True)).works is False
    assert kind in fetch(LayerTraits(kind, True)).reason
    assert fetch(LayerTraits(kind, False), MODEL).works is True
    assert fetch(LayerTraits(kind, None), MODEL).works is None


def test_fetch_mode_takes_members_by_one_spelling() -> None:
    assert is_plainly_named("models/config.json")
    assert is_plainly_named("models")
    assert not is_plainly_named("./models/config.json")
    assert not is_plainly_named("/models/config.json")
    assert not is_plainly_named("models2/config.json")
    assert fetch(LayerTraits(media.OCI_LAYER, True, plainly_named=False)).works is False
    assert fetch(LayerTraits(media.DOCKER_LAYER_GZIP, True)).works is True


def test_commands_are_looked_for_along_the_path() -> None:
    there = {"bin/sh", "usr/bin/ln"}
    assert missing_commands(there.__contains__) == ("sleep",)

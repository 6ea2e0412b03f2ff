"""What is found in an image besides whether a mode takes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelcar.base.needs import STAND_IN
from modelcar.kserve.check import REFUSED, Finding, Seen, Severity, failures, findings
from modelcar.kserve.modes import LayerTraits, Traits
from modelcar.kserve.versions import Scheme
from modelcar.oci import media

MODEL = LayerTraits(media.OCI_LAYER, True)
GOOD = Seen(Traits((LayerTraits(media.OCI_LAYER_GZIP, False), MODEL), True), "linux/amd64", ("linux/amd64",))


def rules(seen: Seen, severity: Severity | None = None) -> list[str]:
    return [found.rule for found in findings(seen) if severity in (None, found.severity)]


def the(seen: Seen, rule: str) -> Finding:
    (found,) = [found for found in findings(seen) if found.rule == rule]
    return found


def test_a_good_image_has_a_line_for_each_mode_and_no_other() -> None:
    assert rules(GOOD) == ["modelcar-mode", "native-mode", "fetch-mode"]
    assert rules(GOOD, Severity.OK) == rules(GOOD)
    assert not any(failures(findings(GOOD), scheme) for scheme in Scheme)


def test_without_models_there_is_one_line_for_all_modes() -> None:
    seen = replace(GOOD, traits=replace(GOOD.traits, has_models=False))
    found = the(seen, "no-models")
    assert (found.scheme, found.severity) == (None, Severity.ERROR)
    assert rules(seen) == ["no-models"]
    assert "no-models" in REFUSED
    assert all(failures(findings(seen), scheme) for scheme in Scheme)


def test_without_models_it_tells_what_else_is_wrong() -> None:
    traits = replace(GOOD.traits, has_models=False, entrypoint=("/bin/serve",))
    found = failures(findings(replace(GOOD, traits=traits)), Scheme.MODELCAR)
    assert [each.rule for each in found] == ["no-models", "modelcar-mode"]
    assert "Entrypoint (/bin/serve)" in found[1].reason
    bare = findings(replace(GOOD, traits=replace(GOOD.traits, has_models=False, missing=("sh", "ln"))))
    assert [each.rule for each in bare] == ["no-models", "modelcar-mode"]


def test_a_damaged_model_and_none_have_different_fixes() -> None:
    damaged = replace(GOOD, no_model="config.json is no JSON")
    assert the(damaged, "model").fix == "compare it with its source: modelcar verify"
    assert "into /models" in the(replace(damaged, is_without_weights=True), "model").fix
    assert the(replace(damaged, is_without_weights=True, partly_seen=("layer 1 is gzip",)), "model").fix == ""


def test_an_error_counts_in_its_own_mode_only() -> None:
    found = findings(replace(GOOD, traits=replace(GOOD.traits, entrypoint=("/bin/serve",))))
    assert [each.rule for each in failures(found, Scheme.MODELCAR)] == ["modelcar-mode"]
    assert not failures(found, Scheme.NATIVE)
    assert not failures(found, Scheme.FETCH)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("quay.io/acme/sleepy:1", "sleep-in-name"),
        ("asleep.example:5000/acme/m:1", "sleep-in-name"),
        ("quay.io/acme/sleepy:sleep", "sleep-in-name"),
        ("quay.io/acme/m:sleep", "sleep-in-tag"),
        ("sleep.example:5000/m@sha256:00", "sleep-in-name"),
        ("quay.io:5000/acme/m:sleep@sha256:00", "sleep-in-tag"),
    ],
)
def test_a_word_in_the_name_that_a_base_of_others_waits_at(name: str, rule: str) -> None:
    named = replace(GOOD, name=name)
    assert rules(named) == rules(GOOD)
    found = findings(replace(named, traits=replace(GOOD.traits, entrypoint=STAND_IN)))
    assert [each.rule for each in failures(found, Scheme.MODELCAR)] == [rule]
    assert not failures(found, Scheme.NATIVE)


def test_what_was_not_seen_is_no_error() -> None:
    seen = replace(GOOD, traits=replace(GOOD.traits, missing=None), partly_seen=("layer 1 is gzip",))
    assert rules(seen, Severity.UNCHECKED) == ["modelcar-mode", "partly"]
    assert not rules(seen, Severity.ERROR)
    assert the(seen, "partly").fix == "--full reads on"


@pytest.mark.parametrize("platforms", [("linux/arm64",), ("linux/arm64", "linux/s390x"), ("windows/amd64",)])
def test_an_architecture_that_the_nodes_have_not(platforms: tuple[str, ...]) -> None:
    found = the(replace(GOOD, platforms=platforms), "architecture")
    assert (found.severity, found.scheme) == (Severity.ERROR, None)
    assert found.reason == f"it is for {', '.join(platforms)}, and the nodes are taken to be linux/amd64"


def test_a_variant_meets_a_wish_without_one_and_not_the_other_way() -> None:
    seen = replace(GOOD, wanted="linux/arm64", platforms=("linux/arm64/v8",))
    assert "architecture" not in rules(seen)
    assert "architecture" not in rules(replace(seen, wanted="linux/arm64/v8"))
    assert "architecture" in rules(replace(seen, wanted="linux/arm64/v9"))
    assert "architecture" in rules(replace(seen, wanted="linux/arm"))


def test_layers_that_no_container_engine_unpacks() -> None:
    odd = LayerTraits("application/vnd.cncf.model.weight.v1.tar", None)
    found = findings(replace(GOOD, traits=replace(GOOD.traits, layers=(MODEL, odd))))
    assert [each.scheme for each in found if each.rule == "layer-type"] == [Scheme.MODELCAR, Scheme.NATIVE]


def test_many_layers_are_a_warning() -> None:
    at_most = replace(GOOD, traits=replace(GOOD.traits, layers=(MODEL,) * 127))
    assert "many-layers" not in rules(at_most)
    more = replace(GOOD, traits=replace(GOOD.traits, layers=(MODEL,) * 128))
    assert rules(more, Severity.WARNING) == ["many-layers"] * 2


def test_who_may_read_the_model() -> None:
    some = tuple(f"models/{number}" for number in range(5))
    found = the(replace(GOOD, unreadable=some), "unreadable")
    assert found.severity is Severity.ERROR
    assert found.reason.startswith("/models/0, /models/1, /models/2 and 2 more can't be read by any user")
    assert the(replace(GOOD, for_root_group=("models/a",)), "root-group").severity is Severity.WARNING
    assert the(replace(GOOD, leading_out=("models/a",)), "link-out").severity is Severity.WARNING


def test_a_model_in_a_folder_and_a_tag_that_moves() -> None:
    assert "--model=/mnt/models/granite" in the(replace(GOOD, folder="granite"), "folder").fix
    assert the(replace(GOOD, is_pinned=False, tag="latest"), "latest").severity is Severity.WARNING
    assert "latest" not in rules(replace(GOOD, is_pinned=True, tag="latest"))
    assert "latest" not in rules(replace(GOOD, is_pinned=False, tag="1"))


def test_a_finding_as_one_line() -> None:
    assert str(Finding("x", Severity.OK, None, "why")) == "why"
    assert str(Finding("x", Severity.OK, None, "why", "do this")) == "why; do this"

from __future__ import annotations

import pytest

from modelcar.errors import Refused, UsageError
from modelcar.kserve.versions import Cluster, Flavor, Mode, Scheme, Version, parse_mode, parse_version


@pytest.mark.parametrize("text", ["0.16", "v0.16.1", "0.16.0-rc1", " 0.16 "])
def test_a_version_is_read_in_each_usual_spelling(text: str) -> None:
    assert parse_version(text, "--kserve-version") == Version(0, 16)


@pytest.mark.parametrize("text", ["", "16", "new", "0.x", "0.16.1.2.3.4"])
def test_what_is_no_version_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(UsageError, match="--kserve-version"):
        parse_version(text, "--kserve-version")


def test_versions_compare_as_numbers() -> None:
    assert Version(0, 9) < Version(0, 16) < Version(1, 0)


@pytest.mark.parametrize(("word", "mode"), [("RawDeployment", Mode.STANDARD), ("serverless", Mode.KNATIVE)])
def test_both_spellings_of_a_mode_are_read(word: str, mode: Mode) -> None:
    assert parse_mode(word, "--mode") is mode
    assert parse_mode(mode.value, "--mode") is mode


def test_a_mode_that_is_none_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="Standard, RawDeployment, Knative, Serverless"):
        parse_mode("ModelMesh", "--mode")


@pytest.mark.parametrize(
    ("cluster", "mode", "word"),
    [
        (Cluster(Flavor.OPENSHIFT_AI_2), Mode.KNATIVE, "Serverless"),
        (Cluster(Flavor.OPENSHIFT_AI_2, Version(0, 17)), Mode.STANDARD, "RawDeployment"),
        (Cluster(Flavor.KSERVE, Version(0, 15)), Mode.STANDARD, "RawDeployment"),
        (Cluster(Flavor.KSERVE, Version(0, 16)), Mode.KNATIVE, "Knative"),
        (Cluster(Flavor.OPENSHIFT_AI_3), Mode.STANDARD, "Standard"),
    ],
)
def test_each_cluster_has_its_word_for_a_mode(cluster: Cluster, mode: Mode, word: str) -> None:
    assert cluster.spelled(mode) == word


def test_openshift_ai_3_has_no_knative() -> None:
    with pytest.raises(Refused, match="no Knative"):
        Cluster(Flavor.OPENSHIFT_AI_3).spelled(Mode.KNATIVE)


def test_a_mode_is_written_by_itself_only_for_openshift_ai_2() -> None:
    assert {flavor: Cluster(flavor).default_mode for flavor in Flavor} == {
        Flavor.OPENSHIFT_AI_3: None,
        Flavor.OPENSHIFT_AI_2: Mode.KNATIVE,
        Flavor.KSERVE: None,
    }


@pytest.mark.parametrize(
    ("scheme", "release", "kubernetes"),
    [
        (Scheme.NATIVE, Version(0, 19), None),
        (Scheme.FETCH, Version(0, 20), None),
        (Scheme.NATIVE, Version(0, 21), Version(1, 32)),
    ],
)
def test_a_scheme_that_the_versions_lack_is_refused(
    scheme: Scheme, release: Version, kubernetes: Version | None
) -> None:
    with pytest.raises(Refused, match=r"oci\+.*needs"):
        Cluster(Flavor.KSERVE, release, kubernetes).refuse_scheme(scheme)


def test_schemes_that_the_versions_have_pass() -> None:
    for scheme in Scheme:
        Cluster(Flavor.KSERVE, Version(0, 21), Version(1, 34)).refuse_scheme(scheme)


@pytest.mark.parametrize(("release", "api"), [(Version(0, 16), "v1alpha1"), (Version(0, 18), "v1alpha2")])
def test_the_llm_kind_has_an_api_version_by_release(release: Version, api: str) -> None:
    assert Cluster(Flavor.KSERVE, release).llm_api() == api


@pytest.mark.parametrize("cluster", [Cluster(Flavor.KSERVE, Version(0, 15)), Cluster(Flavor.OPENSHIFT_AI_2)])
def test_where_there_is_no_llm_kind_it_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Refused, match="LLMInferenceService"):
        cluster.llm_api()

"""Connections, pull secrets, and what is secret in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelcar.errors import NotFound, Refused, UsageError
from modelcar.kserve.deployment import deployment_from
from modelcar.kserve.render import render
from modelcar.kserve.secrets import SecretValues, docker_config_for, docker_config_in, s3_keys
from modelcar.kserve.source import parse_source
from tests.unit.kserve.test_render import (
    DIGEST,
    PLAIN,
    THREE,
    TWO,
    annotated,
    kinds,
    named,
    predictor,
    refusal,
    rendered,
)

PINNED = f"oci://quay.io/acme/granite@{DIGEST}"
VALUES = SecretValues('{"auths":{}}', "key", "hunter2")
S3 = {"connection-path": "models/granite", "s3-endpoint": "https://s3.example.com", "s3-bucket": "models"}


def without_model(base: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**base, "model": None, **more}


@pytest.mark.parametrize("base", [THREE, TWO])
def test_a_new_uri_connection_is_always_written_whole(base: dict[str, Any]) -> None:
    done = render(deployment_from({**base, "new-connection": "Granite URI"}), digest=DIGEST)
    assert kinds(done) == ["Secret", "ServingRuntime", "InferenceService"]
    secret = done.manifests[0]
    assert secret["metadata"]["name"] == "granite-uri"
    assert secret["metadata"]["annotations"] == {
        "openshift.io/display-name": "Granite URI",
        "opendatahub.io/connection-type-ref": "uri-v1",
        "opendatahub.io/connection-type-protocol": "uri",
    }
    assert secret["stringData"] == {"URI": PINNED}
    assert predictor(done)["model"]["storageUri"] == PINNED


def test_only_3_x_names_the_connection_in_an_annotation() -> None:
    assert annotated(rendered(THREE, new_connection="x"))["opendatahub.io/connections"] == "x"
    assert "opendatahub.io/connections" not in annotated(rendered(TWO, new_connection="x"))


def test_an_existing_uri_connection_is_what_is_deployed_and_that_is_told() -> None:
    done = rendered(without_model(THREE), connection="granite", connection_type="uri")
    assert "storageUri" not in predictor(done)["model"]
    assert any("is the URI in the connection granite" in note for note in done.notes)
    assert any("the Secret granite must be there first in demo" in note for note in done.notes)
    assert "MODEL" in refusal(without_model(TWO), connection="granite", connection_type="uri")
    assert any("whatever else is said" in note for note in rendered(THREE, connection="granite").notes)


def test_an_oci_connection_is_a_pull_secret() -> None:
    three = rendered(THREE, connection="quay", connection_type="oci")
    assert annotated(three)["opendatahub.io/connections"] == "quay"
    assert "imagePullSecrets" not in predictor(three)
    two = rendered(TWO, connection="quay", connection_type="oci", pull_secret=["other"])
    assert predictor(two)["imagePullSecrets"] == [{"name": "quay"}, {"name": "other"}]
    assert predictor(rendered(PLAIN, pull_secret=["a"]))["imagePullSecrets"] == [{"name": "a"}]


def test_a_new_oci_connection_is_only_named_until_its_values_are_given() -> None:
    wish = deployment_from({**THREE, "new-connection": "Quay", "connection-type": "oci"})
    without = render(wish)
    assert "Secret" not in kinds(without)
    assert any("the Secret quay must be there first" in note and "--with-secrets" in note for note in without.notes)
    done = render(wish, secrets=VALUES)
    assert kinds(done)[0] == "Secret"
    assert done.manifests[0]["type"] == "kubernetes.io/dockerconfigjson"
    assert done.manifests[0]["stringData"] == {
        "ACCESS_TYPE": '["Pull"]',
        ".dockerconfigjson": '{"auths":{}}',
        "OCI_HOST": "quay.io",
    }
    assert not any("must be there first" in note for note in done.notes)


def test_values_do_not_make_an_existing_secret() -> None:
    wish = deployment_from({**THREE, "connection": "quay", "connection-type": "oci", "pull-secret": ["a", "b"]})
    done = render(wish, secrets=VALUES)
    assert [one["metadata"]["name"] for one in done.manifests if one["kind"] == "Secret"] == ["a"]
    missing = [note for note in done.notes if "must be there first" in note]
    assert [note.split()[2] for note in missing] == ["b", "quay"]


def test_two_secrets_of_one_name_are_refused() -> None:
    wish = deployment_from({**THREE, "new-connection": "quay", "pull-secret": ["quay"]})
    with pytest.raises(Refused, match="the Secret quay would be written twice"):
        render(wish, secrets=VALUES)


def test_s3_on_3_x_and_2_x() -> None:
    new = {"new-connection": "minio", **S3}
    three = render(deployment_from(without_model(THREE, **new)), secrets=VALUES)
    assert annotated(three)["opendatahub.io/connection-path"] == "models/granite"
    assert not predictor(three)["model"].keys() & {"storageUri", "storage"}
    secret = named(three, "Secret")
    assert secret["metadata"]["labels"]["opendatahub.io/managed"] == "true"
    assert secret["metadata"]["annotations"]["opendatahub.io/connection-type"] == "s3"
    assert secret["stringData"]["AWS_SECRET_ACCESS_KEY"] == "hunter2"
    two = render(deployment_from(without_model(TWO, **new)))
    assert predictor(two)["model"]["storage"] == {"key": "minio", "path": "models/granite"}
    assert "Secret" not in kinds(two)
    assert "hunter2" not in str(two)


def test_a_connection_that_is_not_saved_has_a_name_of_its_own_that_stays() -> None:
    done = rendered(THREE, save_connection=False)
    secret = done.manifests[0]
    assert secret["metadata"]["name"].startswith("secret-")
    assert len(secret["metadata"]["name"]) == 13
    assert secret["metadata"]["annotations"]["opendatahub.io/connection-hidden"] == "true"
    assert rendered(THREE, save_connection=False).manifests == done.manifests
    assert rendered({**THREE, "name": "other"}, save_connection=False).manifests[0] != secret


def test_a_uri_connection_brings_no_pull_secret() -> None:
    assert any("brings no pull secret" in note for note in rendered(THREE, new_connection="x").notes)
    done = rendered(THREE, new_connection="x", pull_secret=["quay"])
    assert not any("brings no pull secret" in note for note in done.notes)
    assert predictor(done)["imagePullSecrets"] == [{"name": "quay"}]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"connection": "a", "new-connection": "b"}, "--connection"),
        ({"connection-type": "uri"}, "--connection-type"),
        ({"connection": "A b"}, "--connection"),
        ({"new-connection": "…"}, "--new-connection"),
        ({"connection": "a", "s3-bucket": "b"}, "--s3-bucket"),
        ({"new-connection": "a", "s3-bucket": "b"}, "--s3-bucket"),
        ({"new-connection": "a", "registry-host": "quay.io"}, "--registry-host"),
        ({"new-connection": "a", "connection-type": "oci", "access-type": ["Push"]}, "--access-type"),
        ({"model": "pvc://claim/x", "connection": "a", "connection-type": "oci"}, "--connection-type"),
        ({"connection": "a", "connection-path": "x"}, "MODEL"),
        ({"model": None, "connection": "a", "connection-type": "s3"}, "--connection-path"),
        ({"model": None, "new-connection": "a", "connection-path": "x"}, "--s3-endpoint"),
        ({"model": None, "new-connection": "a"}, "MODEL"),
        ({"model": None, "new-connection": "a", **S3, "s3-endpoint": "https://u:hunter2@x"}, "--s3-endpoint"),
        ({"model": None}, "MODEL"),
        ({"new-connection": "a", "connection-type": "oci", "registry-host": "u:hunter2@x"}, "--registry-host"),
        ({"new-connection": "a", "connection-type": "oci", "registry-host": "a b"}, "--registry-host"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], field: str) -> None:
    said = refusal({**THREE, **more})
    assert said.startswith(field)
    assert "hunter2" not in said


def test_an_image_outside_of_the_connections_registry_is_told() -> None:
    more = {"new_connection": "q", "connection_type": "oci"}
    (warning,) = rendered(THREE, **more, registry_host="ghcr.io").warnings
    assert "isn't in the connection's" in warning
    inside = rendered(THREE, **more, registry_host="quay.io/acme")
    assert inside.warnings == ()


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("quay.io/acme/granite:1", "oci://quay.io/acme/granite:1"),
        (" oci://quay.io/acme/granite:1 ", "oci://quay.io/acme/granite:1"),
        ("docker://quay.io/acme/granite", "oci://quay.io/acme/granite"),
        ("oci+native://localhost:5000/a:1", "oci+native://localhost:5000/a:1"),
        (f"quay.io/acme/granite:1@{DIGEST}", f"oci://quay.io/acme/granite:1@{DIGEST}"),
        ("pvc://claim/models/a", "pvc://claim/models/a"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("hf://ibm-granite/granite", "hf://ibm-granite/granite"),
    ],
)
def test_places_of_models(text: str, uri: str) -> None:
    assert parse_source(text).uri == uri


def test_a_digest_takes_the_tags_place() -> None:
    assert parse_source("quay.io/acme/granite:1").at(DIGEST).uri == PINNED
    assert parse_source(f"quay.io/acme/granite:1@{DIGEST}").at(None).uri == PINNED
    assert parse_source("pvc://claim/x").at(DIGEST).uri == "pvc://claim/x"


@pytest.mark.parametrize(
    "text",
    [
        "oci://me:hunter2@quay.io/acme/granite",
        "me:hunter2@quay.io/acme/granite",
        "https://hunter2@example.com/model",
        "https://example.com/model?X-Amz-Signature=hunter2",
        "https://example.com/model?a=b&sig=hunter2",
        "https://example.com/model#token=hunter2",
    ],
)
def test_a_uri_with_a_secret_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["oci+modelcar://quay.io/a/b", "ftp://x/y", "granite", "oci://", "pvc:///x", "oci:./images:x", "a b", "s3://"],
)
def test_what_a_cluster_can_not_load_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_source(text)


@pytest.mark.parametrize(
    ("base", "version", "scheme", "fine"),
    [
        (PLAIN, None, "oci+native", True),
        (PLAIN, "0.19", "oci+native", False),
        (PLAIN, "0.20", "oci+fetch", False),
        (PLAIN, "0.21", "oci+fetch", True),
        (THREE, None, "oci+native", False),
        (THREE, "0.20", "oci+native", True),
    ],
)
def test_schemes_by_version(base: dict[str, Any], version: str | None, scheme: str, fine: bool) -> None:
    wish = {**base, "model": f"{scheme}://quay.io/acme/granite:1", "kserve-version": version}
    if fine:
        assert predictor(rendered(wish))["model"]["storageUri"] == f"{scheme}://quay.io/acme/granite:1"
    else:
        assert scheme in refusal(wish)


def test_what_a_scheme_needs_besides_is_told() -> None:
    native = rendered({**THREE, "model": "oci+native://quay.io/a/b:1"}, kserve_version="0.20")
    assert any("RoleBinding" in note for note in native.notes)
    fetch = rendered({**THREE, "model": "oci+fetch://quay.io/a/b:1"}, kserve_version="0.21")
    assert any("--pull-secret" in note for note in fetch.notes)
    latest = rendered({**PLAIN, "model": "quay.io/a/b:latest"})
    assert any("latest" in note for note in latest.notes)
    with pytest.raises(Exception, match=r"1\.33"):
        rendered({**PLAIN, "model": "oci+native://quay.io/a/b:1"}, kubernetes_version="1.32")


def test_values_come_from_files_and_the_environment(tmp_path: Any) -> None:
    assert "https://index.docker.io/v1/" in docker_config_for("docker.io", "me", "hunter2")
    config = json.loads(docker_config_for("quay.io", "me", "hunter2"))
    assert config == {"auths": {"quay.io": {"auth": "bWU6aHVudGVyMg=="}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert json.loads(docker_config_in(tmp_path / "config.json")) == config
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = 'b='\n")
    assert s3_keys(keys, {}) == ("a", "b=")
    assert s3_keys(None, {"AWS_ACCESS_KEY_ID": "c", "AWS_SECRET_ACCESS_KEY": "d"}) == ("c", "d")


def test_values_that_are_missing_are_named(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="the environment has no AWS_ACCESS_KEY_ID"):
        s3_keys(None, {})
    with pytest.raises(NotFound):
        docker_config_in(tmp_path / "none")
    for text in ("{}", "no json", '{"auths":{"quay.io":{}},"credsStore":"desktop"}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UsageError, match="holds no credentials"):
            docker_config_in(tmp_path / "config.json")

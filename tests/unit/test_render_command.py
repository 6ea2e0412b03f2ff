"""`modelcar render` as people call it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli import MODELCAR, Done, modelcar

CALL = (
    "render",
    "quay.io/acme/granite:3.1-2b",
    "--name",
    "granite",
    "-n",
    "demo",
    "--runtime-image",
    "quay.io/acme/v:1",
    "--image-check",
    "off",
)
HIDDEN = "hunter2"
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))


def call(*args: str | Path, **more: object) -> Done:
    done = modelcar(*CALL, *args, **more)  # type: ignore[arg-type]
    assert done.code == 0, done.err
    return done


def test_objects_go_to_stdout_and_what_to_know_to_stderr() -> None:
    done = call("--route", "--no-token-auth", "--new-connection", "Granite")
    assert [one["kind"] for one in yaml.safe_load_all(done.out)] == ["Secret", "ServingRuntime", "InferenceService"]
    assert [line.partition(": ")[0] for line in done.err.splitlines()] == ["warning", "note"]
    assert "warning: anyone who reaches the route" in done.err


def test_json_is_the_same() -> None:
    written = json.loads(call("-o", "json", "--args=--max-model-len=8192").out)
    assert written["kind"] == "List"
    assert written["items"] == list(yaml.safe_load_all(call("--args=--max-model-len=8192").out))


def test_a_saved_call_is_the_same_call_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    flags = ("--env", "A=yes", "--env", "B=1=2", "--limits", "cpu=4,memory=16Gi", "--kserve-version", "0.20", "--route")
    first = call(*flags, "--save", file)
    assert modelcar("render", "--image-check", "off", "-f", file).out == first.out
    assert 'kserve-version: "0.20"' in file.read_text()
    again = modelcar("render", "--image-check", "off", "-f", file, "--replicas", "3", "--limits", "cpu=8", "--no-route")
    service = next(one for one in yaml.safe_load_all(again.out) if one["kind"] == "InferenceService")
    assert service["spec"]["predictor"]["minReplicas"] == 3
    assert service["spec"]["predictor"]["model"]["resources"]["limits"] == {"cpu": "8", "memory": "16Gi"}
    assert "networking.kserve.io/visibility" not in service["metadata"]["labels"]


def test_save_replaces_only_what_it_wrote(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    call("--save", file, "--replicas", "2")
    call("--save", file, "--replicas", "3")
    assert "replicas: 3" in file.read_text()
    more = file.read_text() + "---\nmodel: quay.io/acme/other:1\nname: other\n"
    for content, said in (
        ("name: mine\n---\nname: other\n", "is there, and --save didn't write it; name another file"),
        ("apiVersion: v1\nkind: Secret\n", "is there, and --save didn't write it"),
        (more, "holds 2 deployments, and 1 would take their place"),
    ):
        file.write_text(content)
        done = modelcar(*CALL, "--save", file)
        assert (done.code, done.out, file.read_text()) == (6, "", content)
        assert f"--save: {file} {said}" in done.error
        call("--save", file, "--force")
        assert "quay.io/acme/granite" in file.read_text()
    file.write_text("")
    call("--save", file)


def test_numbers_in_a_file_stay_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(
        "model: quay.io/acme/granite:1\nname: granite\nflavor: kserve\nkserve-version: 0.20\nnamespace: ~\ntimeout:\n"
        "env: {A: 010, B: on}\nlimits: {cpu: 2}\nargs: [1e3]\n"
    )
    (service,) = yaml.safe_load_all(modelcar("render", "--image-check", "off", "-f", file).out)
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == "kserve-vllmserver"
    assert model["env"] == [{"name": "A", "value": "010"}, {"name": "B", "value": "on"}]
    assert model["args"] == ["1e3"]


def test_several_deployments_in_one_file(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    text = "---\nmodel: quay.io/acme/a:1\nname: {}\nflavor: kserve\n"
    file.write_text(text.format("one") + text.format("two"))
    done = modelcar("render", "--image-check", "off", "-f", file)
    assert [one["metadata"]["name"] for one in yaml.safe_load_all(done.out)] == ["one", "two"]
    file.write_text(text.format("one") + text.format("one") + "replicas: 2\n")
    twice = modelcar("render", "--image-check", "off", "-f", file)
    assert (twice.code, twice.out) == (6, "")
    assert "the InferenceService one would be written twice" in twice.error
    file.write_text(text.format("one") + text.format("two"))
    with file.open() as stdin:
        piped = subprocess.run(
            [*MODELCAR, "render", "--image-check", "off", "-f", "-"],
            stdin=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
    assert piped.stdout == done.out


@pytest.mark.parametrize(
    ("content", "said", "code"),
    [
        ("nmae: x\n", "nmae is no field of a deployment; is it name?", 2),
        ("- a\n", "holds no fields", 2),
        ("", "is empty", 2),
        ("a: [\n", "line 2, column 1", 2),
        ("name: a\n\treplicas: 2\n", "line 2, column 1", 2),
        ("name: a\r\nreplicas: 1\r\nname: b\r\n", "line 3, column 1: name is there twice", 2),
        (BOMB, "more than 200,000 values", 6),
        ("apiVersion: v1\nkind: Pod\n", "holds objects of Kubernetes", 2),
        ("name: a\n---\nreplicas: yes\n", "document 2: replicas: a whole number from 1 to 99, not yes", 2),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, content: str, said: str, code: int) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(content)
    done = modelcar("render", "--image-check", "off", "-f", file)
    assert (done.code, done.out) == (code, "")
    assert said in done.error


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    assert modelcar("render", "-f", tmp_path / "none.yaml").code == 3
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * 1_000_001)
    assert modelcar("render", "-f", large).code == 6
    large.write_bytes(b"name: \xff\n")
    assert "is no text in UTF-8" in modelcar("render", "-f", large).error
    assert modelcar("render", "-f", tmp_path).code == 2


def test_what_is_refused_saves_nothing(tmp_path: Path) -> None:
    done = modelcar(*CALL, "--size", "Small", "--save", tmp_path / "deployment.yaml")
    assert (done.code, done.out) == (6, "")
    assert done.error.startswith("--size is no field for openshift-ai-3")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_to_save_in_that_is_not_there(tmp_path: Path) -> None:
    done = modelcar(*CALL, "--save", tmp_path / "no" / "deployment.yaml")
    assert (done.code, done.out) == (1, "")
    assert done.error == f"{tmp_path}/no/deployment.yaml can't be read or written: No such file or directory"


def test_a_password_in_the_model_is_not_repeated() -> None:
    done = modelcar("render", f"oci://me:{HIDDEN}@quay.io/acme/granite", *CALL[2:])
    assert done.code == 2
    assert HIDDEN not in done.err


def test_it_loads_nothing_that_it_does_not_need() -> None:
    code = (
        f"from modelcar.cli.app import app; import sys; app.main({[*CALL]}, standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"urllib3", "huggingface_hub", "rich", "jsonschema"} & {*done.stdout.splitlines()[-1].split()}


def test_the_schema_is_printed_without_a_deployment() -> None:
    assert json.loads(modelcar("render", "--schema").out)["properties"]["replicas"]["maximum"] == 99


def test_secrets_are_written_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"quay.io": {"auth": "bWU6aHVudGVyMg=="}}}))
    env = {"DOCKER_CONFIG": str(tmp_path)}
    without = call("--pull-secret", "quay", env=env)
    assert "bWU6" not in without.out + without.err
    assert "the Secret quay must be there first in demo" in without.err
    saved = tmp_path / "deployment.yaml"
    done = call("--pull-secret", "quay", "--with-secrets", "--save", saved, env=env)
    secret = next(yaml.safe_load_all(done.out))
    assert secret["metadata"]["name"] == "quay"
    assert json.loads(secret["stringData"][".dockerconfigjson"]) == {"auths": {"quay.io": {"auth": "bWU6aHVudGVyMg=="}}}
    assert "bWU6" not in done.err + saved.read_text()
    named = call("--pull-secret", "quay", "--with-secrets", "--pull-secret-file", tmp_path / "config.json")
    assert next(yaml.safe_load_all(named.out)) == secret


def test_without_credentials_it_says_how_to_get_some() -> None:
    done = modelcar(*CALL, "--pull-secret", "quay", "--with-secrets")
    assert done.code == 6
    assert "run modelcar login quay.io" in done.error


def test_s3_keys_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    s3 = ["render", "--name", "granite", "-n", "demo", "--runtime", "vllm", "--new-connection", "minio"]
    s3 += ["--connection-path", "models/a", "--s3-endpoint", "https://s3.example.com", "--s3-bucket", "b"]
    done = modelcar(*s3, "--with-secrets", env={"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": HIDDEN})
    assert next(yaml.safe_load_all(done.out))["stringData"]["AWS_SECRET_ACCESS_KEY"] == HIDDEN
    assert HIDDEN not in done.err
    keys = tmp_path / "keys.env"
    keys.write_text(f"AWS_ACCESS_KEY_ID=me\nAWS_SECRET_ACCESS_KEY={HIDDEN}\n")
    assert modelcar(*s3, "--with-secrets", "--s3-credentials-file", keys).out == done.out
    assert modelcar(*s3, "--with-secrets", env={"AWS_ACCESS_KEY_ID": ""}).code == 2


def test_settings_and_the_environment_give_flags_too(tmp_path: Path) -> None:
    (tmp_path / "modelcar.toml").write_text('[render]\nnamespace = "mine"\nenv = ["A=1"]\n')
    call = ("render", "quay.io/a/b:1", "--flavor", "kserve", "--image-check", "off")
    done = modelcar(*call, cwd=tmp_path, env={"MODELCAR_RENDER_NAME": "x"})
    (service,) = yaml.safe_load_all(done.out)
    assert service["metadata"] == {"name": "x", "namespace": "mine"}
    assert service["spec"]["predictor"]["model"]["env"] == [{"name": "A", "value": "1"}]

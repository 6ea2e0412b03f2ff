"""`modelcar lint` as a program: its exit codes, formats, fixes, and files that can't be used."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli import MODELCAR, Done, modelcar
from tests.disks import without_rights
from tests.unit.kserve.lint_examples import service

GOOD, WARNING, ERROR = service(), service(uri="oci://a.b/c"), service("arg: [],")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("good", GOOD), ("warning", WARNING), ("error", ERROR)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def lint(*args: str | Path, cwd: Path) -> Done:
    return modelcar("lint", *args, cwd=cwd)


def test_exit_codes(files: Path) -> None:
    assert lint("good.yaml", cwd=files).code == 0
    assert lint("warning.yaml", cwd=files).code == 0
    assert lint("--strict", "warning.yaml", cwd=files).code == 1
    assert lint("error.yaml", cwd=files).code == 1
    assert lint("--ignore", "unknown-field", "error.yaml", cwd=files).code == 0


def test_several_rules_are_ignored(files: Path) -> None:
    for args in (["--ignore=unknown-field, image-latest"], ["--ignore=unknown-field", "--ignore=image-latest"]):
        assert lint("--strict", *args, "error.yaml", cwd=files).out == ""


def test_a_file_that_is_named_twice_is_one(files: Path) -> None:
    (files / "link.yaml").symlink_to("good.yaml")
    done = lint("good.yaml", "./good.yaml", "link.yaml", files / "good.yaml", cwd=files)
    assert (done.out, done.err) == ("", "0 errors, 0 warnings in 1 object of 1 file\n")


def test_text(files: Path) -> None:
    done = lint("error.yaml", cwd=files)
    place = f"error.yaml:4:{ERROR.splitlines()[3].index('arg:') + 1}"
    assert done.out.splitlines() == [
        f"{place}: error: model has no field 'arg': the API server drops it without a word [unknown-field]",
        "    fix: did you mean args?",
    ]
    assert done.err == "1 error, 0 warnings in 1 object of 1 file\n"


def test_json(files: Path) -> None:
    done = lint("--format", "json", "error.yaml", "warning.yaml", "--ignore", "duplicate-object", cwd=files)
    value: dict[str, Any] = json.loads(done.out)
    assert [(f["file"], f["rule"], f["severity"], f["fixable"]) for f in value["findings"]] == [
        ("error.yaml", "unknown-field", "error", True),
        ("warning.yaml", "image-latest", "warning", False),
    ]
    assert (value["errors"], value["warnings"], value["objects"]) == (1, 1, 2)


def test_sarif(files: Path) -> None:
    run = json.loads(lint("--format", "sarif", "error.yaml", cwd=files).out)["runs"][0]
    [result] = run["results"]
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "unknown-field"
    assert result["level"] == rule["defaultConfiguration"]["level"] == "error"
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("error.yaml", 4)


def test_github(files: Path) -> None:
    (files / "a,b.yaml").write_text(ERROR)
    line = lint("--format", "github", "./a,b.yaml", cwd=files).out
    assert line.startswith("::error file=a%2Cb.yaml,line=4,col=")
    message = "model has no field 'arg': the API server drops it without a word; did you mean args?"
    assert line.endswith(f",title=unknown-field::{message}\n")


def test_stdin() -> None:
    done = subprocess.run(
        [*MODELCAR, "lint", "-"], input=ERROR, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stdout.startswith("-:4:")


def test_more_mistakes_than_are_told_end_with_1(files: Path) -> None:
    """Behind a thousand warnings nothing is looked for, and there may be an error."""
    pieces = [service(uri="oci://a.b/c", name=f"n{n}") for n in range(1001)]
    (files / "many.yaml").write_text("---\n".join(pieces))
    done = lint("many.yaml", cwd=files)
    assert (done.code, len(done.out.splitlines())) == (1, 2000)
    assert done.err.splitlines()[0] == "note: many.yaml: it has more findings: put these right first"
    assert json.loads(lint("many.yaml", "--format=json", cwd=files).out)["incomplete"] == ["many.yaml"]


def test_what_wasn_t_looked_at_is_told(files: Path) -> None:
    (files / "more.yaml").write_text("kind: ConfigMap\n---\nkind: ConfigMap\n")
    (files / "helm.yaml").write_text("a: {{ .Values.a }}\n")
    done = lint("-v", "more.yaml", "helm.yaml", cwd=files)
    assert done.code == 0
    assert done.err.splitlines() == [
        "note: helm.yaml: skipped: not YAML yet, but a template, by the block at line 1",
        "note: passed over: 2 ConfigMaps",
        "0 errors, 0 warnings in 0 objects of 2 files",
    ]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing.yaml"], "nothing.yaml doesn't exist"),
        (["empty"], "empty holds no *.yaml, *.yml or *.json; hidden ones and links aren't looked at"),
        (["--ignore", "x", "good.yaml"], "--ignore: there is no rule 'x'; docs/lint.md lists them"),
        (["--kserve-version", "x", "good.yaml"], "--kserve-version: 'x' is no version; write it as 0.16 or v0.16.1"),
        (["--fix", "-"], "--fix can't change stdin; name the file"),
        (["--crd", "good.yaml", "good.yaml"], "good.yaml holds no CustomResourceDefinition; write it by: kubectl get "
         "crd inferenceservices.serving.kserve.io -o yaml"),
        ([], "Missing argument 'FILES...'; see modelcar lint --help"),
    ],
)  # fmt: skip
def test_wrong_use(args: list[str], message: str, files: Path) -> None:
    (files / "empty").mkdir()
    (files / "empty" / "notes.txt").write_text(ERROR)
    done = lint(*args, cwd=files)
    assert (done.code, done.error) == (2, message)


def test_a_folder_is_looked_through(files: Path) -> None:
    for name in ("b/c/z.yml", "b/a.json", "b/.hidden.yaml", ".git/x.yaml", "b/notes.txt", "b/B.yaml"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(json.dumps({"kind": "X", "apiVersion": "v1"}) if name.endswith("json") else ERROR)
    (files / "b/empty.yaml").write_text("# nothing yet\n")
    (files / "b/link.yaml").symlink_to("../warning.yaml")
    (files / "b/loop").symlink_to("..")
    done = lint("b", "b/c/z.yml", "--ignore", "duplicate-object", cwd=files)
    assert done.code == 1
    assert [line.partition(":")[0] for line in done.out.splitlines()[::2]] == ["b/B.yaml", "b/c/z.yml"]
    assert done.err.splitlines() == [
        "note: b/empty.yaml: there is no object in it, but comments",
        "2 errors, 0 warnings in 2 objects of 4 files",
    ]
    assert lint(files, cwd=files).out.startswith(f"{files}/b/B.yaml:")


def test_what_may_not_be_read_in_a_folder_is_told(files: Path) -> None:
    (files / "error.yaml").chmod(0)
    (files / "closed").mkdir(0)
    try:
        done = modelcar("lint", ".", "--ignore", "duplicate-object", cwd=files, wrap=without_rights())
        assert done.code == 1
        assert done.err.splitlines() == [
            "note: ./closed can't be read: Permission denied",
            "note: ./error.yaml can't be read: Permission denied",
            "0 errors, 1 warning in 2 objects of 2 files",
        ]
    finally:
        (files / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no object in it"),
        ("# x\n---\n", "there is no object in it, but comments"),
        ("hello\n", "there is no object in it, but other text"),
        ("error: it failed\n", "there is no object in it, but other text"),
    ],
)
def test_a_pipe_that_brings_no_object_is_red(text: str, said: str) -> None:
    done = subprocess.run([*MODELCAR, "lint", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"-:1:1: error: {said} [no-object]"


def test_files_without_any_object(files: Path) -> None:
    (files / "empty.yaml").write_text("")
    (files / "values.yaml").write_text("replicas: 1\n")
    assert lint("empty.yaml", cwd=files).code == 1
    assert lint("empty.yaml", "good.yaml", cwd=files).code == 0
    assert lint("values.yaml", cwd=files).code == 0


def test_a_file_that_may_not_be_read(files: Path) -> None:
    (files / "error.yaml").chmod(0)
    assert modelcar("lint", "error.yaml", cwd=files, wrap=without_rights()).code == 1


def test_a_name_with_control_characters_is_shown_harmless(files: Path) -> None:
    (files / "a\x1b[2Jb.yaml").write_text(ERROR)
    assert "\x1b" not in lint("a\x1b[2Jb.yaml", cwd=files).out


def test_fix_writes_the_file_and_keeps_its_mode(files: Path) -> None:
    path = files / "error.yaml"
    path.chmod(0o640)
    (files / "link.yaml").symlink_to("error.yaml")
    done = lint("--fix", "link.yaml", cwd=files)
    assert done.code == 0
    assert done.err.splitlines()[0] == "link.yaml: fixed in 1 place"
    assert path.read_text() == ERROR.replace("arg:", "args:")
    assert path.stat().st_mode & 0o777 == 0o640
    assert (files / "link.yaml").is_symlink()
    assert sorted(p.name for p in files.iterdir()) == ["error.yaml", "good.yaml", "link.yaml", "warning.yaml"]


def test_fix_again_changes_nothing(files: Path) -> None:
    lint("--fix", "error.yaml", cwd=files)
    before = (files / "error.yaml").stat()
    place = (before.st_ino, before.st_mtime_ns)
    assert lint("--fix", "error.yaml", cwd=files).err == "0 errors, 0 warnings in 1 object of 1 file\n"
    after = (files / "error.yaml").stat()
    assert (after.st_ino, after.st_mtime_ns) == place


def test_a_folder_in_which_nothing_may_be_written(files: Path) -> None:
    files.chmod(0o555)
    try:
        done = modelcar("lint", "--fix", "error.yaml", cwd=files, wrap=without_rights())
        assert done.code == 1
        assert done.error == "error.yaml can't be written: Permission denied; lint it without --fix"
        assert (files / "error.yaml").read_text() == ERROR
    finally:
        files.chmod(0o755)


def test_fix_leaves_a_read_only_file_and_all_others(files: Path) -> None:
    """Its owner could replace it, for the folder is theirs; they made it read-only so that nothing does."""
    (files / "first.yaml").write_text(ERROR)
    (files / "error.yaml").chmod(0o444)
    args = ("lint", "--fix", "--ignore=duplicate-object", "first.yaml", "error.yaml")
    files.chmod(0o777)
    done = modelcar(*args, cwd=files, wrap=without_rights())
    assert done.code == 1
    assert done.error == ("error.yaml is read-only: --fix changed no file; chmod u+w error.yaml, or lint without --fix")
    assert [(files / name).read_text() for name in ("first.yaml", "error.yaml")] == [ERROR, ERROR]


def test_fix_minds_no_rights_where_nothing_is_to_be_fixed(files: Path) -> None:
    (files / "good.yaml").chmod(0o444)
    assert modelcar("lint", "--fix", "good.yaml", cwd=files, wrap=without_rights()).code == 0


def test_fix_goes_on_until_nothing_is_left(files: Path) -> None:
    path = files / "error.yaml"
    path.write_text(service(predictor="minReplica: '2', maxReplicas: 3,"))
    assert lint("--fix", "error.yaml", cwd=files).code == 0
    assert path.read_text() == service(predictor="minReplicas: 2, maxReplicas: 3,")


def test_a_cluster_s_own_crd(files: Path) -> None:
    crd = """\
kind: CustomResourceDefinition
spec:
  group: serving.kserve.io
  names: {kind: InferenceService}
  versions:
    - name: v1beta1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties: {predictor: {type: object, properties: {modle: {type: object}}}}
"""
    (files / "crd.yaml").write_text(crd)
    done = lint("--crd", "crd.yaml", "good.yaml", cwd=files)
    assert done.code == 1
    assert "predictor has no field 'model'" in done.out

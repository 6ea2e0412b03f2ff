"""The text of a Containerfile, the script beside it, and the folder that both are written into."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from modelcar.build import BuildOptions, plan_image
from modelcar.build import download as script
from modelcar.build.containerfile import Stages, containerfile
from modelcar.build.context import make_context
from modelcar.build.plan import Plan, PlannedLayer
from modelcar.errors import Denied, Refused, UsageError
from modelcar.sources import Snapshot, SourceFile
from tests.models import model_files, write_files

DIGEST = "sha256:" + "0a" * 32
BASE = f"localhost:1/base@{DIGEST}"
ODD = ["a b.json", "#.json", "$HOME.json", 'q"q.json', "it's.json", "back\\slash\\", "[x]*.json"]


def plan_of(*paths: str, revision: str | None = "c0ffee") -> Plan:
    files = tuple(SourceFile(path, 10, DIGEST) for path in paths)
    snapshot = Snapshot("hf://a/b@c0ffee", files, False, revision, "https://hub.test/a/b", "a/b", "mit")
    return Plan(snapshot, tuple(PlannedLayer((file,)) for file in files))


def text(plan: Plan, **labels: str) -> str:
    return containerfile(plan, Stages(f"localhost:1/py@{DIGEST}", BASE), labels)


def test_one_copy_a_layer_whatever_files_are_called() -> None:
    written = text(plan_of(*ODD))
    instructions = [line for line in written.splitlines() if line and not line.startswith("#")]
    copies = [f"COPY --from=download --chown=0:0 /layers/{number}/ /" for number in range(len(ODD))]
    assert [line for line in instructions if line.startswith("COPY --from")] == copies
    assert not any(name in line for line in instructions for name in ODD)
    assert not any(line.endswith("\\") for line in written.splitlines())
    assert instructions[-1] == "USER 1001"


def test_long_names_make_no_long_lines() -> None:
    assert max(map(len, text(plan_of("x/" * 2000 + "y")).splitlines())) < 250


def test_a_label_stays_what_it_is() -> None:
    assert r'LABEL "k"="a \"b\" \$C \\d # e"' in text(plan_of("a"), k='a "b" $C \\d # e')
    with pytest.raises(Refused, match="control character"):
        text(plan_of("a"), k="a\nUSER 0")


def test_an_image_is_one_word() -> None:
    with pytest.raises(Refused, match="can't be an image"):
        containerfile(plan_of("a"), Stages("py\nRUN evil", BASE), {})


def test_a_file_name_with_a_newline_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"a\nUSER 0": b"x"})
    with pytest.raises(Refused, match="control character"):
        make_context(tmp_path, BuildOptions(base="none", cache_dir=None), downloader=f"localhost:1/py@{DIGEST}")


@pytest.mark.parametrize("image", ["oci:folder:tag", "docker://localhost:1/x"])
def test_an_image_that_no_containerfile_can_name(tmp_path: Path, image: str) -> None:
    with pytest.raises(UsageError, match="can't stand in a Containerfile"):
        make_context(tmp_path, BuildOptions(base=image))


def test_it_is_the_plan_of_a_build(tmp_path: Path) -> None:
    source = write_files(tmp_path / "m", model_files())
    options = BuildOptions(base=BASE, cache_dir=None)
    context = make_context(source, options, downloader=f"localhost:1/py@{DIGEST}")
    plan = plan_image(source, None, BuildOptions(cache_dir=None)).plan
    described = json.loads(context.files["model.json"])
    assert described["plan"] == plan.id
    assert described["layers"] == plan.as_dict()["layers"]
    assert f'"org.opencontainers.image.base.digest"="{DIGEST}"' in context.files["Containerfile"].decode()
    assert f"FROM {BASE}\n" in context.files["Containerfile"].decode()


def test_the_script_is_of_python_3_9_and_needs_nothing() -> None:
    assert script.__file__
    tree = ast.parse(Path(script.__file__).read_text(), feature_version=(3, 9))
    assert not any(isinstance(node, ast.Match) for node in ast.walk(tree))
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not any(name.startswith("modelcar") for name in names)


def test_only_a_folder_of_ours_is_written_into_again(tmp_path: Path) -> None:
    source = write_files(tmp_path / "m", {"config.json": b"{}"})
    context = make_context(source, BuildOptions(base="none", cache_dir=None), downloader=f"localhost:1/py@{DIGEST}")
    folder = tmp_path / "context"
    context.write(folder)
    (folder / "Containerfile").write_text("old")
    (folder / ".model.json.modelcar").write_text("left of a call that was killed")
    context.write(folder)
    assert (folder / "Containerfile").read_bytes() == context.files["Containerfile"]
    foreign = write_files(tmp_path / "foreign", {"Containerfile": b"FROM mine"})
    for place in (foreign, write_files(folder, {"notes.txt": b""}), source / "config.json"):
        with pytest.raises(Refused):
            context.write(place)
    assert (foreign / "Containerfile").read_bytes() == b"FROM mine"
    with pytest.raises((Denied, Refused)):
        context.write(Path("/proc/no/such"))

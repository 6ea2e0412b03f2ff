"""A folder that isn't one, holds what no image may hold, or changes under the build: how the build ends then."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcar import (
    BuildOptions,
    ContentMismatch,
    ModelcarError,
    NotFound,
    Refused,
    UsageError,
    build_image,
    plan_image,
)
from modelcar.events import Event, HashingStarted, LayerStarted
from tests.builds import Builds
from tests.cli import modelcar
from tests.models import write_files

FILES = {"README.md": b"# X\n", "model.safetensors": b"w" * 100_000}
WEIGHTS = "model.safetensors"


@pytest.fixture
def builds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Builds:
    return Builds(tmp_path, caplog)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "model", FILES)


# What is no model


def test_no_such_folder(builds: Builds, tmp_path: Path) -> None:
    assert builds.fails(NotFound, tmp_path / "none") == f"the folder {tmp_path}/none doesn't exist"


def test_a_file(builds: Builds, folder: Path) -> None:
    line = builds.fails(UsageError, folder / WEIGHTS)
    assert line == f"{folder}/{WEIGHTS} is not a folder; name the folder that holds the model's files"
    assert builds.fails(ModelcarError, folder / WEIGHTS / "x").endswith("can't be read: Not a directory")


def test_a_name_that_no_folder_has(builds: Builds, tmp_path: Path) -> None:
    assert builds.fails(ModelcarError, tmp_path / ("n" * 300)).endswith("can't be read: File name too long")


@pytest.mark.parametrize("files", [{}, {".git/config": b"x", ".hidden": b"x"}])
def test_an_empty_folder(builds: Builds, tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "model").mkdir()
    line = builds.fails(NotFound, write_files(tmp_path / "model", files))
    assert line == f"the folder {tmp_path}/model holds no files (hidden ones and images don't count)"


def test_what_lies_in_a_folder_and_is_no_model_file(folder: Path, tmp_path: Path) -> None:
    """Images of the model, in all forms that we write, and what is hidden. `plan` says of each that it stays behind."""
    write_files(folder, {".git/config": b"x", ".env": b"12", "mine.part001": b"3", "none.tar.part002": b"4"})
    build_image(str(folder), f"oci:{folder}/images:1", BuildOptions(base="none"))
    build_image(str(folder), f"oci-archive:{folder}/x.tar:1", BuildOptions(base="none"))
    done = modelcar("copy", f"oci:{folder}/images:1", f"oci-archive:{folder}/y.tar:1", "--split", "50kB")
    assert done.code == 0, done.err
    assert [path.name for path in sorted(folder.glob("y.*"))] == [f"y.tar.part00{number}" for number in (1, 2, 3)]
    plan = plan_image(str(folder)).plan
    assert [file.path for file in plan.files] == ["README.md", "mine.part001", WEIGHTS, "none.tar.part002"]
    assert {left.file.path: left.reason for left in plan.left_out} == {
        ".env": "hidden",
        ".git/": "hidden",
        "images/": "an OCI layout",
        "x.tar": "an OCI archive",
        **{f"y.tar.part00{number}": "an OCI archive in pieces" for number in (1, 2, 3)},
    }
    shown = modelcar("plan", folder).out
    assert "left out: 5 files, " in shown
    assert "; 2 folders\n" in shown
    assert {"path": ".git/", "size": None, "reason": "hidden"} in json.loads(
        modelcar("plan", folder, "--format", "json").out
    )["left_out"]


@pytest.mark.parametrize(
    "name",
    [
        "quay.io/acme/x:1",
        "localhost:5000/x",
        "oci:./images:1",
        "oci-archive:x.tar",
        "docker://quay.io/acme/x:1",
        "oci://quay.io/acme/x:1",
        f"quay.io/acme/x@sha256:{'0' * 64}",
    ],
)
def test_an_image(builds: Builds, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = builds.fails(UsageError, name)
    assert line.startswith(f"{name!r} looks like an image, and no folder of that name is there; sources are hf://")
    assert line.endswith("; inspect, ls, copy and pull take images")
    if "://" not in name:
        monkeypatch.chdir(tmp_path)
        write_files(tmp_path / name, FILES)
        assert plan_image(name).plan.files[0].path == "README.md"


def test_another_scheme(builds: Builds) -> None:
    line = builds.fails(UsageError, "ftp://acme/x")
    assert line == "'ftp://acme/x': ftp:// is no source; sources are hf://OWNER/NAME[@REVISION] and folders"


# Links


def test_a_link_out_of_the_folder(builds: Builds, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "secret.json").symlink_to("../secret")
    line = builds.fails(Refused, folder)
    assert line.startswith(f"secret.json is a link that leads out of the folder {folder}, to {tmp_path}/secret; copy")


def test_a_folder_linked_from_outside(builds: Builds, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert "more is a link that leads out of the folder" in builds.fails(Refused, folder)


def test_a_link_to_nothing(builds: Builds, folder: Path) -> None:
    (folder / "gone.json").symlink_to("nothing.json")
    assert builds.fails(NotFound, folder) == "gone.json is a link to something that is not there"


def test_a_link_to_itself(builds: Builds, folder: Path) -> None:
    (folder / "loop.json").symlink_to("loop.json")
    assert builds.fails(ModelcarError, folder) == "loop.json can't be read: Too many levels of symbolic links"


def test_a_link_to_the_folder_above(builds: Builds, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "up").symlink_to("..")
    line = builds.fails(Refused, folder)
    assert line == "deep/up is a link to a folder above it: it would never end; remove the link"


def test_links_that_stay_inside(builds: Builds, folder: Path, tmp_path: Path) -> None:
    """They become files, and the folder itself may be a link."""
    (folder / "again.safetensors").symlink_to(WEIGHTS)
    (folder / "sub").mkdir()
    (folder / "sub" / "card.md").symlink_to("../README.md")
    (folder / "other").symlink_to("sub")
    (tmp_path / "link").symlink_to(folder)
    builds.run(tmp_path / "link")
    assert builds.files() == {
        **FILES,
        "again.safetensors": FILES[WEIGHTS],
        "sub/card.md": FILES["README.md"],
        "other/card.md": FILES["README.md"],
    }


# What is no file, or no name


def test_a_pipe_and_a_socket(builds: Builds, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    said = "is neither a file nor a folder; move it out of the folder"
    assert builds.fails(Refused, folder) == f"pipe {said}"
    (folder / "pipe").unlink()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        assert builds.fails(Refused, folder) == f"socket {said}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"two\nlines.json", "'two\\nlines.json' holds a control character"),
        (b"latin-\xe9.json", "'latin-\\udce9.json' is not UTF-8; rename it"),
    ],
)
def test_names_that_no_image_holds(builds: Builds, folder: Path, name: bytes, reason: str) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
    assert reason in builds.fails(Refused, folder)
    done = modelcar("build", folder, builds.target)
    assert done.code == 6
    assert reason in done.error


def test_names_that_an_image_holds(builds: Builds, folder: Path) -> None:
    names = ["a b.txt", "ünï-文.txt", "back\\slash.txt", "-dash", "n" * 255, "/".join(["d" * 99] * 4) + "/x", "empty"]
    files = {name: b"" if name == "empty" else name.encode() for name in names}
    write_files(folder, files)
    builds.run(folder)
    assert builds.files() == {**FILES, **files}


def test_names_that_differ_by_case(builds: Builds, folder: Path) -> None:
    write_files(folder, {"Readme.md": b"another"})
    builds.run(folder)
    assert builds.warnings == [
        "README.md and Readme.md differ only by case: a file system that ignores case holds one of them"
    ]
    assert builds.files() == {**FILES, "Readme.md": b"another"}


# What may not be read. Root may read all, so these builds give that right away.

NO_ROOT = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (WEIGHTS, f"the file {WEIGHTS} can't be read"),
        ("sub", "the folder sub/ can't be read"),
        ("", "the folder {folder} can't be read"),
    ],
)
def test_unreadable(builds: Builds, folder: Path, path: str, said: str) -> None:
    write_files(folder, {"sub/x.json": b"{}"})
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed, and root may read everything")
    (folder / path).chmod(0)
    try:
        done = modelcar("build", folder, builds.target, wrap=NO_ROOT if os.geteuid() == 0 else ())
    finally:
        (folder / path).chmod(0o755)
    assert (done.code, done.out) == (4, "")
    assert done.error == said.format(folder=folder) + "; check its permissions"


# What changes meanwhile


def append(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def rewrite(file: Path) -> None:
    """Other bytes of the same number, and the time of change as it was."""
    before = file.stat()
    file.write_bytes(b"v" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    other.replace(file)


@pytest.mark.parametrize("moment", [HashingStarted, LayerStarted])
@pytest.mark.parametrize("change", [append, rewrite, exchange, Path.unlink])
def test_a_file_changes_while_it_is_read(
    builds: Builds, folder: Path, moment: type[Event], change: Callable[[Path], object]
) -> None:
    """Between the look at the folder and the hashing, or between the hashing and the sending."""

    def listener(event: Event) -> None:
        if isinstance(event, moment) and not done:
            done.append(change(folder / WEIGHTS))

    done: list[object] = []
    gone = change is Path.unlink
    said = "is gone" if gone else "changed while the build was reading it; run it again"
    line = builds.fails(NotFound if gone else ContentMismatch, folder, listener=listener, workers=1)
    assert line == f"the file {WEIGHTS} {said}"


def test_a_file_changes_in_the_middle(builds: Builds, folder: Path) -> None:
    """It has been opened, and half of it is in the layout."""
    write_files(folder, {WEIGHTS: b"w" * 8_000_000})

    def listener(event: Event) -> None:
        if type(event).__name__ == "LayerProgress":
            append(folder / WEIGHTS)

    line = builds.fails(ContentMismatch, folder, listener=listener, workers=1)
    assert line.startswith(f"the file {WEIGHTS} changed") or "sends more than" in line


def test_a_folder_that_changed_is_built_again(builds: Builds, folder: Path) -> None:
    """What was remembered of a file holds only as long as the file stays."""
    for content in (b"a" * 50, b"b" * 50):
        (folder / WEIGHTS).write_bytes(content)
        builds.run(folder)
        assert builds.files() == {**FILES, WEIGHTS: content}


# The card


@pytest.mark.parametrize(
    ("card", "license_"),
    [
        (b"---\nlicense: mit\n---\n# X", "mit"),
        (b"---\r\nlicense: mit\r\n---", "mit"),
        (b"---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        (b"---\nlicense: other\n---\n", "other"),
        (b"---\nlicense: [a, b]\n---\n", None),
        (b"---\nlicense: mit\n", None),
        (b"---\n---\n", None),
        (b"---\n- license\n---\n", None),
        (b"---\nlicense: [\n---\n", None),
        (b"---\ndate: 2024-99-99\n---\n", None),
        (b"---\n\xff: x\n---\n", None),
        (b"license: mit", None),
        (b"", None),
    ],
)
def test_the_license(folder: Path, card: bytes, license_: str | None) -> None:
    """A card that can't be read is a file as any other."""
    write_files(folder, {"README.md": card})
    assert plan_image(str(folder)).plan.snapshot.licenses == license_

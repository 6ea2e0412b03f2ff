"""The files of an image, back in a folder: right ones, all of them, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelcar.errors import ContentMismatch, Denied, ModelcarError, NotFound, Refused
from modelcar.events import Event, FilePulled, Warned
from modelcar.image.pull import PullOptions, pull
from tests.doubles.content import PIECE
from tests.doubles.in_memory import MemoryStore, put_image
from tests.models import read_files, write_files
from tests.unit.image.tars import COMPRESSIONS, Layer, file, folder, hard, link, tar


def pulled(folder: Path, *layers: Layer, store: MemoryStore | None = None) -> dict[str, bytes]:
    """What is in the folder afterwards."""
    written = pull(put_image(store or MemoryStore(), *layers), folder)
    there = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    assert written == sorted(path.relative_to(folder).as_posix() for path in there)
    return read_files(folder)


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_files_come_back_as_they_were(tmp_path: Path, compress: Any) -> None:
    files = {
        "a": b"1" * 700,
        "sub/b": os.urandom(2 * PIECE),
        "empty": b"",
        "näme mit Leerzeichen": b"x",
        "c" * 200: b"y",
    }
    made = tar(folder("models"), *[file(f"models/{path}", content) for path, content in files.items()])
    assert pulled(tmp_path / "new" / "folder", compress(made)) == files


def test_other_tools_names_and_what_lies_elsewhere(tmp_path: Path) -> None:
    made = tar(file("./models/a", b"1"), file("/models/b", b"2"), file("modelsx", b"3"), file("etc/passwd", b"4"))
    assert pulled(tmp_path, made) == {"a": b"1", "b": b"2"}


def test_layers_above_replace_and_remove(tmp_path: Path) -> None:
    below = tar(
        file("models/a", b"old"), file("models/b", b"old"), file("models/sub/c", b"old"), file("models/d", b"d")
    )
    above = tar(file("models/a", b"new"), file("models/.wh.b"), file("models/sub", b"a file now"))
    assert pulled(tmp_path, below, above) == {"a": b"new", "d": b"d", "sub": b"a file now"}


def test_the_last_of_two_entries_of_a_name_counts(tmp_path: Path) -> None:
    made = tar(file("models/a", b"first"), file("models/a", b"second"), file("models/b", b"b"), file("models/c", b"c"))
    assert pulled(tmp_path, made) == {"a": b"second", "b": b"b", "c": b"c"}


def test_hard_links(tmp_path: Path) -> None:
    """A chain of them in whatever order of names, with its origin replaced, removed or outside of /models."""
    below = tar(
        file("models/z", b"z"),
        hard("models/m", "models/z"),
        hard("models/a", "./models/m"),
        file("blobs/x", b"x"),
        hard("models/x", "/blobs/x"),
        file("models/gone", b"g"),
        hard("models/stays", "models/gone"),
    )
    above = tar(file("models/z", b"another"), file("models/.wh.gone"))
    expected = {"a": b"z", "m": b"z", "stays": b"g", "x": b"x", "z": b"another"}
    assert pulled(tmp_path, below, above) == expected
    assert (tmp_path / "a").samefile(tmp_path / "m")


def test_a_hard_link_to_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ContentMismatch, match="/models/a of memory:1 is a hard link to models/gone, which is not there"
    ):
        pulled(tmp_path, tar(file("models/b"), hard("models/a", "models/gone")))


def test_symbolic_links_that_stay_inside(tmp_path: Path) -> None:
    made = tar(
        file("models/sub/a", b"a"),
        link("models/absolute", "/models/sub/a"),
        link("models/sub/up", "../sub/./a"),
        link("models/folder", "sub"),
        hard("models/same", "models/folder"),
        link("models/dangling", "nothing"),
    )
    files = pulled(tmp_path / "x", made)
    assert files == {"sub/a": b"a", "absolute": b"a", "sub/up": b"a"}
    assert (tmp_path / "x" / "same" / "a").read_bytes() == b"a"
    assert {path.readlink().is_absolute() for path in (tmp_path / "x").rglob("*") if path.is_symlink()} == {False}


@pytest.mark.parametrize(
    "entries",
    [
        [link("models/a", "/etc/passwd")],
        [link("models/a", "../etc/passwd")],
        [link("models/a", "sub/../../etc/passwd")],
        [link("models/a", "/models/../etc")],
        [link("models/a", "../../../../../../models2/x")],
    ],
)
def test_symbolic_links_that_lead_out_are_refused(tmp_path: Path, entries: list[Any]) -> None:
    with pytest.raises(Refused, match="would land outside the folder"):
        pulled(tmp_path / "x", tar(file("models/b"), *entries))
    assert not (tmp_path / "x" / "a").is_symlink()


def test_a_link_of_the_folder_is_not_followed_out_of_it(tmp_path: Path) -> None:
    """A link that lies in the folder already, from whoever."""
    (tmp_path / "out").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "sub").symlink_to(tmp_path / "out")
    with pytest.raises(Refused, match="would land outside the folder"):
        pulled(tmp_path / "x", tar(file("models/sub/a", b"1")))
    assert read_files(tmp_path / "out") == {}


@pytest.mark.parametrize("name", ["models/../../etc/a", "../models/c", "/../x", ".."])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match=r"layer 0 of memory:1 holds '\.\..*', which would land outside the folder"):
        pulled(tmp_path / "x", tar(file("models/a", b"1"), file(name, b"2")))
    assert [*tmp_path.iterdir()] == []


def test_names_that_stay_inside(tmp_path: Path) -> None:
    made = tar(file("models/../models/b", b"2"), file("models/x/../../etc/passwd", b"3"), file("/models/./c", b"4"))
    assert pulled(tmp_path / "x", made) == {"b": b"2", "c": b"4"}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_nothing_is_kept_of_a_wrong_layer(tmp_path: Path, compress: Any) -> None:
    """Its bytes make a tar, and yet not the one that its digest is of. What was right before stays."""
    store = MemoryStore()
    good = os.urandom(100_000)
    location = put_image(store, tar(file("models/right", good)), compress(tar(file("models/a", b"right"))))
    right, wrong = (compress(tar(file("models/a", content))) for content in (b"right", b"wrong"))
    (digest,) = [digest for digest, content in store.blobs.items() if content == right[1]]
    store.blobs[digest] = wrong[1]
    with pytest.raises(ContentMismatch, match="has other bytes than its digest says") as raised:
        pull(location, tmp_path, PullOptions(workers=1))
    assert raised.value.hint.startswith("nothing of it was kept")
    # Other bytes of another size are met with when the layer's files are listed, before any is written.
    assert read_files(tmp_path) in ({"right": good}, {})


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("kept", [0.0, 0.2, 0.5, 0.99])
def test_a_layer_that_ends_early(tmp_path: Path, compress: Any, kept: float) -> None:
    store = MemoryStore()
    whole = compress(tar(*[file(f"models/{number}", os.urandom(3000)) for number in range(9)]))
    location = put_image(store, whole)
    for digest, content in store.blobs.items():
        if content == whole[1]:
            store.blobs[digest] = content[: int(len(content) * kept)]
    with pytest.raises(ContentMismatch):
        pull(location, tmp_path)
    assert read_files(tmp_path) == {}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_files_of_before_stay_or_are_replaced(tmp_path: Path, compress: Any) -> None:
    """What is the same isn't touched, whatever the layer; what is replaced is told."""
    write_files(tmp_path, {"a": b"old", "same": b"s", "mine": b"m", "l": b"a file"})
    (tmp_path / "elsewhere").symlink_to("mine")
    before = (tmp_path / "same").stat()
    layer = compress(
        tar(
            file("models/a", b"new"),
            file("models/same", b"s"),
            hard("models/twin", "models/a"),
            file("models/elsewhere", b"m"),
            link("models/l", "a"),
        )
    )
    events: list[Event] = []
    pull(put_image(MemoryStore(), layer), tmp_path, listener=events.append)
    assert read_files(tmp_path) == {"a": b"new", "l": b"new", "mine": b"m", "same": b"s", "twin": b"new"} | {
        "elsewhere": b"m"
    }
    after = (tmp_path / "same").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert {event for event in events if isinstance(event, FilePulled)} == {
        FilePulled("a", 3, replaced=True),
        FilePulled("twin", 3),
        FilePulled("same", 1, "unchanged"),
        FilePulled("elsewhere", 1, replaced=True),
    }
    assert [event.message for event in events if isinstance(event, Warned)] == [
        f"{tmp_path}/l was there: it is replaced by a symbolic link"
    ]
    pull(put_image(MemoryStore(), tar(file("models/a", b"newer"), link("models/l", "a"))), tmp_path)
    assert read_files(tmp_path)["l"] == b"newer"
    assert (tmp_path / "twin").read_bytes() == b"new"


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("mine", [b"longer", b"old"])
@pytest.mark.parametrize("others", [{}, {"b": b"b"}])
def test_files_that_must_not_be_replaced(tmp_path: Path, compress: Any, mine: bytes, others: dict[str, bytes]) -> None:
    """Of another size, and of the same, which only bytes can tell; in a layer of its own and beside others."""
    write_files(tmp_path, {"a": mine})
    location = put_image(
        MemoryStore(), compress(tar(*[file(f"models/{path}", b) for path, b in ({"a": b"new"} | others).items()]))
    )
    with pytest.raises(Refused, match=f"{tmp_path}/a is there and isn't the image's, and --no-clobber forbids"):
        pull(location, tmp_path, PullOptions(no_clobber=True))
    assert read_files(tmp_path)["a"] == mine
    write_files(tmp_path, {"a": b"new"})
    pull(location, tmp_path, PullOptions(no_clobber=True))
    assert read_files(tmp_path) == {"a": b"new"} | others


def test_a_file_that_a_link_must_not_replace(tmp_path: Path) -> None:
    location = put_image(MemoryStore(), tar(file("models/a", b"1"), link("models/l", "a")))
    for _ in range(2):
        pull(location, tmp_path / "x", PullOptions(no_clobber=True))
    write_files(tmp_path / "y", {"l": b"mine"})
    with pytest.raises(Refused, match="/l is there and isn't the image's"):
        pull(location, tmp_path / "y", PullOptions(no_clobber=True))
    assert read_files(tmp_path / "y") == {"l": b"mine"}


def test_events_tell_of_each_file(tmp_path: Path) -> None:
    events: list[Event] = []
    location = put_image(
        MemoryStore(), tar(file("models/a", b"1"), hard("models/b", "models/a")), tar(file("models/c"))
    )
    pull(location, tmp_path, listener=events.append)
    assert {event for event in events if isinstance(event, FilePulled)} == {
        FilePulled("a", 1), FilePulled("b", 1), FilePulled("c", 0),
    }  # fmt: skip
    assert len(events) == 3


def test_no_modelcar(tmp_path: Path) -> None:
    for layer in (tar(file("etc/a")), tar(folder("models")), tar(link("models/a", "b"))):
        with pytest.raises(NotFound, match="holds no files in /models"):
            pull(put_image(MemoryStore(), layer), tmp_path)


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b""})
    location = put_image(MemoryStore(), tar(file("models/a")))
    with pytest.raises(ModelcarError, match="file"):
        pull(location, tmp_path / "file")
    with pytest.raises((Denied, ModelcarError)):
        pull(location, Path("/proc/modelcar"))


def test_a_folder_where_a_file_belongs(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/mine": b"m"})
    with pytest.raises(Refused, match=f"{tmp_path}/a is a folder, and in the image a file"):
        pull(put_image(MemoryStore(), tar(file("models/a", b"1"))), tmp_path)
    assert read_files(tmp_path) == {"a/mine": b"m"}


def test_a_file_where_a_folder_belongs(tmp_path: Path) -> None:
    write_files(tmp_path, {"sub": b"m"})
    with pytest.raises(Refused, match=f"{tmp_path}/sub is no folder, and in the image one"):
        pull(put_image(MemoryStore(), tar(file("models/sub/deep/a", b"1"), file("models/b", b"2"))), tmp_path)
    assert read_files(tmp_path) == {"sub": b"m"}

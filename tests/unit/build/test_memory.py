"""What this machine remembers: it may be lost, damaged or shared, and never stops a build."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from modelcar.build.memory import Memory
from modelcar.oci import Digest, StoredLayer

DIGEST = Digest("sha256:" + "0a" * 32)
OTHER = Digest("sha256:" + "0b" * 32)


def blob(digest: Digest, size: int) -> StoredLayer:
    return StoredLayer(digest, size, OTHER)


def use(memory: Memory) -> tuple[str | None, list[tuple[str, str, StoredLayer]]]:
    """Remember a file and a layer, and say what is known then."""
    memory.remember_file("1:2:3", DIGEST)
    memory.remember_layer("key", "quay.io/a", blob(DIGEST, 10))
    try:
        return memory.file_digest("1:2:3"), memory.layers(["key", "unknown"])
    finally:
        memory.close()


ALL = (DIGEST, [("key", "quay.io/a", blob(DIGEST, 10))])
NOTHING: tuple[None, list[object]] = (None, [])


def test_it_remembers_from_one_run_to_the_next(tmp_path: Path) -> None:
    assert use(Memory(tmp_path / "new" / "folder")) == ALL
    again = Memory(tmp_path / "new" / "folder")
    assert (again.file_digest("1:2:3"), again.layers(["key"])) == ALL
    assert again.file_digest("1:2:4") is None
    again.close()


def test_the_latest_layer_comes_first(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.remember_layer("key", "quay.io/a", blob(DIGEST, 1))
    memory.remember_layer("key", "quay.io/b", blob(DIGEST, 2))
    memory.remember_layer("key", "quay.io/a", blob(OTHER, 3))
    assert memory.layers(["key"]) == [("key", "quay.io/a", blob(OTHER, 3)), ("key", "quay.io/b", blob(DIGEST, 2))]
    memory.close()


def test_without_a_folder_it_remembers_nothing() -> None:
    assert use(Memory(None)) == NOTHING


def test_after_closing_it_knows_nothing_and_says_nothing(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.close()
    assert use(memory) == NOTHING


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert use(Memory(tmp_path / "file" / "below")) == NOTHING


def test_a_folder_that_can_not_be_written() -> None:
    """In /proc not even root can make a file."""
    assert use(Memory(Path("/proc/self"))) == NOTHING


def test_a_folder_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "memory.sqlite").mkdir()
    assert use(Memory(tmp_path)) == NOTHING


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(range(256)) * 40, os.urandom(8192)])
def test_a_damaged_database_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memory.sqlite").write_bytes(content)
    use(Memory(tmp_path))
    assert use(Memory(tmp_path)) == ALL


def test_a_database_of_another_shape(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "memory.sqlite") as other:
        other.execute("create table file (something text)")
    other.close()
    use(Memory(tmp_path))


def test_a_store_whose_name_is_no_utf8_is_only_not_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.remember_layer("key", "oci:" + os.fsdecode(b"x-\xff"), blob(DIGEST, 1))
    assert memory.layers(["key"]) == []
    memory.close()


def test_what_was_not_used_for_long_is_forgotten(tmp_path: Path) -> None:
    use(Memory(tmp_path))
    with sqlite3.connect(tmp_path / "memory.sqlite") as database:
        database.execute("update file set used = used - 181 * 86400")
        database.execute("update stored_layer set used = used - 179 * 86400")
    database.close()
    memory = Memory(tmp_path)
    assert memory.file_digest("1:2:3") is None
    assert memory.layers(["key"]) == ALL[1]
    memory.close()


def test_threads_and_processes_share_it(tmp_path: Path) -> None:
    """Two connections stand for two processes, each used by several threads."""
    memories = [Memory(tmp_path), Memory(tmp_path)]
    failures: list[BaseException] = []

    def work(memory: Memory, start: int) -> None:
        try:
            for number in range(start, start + 25):
                memory.remember_file(str(number), DIGEST)
                memory.remember_layer(str(number), "quay.io/a", blob(DIGEST, number))
                assert memory.file_digest(str(number)) == DIGEST
        except BaseException as failure:  # noqa: BLE001 - the test's own thread looks at it
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(memories[n % 2], 100 * n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(memories[0].layers(str(100 * n + m) for n in range(4) for m in range(25))) == 100
    for memory in memories:
        memory.close()


def test_closing_while_others_ask_is_no_error(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for number in range(300):
                memory.file_digest(str(number))
        except BaseException as failure:  # noqa: BLE001 - the test's own thread looks at it
            failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    memory.close()
    for thread in threads:
        thread.join()
    assert failures == []

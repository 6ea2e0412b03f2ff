"""What this machine remembers between builds: digests of local files and layers that were sent.

Losing it costs time, never correctness: whatever it says is checked against the store before it counts. So no failure
of it ever stops a build.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from modelcar.oci import Digest, StoredLayer

_SCHEMA = """
create table if not exists file (fingerprint text primary key, digest text not null, used real not null);
create table if not exists stored_layer (
    key text not null, store text not null, digest text not null, size integer not null, diff_id text not null,
    used real not null, primary key (key, store)
);
create table if not exists shell (config text primary key, used real not null);
"""
_KEPT_FOR = 180 * 86400.0


class Memory:
    """Digests of files by fingerprint, and layers by key and store.

    Args:
        folder: Where the database lies; None remembers nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._used: list[str] = []
        if folder is None:
            return
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "memory.sqlite"
            try:
                self._db = _open(path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                path.unlink()  # it is damaged: what it knew is lost in any case
                self._db = _open(path)

    def file_digest(self, fingerprint: str) -> str | None:
        """The digest that a file with this fingerprint had."""
        rows = self._ask("select digest from file where fingerprint = ?", (fingerprint,))
        if not rows:
            return None
        self._used.append(fingerprint)
        return str(rows[0][0])

    def remember_file(self, fingerprint: str, digest: str) -> None:
        """Keep a file's digest."""
        self._ask("insert or replace into file values (?, ?, ?)", (fingerprint, digest, time.time()))

    def layers(self, keys: Iterable[str]) -> list[tuple[str, str, StoredLayer]]:
        """Key, store and blob of every layer with one of these keys, the latest first."""
        found: list[tuple[str, str, StoredLayer]] = []
        statement = "select store, digest, size, diff_id from stored_layer where key = ? order by used desc limit 20"
        for key in keys:
            for store, digest, size, diff_id in self._ask(statement, (key,)):
                layer = StoredLayer(Digest(str(digest)), int(size), Digest(str(diff_id)))
                found.append((key, str(store), layer))
        return found

    def remember_layer(self, key: str, store: str, layer: StoredLayer) -> None:
        """Keep which blob a layer became in a store."""
        values = (key, store, layer.digest, layer.size, layer.diff_id, time.time())
        self._ask("insert or replace into stored_layer values (?, ?, ?, ?, ?, ?)", values)

    def has_shell(self, config: Digest) -> bool:
        """Whether an image of this config was found to have a shell."""
        return bool(self._ask("select config from shell where config = ?", (config,)))

    def remember_shell(self, config: Digest) -> None:
        """Keep that an image of this config has a shell."""
        self._ask("insert or replace into shell values (?, ?)", (config, time.time()))

    def close(self) -> None:
        """Let go of the database."""
        with self._lock, suppress(sqlite3.Error):
            if self._db is not None:
                now = time.time()
                with self._db:
                    self._db.execute("begin")
                    touched = ((now, fingerprint) for fingerprint in self._used)
                    self._db.executemany("update file set used = ? where fingerprint = ?", touched)
                self._db.close()
            self._db = None

    def _ask(self, statement: str, values: tuple[str | int | float, ...]) -> list[tuple[str | int, ...]]:
        # A name that is no UTF-8 can't be a value, and is only not remembered.
        with self._lock, suppress(sqlite3.Error, UnicodeError):
            if self._db is not None:
                return self._db.execute(statement, values).fetchall()
        return []


def _open(path: Path) -> sqlite3.Connection:
    """The database at a path, made if need be, without what wasn't used for long."""
    database = sqlite3.connect(path, timeout=5, check_same_thread=False, isolation_level=None)
    try:
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=normal")  # what a power cut takes was only remembered
        database.executescript(_SCHEMA)
        oldest = time.time() - _KEPT_FOR
        database.execute("delete from file where used < ?", (oldest,))
        database.execute("delete from stored_layer where used < ?", (oldest,))
        database.execute("delete from shell where used < ?", (oldest,))
    except sqlite3.Error:
        database.close()
        raise
    return database

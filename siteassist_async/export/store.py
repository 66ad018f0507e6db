"""The checkpoint database: the checkpoint and the index of IDs, in one SQLite file.

It is one file so that both change at once.
"""

from __future__ import annotations

import os
import sqlite3
import time
import zlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from siteassist_async.export.checkpoint import Checkpoint
from siteassist_async.export.disk import private, stamp, status_of, writing
from siteassist_async.export.errors import OutputError, StateError
from siteassist_async.export.state import SEAL
from siteassist_async.export.values import NO_VERSION

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

Key = str | int
"""An ID, or the line number of an invalid one."""

VERSION = 4
"""The version of the tables and of the checkpoint's fields."""

LONGEST_LOG = 2**22
"""The maximum size of SQLite's write-ahead log, all of which is read when the file is opened."""

_BUSY = "busy"  # the content of the seal while the database is written to

# The first is for statements: with ours it means that a table or a column is missing.
_DAMAGED = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
}

# Exclusive: the write-ahead log then needs no shared memory, which network file systems lack.
# Full: a commit is on the disk when it returns. The cache is what the index costs in memory.
_SETTINGS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -4000;
PRAGMA wal_autocheckpoint = 0;
"""

_TABLES = f"""
BEGIN;
CREATE TABLE seen (
    id BLOB PRIMARY KEY, position INTEGER NOT NULL, version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE record (
    id BLOB PRIMARY KEY, version INTEGER NOT NULL, crc INTEGER NOT NULL, is_open INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE apart (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1), json BLOB NOT NULL, crc INTEGER NOT NULL
);
PRAGMA user_version = {VERSION};
COMMIT;
"""

# Temporary tables: SQLite keeps them in a file of their own, so that memory does not grow.
_ANSWERS = """
CREATE TEMP TABLE IF NOT EXISTS answer (
    key BLOB PRIMARY KEY, kind INTEGER NOT NULL, crc INTEGER NOT NULL
) WITHOUT ROWID
"""
_GROWTH = """
CREATE TEMP TABLE growth (
    id BLOB NOT NULL, version INTEGER NOT NULL, crc INTEGER NOT NULL, is_open INTEGER NOT NULL
)
"""

_AT_ONCE = 500  # variables in a statement


class Held(NamedTuple):
    """The current record of an ID.

    Attributes:
        version: When the conversation changed, as the record and the list said; see `values.Value`.
        crc: The record's checksum.
        is_open: Whether the conversation was open.
    """

    version: int
    crc: int
    is_open: bool

    def is_current(self, version: int) -> bool:
        """Whether there is no reason to fetch it again, given the version that a list names."""
        return version == NO_VERSION or NO_VERSION < version <= self.version


class Store:
    """The open database; calls from several threads must not overlap.

    All changes are written by the next `commit`, entirely or not at all. Beside the database is
    the seal, a file that holds the status of the database file after the last write.

    Attributes:
        is_touched: Whether someone else changed or copied the database since the last write.

    Raises:
        StateError: The file is damaged, or of another version.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._seal = path.with_name(SEAL)
        self.is_touched = self._stamp() != "" and self._sealed() not in {_BUSY, self._stamp()}
        if not self._stamp():
            with writing(path):  # SQLite would let others read it
                os.close(private(path, os.O_RDWR | os.O_CREAT))
        with self._naming_path():
            self._database = sqlite3.connect(
                path, timeout=0.5, isolation_level=None, check_same_thread=False
            )
        with ExitStack() as failed:
            failed.callback(self._database.close)
            with self._naming_path():
                self._database.executescript(_SETTINGS)
                version = self._database.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    self._database.executescript(_TABLES)
                elif version != VERSION:
                    raise StateError(
                        f"has version {version}, but this package reads version {VERSION}; use "
                        "the package that wrote it, or rebuild the export's state "
                        "(--rebuild-state)",
                        path=str(path),
                    )
                if self._database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    self._write_seal(_BUSY)  # each commit changes the file itself
                elif version == 0:
                    self._write_seal()
                self._database.execute("BEGIN")
            failed.pop_all()

    @property
    def name(self) -> str:
        """The file, for errors."""
        return str(self._path)

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint; None if there is none yet."""
        with self._naming_path():
            row = self._database.execute("SELECT json, crc FROM checkpoint").fetchone()
        if row is None:
            return None
        json, crc = row
        if not isinstance(json, bytes) or zlib.crc32(json) != crc:
            raise self._damaged("its checkpoint is not as it was written")
        return msgspec.json.decode(json, type=Checkpoint)

    def commit(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint and all IDs seen, durably."""
        json = msgspec.json.encode(checkpoint)
        with self._naming_path():
            self._database.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?)", [json, zlib.crc32(json)]
            )
            self._database.execute("COMMIT")
            # There is none where SQLite uses another kind of journal, as on some file systems.
            log = status_of(self._log)
            if log is not None and log.st_size > LONGEST_LOG:
                self._write_seal(_BUSY)
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._write_seal()
            self._database.execute("BEGIN")

    def add(self, ids: Sequence[tuple[str, int, int]]) -> bool:
        """Add the positions and versions of IDs without one; returns whether none had one."""
        rows = [(_key(text), position, version) for text, position, version in ids]
        with self._naming_path():
            added = self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)
            return added.rowcount == len(rows)

    def positions(self, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the positions and versions of IDs that were added."""
        found = {
            text: (position, version)
            for text, position, version in self._select("id, position, version FROM seen", ids)
        }
        if len(found) < len(set(ids)):
            raise self._damaged("an ID is missing from its index")
        return found

    def records(self, ids: Sequence[str]) -> dict[str, Held]:
        """Return what is known of the records of IDs that have one."""
        rows = self._select("id, version, crc, is_open FROM record", ids)
        return {text: Held(version, crc, bool(is_open)) for text, version, crc, is_open in rows}

    def apart(self, ids: Sequence[str]) -> set[str]:
        """Return the IDs that were set apart."""
        return {text for (text,) in self._select("id FROM apart", ids)}

    def unknown(self, ids: Sequence[str]) -> list[str]:
        """Return the IDs that are in no index."""
        left = list(ids)
        for table in ("seen", "record", "apart"):
            known = {text for (text,) in self._select(f"id FROM {table}", left)}
            left = [text for text in left if text not in known]
        return left

    def size(self) -> int:
        """Count the IDs that are in an index."""
        query = (
            "SELECT count(*) FROM"
            " (SELECT id FROM seen UNION SELECT id FROM record UNION SELECT id FROM apart)"
        )
        with self._naming_path():
            return int(self._database.execute(query).fetchone()[0])

    def index(self, records: Iterable[tuple[str, Held]]) -> None:
        """Note the records of IDs, in the order in which they were written."""
        rows = ((_key(text), *held) for text, held in records)
        with self._naming_path():
            self._database.execute(_GROWTH)
            self._database.executemany("INSERT INTO growth VALUES (?, ?, ?, ?)", rows)
            # Sorted, so that each page of the index is written once.
            self._database.execute(
                "INSERT OR REPLACE INTO record SELECT * FROM growth ORDER BY id, rowid"
            )
            self._database.execute("DROP TABLE growth")

    def set_apart(self, ids: Iterable[str]) -> None:
        """Set these IDs apart, and no others."""
        rows = ([_key(text)] for text in ids)
        with self._naming_path():
            self._database.execute("DELETE FROM apart")
            self._database.executemany("INSERT OR IGNORE INTO apart VALUES (?)", rows)

    def open_ids(self) -> Iterator[str]:
        """Yield the IDs whose records are of open conversations, without those set apart."""
        query = "SELECT id FROM record WHERE is_open AND id NOT IN (SELECT id FROM apart)"
        with self._naming_path():
            for (key,) in self._database.execute(query):
                yield str(UUID(bytes=key))

    def forget_positions(self, front: int, in_flight: Iterable[int]) -> None:
        """Forget the list, except for the versions at which it named what was fetched from it.

        That was what is before `front`, except for what is `in_flight`.
        """
        pending = ",".join(map(str, map(int, in_flight)))
        named = (
            "FROM seen WHERE seen.id = record.id AND seen.version > record.version"
            f" AND position < {int(front)} AND position NOT IN ({pending})"
        )
        with self._naming_path():
            self._database.execute(
                f"UPDATE record SET version = (SELECT version {named})"  # noqa: S608 - numbers only
                f" WHERE EXISTS (SELECT 1 {named})"
            )
            self._database.execute("DELETE FROM seen")

    def note(self, key: Key, kind: int, crc: int) -> tuple[int, int] | None:
        """Note a line while the store is open; returns what was noted for its key before."""
        values = {"key": key if isinstance(key, int) else _key(key), "kind": kind, "crc": crc}
        with self._naming_path():
            self._database.execute(_ANSWERS)
            insert = "INSERT OR IGNORE INTO answer VALUES (:key, :kind, :crc)"
            if self._database.execute(insert, values).rowcount:
                return None
            query = "SELECT kind, crc FROM answer WHERE key = :key"
            found: tuple[int, int] = self._database.execute(query, values).fetchone()
            self._database.execute("REPLACE INTO answer VALUES (:key, :kind, :crc)", values)
            return found

    def check(self) -> None:
        """Check the integrity of the whole file.

        Raises:
            StateError: It is damaged.
        """
        with self._naming_path():
            (found,) = self._database.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise self._damaged(found)

    def move(self, text: str, position: int, version: int) -> None:
        """Change the position and version of an ID that was added."""
        with self._naming_path():
            self._database.execute(
                "UPDATE seen SET position = ?, version = ? WHERE id = ?",
                [position, version, _key(text)],
            )

    def close(self) -> None:
        """Close the database; what was not committed is lost."""
        self._database.close()
        with suppress(OutputError):
            self._write_seal()

    def _select(self, what: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of some IDs; each begins with its ID."""
        for start in range(0, len(ids), _AT_ONCE):
            keys = {_key(text): text for text in ids[start : start + _AT_ONCE]}
            query = f"SELECT {what} WHERE id IN ({','.join('?' * len(keys))})"
            with self._naming_path():
                rows = self._database.execute(query, list(keys)).fetchall()
            yield from ((keys[key], *rest) for key, *rest in rows)

    def _damaged(self, why: str) -> StateError:
        return StateError(
            f"is damaged: {why}; rebuild the export's state from its output and its input "
            "(--rebuild-state)",
            path=str(self._path),
        )

    def _stamp(self) -> str:
        with writing(self._path):
            status = status_of(self._path)
        return stamp(status) if status else ""

    def _sealed(self) -> str:
        with writing(self._seal):
            if status_of(self._seal) is None:
                return ""
            with os.fdopen(
                private(self._seal, os.O_RDONLY), encoding="ascii", errors="replace"
            ) as seal:
                return seal.read()

    def _write_seal(self, text: str = "") -> None:
        """Write the file's status to the seal, with a modification time that no later write has."""
        with writing(self._seal):
            if not text:
                now = time.time_ns()
                with suppress(OSError):
                    os.utime(self._path, ns=(now, now))
            seal = private(self._seal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                os.write(seal, (text or self._stamp()).encode())
            finally:
                os.close(seal)

    @contextmanager
    def _naming_path(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise self._damaged(str(error)) from error
            raise OutputError(f"cannot be written: {error}", path=str(self._path)) from error


def _key(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))

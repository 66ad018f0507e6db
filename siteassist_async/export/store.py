"""The checkpoint and the index of ids seen: one SQLite file, so that both change at once."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from siteassist_async.export.checkpoint import Checkpoint
from siteassist_async.export.errors import OutputError, StateError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path


VERSION = 1
"""Of the tables and of the checkpoint's fields."""

LONGEST_LOG = 2**24
"""Bytes of SQLite's write-ahead log that are kept: whoever opens the file next reads all of it."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# Exclusive: the write-ahead log then needs no shared memory, which network file systems lack.
# Full: a commit is on the disk when it returns. The cache is what the index costs in memory.
_SETTINGS = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -4000;
"""

_TABLES = f"""
BEGIN;
CREATE TABLE seen (id BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoint (only INTEGER PRIMARY KEY CHECK (only = 1), json BLOB NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class Store:
    """One open file; calls from several threads must not overlap.

    Whatever changes is written by the next `commit`, as a whole or not at all.

    Raises:
        StateError: The file is damaged, or of another version.
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        with self._naming_path():
            self._database = sqlite3.connect(
                path, timeout=0.5, isolation_level=None, check_same_thread=False
            )
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint; None if there was none yet."""
        with self._naming_path():
            row = self._database.execute("SELECT json FROM checkpoint").fetchone()
        try:
            return msgspec.json.decode(row[0], type=Checkpoint) if row else None
        except msgspec.MsgspecError as error:
            raise StateError(f"is damaged: {error}", path=str(self._path)) from error

    def commit(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint and all ids seen, durably."""
        with self._naming_path():
            self._database.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (1, ?)", [msgspec.json.encode(checkpoint)]
            )
            self._database.execute("COMMIT")
            if self._log_size() > LONGEST_LOG:
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.execute("BEGIN")

    def add(self, ids: Sequence[tuple[str, int]]) -> bool:
        """Note the positions of ids that have none yet; returns whether none had one."""
        rows = [(_key(text), position) for text, position in ids]
        with self._naming_path():
            added = self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", rows)
            return added.rowcount == len(rows)

    def positions(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of ids that were added."""
        keys = {_key(text): text for text in ids}
        query = f"SELECT id, position FROM seen WHERE id IN ({','.join('?' * len(keys))})"  # noqa: S608 - question marks only
        with self._naming_path():
            rows = self._database.execute(query, list(keys)).fetchall()
        return {keys[key]: position for key, position in rows}

    def move(self, text: str, position: int) -> None:
        """Change the position of an id that was added."""
        with self._naming_path():
            self._database.execute(
                "UPDATE seen SET position = ? WHERE id = ?", [position, _key(text)]
            )

    def close(self) -> None:
        """Forget what was not committed."""
        self._database.close()

    def _log_size(self) -> int:
        try:
            return self._log.stat().st_size
        except FileNotFoundError:  # the file system made SQLite keep a journal of another kind
            return 0

    def _prepare(self) -> None:
        with self._naming_path():
            self._database.executescript(_SETTINGS)
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._database.executescript(_TABLES)
            elif version != VERSION:
                raise StateError(
                    f"is of version {version} and this package reads version {VERSION}; use the "
                    "package that wrote it, or restart the export",
                    path=str(self._path),
                )
            self._database.execute("BEGIN")

    @contextmanager
    def _naming_path(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise StateError(f"is damaged: {error}", path=str(self._path)) from error
            raise OutputError(f"cannot be written: {error}", path=str(self._path)) from error


def _key(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))

"""SQLite: one file with both tables, and a third with the place in the log.

It has no write-ahead log, so that the file can be copied, and be read where nothing can be written.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from siteassist_async.export.disk import private, sync_folder, writing
from siteassist_async.export.errors import OutputError, OutputInUseError
from siteassist_async.formats.log import Place
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, decode, encode
from siteassist_async.formats.sink import Contents, damaged, foreign, unreadable, whole

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from siteassist_async.formats.log import Batch
    from siteassist_async.formats.rows import Column, Row
    from siteassist_async.formats.sink import Ids

VERSION = 1
"""The version of the tables, in the file's `user_version`."""

TRANSACTION = 64 << 20
"""Bytes of the log that are added in one transaction.

Each writes most pages of the indexes again, since IDs are random: with a quarter of the bytes,
twice as much is written.
"""

APPLICATION = int.from_bytes(b"SAsc", "big")
"""The file's `application_id`, which proves that a conversion wrote it."""

_DAMAGED = {
    sqlite3.SQLITE_ERROR,  # with our statements: a table or a column is missing
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_FORMAT,
}


def _table(name: str, columns: Sequence[Column], key: str) -> str:
    integers = {"integer", "boolean"}
    types = (f"{c.name} {'INTEGER' if c.kind in integers else 'TEXT'}" for c in columns)
    return f"CREATE TABLE {name} ({', '.join(types)}, PRIMARY KEY ({key})) STRICT;"


# Pages of 8 KiB instead of 4: a quarter of the time, since a row has some 400 bytes.
_TABLES = f"""
PRAGMA page_size = 8192;
BEGIN;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
{_table("conversations", CONVERSATIONS, "id")}
{_table("messages", MESSAGES, "conversation_id, position")}
CREATE TABLE siteassist_place ("end" INTEGER, tail INTEGER, lines INTEGER) STRICT;
INSERT INTO siteassist_place VALUES (0, 0, 0);
COMMIT;
"""  # noqa: S608 - only names of this file

_NULL = 0.5
"""What is bound for NULL: a number that no column has.

Most values of a message are None, for each of which sqlite3 would look for an adapter in vain. That
took half of the time of a conversion.
"""

_ADD_CONVERSATION, _ADD_MESSAGE = (
    f"INSERT INTO {name} VALUES ({', '.join([f'nullif(?, {_NULL})'] * len(columns))})"  # noqa: S608 - question marks
    for name, columns in (("conversations", CONVERSATIONS), ("messages", MESSAGES))
)

_COUNT = (
    "SELECT count(*), coalesce(sum(message_count), 0), (SELECT count(*) FROM messages)"
    " FROM conversations"
)


def create(path: Path) -> None:
    """Create an empty database; see `SinkModule`."""
    with writing(path):
        os.close(private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    with _opened(path) as database:
        database.executescript(_TABLES)
    sync_folder(path.parent)


def prove(path: Path) -> None:
    """Check that a database was written by a conversion; see `SinkModule`."""
    _version(path)


def contents(path: Path) -> Contents:
    """Return what is in a database; see `SinkModule`."""
    with open_sink(path) as sink:
        return sink.contents()


@contextmanager
def open_sink(path: Path) -> Generator[SqliteSink]:
    """Open a database; see `SinkModule`."""
    with _opened(_checked(path)) as database:
        yield SqliteSink(path, database)


def read_raw(
    path: Path,
    *,
    latest: bool,  # noqa: ARG001 - it has no others
    ids: Ids | None = None,
) -> Iterator[bytes]:
    """Yield the conversations; see `SourceModule`."""
    where = "" if ids is None else f"WHERE id IN ({', '.join('?' * len(ids))})"
    conversations = f"SELECT * FROM conversations {where} ORDER BY rowid"  # noqa: S608 - question marks
    messages = "SELECT * FROM messages WHERE conversation_id = ? ORDER BY position"
    with _opened(_checked(path)) as database:
        for row in database.execute(conversations, ids or ()):
            yield encode(row, database.execute(messages, row[:1]))


class SqliteSink:
    """Writes some batches in each transaction."""

    def __init__(self, path: Path, database: sqlite3.Connection) -> None:
        self._path = path
        self._database = database
        row = database.execute('SELECT "end", tail, lines FROM siteassist_place').fetchone()
        if row is None:
            raise damaged(path, "it does not say its place")
        self._committed = self._place = Place(*row)

    def place(self) -> Place:
        """Return the place of the last transaction."""
        return self._committed

    def contents(self) -> Contents:
        """Return what was committed."""
        conversations, promised, messages = self._database.execute(_COUNT).fetchone()
        found = Contents(self._committed, conversations)
        return whole(self._path, found, promised=promised, messages=messages)

    def write(self, batch: Batch) -> None:
        """Write a batch; older records of the same conversations are replaced."""
        rows = decode(batch.lines).newest()
        execute, executemany = self._database.execute, self._database.executemany
        with _naming(self._path):
            if not self._database.in_transaction:
                execute("BEGIN IMMEDIATE")
            find = "SELECT id FROM conversations WHERE id = ?"
            found = (execute(find, row[:1]).fetchone() for row in rows.conversations)
            old = [row for row in found if row is not None]
            executemany("DELETE FROM messages WHERE conversation_id = ?", old)
            executemany("DELETE FROM conversations WHERE id = ?", old)
            executemany(_ADD_CONVERSATION, _bound(rows.conversations))
            executemany(_ADD_MESSAGE, _bound(rows.messages))
        self._place = batch.place
        if batch.place.end - self._committed.end >= TRANSACTION:
            self.finish()

    def finish(self) -> None:
        """Commit the transaction."""
        place = self._place
        if place == self._committed:
            return
        with _naming(self._path):
            at = [place.end, place.tail, place.lines]
            self._database.execute('UPDATE siteassist_place SET "end" = ?, tail = ?, lines = ?', at)
            self._database.execute("COMMIT")
        self._committed = place


def _bound(rows: Iterable[Row]) -> Iterator[list[object]]:
    return ([_NULL if value is None else value for value in row] for row in rows)


def _version(path: Path) -> int:
    """Return the version in the header of a file, which is the same even if the rest is damaged."""
    with writing(path), path.open("rb") as file:
        header = file.read(72)
    if not header.startswith(b"SQLite format 3\0") or header[68:] != APPLICATION.to_bytes(4, "big"):
        raise foreign(path, "an SQLite database")
    return int.from_bytes(header[60:64], "big")


def _checked(path: Path) -> Path:
    version = _version(path)
    if version != VERSION:
        raise unreadable(path, version, VERSION)
    return path


@contextmanager
def _opened(path: Path) -> Generator[sqlite3.Connection]:
    with _naming(path), closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cache_size = -40000")
        yield database


@contextmanager
def _naming(path: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGED:
            raise damaged(path, error) from error
        if code == sqlite3.SQLITE_BUSY:
            raise OutputInUseError("another program is using it", path=str(path)) from error
        raise OutputError(f"cannot be written: {error}", path=str(path)) from error

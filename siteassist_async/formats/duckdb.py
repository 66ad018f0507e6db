"""DuckDB: one file with both tables, and a third with the place in the log."""

from __future__ import annotations

from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

import duckdb

from siteassist_async.export.disk import sync_folder, writing
from siteassist_async.export.errors import OutputError, OutputInUseError
from siteassist_async.formats.log import Place
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, Rows, decode, encode
from siteassist_async.formats.sink import Contents, damaged, foreign, unreadable, whole

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from siteassist_async.formats.log import Batch
    from siteassist_async.formats.rows import Column, Row
    from siteassist_async.formats.sink import Ids

# Needed for rows only, and slow to import, where often there are no new ones.
if find_spec("pyarrow") is None:
    raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")

VERSION = 1
"""The version of the tables."""

TRANSACTION = 32 << 20
"""Bytes of the log in a transaction."""

_TYPES = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "category": "VARCHAR",
    "time": "TIMESTAMPTZ",
    "boolean": "BOOLEAN",
    "integer": "INTEGER",
}


def _table(name: str, columns: Sequence[Column]) -> str:
    return f"CREATE TABLE {name} ({', '.join(f'{c.name} {_TYPES[c.kind]}' for c in columns)});"


# No keys: their indexes would take more time and memory than the rows.
_TABLES = f"""
BEGIN;
{_table("conversations", CONVERSATIONS)}
{_table("messages", MESSAGES)}
CREATE TABLE siteassist_place (version INTEGER, "end" BIGINT, tail BIGINT, lines BIGINT);
INSERT INTO siteassist_place VALUES ({VERSION}, 0, 0, 0);
COMMIT;
"""  # noqa: S608 - only names of this file

_FIND = "SELECT 1 FROM conversations SEMI JOIN new_conversations USING (id) LIMIT 1"
_REPLACE = """
DELETE FROM messages WHERE conversation_id IN (SELECT id FROM new_conversations);
DELETE FROM conversations WHERE id IN (SELECT id FROM new_conversations);
"""
_ADD = """
INSERT INTO conversations FROM new_conversations;
INSERT INTO messages FROM new_messages;
"""

_COUNT = (
    "SELECT count(*), coalesce(sum(message_count), 0), (SELECT count(*) FROM messages)"
    " FROM conversations"
)


def create(path: Path) -> None:
    """Create an empty database; see `SinkModule`."""
    with _naming(path), closing(duckdb.connect(path)) as database:
        database.execute(_TABLES).fetchall()
    with writing(path):
        path.chmod(0o600)
        sync_folder(path.parent)


def prove(path: Path) -> None:
    """Check that a database was written by a conversion; see `SinkModule`."""
    with _opened(path, read_only=True):
        pass


def contents(path: Path) -> Contents:
    """Return what is in a database; see `SinkModule`."""
    with _opened(path, read_only=True) as database:
        _refuse_version(path, database)
        (place,) = database.execute('SELECT "end", tail, lines FROM siteassist_place').fetchall()
        ((conversations, promised, messages),) = database.execute(_COUNT).fetchall()
    found = Contents(Place(*place), conversations)
    return whole(path, found, promised=promised, messages=messages)


@contextmanager
def open_sink(path: Path) -> Generator[DuckdbSink]:
    """Open a database; see `SinkModule`."""
    with _opened(path, read_only=False) as database:
        _refuse_version(path, database)
        yield DuckdbSink(path, database)


def read_raw(
    path: Path,
    *,
    latest: bool,  # noqa: ARG001 - it has no others
    ids: Ids | None = None,
) -> Iterator[bytes]:
    """Yield the conversations; see `SourceModule`."""
    with _opened(path, read_only=True) as database:
        _refuse_version(path, database)
        messages = _rows(database.cursor(), "messages", ids)
        for row in _rows(database.cursor(), "conversations", ids):
            its = [*islice(messages, row[-2])]
            if any(message[0] != row[0] for message in its):
                raise damaged(path, "its messages are in another order")
            yield encode(row, its)


class DuckdbSink:
    """Writes some batches in each transaction."""

    def __init__(self, path: Path, database: duckdb.DuckDBPyConnection) -> None:
        self._path = path
        self._database = database
        (row,) = self._run('SELECT "end", tail, lines FROM siteassist_place')
        self._committed = self._place = Place(*row)
        self._waiting = Rows([], [])

    def place(self) -> Place:
        """Return the place of the last transaction."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """Add a batch to the next transaction; each costs as much as thousands of rows."""
        rows = decode(batch.lines)
        self._waiting.conversations.extend(rows.conversations)
        self._waiting.messages.extend(rows.messages)
        self._place = batch.place
        if batch.place.end - self._committed.end >= TRANSACTION:
            self.finish()

    def finish(self) -> None:
        """Write what is waiting; older records of the same conversations are replaced."""
        if self._place == self._committed:
            return
        from siteassist_async.formats.arrow import packed, tables  # noqa: PLC0415 - see above

        conversations, messages = tables([packed(self._waiting.newest())])
        place = self._place
        with _naming(self._path):
            self._database.register("new_conversations", conversations)
            self._database.register("new_messages", messages)
            self._run("BEGIN")
            if self._run(_FIND):
                self._run(_REPLACE)
            self._run(_ADD)
            at = [place.end, place.tail, place.lines]
            self._run('UPDATE siteassist_place SET "end" = ?, tail = ?, lines = ?', at)
            self._run("COMMIT")
        self._committed = place
        self._waiting = Rows([], [])

    def _run(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        # To its end: a connection with an unread result takes no other query.
        return self._database.execute(query, values).fetchall()


def _rows(database: duckdb.DuckDBPyConnection, table: str, ids: Ids | None) -> Iterator[Row]:
    from siteassist_async.formats.arrow import pa, rows_of  # noqa: PLC0415 - see above

    for batch in pa.RecordBatchReader.from_stream(database.sql(f"FROM {table}")):
        yield from rows_of(batch, ids)


@contextmanager
def _opened(path: Path, *, read_only: bool) -> Generator[duckdb.DuckDBPyConnection]:
    with writing(path), path.open("rb") as file:
        if file.read(12)[8:] != b"DUCK":
            raise foreign(path, "a DuckDB database")
    with _naming(path), closing(duckdb.connect(path, read_only=read_only)) as database:
        try:
            database.execute("SELECT version FROM siteassist_place").fetchall()
        except duckdb.CatalogException as error:
            raise foreign(path, "a DuckDB database") from error
        yield database


def _refuse_version(path: Path, database: duckdb.DuckDBPyConnection) -> None:
    ((version,),) = database.execute("SELECT version FROM siteassist_place").fetchall()
    if version != VERSION:
        raise unreadable(path, version, VERSION)


@contextmanager
def _naming(path: Path) -> Generator[None]:
    try:
        yield
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise OutputInUseError("another program is using it", path=str(path)) from error
        raise OutputError(f"cannot be written: {error}", path=str(path)) from error
    except duckdb.Error as error:
        raise damaged(path, error) from error

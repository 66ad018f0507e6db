"""Parquet: a folder with a folder for each table, of numbered parts.

    conversations.parquet/
        _siteassist.json              says that a conversion wrote the folder
        conversations/000001.parquet
        messages/000001.parquet       its metadata has the place in the log

Parts are written in a hidden folder and moved to their place, that of the messages last: with it
the part counts. A part of conversations without one of messages is what a killed process left.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from siteassist_async.export.disk import private, sync_file, sync_folder, writing
from siteassist_async.formats.arrow import pa, rows_of, tables
from siteassist_async.formats.log import START, Place
from siteassist_async.formats.rows import Rows, decode, encode
from siteassist_async.formats.sink import damaged, foreign, unreadable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from siteassist_async.formats.log import Batch
    from siteassist_async.formats.rows import Row
    from siteassist_async.formats.sink import Ids

pq: Any = import_module("pyarrow.parquet")

VERSION = 1
"""The version of the tables."""

PART = 256 << 20
"""Bytes of the log in a part: what has to be written again after a kill at most."""

_MARK = "_siteassist.json"
_WRITING = ".writing"
_CONVERSATIONS, _MESSAGES = _TABLES = ("conversations", "messages")
_PLACE = b"siteassist"
_RECORD = "record"

# Columns of which a row group has few values. For others a dictionary costs time and saves little.
_REPEATED = [
    *("conversation_id", "status", "close_reason", "human_agent_name", "human_agent_image"),
    *("role", "error", "feedback", "page_url", "page_title"),
]


class _Mark(msgspec.Struct):
    """The content of the mark."""

    format: str
    version: int


class _Committed(msgspec.Struct):
    """What the metadata of a part of messages says."""

    end: int
    tail: int
    lines: int


def create(path: Path) -> None:
    """Create an empty folder of Parquet; see `SinkModule`."""
    with writing(path):
        for folder in (path, *(path / name for name in (*_TABLES, _WRITING))):
            folder.mkdir(mode=0o700)
        with os.fdopen(private(path / _MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(msgspec.json.encode(_Mark("siteassist", VERSION)))
            sync_file(file)
        sync_folder(path)


def prove(path: Path) -> None:
    """Check that a folder was written by a conversion; see `SinkModule`."""
    _mark(path)


@contextmanager
def open_sink(path: Path) -> Generator[ParquetSink]:
    """Open a folder of Parquet; see `SinkModule`."""
    version = _mark(path).version
    if version != VERSION:
        raise unreadable(path, version, VERSION)
    with writing(path):
        parts = _swept(path)
    with ExitStack() as stack:
        yield ParquetSink(path, len(parts), _committed(path, parts), stack)


def read_raw(path: Path, *, latest: bool, ids: Ids | None = None) -> Iterator[bytes]:
    """Yield the conversations; see `SourceModule`."""
    if _mark(path).version != VERSION:
        raise unreadable(path, _mark(path).version, VERSION)
    parts = _parts(path)
    newest: dict[str, int] = {}
    if latest:
        for name in parts:
            with _reading(path / _CONVERSATIONS / name) as file:
                table = file.read([_RECORD, "id"])
            newest.update(zip(table["id"].to_pylist(), table[_RECORD].to_pylist(), strict=True))
    for name in parts:
        messages = _rows(path / _MESSAGES / name, ids)
        for *row, record in _rows(path / _CONVERSATIONS / name, ids):
            its = [m[:-1] for m in islice(messages, row[-2])]
            if newest.get(row[0], record) == record:
                yield encode(tuple(row), its)


class ParquetSink:
    """Writes parts. Rows are compressed in a thread while the next ones are decoded."""

    def __init__(self, path: Path, parts: int, place: Place, stack: ExitStack) -> None:
        self._path = path
        self._number = parts + 1
        self._place = place
        self._stack = stack
        self._thread = stack.enter_context(ThreadPoolExecutor(1))
        self._pending: Future[None] | None = None
        self._part: _Part | None = None

    def place(self) -> Place:
        """Return how far the log is in the parts."""
        return self._place

    def write(self, batch: Batch) -> None:
        """Add rows to a part, which is committed when it is full."""
        rows = decode(batch.lines)
        self._wait()
        if self._part is None:
            with writing(self._path):
                self._part = _Part(self._path, f"{self._number:06}.parquet", self._stack)
        self._pending = self._thread.submit(self._part.write, rows, batch.start.lines + 1)
        self._part.place = batch.place
        if batch.place.end - self._place.end >= PART:
            self.finish()

    def finish(self) -> None:
        """Commit the part."""
        self._wait()
        if self._part is not None:
            with writing(self._path):
                self._part.commit()
            self._place = self._part.place
            self._part = None
            self._number += 1

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            with writing(self._path):
                pending.result()


class _Part:
    """A part that is being written, in a hidden folder."""

    def __init__(self, folder: Path, name: str, stack: ExitStack) -> None:
        self._folder = folder
        self._name = name
        self.place = START
        self._files: list[BinaryIO] = []
        self._writers: list[Any] = []
        stack.callback(self.abandon)
        for table, empty in zip(_TABLES, _with_record(Rows([], []), 0), strict=True):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            file = os.fdopen(private(self._temporary(table), flags), "wb")
            self._files.append(file)
            writer = pq.ParquetWriter(
                file,
                empty.schema,
                compression="zstd",
                use_dictionary=[name for name in _REPEATED if name in empty.schema.names],
            )
            self._writers.append(writer)

    def write(self, rows: Rows, first: int) -> None:
        for writer, table in zip(self._writers, _with_record(rows, first), strict=True):
            writer.write_table(table, row_group_size=max(1, len(table)))

    def commit(self) -> None:
        place = _Committed(self.place.end, self.place.tail, self.place.lines)
        self._writers[-1].add_key_value_metadata({_PLACE: msgspec.json.encode(place)})
        for writer, file in zip(self._writers, self._files, strict=True):
            writer.close()
            sync_file(file)
            file.close()
        for table in _TABLES:  # the messages last
            self._temporary(table).rename(self._folder / table / self._name)
            sync_folder(self._folder / table)

    def abandon(self) -> None:
        """Close the files, and keep the writers from finishing the part when they are collected."""
        for writer in self._writers:
            writer.is_open = False
        for file in self._files:
            with suppress(OSError):  # the error that made it be abandoned
                file.close()

    def _temporary(self, table: str) -> Path:
        return self._folder / _WRITING / table


def _with_record(rows: Rows, first: int) -> tuple[Any, Any]:
    """Return the tables with the number of each row's record, which tells the newest."""
    conversations, messages = tables(rows)
    numbers = range(first, first + len(rows.conversations))
    of_messages = [
        number
        for number, row in zip(numbers, rows.conversations, strict=True)
        for _ in range(row[-2])
    ]
    return (
        conversations.append_column(_RECORD, pa.array(numbers, pa.int64())),
        messages.append_column(_RECORD, pa.array(of_messages, pa.int64())),
    )


def _mark(path: Path) -> _Mark:
    try:
        with os.fdopen(private(path / _MARK, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            mark = msgspec.json.decode(file.read(1000), type=_Mark)
        if mark.format == "siteassist":
            return mark
    except (OSError, msgspec.MsgspecError):
        pass
    raise foreign(path, "a folder of Parquet")


def _parts(path: Path) -> list[str]:
    """Return the names of the parts, each of which has both tables."""
    folders = [path / table for table in _TABLES]
    with writing(path):
        found = [{file.name for file in folder.glob("*.parquet")} for folder in folders]
    names = [f"{number:06}.parquet" for number in range(1, len(found[1]) + 1)]
    if found[1] != set(names) or not found[1] <= found[0]:
        raise damaged(path, "a part is missing, or there is another file")
    return names


def _swept(path: Path) -> list[str]:
    """Return the names of the parts, and delete what a killed process left."""
    names = _parts(path)
    left = path / _CONVERSATIONS / f"{len(names) + 1:06}.parquet"
    for unfinished in (left, *(path / _WRITING / table for table in _TABLES)):
        unfinished.unlink(missing_ok=True)
    return names


def _committed(path: Path, parts: Sequence[str]) -> Place:
    if not parts:
        return START
    with _reading(path / _MESSAGES / parts[-1]) as file:
        metadata: dict[bytes, bytes] = file.metadata.metadata or {}
    try:
        place = msgspec.json.decode(metadata.get(_PLACE, b""), type=_Committed)
    except msgspec.MsgspecError as error:
        raise damaged(path / _MESSAGES / parts[-1], "it does not say its place") from error
    return Place(place.end, place.tail, place.lines)


@contextmanager
def _reading(path: Path) -> Generator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def _rows(path: Path, ids: Ids | None) -> Iterator[Row]:
    with _reading(path) as file:
        for batch in file.iter_batches(batch_size=10_000):
            yield from rows_of(batch, ids)

"""Parquet: a folder with a folder for each table, of numbered parts.

    conversations.parquet/
        _siteassist.json              says that a conversion wrote the folder
        conversations/000001.parquet
        messages/000001.parquet       its metadata has the place in the log

Parts are written in a hidden folder and moved to their place, that of the messages last: with it
the part counts. A part of conversations without one of messages is what a killed process left.

A conversion ends by writing those parts again of which a newer record has replaced some rows. Where
it is killed amid that, messages without their conversation may be left; the next one finds them.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from siteassist_async.export.disk import private, replace, sync_file, sync_folder, writing
from siteassist_async.formats.arrow import pa, packed, pc, rows_of, tables
from siteassist_async.formats.log import START, Place
from siteassist_async.formats.rows import Rows, decode, encode, no_collections
from siteassist_async.formats.sink import Contents, damaged, foreign, unreadable, whole

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

GROUP = 8 << 20
"""Bytes of the log in a row group, which is in memory until it is written."""

_AT_ONCE = 100_000
"""IDs that are looked for in all parts at once, each of some 150 bytes of memory."""

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
    settled: int = 0  # parts that have no row of a record that a newer one has replaced

    def save(self, path: Path) -> None:
        replace(path / _MARK, msgspec.json.encode(self), path / _WRITING / _MARK)


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
        _Mark("siteassist", VERSION).save(path)


def prove(path: Path) -> None:
    """Check that a folder was written by a conversion; see `SinkModule`."""
    _mark(path)


def contents(path: Path) -> Contents:
    """Return what is in a folder of Parquet; see `SinkModule`."""
    mark, parts = _checked(path), _parts(path)
    conversations = promised = messages = 0
    for name in parts:
        counts = _counts(path, name)
        conversations += counts[0]
        promised += counts[1]
        messages += counts[2]
    settled = mark.settled == len(parts)
    found = Contents(_committed(path, parts), conversations, settled)
    return whole(path, found, promised=promised if settled else messages, messages=messages)


@contextmanager
def open_sink(path: Path) -> Generator[ParquetSink]:
    """Open a folder of Parquet; see `SinkModule`."""
    _checked(path)
    with writing(path):
        parts = _swept(path)
    with ExitStack() as stack:
        yield ParquetSink(path, len(parts), _committed(path, parts), stack)


def read_raw(path: Path, *, latest: bool, ids: Ids | None = None) -> Iterator[bytes]:
    """Yield the conversations; see `SourceModule`."""
    _checked(path)
    parts = _parts(path)
    newest: dict[str, int] = {}
    if latest:
        for name in parts:
            newest.update(_records(path, name))
    for name in parts:
        records = groupby(_rows(path / _MESSAGES / name, ids), itemgetter(-1))
        its = next(records, None)
        for *row, record in _rows(path / _CONVERSATIONS / name, ids):
            while its is not None and its[0] < record:
                its = next(records, None)
            messages = its[1] if its is not None and its[0] == record else ()
            if newest.get(row[0], record) == record:
                yield encode(tuple(row), (message[:-1] for message in messages))


class ParquetSink:
    """Writes parts.

    All in one thread: in a second one, compression takes turns with decoding, and both last longer.
    """

    def __init__(self, path: Path, parts: int, place: Place, stack: ExitStack) -> None:
        self._path = path
        self._number = parts + 1
        self._place = place
        self._stack = stack
        self._part: _Part | None = None
        self._group: list[tuple[Any, Any]] = []
        self._grouped = place

    def place(self) -> Place:
        """Return how far the log is in the parts."""
        return self._place

    def write(self, batch: Batch) -> None:
        """Add rows to a part, which is committed when it is full."""
        with no_collections():
            self._group.append(packed(decode(batch.lines)))
        if self._part is None:
            with writing(self._path):
                self._part = _Part(self._path, f"{self._number:06}.parquet", self._stack)
        self._part.place = batch.place
        if batch.place.end - self._grouped.end >= GROUP:
            self._write_group(self._part)
        if batch.place.end - self._place.end >= PART:
            self._commit(self._part)

    def finish(self) -> None:
        """Commit the part, and remove what newer records have replaced."""
        if self._part is not None:
            self._commit(self._part)
        with writing(self._path), no_collections():
            _settle(self._path)

    def _write_group(self, part: _Part) -> None:
        group = _with_record(tables(self._group), self._grouped.lines + 1)
        self._group.clear()
        with writing(self._path):
            part.write_group(group)
        self._grouped = part.place

    def _commit(self, part: _Part) -> None:
        if self._group:
            self._write_group(part)
        with writing(self._path):
            part.commit()
        self._place = part.place
        self._part = None
        self._number += 1


class _Part:
    """A part that is being written, in a hidden folder."""

    def __init__(self, folder: Path, name: str, stack: ExitStack) -> None:
        self._folder = folder
        self._name = name
        self.place = START
        self._files: list[BinaryIO] = []
        self._writers: list[Any] = []
        stack.callback(self.abandon)
        empty_tables = _with_record(tables([packed(Rows([], []))]), 0)
        for table, empty in zip(_TABLES, empty_tables, strict=True):
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

    def write_group(self, tables: Sequence[Any]) -> None:
        """Write a row group of conversations, and one of messages."""
        for writer, table in zip(self._writers, tables, strict=True):
            writer.write_table(table, row_group_size=max(1, len(table)))

    def copy(self, sources: Sequence[Any], kept: Any) -> None:  # noqa: ANN401 - see `pa`
        """Write the rows of other files that are of the kept records."""
        for writer, source in zip(self._writers, sources, strict=True):
            for number in range(source.num_row_groups):
                group = source.read_row_group(number)
                rows = group.filter(pc.is_in(group[_RECORD], kept)).unify_dictionaries()
                writer.write_table(rows, row_group_size=max(1, len(rows)))

    def commit(self) -> None:
        place = _Committed(self.place.end, self.place.tail, self.place.lines)
        self._writers[-1].add_key_value_metadata({_PLACE: msgspec.json.encode(place)})
        for writer, file in zip(self._writers, self._files, strict=True):
            writer.close()
            sync_file(file)
            file.close()
        for table in _TABLES:  # the messages last
            self._temporary(table).replace(self._folder / table / self._name)
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


def _settle(path: Path) -> None:
    """Remove the rows of records that newer ones have replaced, and orphaned messages."""
    mark, parts = _mark(path), _parts(path)
    newest: dict[str, int] = {}
    for number, name in enumerate(parts[mark.settled :], mark.settled + 1):
        newest.update(_records(path, name))
        if len(newest) < _AT_ONCE and number < len(parts):
            continue
        for older in parts[:number]:
            kept = [
                record for i, record in _records(path, older) if newest.get(i, record) <= record
            ]
            conversations, promised, messages = _counts(path, older)
            if len(kept) < conversations or promised != messages:
                _rewrite(path, older, kept)
        newest.clear()
    if mark.settled < len(parts):
        mark.settled = len(parts)
        mark.save(path)


def _rewrite(path: Path, name: str, kept: Sequence[int]) -> None:
    with ExitStack() as stack:
        sources = [stack.enter_context(_reading(path / table / name)) for table in _TABLES]
        part = _Part(path, name, stack)
        part.place = _place_of(path, name)
        part.copy(sources, pa.array(kept, pa.int64()))
        part.commit()


def _counts(path: Path, name: str) -> tuple[int, int, int]:
    """Return the conversations of a part, the messages that they should have, and those it has."""
    with (
        _reading(path / _CONVERSATIONS / name) as conversations,
        _reading(path / _MESSAGES / name) as messages,
    ):
        table = conversations.read(["message_count"], use_threads=False)
        counts = table["message_count"]
        return len(counts), pc.sum(counts).as_py() or 0, messages.metadata.num_rows


def _records(path: Path, name: str) -> Iterator[tuple[str, int]]:
    """Yield the ID and the number of each record of a part."""
    with _reading(path / _CONVERSATIONS / name) as file:
        # In threads it would take as long, and 30 MiB more.
        columns = ["id", _RECORD]
        for batch in file.iter_batches(batch_size=10_000, columns=columns, use_threads=False):
            yield from zip(batch["id"].to_pylist(), batch[_RECORD].to_pylist(), strict=True)


def _with_record(group: tuple[Any, Any], first: int) -> tuple[Any, Any]:
    """Return the tables with the number of each row's record, which tells the newest."""
    conversations, messages = group
    counts = conversations["message_count"].to_pylist()
    numbers = range(first, first + len(counts))
    of_messages = [n for n, count in zip(numbers, counts, strict=True) for _ in range(count)]
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


def _checked(path: Path) -> _Mark:
    mark = _mark(path)
    if mark.version != VERSION:
        raise unreadable(path, mark.version, VERSION)
    return mark


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
    for unfinished in (left, *(path / _WRITING / name for name in (*_TABLES, _MARK))):
        unfinished.unlink(missing_ok=True)
    return names


def _committed(path: Path, parts: Sequence[str]) -> Place:
    return _place_of(path, parts[-1]) if parts else START


def _place_of(path: Path, name: str) -> Place:
    with _reading(path / _MESSAGES / name) as file:
        metadata: dict[bytes, bytes] = file.metadata.metadata or {}
    try:
        place = msgspec.json.decode(metadata.get(_PLACE, b""), type=_Committed)
    except msgspec.MsgspecError as error:
        raise damaged(path / _MESSAGES / name, "it does not say its place") from error
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

"""Rows as Arrow tables, for the formats that pyarrow writes or passes on."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, OptionalTime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from siteassist_async.formats.rows import Column, Row, Rows
    from siteassist_async.formats.sink import Ids

pa: Any = import_module("pyarrow")
"""pyarrow, which has no types: as Any, so that type checkers need not guess them everywhere."""
pc: Any = import_module("pyarrow.compute")
_TIME = pa.timestamp("us", "UTC")
# Indices of 32 bits: a set of roles is open, and 8 bits would end at the 128th.
_TYPES: dict[str, Any] = {
    "text": pa.string(),
    "json": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "time": _TIME,
    "boolean": pa.bool_(),
    "integer": pa.int32(),
}
_SENT = [
    pa.struct([(c.name, _TYPES["text" if c.kind == "time" else c.kind]) for c in columns])
    for columns in (CONVERSATIONS, MESSAGES)
]


def schema(columns: Sequence[Column]) -> Any:  # noqa: ANN401 - see `pa`
    """Return the Arrow schema of a table."""
    return pa.schema([(column.name, _TYPES[column.kind]) for column in columns])


def packed(rows: Rows) -> tuple[Any, Any]:
    """Return the rows of conversations and of messages as two arrays, for `tables`.

    Each is built in one call, which takes two thirds of the time of one call for each column.
    """
    return pa.array(rows.conversations, _SENT[0]), pa.array(rows.messages, _SENT[1])


def tables(pieces: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return the Arrow tables of conversations and messages, of at least one `packed` piece."""
    conversations, messages = zip(*pieces, strict=True)
    return _table(CONVERSATIONS, conversations), _table(MESSAGES, messages)


def _table(columns: Sequence[Column], pieces: Sequence[Any]) -> Any:  # noqa: ANN401 - see `pa`
    sent = pa.concat_arrays(pieces).flatten()
    arrays = [
        _times(values) if column.kind == "time" else values
        for column, values in zip(columns, sent, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema(columns))


def _times(texts: Any) -> Any:  # noqa: ANN401 - see `pa`
    try:
        return texts.cast(_TIME)  # six times as fast as from datetimes
    except pa.ArrowInvalid:  # more digits than those of microseconds
        return pa.array(msgspec.convert(texts.to_pylist(), list[OptionalTime]), _TIME)


def rows_of(table: Any, ids: Ids | None = None) -> Iterator[Row]:  # noqa: ANN401 - see `pa`
    """Yield the rows of an Arrow table or batch; its times become text.

    With `ids`, only those of these conversations, whose IDs are in the first column.
    """
    if ids is not None:
        table = table.filter(pc.is_in(table.column(0), pa.array(ids, pa.string())))
    columns = [
        _time_texts(column.cast(_TIME))
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for column in table.columns
    ]
    return zip(*columns, strict=True)


def _time_texts(column: Any) -> list[str | None]:  # noqa: ANN401 - see `pa`
    """Return times as the API writes them: with milliseconds, or more digits where they have."""
    numbers = column.cast(pa.int64())
    bounds = pc.min_max(numbers).as_py()
    if bounds["min"] is not None and not _FIRST <= bounds["min"] <= bounds["max"] <= _LAST:
        return [None if n is None else _far_time(n) for n in numbers.to_pylist()]
    with suppress(pa.ArrowInvalid):  # it would lose digits
        column = column.cast(pa.timestamp("ms", "UTC"))
    texts: list[str | None] = pc.replace_substring(column.cast(pa.string()), " ", "T").to_pylist()
    return texts


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = (
    (datetime(*date, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
    for date in ((1, 1, 2), (9999, 12, 31))
)


def _far_time(microseconds: int) -> str:
    """Format a time that is out of a datetime's range in UTC, by a day at most."""
    zone = timedelta(hours=23) if microseconds < 0 else timedelta(hours=-23)
    time = _EPOCH.replace(tzinfo=timezone(zone)) + zone + timedelta(microseconds=microseconds)
    return time.isoformat(timespec="microseconds")

"""Rows as Arrow tables, for the formats that pyarrow writes or passes on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, OptionalTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siteassist_async.formats.rows import Column, Row, Rows

pa: Any = import_module("pyarrow")
"""pyarrow, which has no types: as Any, so that type checkers need not guess them everywhere."""

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


def schema(columns: Sequence[Column]) -> Any:  # noqa: ANN401 - see `pa`
    """Return the Arrow schema of a table."""
    return pa.schema([(column.name, _TYPES[column.kind]) for column in columns])


def tables(rows: Rows) -> tuple[Any, Any]:
    """Return the Arrow tables of conversations and messages."""
    return _table(CONVERSATIONS, rows.conversations), _table(MESSAGES, rows.messages)


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> Any:  # noqa: ANN401 - see `pa`
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [_array(column, list(v)) for column, v in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema(columns))


def _array(column: Column, values: list[Any]) -> Any:  # noqa: ANN401 - see `pa`
    if column.kind != "time":
        return pa.array(values, _TYPES[column.kind])
    try:
        return pa.array(values, pa.string()).cast(_TIME)  # six times as fast as from datetimes
    except pa.ArrowInvalid:  # more digits than those of microseconds
        return pa.array(msgspec.convert(values, list[OptionalTime]), _TIME)

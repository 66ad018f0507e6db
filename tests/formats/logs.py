"""Logs to convert, and what is in an output."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import duckdb
import msgspec
import pytest

from siteassist_async.emulator import conversation
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SINKS = ("parquet", "sqlite", "duckdb")

every_sink = pytest.mark.parametrize("suffix", SINKS)
"""Runs a test with each of them."""


def new_id(number: int) -> str:
    """A UUID."""
    return str(UUID(int=number + 1, version=4))


def record(number: int, **changes: object) -> bytes:
    """A line of a log."""
    known = conversation(new_id(number), seed=number, messages=number % 4)
    return msgspec.json.encode(known | changes) + b"\n"


def records(numbers: Iterable[int]) -> bytes:
    """Some lines of a log."""
    return b"".join(map(record, numbers))


def tables_of(path: Path) -> tuple[list[Any], list[Any]]:
    """All rows of an output, sorted, as any reader sees them."""
    found = (_rows(path, "conversations"), _rows(path, "messages"))
    assert {len(row) for row in found[0]} <= {len(CONVERSATIONS)}
    assert {len(row) for row in found[1]} <= {len(MESSAGES)}
    return found


def ids_of(path: Path) -> list[str]:
    """The ids of all conversations in an output, each as often as it occurs."""
    return [row[0] for row in _rows(path, "conversations")]


def _rows(path: Path, table: str) -> list[Any]:
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as database:
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
            return sorted(rows, key=lambda row: row[:2])
    if path.suffix == ".duckdb":
        with closing(duckdb.connect(path, read_only=True)) as database:
            return database.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
    if not [*(path / table).glob("*.parquet")]:
        return []
    with closing(duckdb.connect()) as database:
        query = f"SELECT * EXCLUDE (record) FROM '{path}/{table}/*.parquet' ORDER BY ALL"
        return database.execute(query).fetchall()

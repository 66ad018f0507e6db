"""The ids in a column of CSV or JSON lines."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, BinaryIO, cast

from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import printable
from siteassist_async.export.errors import InputError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LONGEST_LINE = 1 << 24
"""Bytes of a line; what is longer is not kept in memory."""

_DELIMITERS = ",;\t|"


def column_values(file: BinaryIO, column: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield the number of each row's last line, and the row's value in the column.

    A file that begins with a brace is JSON lines, every other is CSV, with the delimiter that
    makes the column appear in its header. A JSON line without a value is itself the value, so
    that it is named among the invalid ids.

    Raises:
        UnknownColumnError: There is no such column.
        InputError: The CSV is broken, so that no row after it can be trusted.
    """
    if _first_line(file).startswith("{"):
        return _json_values(file, column, name)
    return _csv_values(file, column, name)


def columns(file: BinaryIO) -> tuple[str, ...]:
    """Name the columns of CSV or JSON lines; of a list of plain words there is only one."""
    first = _first_line(file)
    if first.startswith("{"):
        return tuple(_object(first.encode("utf-8", "surrogateescape")))
    rows = [tuple(_cells(first, delimiter)) for delimiter in _DELIMITERS]
    return max(rows, key=len)


def _first_line(file: BinaryIO) -> str:
    """Read the first line that is not blank, and go back to the beginning."""
    file.seek(0)
    text, line = "", b"-"
    while line and not text:
        line = file.readline(LONGEST_LINE)
        text = line.decode(errors="surrogateescape").strip().removeprefix("\ufeff").strip()
    file.seek(0)
    return text


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:  # a cell of more than 128 KiB
        return [line]


def _csv_values(file: BinaryIO, column: str, name: str) -> Iterator[tuple[int, str]]:
    # The module's limit is 128 KiB; beside the ids there may be texts. It is of the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    rows = csv.reader(_lines(file, name), delimiter=_delimiter(file, column, name), strict=True)
    index: int | None = None
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if index is None:
                index = cells.index(column)
            else:
                yield rows.line_num, cells[index] if index < len(cells) else ""
    except csv.Error as error:
        raise InputError(f"is no CSV in line {rows.line_num}: {error}", path=name) from error


def _delimiter(file: BinaryIO, column: str, name: str) -> str:
    first = _first_line(file)
    for delimiter in _DELIMITERS:
        if column in _cells(first, delimiter):
            return delimiter
    raise _unknown(column, columns(file), name)


def _lines(file: BinaryIO, name: str) -> Iterator[str]:
    mark = "\ufeff"
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise InputError(f"has a line of more than {LONGEST_LINE} bytes", path=name)
        yield line.decode(errors="replace").removeprefix(mark)
        mark = ""


def _json_values(file: BinaryIO, key: str, name: str) -> Iterator[tuple[int, str]]:
    known = columns(file)
    if key not in known:
        raise _unknown(key, known, name)
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if line.strip():
            yield number, _json_value(line, key)
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _json_value(line: bytes, key: str) -> str:
    members = _object(line)
    if key not in members:
        return printable(line.decode(errors="replace").strip())
    value = members[key]
    return value if isinstance(value, str) else json.dumps(value)


def _object(line: bytes) -> dict[str, object]:
    try:
        value = parse(line)
    except NotJsonError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _unknown(column: str, known: Sequence[str], name: str) -> UnknownColumnError:
    names = ", ".join(printable(name, 40) for name in known) or "none"
    return UnknownColumnError(
        f"has no column {column!r}; its columns: {names}", path=name, columns=tuple(known)
    )

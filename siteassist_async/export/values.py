"""The IDs of a file of any shape: plain text, CSV, JSON lines or a JSON array.

The shape follows from the first character and from whether a column was named. A file is read from
its beginning to its end, in memory that is bounded by its longest line.
"""

from __future__ import annotations

import codecs
import csv
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from attrs import frozen

from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import printable
from siteassist_async.export.errors import InputError, UnknownColumnError
from siteassist_async.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


LONGEST_LINE = 1 << 24
"""Bytes; a longer line is not kept in memory."""

UPDATED = "updatedAt"
"""The column or key that says when a conversation changed, if no other was named."""

NO_VERSION, UNKNOWN_VERSION = 0, -1
"""The versions of a list without times, and of a time that is missing or cannot be read."""

_DELIMITERS = ",;\t|"
_PIECE = 1 << 16
_SPACE = " \t\r\n\ufeff"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Value(NamedTuple):
    """A value that should be an ID.

    Attributes:
        line: The number of its last line; in a JSON array, its place in it, from 1.
        text: It, as it is written.
        version: When the conversation changed, in microseconds since 1970, or one of the two above.
    """

    line: int
    text: str
    version: int = NO_VERSION


@frozen
class Columns:
    """Which columns of CSV, or keys of JSON, to read.

    Attributes:
        ids: The column's name or, for CSV, its number from 1; a dot leads into a JSON object. None
            for plain text and an array of IDs.
        updated: The column of the times; None for the one beside the IDs called `updatedAt`, if
            there is one.
    """

    ids: str | None = None
    updated: str | None = None


def values(file: BinaryIO, wanted: Columns, name: str) -> Iterator[Value]:
    """Yield the values of a file; what cannot be read as a value is itself one, not an ID.

    Raises:
        UnknownColumnError: There is no such column; or none was named, but there are some.
        InputError: The CSV or the array is invalid, so that nothing after it can be trusted.
    """
    first = _first_line(file)
    if first.startswith("["):
        return _array_values(file, wanted, name)
    if wanted.ids is None:
        return _text_values(file)
    if first.startswith("{"):
        objects = ((number, _object(line), line) for number, line in _long_lines(file))
        return _object_values(objects, wanted, name)
    return _csv_values(file, wanted, name)


def columns(file: BinaryIO) -> tuple[str, ...]:
    """Return the columns of CSV or JSON; a list of plain words has only one."""
    first = _first_line(file)
    if first.startswith("{"):
        return tuple(_keys(_object(first.encode("utf-8", "surrogateescape"))))
    rows = [tuple(_cells(first, delimiter)) for delimiter in _DELIMITERS]
    return max(rows, key=len)


def version_of(value: object) -> int:
    """Return the version that a time in ISO 8601 is; without an offset it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return UNKNOWN_VERSION
    if not isinstance(value, datetime):
        return UNKNOWN_VERSION
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return max(1, (aware - _EPOCH) // _MICROSECOND)


def uncommented(text: str) -> str:
    """Return a line of plain text without white space, and without a comment that `#` begins."""
    before, mark, _ = text.partition("#")
    is_comment = mark and (not before or before[-1].isspace())
    return (before if is_comment else text).strip()


def _first_line(file: BinaryIO) -> str:
    """Return the first line that is not blank, and rewind the file."""
    file.seek(0)
    text, line = "", b"-"
    while line and not text:
        line = file.readline(LONGEST_LINE)
        text = line.decode(errors="surrogateescape").strip().removeprefix("\ufeff").strip()
    file.seek(0)
    return text


def _long_lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, and their numbers; what is too long is cut."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if line.strip():
            yield number, line
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _text_values(file: BinaryIO) -> Iterator[Value]:
    mark = "\ufeff"
    for number, line in _long_lines(file):
        text = line.decode(errors="replace").strip().removeprefix(mark)
        mark = ""
        if text := uncommented(text):
            yield Value(number, text)


def _csv_values(file: BinaryIO, wanted: Columns, name: str) -> Iterator[Value]:
    # The limit is 128 KiB, but other columns may contain texts. It applies to the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    delimiter = _delimiter(file, str(wanted.ids), name)
    rows = csv.reader(_decoded_lines(file, name), delimiter=delimiter, strict=True)
    at = updated = None
    is_header = True
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if is_header:
                at = _index(cells, str(wanted.ids))
                updated = _index(cells, UPDATED if wanted.updated is None else wanted.updated)
                if updated is None and wanted.updated is not None:
                    raise _unknown(wanted.updated, cells, name)
            text = cells[at] if at is not None and at < len(cells) else ""
            time = cells[updated] if updated is not None and updated < len(cells) else ""
            version = NO_VERSION if updated is None else version_of(time)
            if not is_header or (str(wanted.ids) not in cells and is_id(text)):
                yield Value(rows.line_num, text, version)
            is_header = False
    except csv.Error as error:
        raise InputError(f"is not valid CSV in line {rows.line_num}: {error}", path=name) from error


def _index(cells: Sequence[str], column: str) -> int | None:
    """Find a column by its name in the header, or by its number."""
    if column in cells:
        return cells.index(column)
    is_number = column.isascii() and column.isdigit() and 1 <= int(column[:9]) <= len(cells)
    return int(column) - 1 if is_number else None


def _delimiter(file: BinaryIO, column: str, name: str) -> str:
    """Choose the delimiter that makes the column appear in the first row, an ID if it can be."""
    first = _first_line(file)
    best, most = "", 0
    for delimiter in _DELIMITERS:
        cells = _cells(first, delimiter)
        at = _index(cells, column)
        if at is not None and (column in cells or is_id(cells[at])):
            return delimiter
        if at is not None and len(cells) > most:
            best, most = delimiter, len(cells)
    if not best:
        raise _unknown(column, columns(file), name)
    return best


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error:  # a cell of more than 128 KiB
        return [line]


def _decoded_lines(file: BinaryIO, name: str) -> Iterator[str]:
    mark = "\ufeff"
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise InputError(f"has a line of more than {LONGEST_LINE} bytes", path=name)
        yield line.decode(errors="replace").removeprefix(mark)
        mark = ""


def _object_values(
    objects: Iterable[tuple[int, dict[str, object], bytes]], wanted: Columns, name: str
) -> Iterator[Value]:
    """Yield the values of JSON objects, each with its number and its text."""
    key, updated = str(wanted.ids), wanted.updated
    is_first = True
    for number, members, text in objects:
        if is_first:
            is_first = False
            beside = f"{key.rpartition('.')[0]}.{UPDATED}".lstrip(".")
            if updated is None and _at(members, beside) is not _MISSING:
                updated = beside
            for path in (key, *([updated] if updated else [])):
                if _at(members, path) is _MISSING:
                    raise _unknown(path, tuple(_keys(members)), name)
        value = _at(members, key)
        if value is _MISSING:
            shown = printable(text.decode(errors="replace").strip())
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
        yield Value(number, shown, version_of(_at(members, updated)) if updated else NO_VERSION)


_MISSING = object()


def _at(members: dict[str, object], path: str) -> object:
    """Return the value of a key, or of one within objects: `conversation.id`."""
    if path in members:
        return members[path]
    first, _, rest = path.partition(".")
    inner = members.get(first)
    if not (rest and isinstance(inner, dict)):
        return _MISSING
    return _at(cast("dict[str, object]", inner), rest)


def _keys(members: dict[str, object], before: str = "") -> Iterator[str]:
    for key, value in members.items():
        yield f"{before}{key}"
        if isinstance(value, dict) and not before:
            yield from _keys(cast("dict[str, object]", value), f"{key}.")


def _object(line: bytes) -> dict[str, object]:
    try:
        value = parse(line)
    except NotJsonError:
        return {}
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _array_values(file: BinaryIO, wanted: Columns, name: str) -> Iterator[Value]:
    elements = enumerate(_elements(file, name), 1)
    if wanted.ids is not None:
        objects = (
            (
                number,
                cast("dict[str, object]", value) if isinstance(value, dict) else {},
                json.dumps(value).encode(),
            )
            for number, value in elements
        )
        yield from _object_values(objects, wanted, name)
        return
    for number, value in elements:
        if isinstance(value, dict):
            members = cast("dict[str, object]", value)
            raise must_choose(tuple(_keys(members)), name)
        yield Value(number, value if isinstance(value, str) else json.dumps(value))


def _elements(file: BinaryIO, name: str) -> Iterator[object]:
    """Yield the elements of a JSON array."""
    stream = _JsonStream(file)
    stream.peek()
    stream.skip()  # the bracket, with which the file is known to begin
    number = 0
    while (mark := stream.peek()) != "]":
        number += 1
        if number > 1 and mark != ",":
            raise _invalid(number - 1, name)
        if number > 1:
            stream.skip()
            stream.peek()
        try:
            value = stream.value()
        except (ValueError, RecursionError):
            raise _invalid(number, name) from None  # the error would contain the text
        yield value
    stream.skip()
    if stream.peek():
        raise InputError("has more after its JSON array", path=name)


class _JsonStream:
    """Reads JSON values from a file, of which no more than one is held in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""

    def peek(self) -> str:
        """Skip white space, and return the next character; empty at the end."""
        while not (text := self._text.lstrip(_SPACE)) and self._more():
            pass
        self._text = text
        return text[:1]

    def skip(self) -> None:
        """Skip the next character."""
        self._text = self._text[1:]

    def value(self) -> object:
        """Read a value, which begins at the next character."""
        while True:
            try:
                value, end = self._decode(self._text)
            except ValueError:
                if len(self._text) > LONGEST_LINE or not self._more():
                    raise
            else:
                if end < len(self._text) or not self._more():  # or else a number may go on
                    self._text = self._text[end:]
                    return value

    def _more(self) -> bool:
        # As much again as there is, so that a long value is not decoded too often.
        data = self._file.read(max(len(self._text), _PIECE))
        self._text += self._utf8.decode(data, final=not data)
        return bool(data)


def _invalid(number: int, name: str) -> InputError:
    return InputError(f"is not valid JSON at element {number} of its array", path=name)


def must_choose(found: Sequence[str], name: str) -> UnknownColumnError:
    """Return the error for a file with columns of which none was chosen."""
    names = ", ".join(printable(name, 40) for name in found)
    return UnknownColumnError(
        f"has columns; choose the one that contains the IDs: {names} (--column)",
        path=name,
        columns=tuple(found),
    )


def _unknown(column: str, known: Sequence[str], name: str) -> UnknownColumnError:
    names = ", ".join(printable(name, 40) for name in known) or "none"
    return UnknownColumnError(
        f"has no column {column!r}; its columns: {names}", path=name, columns=tuple(known)
    )

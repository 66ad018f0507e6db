"""The source of an export: a file of IDs, or a column of CSV or JSON lines."""

from __future__ import annotations

import codecs
import csv
import json
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from attrs import frozen

from siteassist_async.codec.text import NotJsonError, parse
from siteassist_async.errors import printable
from siteassist_async.export.errors import InputError, UnknownColumnError
from siteassist_async.export.id_list import reading

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence


_HEAD = 1 << 16

_UUID = rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID_AMONG_CELLS = re.compile(rb"[,;|\t] ?\"?" + _UUID + rb"|" + _UUID + rb"\"? ?[,;|\t]")


@frozen
class Source:
    """A file of IDs: text with one per line, or CSV or JSON lines with the IDs in one column.

    Attributes:
        file: A path, or an open file descriptor: 0 is standard input.
        column: The CSV column or JSON key that contains the IDs; None for plain text.
    """

    file: Path | int
    column: str | None = None

    @property
    def name(self) -> str:
        """The name of the source in errors."""
        if isinstance(self.file, Path):
            return str(self.file)
        return "standard input" if self.file == 0 else f"file descriptor {self.file}"

    @contextmanager
    def open(self) -> Generator[OpenSource]:
        """Open the source while in the context.

        Raises:
            InputError: It is missing or cannot be read.
        """
        with reading(self.name):
            if isinstance(self.file, int):
                file = os.dup(self.file)
            else:
                # Opening a named pipe would block until there is a writer, and ignore signals.
                file = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
                os.set_blocking(file, True)
        try:
            yield OpenSource(self.name, self.column, file, self._identity(file))
        finally:
            os.close(file)

    def _identity(self, file: int) -> str | None:
        with reading(self.name):
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or os.lseek(file, 0, os.SEEK_CUR):
                return None
        state = f"{status.st_size}/{status.st_mtime_ns}/{status.st_ctime_ns}"
        return f"{status.st_ino}/{state}/{self.column}"


@frozen
class OpenSource:
    """A source, open.

    Attributes:
        identity: Identifies the file, its version and the column; None for what cannot be read
            twice: a pipe, or a file that was already partly read.
    """

    name: str
    column: str | None
    file: int
    identity: str | None

    def inspect(self, file: int) -> None:
        """Check the beginning of a regular file that contains the source.

        Raises:
            InputError: It is empty or not text.
            UnknownColumnError: There is no such column; or no column was named, but there are some.
        """
        with reading(self.name), os.fdopen(os.dup(file), "rb") as content:
            content.seek(0)
            head = content.read(_HEAD)
            self._refuse_binary(head)
            if self.column is None:
                self._refuse_rows(head, columns(content))
                found = len(head) == _HEAD or bool(head.removeprefix(codecs.BOM_UTF8).strip())
            else:
                found = next(column_values(content, self.column, self.name), None) is not None
        if not found:
            raise InputError("contains no IDs", path=self.name)

    def _refuse_binary(self, head: bytes) -> None:
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError("is UTF-16; save it as UTF-8", path=self.name)
        if b"\0" in head:
            raise InputError("is not text: it contains NUL bytes", path=self.name)
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError as error:
            raise InputError(f"is not UTF-8 text: {error}", path=self.name) from error

    def _refuse_rows(self, head: bytes, found: tuple[str, ...]) -> None:
        """Raise if the file has columns and none was chosen.

        Rows are told from plain lines by the first two, of which one may be a header.
        """
        lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")
        rows = [line.strip()[:4096] for line in lines if line.strip()][:2]
        if found and any(row.startswith(b"{") or _ID_AMONG_CELLS.search(row) for row in rows):
            names = ", ".join(printable(name, 40) for name in found)
            raise UnknownColumnError(
                f"has columns; choose the one that contains the IDs: {names}",
                path=self.name,
                columns=found,
            )


LONGEST_LINE = 1 << 24
"""Bytes; a longer line is not kept in memory."""

_DELIMITERS = ",;\t|"


def column_values(file: BinaryIO, column: str, name: str) -> Iterator[tuple[int, str]]:
    """Yield the number of each row's last line, and the row's value in the column.

    A file that begins with a brace is JSON lines, any other is CSV, with the delimiter that makes
    the column appear in its header. A JSON line without a value is itself the value, so that it
    is reported among the invalid IDs.

    Raises:
        UnknownColumnError: There is no such column.
        InputError: The CSV is invalid, so that no row after it can be trusted.
    """
    if _first_line(file).startswith("{"):
        return _json_values(file, column, name)
    return _csv_values(file, column, name)


def columns(file: BinaryIO) -> tuple[str, ...]:
    """Return the columns of CSV or JSON lines; a list of plain words has only one."""
    first = _first_line(file)
    if first.startswith("{"):
        return tuple(_object(first.encode("utf-8", "surrogateescape")))
    rows = [tuple(_cells(first, delimiter)) for delimiter in _DELIMITERS]
    return max(rows, key=len)


def _first_line(file: BinaryIO) -> str:
    """Return the first line that is not blank, and rewind the file."""
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
    # The limit is 128 KiB, but other columns may contain texts. It applies to the whole process.
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
        raise InputError(f"is not valid CSV in line {rows.line_num}: {error}", path=name) from error


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

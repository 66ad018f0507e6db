"""Where an export's ids come from."""

from __future__ import annotations

import codecs
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.errors import printable
from siteassist_async.export.columns import column_values, columns
from siteassist_async.export.errors import InputError, UnknownColumnError
from siteassist_async.export.id_list import reading

if TYPE_CHECKING:
    from collections.abc import Generator

_HEAD = 1 << 16

_UUID = rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID_AMONG_CELLS = re.compile(rb"[,;|\t] ?\"?" + _UUID + rb"|" + _UUID + rb"\"? ?[,;|\t]")


@frozen
class Source:
    """A file of ids: text with one a line, or CSV or JSON lines with the ids in one column.

    Attributes:
        file: A path, or an open file descriptor: 0 is standard input.
        column: The CSV column or the JSON lines' key that holds the ids; None for plain text.
    """

    file: Path | int
    column: str | None = None

    @property
    def name(self) -> str:
        """What to call it in errors."""
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
            file = os.dup(self.file) if isinstance(self.file, int) else _open(self.file)
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
        identity: Tells the column of the file from any other, and from any later state of it;
            None for what cannot be read twice: a pipe, or a file that someone began to read.
    """

    name: str
    column: str | None
    file: int
    identity: str | None

    def inspect(self, file: int) -> None:
        """Look at the beginning of a regular file that holds the source.

        Raises:
            InputError: It is empty or no text.
            UnknownColumnError: The column is not there, or none was named and there are some.
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
            raise InputError("has no ids", path=self.name)

    def _refuse_binary(self, head: bytes) -> None:
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise InputError("is UTF-16; save it as UTF-8", path=self.name)
        if b"\0" in head:
            raise InputError("is not text: it has NUL bytes", path=self.name)
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError as error:
            raise InputError(f"is not text in UTF-8: {error}", path=self.name) from error

    def _refuse_rows(self, head: bytes, found: tuple[str, ...]) -> None:
        """Raise where rows with columns were given as a list of ids."""
        if found and _has_columns(head):
            names = ", ".join(printable(name, 40) for name in found)
            raise UnknownColumnError(
                f"is not one id a line; say which of its columns holds the ids: {names}",
                path=self.name,
                columns=found,
            )


def _open(path: Path) -> int:
    # To open a named pipe would wait for who writes to it, deaf to signals.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(file, True)
    return file


def _has_columns(head: bytes) -> bool:
    """Tell rows from plain lines by the first of them and the one that may follow a header."""
    lines = head.removeprefix(codecs.BOM_UTF8).split(b"\n")
    rows = [line.strip()[:4096] for line in lines if line.strip()][:2]
    return any(row.startswith(b"{") or _ID_AMONG_CELLS.search(row) for row in rows)

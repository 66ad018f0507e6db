"""CSV: one file with the rows of one table, which grows as the log does.

Beside it is a hidden file with the place in the log, replaced after the rows are durable. Rows that
a killed conversion wrote beyond that place are not cut: the next conversion makes the same rows
again, and only checks that they are there. Anything else is set aside.

Rows cannot be deleted from such a file. So it is written again as a whole once a conversation was
exported again.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing, contextmanager
from io import StringIO
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.export.checkpoint import Mark
from siteassist_async.export.errors import OutputChangedError
from siteassist_async.export.log import Log
from siteassist_async.formats.rows import CONVERSATIONS, MESSAGES, Column, Row, decode
from siteassist_async.formats.sink import Contents, PlaceFile, check_version, place_file, read_place

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from siteassist_async.formats.log import Batch, Place

VERSION = 1
"""The version of the columns."""

COMMIT = 64 << 20
"""Bytes of the log between two commits."""

_BOM = "\ufeff"
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@frozen
class Csv:
    """A format of CSV; see `SinkModule`.

    Attributes:
        name: The format's name.
        excel: Write what Excel opens as it is meant: a byte order mark, and an apostrophe before
            what it would take for a formula.
    """

    name: str
    columns: Sequence[Column]
    excel: bool = False

    def create(self, path: Path) -> None:
        """Create a file that has its header only."""
        header = self.encode([tuple(column.name for column in self.columns)])
        with closing(_File(path, Mark())) as file:
            file.put(_BOM.encode() * self.excel + header)
            file.commit(PlaceFile(self.name, VERSION))

    def prove(self, path: Path) -> None:
        """Check that a file was written by a conversion."""
        read_place(place_file(path), path, self.name)

    def contents(self, path: Path) -> Contents:
        """Return what is in a file, which is compared with its checksum if it was touched."""
        with self.open_sink(path) as sink:
            return sink.contents()

    @contextmanager
    def open_sink(self, path: Path) -> Generator[CsvSink]:
        """Open a file."""
        known = check_version(path, read_place(place_file(path), path, self.name), VERSION)
        with closing(_File(path, known.mark)) as file:
            yield CsvSink(self, file, known)

    def encode(self, rows: Iterable[Row]) -> bytes:
        """Return rows as lines of CSV."""
        out = StringIO(newline="")
        writer = csv.writer(out)
        writer.writerows(map(_neutral, rows) if self.excel else rows)
        return out.getvalue().encode()


class CsvSink:
    """Adds rows to a file."""

    def __init__(self, format: Csv, file: _File, known: PlaceFile) -> None:  # noqa: A002 - what it is
        self._format = format
        self._file = file
        self._place = self._durable = known.place
        self.settled = known.settled

    def place(self) -> Place:
        """Return how far the log is in the file, durably."""
        return self._durable

    def contents(self) -> Contents:
        """Return what is in the file."""
        settled = self.settled == self._durable.lines and not self._file.rest()
        return Contents(self._durable, settled=settled)

    def write(self, batch: Batch) -> None:
        """Add the rows of a batch."""
        rows = decode(batch.lines)
        if self._format.columns is MESSAGES:
            self._file.put(self._format.encode(rows.messages))
        else:
            self._file.put(self._format.encode(map(_lower, rows.conversations)))
        self._place = batch.place
        if batch.place.end - self._durable.end >= COMMIT:
            self._commit()

    def finish(self) -> None:
        """Make everything that was written durable."""
        self._file.drop_rest()
        if self._place != self._durable:
            self._commit()

    def settle(self, lines: int) -> None:
        """Keep for how many lines it has been checked that rows need not be deleted."""
        self.settled = lines
        self._commit()

    def _commit(self) -> None:
        self._file.commit(PlaceFile(self._format.name, VERSION, self._place, settled=self.settled))
        self._durable = self._place


class _File(Log):
    """A file that is known by its mark, and what may follow."""

    def put(self, text: bytes) -> None:
        """Append text, of which a killed conversion may have appended some or all."""
        if self.rest():
            there = b"".join(self.pieces(self.offset, self.offset + len(text)))
            if text.startswith(there):
                self.adopt(self.offset + len(there))
                text = text[len(there) :]
            else:
                self.drop_rest()
        self._write(text)

    def commit(self, known: PlaceFile) -> None:
        """Make the rows durable, and then the place."""
        self.sync()
        known.mark = self.seal(super().mark(), last=True)
        known.save(place_file(self.path))

    def _is_torn(self) -> bool:
        return False  # what has not been found to be ours is not cut

    def _changed(self, what: str) -> OutputChangedError:
        return OutputChangedError(
            f"{what}; restore it, or use --rebuild to convert the log again", path=str(self.path)
        )


def _neutral(row: Row) -> Row:
    return tuple(
        f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell for cell in row
    )


def _lower(row: Row) -> Row:
    """Write booleans as JSON and the other formats do."""
    return tuple(str(cell).lower() if isinstance(cell, bool) else cell for cell in row)


MESSAGES_CSV = Csv("csv", MESSAGES)
CONVERSATIONS_CSV = Csv("csv-conversations", CONVERSATIONS)
MESSAGES_EXCEL = Csv("excel-csv", MESSAGES, excel=True)
CONVERSATIONS_EXCEL = Csv("excel-csv-conversations", CONVERSATIONS, excel=True)

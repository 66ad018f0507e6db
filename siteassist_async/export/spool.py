"""Any input made into one plain list of ids, which can be read by offset and read again."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.errors import printable
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.columns import column_values
from siteassist_async.export.disk import sync_file, sync_folder, writing
from siteassist_async.export.id_list import reading
from siteassist_async.export.layout import Layout
from siteassist_async.export.source import OpenSource

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_PIECE = 1 << 16
_POLL = 200  # milliseconds in which a pipe that gives nothing notices that the run was stopped


class StoppedError(Exception):
    """The run was stopped before its input was there.

    Attributes:
        counts: What the export holds, unchanged.
    """

    counts = Counts()


@frozen
class Spool:
    """Makes the plain list of a source, in the folder of the state.

    Args:
        stopped: Whether the run was stopped.
    """

    source: OpenSource
    layout: Layout
    stopped: Callable[[], bool]

    def make(self, *, unchanged: bool) -> Path | None:
        """Return the plain list of the source; None where the source is one itself.

        `unchanged` is whether the source is known to be as it was when it was spooled before.
        A list that was made anew takes the place of the old one by `accept`.

        Raises:
            InputError: The source cannot be read, or is empty or binary.
            OutputError: The list cannot be written.
            StoppedError: The run was stopped meanwhile.
        """
        with writing(self.layout.new_ids):
            self.layout.new_ids.unlink(missing_ok=True)
        if self.source.identity is None:
            return self._receive()
        if self.source.column is None:
            return None
        if unchanged and self.layout.ids.exists():
            return self.layout.ids
        return self._convert(self.source.file, self.source.column)

    def accept(self) -> None:
        """Let a list that was made anew take the place of the old one, durably."""
        with writing(self.layout.ids):
            if self.layout.new_ids.exists():
                self.layout.new_ids.replace(self.layout.ids)
                sync_folder(self.layout.folder)

    def _receive(self) -> Path:
        to = self.layout.new_ids if self.source.column is None else self.layout.received
        self._write(to, self._pieces(self.source.file))
        with writing(to), to.open("rb") as received:
            self.source.inspect(received.fileno())
            if self.source.column is not None:
                self._convert(received.fileno(), self.source.column)
                to.unlink()
        return self.layout.new_ids

    def _convert(self, file: int, column: str) -> Path:
        self._write(self.layout.new_ids, self._lines(file, column))
        return self.layout.new_ids

    def _write(self, path: Path, pieces: Generator[bytes]) -> None:
        with writing(path), path.open("wb") as out, closing(pieces):
            for piece in pieces:
                if self.stopped():
                    raise StoppedError
                out.write(piece)
            sync_file(out)

    def _pieces(self, file: int) -> Generator[bytes]:
        readable = select.poll()
        readable.register(file, select.POLLIN)
        with reading(self.source.name):
            while True:
                while not readable.poll(_POLL):
                    yield b""  # so that it is asked whether to stop
                piece = os.read(file, _PIECE)
                if not piece:
                    return
                yield piece

    def _lines(self, file: int, column: str) -> Generator[bytes]:
        """Yield the list's lines; each value's number is that of its line in the source."""
        line = 1
        with reading(self.source.name), os.fdopen(os.dup(file), "rb") as content:
            content.seek(0)
            for number, value in column_values(content, column, self.source.name):
                yield b"\n" * (number - line) + _one_line(value) + b"\n"
                line = number + 1


def _one_line(value: str) -> bytes:
    """Write a value so that it is neither two lines nor a blank one."""
    return printable(value.strip()).encode() or b'""'

"""Staging: a pipe or a column is first written to a plain list of IDs, which can be reread."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.errors import printable
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.disk import stamp, sync_file, writing
from siteassist_async.export.id_list import reading
from siteassist_async.export.source import OpenSource, column_values
from siteassist_async.export.state import IDS, NEW_IDS, RECEIVED, State

if TYPE_CHECKING:
    from collections.abc import Generator

_PIECE = 1 << 16
_POLL = 200  # milliseconds between two checks whether the run was stopped, while a pipe is idle


class StoppedError(Exception):
    """The run was stopped before its input was staged.

    Attributes:
        counts: What the export holds, unchanged.
    """

    counts = Counts()


@frozen
class Staging:
    """Writes the plain list of a source to the state folder.

    Args:
        stopped: Whether the run was stopped.
    """

    source: OpenSource
    state: State
    stopped: Callable[[], bool]

    def stage(self, *, staged: str) -> str | None:
        """Return the name of the source's plain list; None if the source is such a list itself.

        `staged` is the file status of the list that was staged from the source as it is now; empty
        if there is none. A new list replaces the old one by `accept`.

        Raises:
            InputError: The source cannot be read, or is empty or binary.
            OutputError: The list cannot be written.
            StoppedError: The run was stopped.
        """
        self.state.remove(NEW_IDS)
        if self.source.identity is None:
            return self._receive()
        if self.source.column is None:
            return None
        status = self.state.status(IDS)
        if staged and status is not None and stamp(status) == staged:
            return IDS
        self._write(NEW_IDS, self._lines(self.source.file, self.source.column))
        return NEW_IDS

    def accept(self) -> None:
        """Replace the old list by the new one, if there is one, durably."""
        if self.state.status(NEW_IDS) is not None:
            self.state.rename(NEW_IDS, IDS)
            self.state.sync()

    def _receive(self) -> str:
        column = self.source.column
        to = NEW_IDS if column is None else RECEIVED
        self._write(to, self._pieces(self.source.file))
        with writing(self.state.path / to):
            received = self.state.open(to, os.O_RDONLY)
        try:
            self.source.inspect(received)
            if column is not None:
                self._write(NEW_IDS, self._lines(received, column))
                self.state.remove(RECEIVED)
        finally:
            os.close(received)
        return NEW_IDS

    def _write(self, name: str, pieces: Generator[bytes]) -> None:
        with (
            writing(self.state.path / name),
            os.fdopen(self.state.create(name), "wb") as out,
            closing(pieces),
        ):
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
                    yield b""  # so that `stopped` is checked
                piece = os.read(file, _PIECE)
                if not piece:
                    return
                yield piece

    def _lines(self, file: int, column: str) -> Generator[bytes]:
        """Yield the lines of the list; each value has the line number that it has in the source."""
        line = 1
        with reading(self.source.name), os.fdopen(os.dup(file), "rb") as content:
            content.seek(0)
            for number, value in column_values(content, column, self.source.name):
                # One line, and not a blank one, whatever the value contains.
                text = printable(value.strip()).encode() or b'""'
                yield b"\n" * (number - line) + text + b"\n"
                line = number + 1

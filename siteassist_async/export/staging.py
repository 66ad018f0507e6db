"""Staging: an input that is not a plain list of IDs is first written to one, to be reread."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.disk import stamp, sync_file, writing
from siteassist_async.export.id_list import reading, staged_line
from siteassist_async.export.source import OpenSource, Part, no_ids
from siteassist_async.export.state import IDS, NEW_IDS, RECEIVED, State
from siteassist_async.export.values import values

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
        if self.source.plain is not None:
            return None
        status = self.state.status(IDS)
        if staged and status is not None and stamp(status) == staged:
            return IDS
        self._write(NEW_IDS, self._lines())
        written = self.state.status(NEW_IDS)
        if written is None or not written.st_size:
            raise no_ids(self.source.name)
        return NEW_IDS

    def accept(self) -> None:
        """Replace the old list by the new one, if there is one, durably."""
        if self.state.status(NEW_IDS) is not None:
            self.state.rename(NEW_IDS, IDS)
            self.state.sync()

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

    def _lines(self) -> Generator[bytes]:
        """Yield the lines of the list; each value has the line number that it has in the source.

        If there are several files, the numbers go on from one to the next.
        """
        line = 1
        for part in self.source.parts:
            with self._rereadable(part) as rereadable, rereadable.content() as content:
                before = line - 1
                for number, text, version in values(content, part.wanted, part.name):
                    for _ in range(line, before + number):
                        yield b"\n"
                    yield staged_line(text, version)
                    line = before + number + 1

    @contextmanager
    def _rereadable(self, part: Part) -> Generator[Part]:
        """Return a part that can be read twice: a pipe is first written to a file."""
        if part.identity is not None:
            yield part
            return
        self._write(RECEIVED, self._pieces(part))
        with writing(self.state.path / RECEIVED):
            received = self.state.open(RECEIVED, os.O_RDONLY)
        try:
            whole = evolve(part, file=received)
            whole.inspect()
            yield whole
        finally:
            os.close(received)
            self.state.remove(RECEIVED)

    def _pieces(self, part: Part) -> Generator[bytes]:
        readable = select.poll()
        readable.register(part.file, select.POLLIN)
        with reading(part.name):
            while True:
                while not readable.poll(_POLL):
                    yield b""  # so that `stopped` is checked
                piece = os.read(part.file, _PIECE)
                if not piece:
                    return
                yield piece

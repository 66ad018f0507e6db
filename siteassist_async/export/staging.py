"""Staging: an input that is not a plain list of IDs is first written to one, to be reread.

So are the IDs that Python gives, as any iterable, and those of a listing.
"""

from __future__ import annotations

import asyncio
import os
import select
import tempfile
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import aclosing, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast
from uuid import UUID

from attrs import evolve, frozen

from siteassist_async.codec.text import dump
from siteassist_async.errors import (
    CertificateError,
    ConfigurationError,
    DeadlineExceededError,
    RateLimitError,
    ServerError,
    SiteAssistError,
    ThrottledError,
    TransportError,
)
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.disk import stamp, sync_file, writing
from siteassist_async.export.id_list import reading, staged_line
from siteassist_async.export.source import OpenSource, Part, Source, no_ids
from siteassist_async.export.state import IDS, NEW_IDS, RECEIVED, State
from siteassist_async.export.values import UPDATED, values
from siteassist_async.models import ConversationSummary
from siteassist_async.outage import probe_delays

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from siteassist_async.clock import Clock
    from siteassist_async.listing import Listing


GivenId = (
    str | UUID | tuple[str | UUID] | tuple[str | UUID, datetime | str | None] | ConversationSummary
)
"""An ID; a row of a database: an ID and, if known, when the conversation changed; or a
conversation of a list."""

GivenIds = Iterable[GivenId] | AsyncIterable[GivenId]
"""IDs from Python."""

_AT_ONCE = 1000  # IDs that are read before others in the event loop have their turn


def check_ids(ids: object) -> None:
    """Raise ConfigurationError for what cannot be read as IDs, or is a single one."""
    if isinstance(ids, str | bytes | UUID) or not isinstance(ids, Iterable | AsyncIterable):
        raise ConfigurationError(
            f"source must be a Source or an iterable of IDs, not of type {type(ids).__name__}"
        )


@contextmanager
def spool(output: Path) -> Generator[BinaryIO]:
    """Open a file without a name, on the disk of the output; it is gone with the process."""
    with writing(output):
        file = tempfile.TemporaryFile(dir=output.parent)  # noqa: SIM115 - closed below
    with file:
        yield cast("BinaryIO", file)


async def write_ids(
    ids: GivenIds,
    file: BinaryIO,
    output: Path,
    *,
    stopped: Callable[[], bool],
    written: Callable[[], object],
) -> Source:
    """Write IDs to a spool, call `written` for each, and return the source that reads them.

    They are read in this thread, because a database cursor may be bound to it.

    Raises:
        StoppedError: The run was stopped.
        OutputError: The file cannot be written.
    """
    async for given in _each(ids):
        if stopped():
            raise StoppedError
        with writing(output):
            file.write(_line(given))
        written()
    with writing(output):
        file.flush()
        file.seek(0)
    return Source(file.fileno(), "id", label="the given IDs")


async def _each(ids: GivenIds) -> AsyncGenerator[object, None]:
    if isinstance(ids, AsyncIterable):
        async for given in ids:
            yield given
        return
    for number, given in enumerate(ids):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        yield given


def _line(given: object) -> bytes:
    """Write an ID or a row, whatever it consists of, as a line of JSON."""
    if isinstance(given, ConversationSummary):
        given = given.id, given.updated_at
    if isinstance(given, Mapping):
        given = cast("Mapping[str, object]", given).values()
    if isinstance(given, str) or not isinstance(given, Iterable):
        return dump({"id": str(given)}) + b"\n"
    row = list(cast("Iterable[object]", given))
    line = {"id": str(row[0]) if row else ""}
    if len(row) > 1:
        time = row[1]
        line[UPDATED] = time.isoformat() if isinstance(time, datetime) else str(time)
    return dump(line) + b"\n"


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


T = TypeVar("T")

_PASSES = (TransportError, ServerError, RateLimitError, DeadlineExceededError, ThrottledError)


async def listed(
    listing: Listing[T], *, wait: float, clock: Clock, stopped: Callable[[], bool]
) -> AsyncGenerator[T, None]:
    """Yield the items of a listing; after a failure that may pass, it continues where it was.

    Raises:
        SiteAssistError: A page failed for `wait` seconds, or for another reason.
        StoppedError: The run was stopped while it waited.
    """
    offset: int | None = None
    since, delays = None, probe_delays()
    while True:
        try:
            async with aclosing(listing.pages(offset=offset)) as pages:
                async for page in pages:
                    since, delays = None, probe_delays()
                    for item in page.items:
                        yield item
                    offset = page.next_offset
            return
        except _PASSES as error:
            since = clock.now() if since is None else since
            left = since + wait - clock.now()
            offset, error.next_offset = error.next_offset, None
            if isinstance(error, CertificateError) or left <= 0:
                raise
            until = clock.now() + min(next(delays), left)
        except SiteAssistError as error:
            error.next_offset = None  # the next run lists anew, and takes no offset
            raise
        while clock.now() < until:
            if stopped():
                raise StoppedError
            await clock.sleep(min(1.0, until - clock.now()))

"""IDs from Python: any iterable is first written to a file without a name, and read as a source."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, BinaryIO, cast
from uuid import UUID

from siteassist_async.codec.text import dump
from siteassist_async.errors import ConfigurationError
from siteassist_async.export.disk import writing
from siteassist_async.export.source import Source
from siteassist_async.export.staging import StoppedError
from siteassist_async.export.values import UPDATED
from siteassist_async.models import ConversationSummary

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from pathlib import Path

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

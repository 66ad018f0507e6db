"""The table of faults of lists: each row is one outcome, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from siteassist_async import Listing, SiteAssist, SiteAssistError
from siteassist_async.pacing import AdaptivePacer

from .pages import ROWS, SIZE, PageRow, Way
from .rows import PATIENT, TOKEN, judge_error, traces
from .wire import ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes import FakeClock

    from .raw_server import RawServer

TABLE = [
    pytest.param(row, way, id=f"{category}: {row.name} ({way})")
    for category, rows in ROWS.items()
    for row in rows
    for way in row.ways
]

LISTINGS: dict[Way, Callable[[SiteAssist, int], Listing[Any]]] = {
    "every": lambda client, start: client.conversations.every(page_size=SIZE, offset=start),
    "list": lambda client, start: client.conversations.list(page_size=SIZE, offset=start),
    "messages": lambda client, start: client.messages.list(ID, page_size=SIZE, offset=start),
}


@pytest.mark.parametrize(("row", "way"), TABLE)
async def test_a_list_has_one_outcome(
    row: PageRow, way: Way, server: RawServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The items, and one error of ours or none; no request more, no task or token left."""
    caplog.set_level(logging.DEBUG)
    tasks = asyncio.all_tasks()
    for offset, plays in row.plays.items():
        server.script[f"offset={offset}"].extend(plays)
    server.forever = True
    got: list[str] = []
    async with SiteAssist(
        TOKEN,
        base_url=server.url,
        timeout=PATIENT,
        clock=clock,
        pacer=AdaptivePacer(clock=clock),
        concurrency=1,
    ) as client:
        error = await error_of(LISTINGS[way](client, row.start), got)
    assert got == list(row.ids)
    if row.error is None:
        assert error is None
    else:
        assert type(error) is row.error, repr(error)
        assert isinstance(error, SiteAssistError)
        judge_error(error)
        assert row.says in str(error)
        assert error.next_offset == row.next_offset
        for name, value in row.telling.items():
            assert attrgetter(name)(error) == value
        assert TOKEN not in traces(error)
    if row.requests is not None:
        assert len(server.requests) == row.requests
    await server.until(lambda: not server.open)
    assert asyncio.all_tasks() == tasks
    assert TOKEN not in repr([vars(record) for record in caplog.records])


async def error_of(listing: Listing[Any], got: list[str]) -> BaseException | None:
    """Read to the end, and return what was raised, be it an exception of any kind."""
    try:
        async for item in listing:
            got.append(item.id)  # noqa: PERF401 - what comes before an error is kept
    except BaseException as error:  # noqa: BLE001 - it is judged
        return error
    return None


def test_the_table_is_long() -> None:
    """No two rows have the same name."""
    names = {row.name for rows in ROWS.values() for row in rows}
    assert len(names) == sum(map(len, ROWS.values())) > 90

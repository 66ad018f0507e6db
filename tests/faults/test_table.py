"""The table of faults: each row is one outcome, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from siteassist_async import SiteAssist
from siteassist_async.pacing import AdaptivePacer

from . import (
    connection_faults,
    documented_errors,
    encodings,
    error_bodies,
    framing,
    good_answers,
    redirects,
    slow,
    statuses,
    waits,
)
from .rows import PATIENT, TOKEN, Row, judge, outcome_of, traces
from .wire import ID, OTHER_ID

if TYPE_CHECKING:
    from fakes import FakeClock

    from .raw_server import RawServer

CATEGORIES = {
    "good": good_answers.ROWS,
    "documented": documented_errors.ROWS,
    "error body": error_bodies.ROWS,
    "status": statuses.ROWS,
    "wait": waits.ROWS,
    "connection": connection_faults.ROWS,
    "framing": framing.ROWS,
    "encoding": encodings.ROWS,
    "time": slow.ROWS,
    "redirect": redirects.ROWS,
}
TABLE = [row.of(category) for category, rows in CATEGORIES.items() for row in rows]


@pytest.fixture(params=["below", "by"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below aiohttp's session, and by it as with a release that is not known."""
    if request.param == "by":
        monkeypatch.setattr("siteassist_async.transport.exchange.UNTOUCHED", None)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("row", TABLE, ids=attrgetter("name"))
async def test_a_fault_is_one_outcome(
    row: Row, server: RawServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The conversation or one error of ours, no request more, no task, connection or token left."""
    caplog.set_level(logging.DEBUG)
    tasks = asyncio.all_tasks()
    server.script[ID].extend(row.plays)
    server.forever = True
    async with new_client(row, server, clock) as client:
        outcome = await outcome_of(client)
        await server.until(lambda: len(server.requests) >= row.requests)
        judge(row, outcome, server)
        server.script.clear()
        if row.reused is not None:
            await client.with_options(timeout=PATIENT).conversations.get(OTHER_ID)
            before, last = server.requests[-2:]
            assert (before.connection == last.connection) == row.reused
    await server.until(lambda: not server.open)
    assert asyncio.all_tasks() == tasks
    seen = traces(outcome) if isinstance(outcome, BaseException) else repr(outcome)
    assert TOKEN not in seen
    assert TOKEN not in repr([vars(record) for record in caplog.records])


def test_the_table_is_long() -> None:
    """No two rows have the same name."""
    assert len({row.name for row in TABLE}) == len(TABLE) > 150


def new_client(row: Row, server: RawServer, clock: FakeClock) -> SiteAssist:
    """A client with the row's options and a pace of its own."""
    return SiteAssist(
        TOKEN,
        base_url=server.url,
        retry=row.retry,
        timeout=row.timeout,
        deadline=row.deadline,
        clock=clock,
        pacer=AdaptivePacer(clock=clock),
    )

"""The table of faults: each row is one outcome, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import subprocess
import sys
from operator import attrgetter
from typing import TYPE_CHECKING

import aiohttp
import pytest

from siteassist_async import RetryPolicy, SiteAssist, SiteAssistError
from siteassist_async.pacing import AdaptivePacer
from siteassist_async.tracebacks import behind
from siteassist_async.transport import aiohttp_internals

from . import (
    connection_faults,
    documented_errors,
    encodings,
    error_bodies,
    framing,
    good_answers,
    pure_python,
    redirects,
    slow,
    statuses,
    waits,
)
from .rows import PATIENT, TOKEN, Row, frames, judge, outcome_of, traces
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
TABLE = [
    pure_python.as_read(row.of(category)) for category, rows in CATEGORIES.items() for row in rows
]


@pytest.fixture(params=["below", "by", "public"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Below aiohttp's session, by it as where tools listen, and by its public API alone."""
    if request.param == "public":
        monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "of a test")
    elif aiohttp_internals.OFF_BECAUSE:
        pytest.skip(aiohttp_internals.OFF_BECAUSE)
    elif request.param == "by":
        monkeypatch.setattr(aiohttp_internals, "UNTOUCHED", None)
    return str(request.param)


@pytest.mark.parametrize("row", TABLE, ids=attrgetter("name"))
async def test_a_fault_is_one_outcome(
    row: Row, way: str, server: RawServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The conversation or one error of ours, no request more, no task, connection or token left."""
    if way == "public":
        row = row.without_reuse()
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


def test_what_is_tolerated_is_one_error_in_development_mode() -> None:
    """There aiohttp's parser is strict on purpose; all other rows are as they are."""
    command = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-k", "tolerated and outcome"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", __file__], capture_output=True, text=True, check=False
    )
    passed = 5 if aiohttp_internals.OFF_BECAUSE else 15
    assert re.search(rf"\b{passed} passed\b", run.stdout), run.stdout


BEFORE_AND_AMID = [
    row
    for row in TABLE
    if row.error is not None
    and row.name.partition(":")[0] in {"connection", "framing", "encoding", "time", "redirect"}
]


@pytest.mark.parametrize("whose", ["a user's", "an instrumented one"])
async def test_no_frame_shows_the_token(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """Over a session of a user's, and over one that a tool listens to."""
    if whose != "a user's":
        real = aiohttp.ClientSession.__init__
        listening = functools.partialmethod(real, trace_configs=[trace()], middlewares=[passing])
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", listening)
    server.forever = True
    async with aiohttp.ClientSession() as session:
        users = session if whose == "a user's" else None
        for row in BEFORE_AND_AMID:
            server.script.clear()
            server.script[ID].extend(row.plays)
            async with new_client(row, server, clock, users) as client:
                outcome = await outcome_of(client)
            assert isinstance(outcome, SiteAssistError), row.name
            assert TOKEN not in traces(outcome), row.name


def trace() -> aiohttp.TraceConfig:
    """As a tool adds one that measures."""
    config = aiohttp.TraceConfig()

    async def on_exception(*_: object) -> None:
        pass

    config.on_request_exception.append(on_exception)
    return config


async def passing(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """As a tool adds one that propagates a trace."""
    return await handler(request)


@pytest.mark.usefixtures("way")
async def test_no_frame_of_a_call_that_is_cancelled_shows_the_token(
    server: RawServer, clock: FakeClock
) -> None:
    """Whoever gives up waiting has a traceback too."""
    server.script[ID].append(["silence"])
    async with new_client(TABLE[0], server, clock) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05):
                await client.conversations.get(ID)
    assert TOKEN not in traces(caught.value)


async def test_the_frames_of_what_a_caller_handles_stay(
    server: RawServer, clock: FakeClock
) -> None:
    """Only what the client has raised is cut."""
    server.script[ID].append(["close"])
    async with new_client(TABLE[0], server, clock) as client:
        view = client.with_options(retry=RetryPolicy(attempts=1))
        with pytest.raises(KeyError) as callers:
            _ = dict[str, str]()[ID]
        try:
            raise callers.value
        except KeyError:
            with pytest.raises(SiteAssistError) as caught:
                await view.conversations.get(ID)
    assert callers.value in behind(caught.value)
    assert len(list(frames(callers.value))) > 1


def test_the_table_is_long() -> None:
    """No two rows have the same name."""
    names = {row.name for row in TABLE}
    assert len(names) == len(TABLE) > 150
    assert names > pure_python.OUTCOMES.keys()


def new_client(
    row: Row, server: RawServer, clock: FakeClock, session: aiohttp.ClientSession | None = None
) -> SiteAssist:
    """A client with the row's options and a pace of its own."""
    return SiteAssist(
        TOKEN,
        base_url=server.url,
        retry=row.retry,
        timeout=row.timeout,
        deadline=row.deadline,
        clock=clock,
        session=session,
        pacer=AdaptivePacer(clock=clock),
    )

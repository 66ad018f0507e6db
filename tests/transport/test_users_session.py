"""A session of the user's own: used as it is, and not closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import aiohttp
import pytest
from fakes import ID, OTHER_ID, WITH_PRIVATE_NAMES, Silence, client_of, settle

from siteassist_async import (
    DisconnectedError,
    NotFoundError,
    RetryPolicy,
    SiteAssistError,
)
from siteassist_async.emulator import (
    Emulator,
    conversation_ids,
)

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from fakes import FakeClock
    from faults.raw_server import RawServer

pytestmark = pytest.mark.usefixtures("public_only")


async def test_a_disconnect_closes_nothing_of_a_users_session(
    raw: RawServer, clock: FakeClock
) -> None:
    """Its idle connections may be to other servers."""
    raw.script[OTHER_ID].append(["close"])
    async with aiohttp.ClientSession() as users:
        client = client_of(raw, clock, retry=RetryPolicy(), session=users)
        ids = list(conversation_ids(3))
        await asyncio.gather(*[client.conversations.get(id_) for id_ in ids])
        await client.conversations.get(OTHER_ID)
        assert raw.connections == 3


@WITH_PRIVATE_NAMES
async def test_behind_a_disconnect_stands_what_broke(raw: RawServer, clock: FakeClock) -> None:
    """Whoever reads the traceback finds aiohttp's own error, over either session."""
    raw.script[ID].extend([["close"], ["close"]])
    async with aiohttp.ClientSession() as users, client_of(raw, clock) as own:
        for client in (own, client_of(raw, clock, session=users)):
            with pytest.raises(DisconnectedError) as caught:
                await client.conversations.get(ID)
            behind: list[BaseException | None] = [caught.value.__cause__]
            while behind[-1] is not None:
                behind.append(behind[-1].__cause__)
            assert any(isinstance(error, aiohttp.ServerDisconnectedError) for error in behind)


async def test_a_users_session_is_used_and_not_closed(emulator: Emulator, clock: FakeClock) -> None:
    """Its headers go along, and its own middlewares still run."""
    seen: list[str] = []

    async def watch(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.method)
        return await handler(request)

    async with aiohttp.ClientSession(headers={"X-Mine": "1"}, middlewares=[watch]) as users:
        async with client_of(emulator, clock, session=users) as client:
            await client.conversations.get(ID)
        assert not users.closed
    assert seen == ["GET"]
    assert emulator.counters.recent[-1].headers["X-Mine"] == "1"


async def test_a_session_that_raises_for_a_status_changes_nothing(
    emulator: Emulator, clock: FakeClock
) -> None:
    """The API's error comes out, its body read."""
    emulator.missing(ID)
    async with aiohttp.ClientSession(raise_for_status=True) as users:
        with pytest.raises(NotFoundError) as caught:
            await client_of(emulator, clock, session=users).conversations.get(ID)
    assert caught.value.code == "CONVERSATION_NOT_FOUND"


async def test_a_users_session_that_is_closed_is_named(
    emulator: Emulator, clock: FakeClock
) -> None:
    """It is told at once, and not tried again."""
    async with aiohttp.ClientSession() as users:
        client = client_of(emulator, clock, session=users, retry=RetryPolicy())
    with pytest.raises(SiteAssistError, match="the session that the client was given is closed"):
        await client.conversations.get(ID)
    assert clock.slept == []


async def test_who_waits_for_a_users_pool_that_is_closed_is_told(
    emulator: Emulator, clock: FakeClock
) -> None:
    """The cancellation by which aiohttp tells it does not come out, and the caller's own does."""
    emulator.script(ID, silence := Silence())
    users = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
    client = client_of(emulator, clock, session=users)
    first = asyncio.create_task(client.conversations.get(ID))
    await silence.met.wait()
    waiting = asyncio.create_task(client.conversations.get(OTHER_ID))
    cancelled = asyncio.create_task(client.conversations.get(OTHER_ID))
    await settle()
    closing = asyncio.create_task(users.close())
    await asyncio.sleep(0)
    cancelled.cancel()
    await closing
    for call in (first, waiting):
        with pytest.raises(
            SiteAssistError, match="the session that the client was given is closed"
        ):
            await call
    with pytest.raises(asyncio.CancelledError):
        await cancelled


class Watched(aiohttp.TCPConnector):
    """A connector that keeps the limits it was given for getting a connection."""

    limits: ClassVar[list[float | None]] = []

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its parent's
    ) -> Connection:
        """As its parent."""
        self.limits.append(timeout.connect)
        return await super().connect(req, traces, timeout)


async def test_a_wait_for_a_users_small_pool_is_no_timeout(
    emulator: Emulator, clock: FakeClock
) -> None:
    """The limit that counts that wait is not set with a session of the user's."""
    Watched.limits.clear()
    async with aiohttp.ClientSession(connector=Watched(limit=1)) as users:
        client = client_of(emulator, clock, session=users)
        await asyncio.gather(*[client.conversations.get(id_) for id_ in conversation_ids(6)])
    assert Watched.limits == [None] * 6

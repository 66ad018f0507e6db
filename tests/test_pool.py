"""The connections: dead ones, cancelled ones, closed ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from fakes import ID, OTHER_ID, WITH_PRIVATE_NAMES, Silence, client_of, settle

from siteassist_async import (
    DisconnectedError,
    RetryPolicy,
    SiteAssist,
    SiteAssistError,
)
from siteassist_async.emulator import (
    Emulator,
    conversation_ids,
)

if TYPE_CHECKING:
    from fakes import FakeClock
    from faults.raw_server import RawServer

pytestmark = pytest.mark.usefixtures("public_only")


@pytest.mark.parametrize("whose", ["own", "users"])
async def test_a_broken_connection_is_one_request_on_the_wire(
    raw: RawServer, clock: FakeClock, whose: str
) -> None:
    """The hidden repeat of a GET is switched off, in a user's session too."""
    raw.script[ID].append(["close"])
    raw.forever = True
    async with aiohttp.ClientSession() as users:
        session = users if whose == "users" else None
        async with client_of(raw, clock, session=session) as client:
            with pytest.raises(DisconnectedError) as caught:
                await client.conversations.get(ID)
            assert caught.value.attempts == len(raw.requests) == 1
            view = client.with_options(retry=RetryPolicy(attempts=4))
            with pytest.raises(DisconnectedError) as caught:
                await view.conversations.get(ID)
            assert caught.value.attempts == len(raw.requests) - 1 == 4


@WITH_PRIVATE_NAMES
async def test_a_dead_pool_costs_one_retry_at_once(raw: RawServer, clock: FakeClock) -> None:
    """Where one idle connection was dead the others are closed, untried."""
    raw.script[OTHER_ID].append(["close"])
    async with client_of(raw, clock, retry=RetryPolicy()) as client:
        ids = list(conversation_ids(5))
        await asyncio.gather(*[client.conversations.get(id_) for id_ in ids])
        assert raw.open == raw.connections == 5
        await client.conversations.get(OTHER_ID)
        assert len(raw.requests) == 7
        await raw.until(lambda: raw.open == 1)
    assert raw.connections == 6
    assert clock.slept == [0.0]


async def test_a_disconnect_leaves_the_requests_in_flight_alone(
    raw: RawServer, clock: FakeClock
) -> None:
    """Only idle connections are closed, and they are closed although others are in flight."""
    raw.script[ID].append(["silence"])
    raw.script[OTHER_ID].append(["close"])
    async with client_of(raw, clock, retry=RetryPolicy()) as client:
        slow = asyncio.create_task(client.conversations.get(ID))
        ids = list(conversation_ids(4))
        await asyncio.gather(*[client.conversations.get(id_) for id_ in ids])
        assert raw.open == 5
        await client.conversations.get(OTHER_ID)
        await raw.until(lambda: raw.open == 2)
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


@WITH_PRIVATE_NAMES
async def test_close_leaves_nothing_open(emulator: Emulator, clock: FakeClock) -> None:
    """No connection, no task, no warning."""
    async with client_of(emulator, clock) as client:
        ids = list(conversation_ids(5))
        await asyncio.gather(*[client.conversations.get(id_) for id_ in ids])
        assert emulator.connections_open == 5
    await settle()
    assert emulator.connections_open == 0
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_in_flight_fails_when_the_client_is_closed(
    emulator: Emulator, clock: FakeClock
) -> None:
    """At once, with an error that is not retried; no new connection is opened for it."""
    silence = Silence()
    emulator.script(ID, silence)
    client = client_of(emulator, clock, retry=RetryPolicy())
    call = asyncio.create_task(client.conversations.get(ID))
    await silence.met.wait()
    await client.close()
    with pytest.raises(SiteAssistError, match="the client is closed"):
        await call
    await settle()
    assert emulator.counters.requests == emulator.counters.connections == 1
    assert emulator.connections_open == 0


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("whose", ["own", "users"])
async def test_nothing_is_sent_after_close(
    emulator: Emulator, clock: FakeClock, whose: str, *, opened: bool
) -> None:
    """A closed client stays closed; to close it again does nothing."""
    async with aiohttp.ClientSession() as users:
        client = client_of(emulator, clock, session=users if whose == "users" else None)
        if opened:
            await client.conversations.get(ID)
        await client.close()
        await client.close()
        with pytest.raises(SiteAssistError, match=r"^the client is closed$") as caught:
            await client.conversations.get(ID)
        assert caught.value.attempts == 0
        assert emulator.counters.requests == opened


async def test_a_cancelled_attempt_closes_its_connection(
    client: SiteAssist, emulator: Emulator
) -> None:
    """The answer that is still to come must reach nobody else."""
    silence = Silence()
    emulator.script(ID, silence)
    call = asyncio.create_task(client.conversations.get(ID))
    await silence.met.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await settle()
    assert emulator.connections_open == 0


async def test_an_attempt_cancelled_in_its_body_closes_its_connection(
    raw: RawServer, clock: FakeClock
) -> None:
    """As above, once the headers are there."""
    raw.script[ID].append([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "silence"])
    async with client_of(raw, clock) as client:
        call = asyncio.create_task(client.conversations.get(ID))
        await raw.until(lambda: bool(raw.requests))
        await settle()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await raw.until(lambda: raw.open == 0)

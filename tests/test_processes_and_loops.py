"""A client in one event loop after another, in two at once, and in a process that was forked."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aiohttp
import pytest
from fakes import ID, ONCE, OTHER_ID, TOKEN, WITH_PRIVATE_NAMES, FakePacer, Silence, settle
from faults.wire import GOOD

from siteassist_async import ClientClosedError, ConfigurationError, SiteAssist, forks
from siteassist_async.emulator import Emulator, in_thread
from siteassist_async.transport.home import Home

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from aiohttp.client_proto import ResponseHandler
    from faults.raw_server import RawServer

    from siteassist_async.transport import Transport

pytestmark = pytest.mark.usefixtures("public_only")


@pytest.fixture
def api() -> Iterator[Emulator]:
    """The API in a thread, for tests with event loops of their own."""
    with in_thread(Emulator(token=TOKEN)) as api:
        yield api


def until(condition: Callable[[], bool]) -> None:
    """Wait until the API's thread has seen something; for ten seconds at most."""
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.001)


def client_of(api: Emulator, session: aiohttp.ClientSession | None = None) -> SiteAssist:
    """A client that waits for nothing."""
    return SiteAssist(TOKEN, base_url=api.url, pacer=FakePacer(), retry=ONCE, session=session)


async def test_a_child_that_is_forked_amid_requests_has_connections_and_slots_of_its_own(
    raw: RawServer,
) -> None:
    """The parent's answers reach the parent."""
    raw.script[ID].extend([["silence"], ["silence"]])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("forking_client.py")),
        *(raw.url, ID, OTHER_ID),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    await raw.until(lambda: len(raw.requests) == 2)
    process.stdin.write(b"now\n")
    await raw.until(lambda: len(raw.requests) == 3 and raw.open == 2)
    await raw.say(GOOD)
    out, err = await process.communicate()
    assert (out.decode().split(), err) == (["child", OTHER_ID, *["parent", ID] * 2], b"")
    assert raw.requests[2].connection == 3


def test_a_child_leaves_its_parents_connections_alone(api: Emulator) -> None:
    """They are not closed, not even when they are collected."""

    async def main() -> None:
        async with client_of(api) as client:
            await client.conversations.get(ID)
            home = home_of(client)
            getattr(forks, "_renew")()  # noqa: B009 - as Python calls it in the child
            transport_of(client).renew()
            gc.collect()
            assert not home.session.closed
            await client.conversations.get(ID)
            assert api.counters.connections == 2
            await home.close()

    asyncio.run(main())


def test_a_client_works_in_one_event_loop_after_another(api: Emulator) -> None:
    """As in a worker or a serverless handler; each loop has its own connections."""
    client = client_of(api)
    for _ in range(3):
        asyncio.run(client.conversations.get(ID))
    assert api.counters.requests == api.counters.connections == 3
    until(lambda: api.connections_open == 0)
    asyncio.run(client.close())
    with pytest.raises(ClientClosedError):
        asyncio.run(client.conversations.get(ID))


@WITH_PRIVATE_NAMES
def test_a_loop_that_was_not_shut_down_is_left_behind(api: Emulator) -> None:
    """Whether it is closed or only stopped, and with requests in flight or none."""
    api.script(OTHER_ID, Silence())
    client = client_of(api)
    for closed in (True, False):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(client.conversations.get(ID))
        transport = next(iter(connections_of(client)))
        if closed:
            transport.abort()
            loop.run_until_complete(settle())
            loop.close()
        asyncio.run(client.conversations.get(ID))
        if not closed:
            loop.run_until_complete(settle())
            loop.close()
    assert api.counters.requests == 4


def transport_of(client: SiteAssist) -> Transport:
    """Its lowest link."""
    transport: Transport = getattr(client, "_transport")  # noqa: B009 - nothing else shows it
    return transport


def home_of(client: SiteAssist) -> Home:
    """What it has in the event loop."""
    home: Home = getattr(transport_of(client), "_home")  # noqa: B009 - as above
    return home


def connections_of(client: SiteAssist) -> list[asyncio.Transport]:
    """The sockets of a client's pool."""
    idle: list[list[tuple[ResponseHandler, float]]] = list(
        getattr(home_of(client).session.connector, "_conns").values()  # noqa: B009 - aiohttp's own
    )
    return [cast("asyncio.Transport", protocol.transport) for some in idle for protocol, _ in some]


def test_a_client_in_two_running_loops_at_once_is_told_so(api: Emulator) -> None:
    """At once, by a call and by closing; the first loop goes on."""
    client = client_of(api)

    async def main() -> None:
        await client.conversations.get(ID)
        for call in (client.conversations.get(ID), client.close()):
            with pytest.raises(ConfigurationError, match="in use in another event loop"):
                await asyncio.to_thread(asyncio.run, call)

    asyncio.run(main())
    assert api.counters.requests == 1


def test_closing_from_another_loop_lets_go(api: Emulator) -> None:
    """The loop that has run is closed; nothing is left to wait for."""
    client = client_of(api)
    asyncio.run(client.conversations.get(ID))
    asyncio.run(client.close())
    with pytest.raises(ClientClosedError):
        asyncio.run(client.conversations.get(ID))


def test_a_session_of_another_loop_is_told_so(api: Emulator) -> None:
    """It is no failure of the network, and is not tried again."""
    sessions: list[aiohttp.ClientSession] = []

    async def make() -> None:
        sessions.append(aiohttp.ClientSession())

    async def use(client: SiteAssist) -> None:
        with pytest.raises(ConfigurationError, match="belongs to another event loop") as caught:
            await client.conversations.get(ID)
        assert caught.value.attempts == 0
        await client.close()

    asyncio.run(make())
    client = client_of(api, sessions[0])
    asyncio.run(use(client))
    asyncio.run(sessions[0].close())


async def test_a_users_session_is_left_behind_with_its_loop(emulator: Emulator) -> None:
    """It is its owner's to close."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as users:
        Home(loop, users, is_the_users=True).abandon()
        assert not users.closed
    assert emulator.counters.requests == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_options_of_a_session_that_clash_are_told_so(emulator: Emulator) -> None:
    """Trying again is no help, and no network is to blame."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("u", "p")) as users:
        client = SiteAssist(TOKEN, base_url=emulator.url, session=users)
        with pytest.raises(ConfigurationError, match="cannot be sent: ValueError: Cannot combine"):
            await client.conversations.get(ID)
    assert emulator.counters.requests == 0


async def test_a_generator_that_is_closed_early_closes_nothing_twice(emulator: Emulator) -> None:
    """`close` after the end of the loop's generators is no fault."""
    client = client_of(emulator)
    await client.conversations.get(ID)
    home = home_of(client)
    keeper: AsyncGenerator[None] = getattr(home, "_keeper")  # noqa: B009 - nothing else shows it
    await keeper.aclose()
    assert home.session.closed
    await client.close()

"""Servers that cannot be reached, that come back, and how many connections it takes."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from itertools import cycle
from typing import TYPE_CHECKING, Any

import aiohappyeyeballs
import aiohttp
import pytest
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from fakes import BASE_URL, ONCE, TOKEN, WITH_PRIVATE_NAMES, FakePacer, client_of, get_all, settle

from siteassist_async import (
    ConnectionFailedError,
    Failed,
    Fetched,
    InternalServerError,
    NotFoundError,
    RetryPolicy,
    SiteAssist,
    TimedOutError,
    Timeout,
    UnexpectedStatusError,
    WrongConversationError,
)
from siteassist_async.emulator import conversation_ids
from siteassist_async.pacing import AdaptivePacer
from siteassist_async.transport.aiohttp_internals import SCARCE_FOR
from siteassist_async.transport.body import LARGEST_ERROR_BODY

from .wire import GOOD, ID, OTHER_ID, answer, conversation, error, head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiohttp.abc import ResolveResult
    from fakes import FakeClock, Mocked

    from .raw_server import Play, RawServer

pytestmark = pytest.mark.usefixtures("public_only")


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that swallows packets: the queue of those who want to connect is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.settimeout(0)
            client.connect_ex(address)
        yield address[1]
        for client in waiting:
            client.close()


async def test_a_port_that_swallows_packets_is_a_time_out(deaf_port: int, clock: FakeClock) -> None:
    """Within the time for connecting, however long reading may take."""
    async with SiteAssist(
        TOKEN,
        base_url=f"http://127.0.0.1:{deaf_port}",
        timeout=Timeout(connect=0.03, read=60, total=60),
        retry=RetryPolicy(attempts=3),
        clock=clock,
    ) as client:
        with pytest.raises(TimedOutError, match=r"no connection within 0\.03 s") as caught:
            await client.conversations.get(ID)
    assert caught.value.attempts == 3


async def test_a_name_that_does_not_resolve_is_a_failed_connection(clock: FakeClock) -> None:
    """As aiohttp tells it, and as a resolver of the user's may."""

    class Resolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(f"no address for {host}:{port} of {family}")

        async def close(self) -> None:
            pass

    connector = aiohttp.TCPConnector(resolver=Resolver())
    async with aiohttp.ClientSession(connector=connector) as session:
        client = SiteAssist(
            TOKEN, base_url="https://nowhere.invalid", session=session, retry=ONCE, clock=clock
        )
        with pytest.raises(ConnectionFailedError, match=r"nowhere\.invalid") as caught:
            await client.conversations.get(ID)
    assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorDNSError)


async def test_a_server_that_restarts_costs_a_reconnect(
    server: RawServer, clock: FakeClock
) -> None:
    """One for each connection, and no request more; while it is away, an error."""
    ids = list(conversation_ids(6))
    async with client_of(server, clock) as client:
        assert len(await get_all(client, ids)) == 6
        await server.stop()
        await settle()
        with pytest.raises(ConnectionFailedError, match="Connection refused"):
            await client.conversations.get(ID)
        await server.start()
        outcomes = await get_all(client, ids)
        assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert len(server.requests) == 12


@pytest.mark.parametrize("dead", [1, 8])
async def test_idle_connections_that_the_server_closed_cost_a_reconnect_each(
    server: RawServer, clock: FakeClock, dead: int
) -> None:
    """No attempt, no request, no wait."""
    ids = list(conversation_ids(dead))
    async with client_of(server, clock) as client:
        await get_all(client, ids)
        await server.drop_connections()
        await settle()
        outcomes = await get_all(client, ids)
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert (server.connections, len(server.requests)) == (2 * dead, 2 * dead)
    assert clock.slept == []


@WITH_PRIVATE_NAMES
async def test_a_pool_that_dies_unnoticed_costs_a_reconnect_each(
    server: RawServer, clock: FakeClock
) -> None:
    """Eight requests at once find their connections dead as they send: each is sent once more."""
    ids = list(conversation_ids(8))
    async with client_of(server, clock, retry=RetryPolicy()) as client:
        await get_all(client, ids)
        for conversation_id in ids:
            server.script[conversation_id].append(["close"])
        outcomes = await get_all(client, ids)
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert (server.connections, len(server.requests)) == (16, 24)
    assert set(clock.slept) == {0.0}


@WITH_PRIVATE_NAMES
async def test_a_connection_lost_before_its_body_is_read_breaks_off(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing more comes, and nothing says so any more: aiohttp has no future of its end."""
    monkeypatch.setattr(ResponseHandler, "closed", None)
    server.script[ID].append([GOOD[:-9], "silence"])
    async with client_of(server, clock) as client:
        with pytest.raises(ConnectionFailedError, match="the response is truncated"):
            await client.conversations.get(ID)
        monkeypatch.undo()


async def test_an_answer_that_came_over_no_connection_drops_none(
    mocked: Mocked, clock: FakeClock
) -> None:
    """As those of aioresponses do, by which users test their own code."""
    mocked.get(f"{BASE_URL}/conversations/{ID}", body=conversation(OTHER_ID))
    async with SiteAssist(TOKEN, base_url=BASE_URL, retry=ONCE, clock=clock) as client:
        with pytest.raises(WrongConversationError):
            await client.conversations.get(ID)


async def test_of_a_long_error_that_has_come_whole_the_beginning_counts(
    mocked: Mocked, clock: FakeClock
) -> None:
    """Its limit holds for it too: what was cut cannot be read, and its status still counts."""
    body = error(details={"long": "x" * LARGEST_ERROR_BODY})
    mocked.get(f"{BASE_URL}/conversations/{ID}", status=500, body=body)
    async with SiteAssist(TOKEN, base_url=BASE_URL, retry=ONCE, clock=clock) as client:
        with pytest.raises(InternalServerError) as caught:
            await client.conversations.get(ID)
    assert (caught.value.code, caught.value.raw_details) == (None, None)


PLAYS: tuple[Sequence[Play], ...] = (
    [["close"]],
    [["reset"]],
    [[GOOD[:40], "reset"]],
    [[GOOD[:-9], "close"]],
    [[answer(conversation(OTHER_ID))]],
    [[answer(error(code="CONVERSATION_NOT_FOUND"), 404)]],
    [[answer(error(), 500)], ["close"], [answer(b"<h1>", 502)]],
    [[b"SSH-2.0-OpenSSH\r\n"]],
    [[answer(error(details={"retryAfter": 1}), 429)]],
    [[answer(b"x" * 100_000, 503)]],
    [],
)


@pytest.mark.parametrize("concurrency", [1, 4, 16])
async def test_connections_are_never_more_than_the_concurrency(
    server: RawServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    concurrency: int,
    *,
    public_only: bool,
) -> None:
    """Under a mixed load, most of it faults, and none is left open."""
    ids = list(conversation_ids(200))
    for conversation_id, plays in zip(ids, cycle(PLAYS), strict=False):
        server.script[conversation_id].extend(plays)
    tasks = asyncio.all_tasks()
    sockets = Descriptors(monkeypatch, 100, errno.EMFILE)
    async with SiteAssist(
        TOKEN,
        base_url=server.url,
        concurrency=concurrency,
        retry=RetryPolicy(budget=None),
        pacer=AdaptivePacer(clock=clock),
        clock=clock,
    ) as client:
        outcomes = await get_all(client, ids)
        # The server sees the end of a connection later than the client.
        assert public_only or 0 < server.open <= concurrency
    assert public_only or server.most_open <= concurrency
    assert 0 < sockets.most_open <= concurrency
    assert sorted(outcome.id for outcome in outcomes) == sorted(ids)
    lost = [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]
    assert {type(error) for error in lost} == {NotFoundError}
    await server.until(lambda: not server.open)
    assert asyncio.all_tasks() == tasks


class Descriptors:
    """The system's: so many connections of this process may be open at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
        self.number = number
        self.most_open = 0
        # Its own types are not whole.
        self._connect: Any = getattr(aiohappyeyeballs, "start_connection")  # noqa: B009
        self._code = code
        self._made: list[socket.socket] = []
        self._being_made = 0
        monkeypatch.setattr(aiohappyeyeballs, "start_connection", self._start)

    async def _start(self, *arguments: Any, **options: Any) -> socket.socket:  # noqa: ANN401 - as given
        await asyncio.sleep(0)  # as connecting takes a while
        if self._open() >= self.number:
            raise OSError(self._code, os.strerror(self._code))
        self._being_made += 1
        self.most_open = max(self.most_open, self._open())
        try:
            made: socket.socket = await self._connect(*arguments, **options)
            self._made.append(made)
        finally:
            self._being_made -= 1
        return made

    def _open(self) -> int:
        return self._being_made + sum(one.fileno() != -1 for one in self._made)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
async def test_too_few_descriptors_are_made_do_with(
    server: RawServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    *,
    public_only: bool,
) -> None:
    """Whoever can open no connection waits for one in use; later more are tried again."""
    descriptors = Descriptors(monkeypatch, 2, code)
    ids = list(conversation_ids(40))
    async with SiteAssist(
        TOKEN, base_url=server.url, concurrency=8, clock=clock, pacer=FakePacer()
    ) as client:
        await client.conversations.get(ID)
        outcomes = await get_all(client, ids)
        assert all(isinstance(outcome, Fetched) for outcome in outcomes)
        assert (descriptors.most_open, len(server.requests)) == (2, 41)
        assert clock.slept == []
        descriptors.number = 100
        if public_only:
            await get_all(client, ids)
            assert descriptors.most_open == 8
            return
        assert server.connections == 2
        await get_all(client, ids)
        assert server.connections == 2
        loop = asyncio.get_running_loop()
        later = loop.time() + SCARCE_FOR
        monkeypatch.setattr(loop, "time", lambda: later)
        await get_all(client, ids)
        assert server.connections == 8


async def test_whoever_waits_for_a_descriptor_and_is_cancelled_holds_up_nobody(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one in the queue gets it."""
    Descriptors(monkeypatch, 1, errno.EMFILE)
    server.script[ID].append(["silence"])
    async with SiteAssist(
        TOKEN, base_url=server.url, clock=clock, retry=ONCE, pacer=FakePacer()
    ) as client:
        holding = asyncio.create_task(client.conversations.get(ID))
        await server.until(lambda: bool(server.requests))
        cancelled, last = [
            asyncio.create_task(client.conversations.get(OTHER_ID)) for _ in range(2)
        ]
        await settle()
        for call in (cancelled, holding):
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await last).id == OTHER_ID
    assert len(server.requests) == 2


async def test_no_descriptor_at_all_is_a_connection_error_that_names_the_limit(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again: others may close theirs."""
    Descriptors(monkeypatch, 0, errno.EMFILE)
    async with client_of(server, clock, retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(ConnectionFailedError, match=r"lower the concurrency.*ulimit -n") as it:
            await client.conversations.get(ID)
    assert it.value.attempts == 3


async def test_a_connection_that_was_switched_to_another_protocol_gives_its_slot_back(
    server: RawServer, clock: FakeClock
) -> None:
    """A 101 ends no answer, so nothing else would."""
    server.script[ID].append([head(101, ["Upgrade: h2c", "Connection: upgrade"])])
    async with SiteAssist(
        TOKEN, base_url=server.url, concurrency=1, clock=clock, retry=ONCE, pacer=FakePacer()
    ) as client:
        view = client.with_options(timeout=Timeout(connect=1, total=1))
        for _ in range(2):
            with pytest.raises(UnexpectedStatusError):
                await view.conversations.get(ID)
            server.script[ID].append([head(101, ["Upgrade: h2c", "Connection: upgrade"])])
        await server.until(lambda: not server.open)

"""Answers that nobody asked for are nobody's answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from fakes import ONCE, WITH_PRIVATE_NAMES, client_of, settle

from siteassist_async import (
    ConnectionFailedError,
    Conversation,
    DisconnectedError,
    RetryPolicy,
    WrongConversationError,
)

from .wire import GOOD, ID, OTHER_ID, answer, conversation, error, head

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from fakes import FakeClock

    from .raw_server import Play, RawServer

pytestmark = pytest.mark.usefixtures("public_only")

UNASKED = {
    "the last conversation again": GOOD,
    "the next conversation": answer(conversation(OTHER_ID)),
    "a 404": answer(error(), 404),
    "a 401": answer(error(), 401),
    "a 408 of a proxy that closes": answer(b"", 408, ["Connection: close"]),
    "a 500": answer(error(), 500),
    "a 204": head(204, []),
    "a 100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "the headers of a 404": answer(b"", 404, length=999),
    "two 404": answer(error(), 404) * 2,
    "garbage": b"garbage",
}


@pytest.mark.parametrize("said", UNASKED.values(), ids=UNASKED.keys())
async def test_what_comes_on_an_idle_connection_ends_it(
    server: RawServer, clock: FakeClock, said: bytes
) -> None:
    """The next call has a connection of its own, its own answer, and sends one request."""
    async with client_of(server, clock) as client:
        await client.conversations.get(ID)
        await server.say(said)
        await settle()
        assert (await client.conversations.get(OTHER_ID)).id == OTHER_ID
        assert [request.connection for request in server.requests] == [1, 2]


async def test_half_a_head_on_an_idle_connection_is_not_put_before_an_answer(
    server: RawServer, clock: FakeClock
) -> None:
    """Only aiohttp knows that it came, and it begins anew with the next answer."""
    async with client_of(server, clock) as client:
        await client.conversations.get(ID)
        await server.say(b"HTTP/1.1 404 Not Fo")
        await settle()
        assert (await client.conversations.get(OTHER_ID)).id == OTHER_ID


@WITH_PRIVATE_NAMES
async def test_an_answer_to_the_call_before_is_not_this_calls(
    server: RawServer, clock: FakeClock
) -> None:
    """The second call's answer is still to come when the third sends: it goes to nobody."""
    server.script[OTHER_ID].append([GOOD, "pause", answer(conversation(OTHER_ID))])
    async with client_of(server, clock, retry=RetryPolicy()) as client:
        await client.conversations.get(ID)
        assert (await client.conversations.get(OTHER_ID)).id == OTHER_ID
        assert (await client.conversations.get(ID)).id == ID
    assert [request.connection for request in server.requests] == [1, 1, 2, 2]


async def test_an_answer_that_is_refused_takes_nobody_along(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call begins just as the last byte frees the connection, which is then dropped."""
    stranger = answer(conversation("aaaaaaaa-0000-4000-8000-000000000000"))
    server.script[ID].append([stranger[:-9], "pause", stranger[-9:]])
    receive = ResponseHandler.data_received
    following: list[asyncio.Task[Conversation]] = []

    def receive_and_follow(self: ResponseHandler, data: bytes) -> None:
        if data == stranger[-9:]:
            following.append(asyncio.create_task(client.conversations.get(OTHER_ID)))
        receive(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", receive_and_follow)
    async with client_of(server, clock) as client:
        with pytest.raises(WrongConversationError):
            await client.conversations.get(ID)
        assert (await following[0]).id == OTHER_ID
    assert [request.connection for request in server.requests] == [1, 2]


async def test_a_call_that_is_cancelled_as_it_waits_for_the_reader_keeps_no_connection(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had one already, whose last answer was still to be looked at."""
    server.script[ID].append([GOOD[:-9], "pause", GOOD[-9:]])
    receive = ResponseHandler.data_received
    following: list[asyncio.Task[Conversation]] = []

    def receive_and_follow(self: ResponseHandler, data: bytes) -> None:
        if data == GOOD[-9:]:
            following.append(asyncio.create_task(client.conversations.get(OTHER_ID)))
            asyncio.get_running_loop().call_soon(following[0].cancel)
        receive(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", receive_and_follow)
    async with client_of(server, clock) as client:
        await client.conversations.get(ID)
        with pytest.raises(asyncio.CancelledError):
            await following[0]
        assert len(server.requests) == 1
        await settle()
        assert server.open == 0


@WITH_PRIVATE_NAMES
@pytest.mark.parametrize(
    ("greeting", "expected"),
    [
        ([answer(error(), 404)], (ConnectionFailedError, "sent data before the request")),
        (["close"], (DisconnectedError, "closed by the server")),
    ],
    ids=["an answer", "an end"],
)
async def test_a_server_that_speaks_first_is_not_listened_to(
    server: RawServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    greeting: Play,
    expected: tuple[type[ConnectionFailedError], str],
) -> None:
    """What came before the request was sent is not its answer, on a new connection either."""
    kind, says = expected
    connect = aiohttp.TCPConnector.connect

    async def connect_slowly(
        self: aiohttp.TCPConnector, *args: object, **kwargs: object
    ) -> Connection:
        connection = await connect(self, *args, **kwargs)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # as given
        await settle()
        return connection

    monkeypatch.setattr(aiohttp.TCPConnector, "connect", connect_slowly)
    server.greeting = greeting
    async with client_of(server, clock, retry=ONCE) as client:
        with pytest.raises(kind, match=says) as caught:
            await client.conversations.get(ID)
    assert type(caught.value) is kind
    assert server.requests == []

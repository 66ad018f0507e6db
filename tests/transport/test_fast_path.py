"""Below aiohttp's session, unless somebody listens to it or has taken its place."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs import evolve
from fakes import ID, ONCE, TOKEN, FakePacer, client_of, new_request, settle

from siteassist_async import ConfigurationError, Request, SiteAssist
from siteassist_async.emulator import Emulator
from siteassist_async.transport import Transport, aiohttp_internals

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes import FakeClock

    from siteassist_async import Response, Send

Sent = list[str]


@pytest.fixture(params=["get", "_request"])
def by_session(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The URLs that go by a session, as whoever wraps a method of it sees them."""
    sent: Sent = []
    real = cast("Callable[..., object]", getattr(aiohttp.ClientSession, request.param))

    @functools.wraps(real)
    def watched(session: object, *arguments: object, **options: object) -> object:
        sent.append(str(arguments[-1]))
        return real(session, *arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, request.param, watched)
    return sent


async def test_this_release_is_known() -> None:
    """With another the client would still work, and cost more: read its code, then `KNOWN`."""
    async with aiohttp.ClientSession() as session:
        assert not aiohttp_internals.FastPath(session).is_watched()


async def test_what_wraps_a_method_of_sessions_sees_each_request(
    client: SiteAssist, emulator: Emulator, by_session: Sent
) -> None:
    """Mocks do, and tools that trace: the client must not pass them by."""
    await client.conversations.get(ID)
    assert by_session == [f"{emulator.url}/conversations/{ID}"]


def test_what_wrapped_it_before_the_client_was_loaded_counts_too(by_session: Sent) -> None:
    """Such tools load first, and keep the name of what they wrap."""
    assert aiohttp_internals.untouched() is None
    assert not by_session


async def test_traces_and_middlewares_that_a_tool_adds_to_every_session_run(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenTelemetry's and Sentry's do."""
    seen: Sent = []
    trace = aiohttp.TraceConfig()

    async def on_start(*_: object) -> None:
        seen.append("trace")

    async def watch(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append("middleware")
        return await handler(request)

    trace.on_request_start.append(on_start)
    real = aiohttp.ClientSession.__init__
    for added in ({"trace_configs": [trace]}, {"middlewares": [watch]}):
        instrumented = functools.partialmethod(real, **added)
        monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
        async with client_of(emulator, clock) as client:
            await client.conversations.get(ID)
    assert seen == ["trace", "middleware"]


@pytest.mark.parametrize("way", ["below", "by"])
async def test_a_links_header_replaces_ours_in_any_case(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It is sent once, by a session or below it."""
    if way == "by":
        monkeypatch.setattr(aiohttp_internals, "UNTOUCHED", None)

    async def named(request: Request, send: Send) -> Response:
        return await send(request.with_headers({"user-agent": "mine"}))

    async with SiteAssist(TOKEN, base_url=emulator.url, middleware=[named], clock=clock) as client:
        await client.conversations.get(ID)
    headers = emulator.counters.recent[-1].headers
    assert [value for name, value in headers.items() if name.lower() == "user-agent"] == ["mine"]


async def test_requests_at_once_have_each_their_own_url_and_headers(
    emulator: Emulator, clock: FakeClock
) -> None:
    """Those with the same headers share what is made of them, be there a connection or not."""
    ids = [f"{number:x}{ID[1:]}" for number in reversed(range(16))]

    async def tagged(request: Request, send: Send) -> Response:
        tag = {"X-Tag": request.subject} if request.subject < "8" else {}
        return await send(request.with_headers(tag))

    async with SiteAssist(
        TOKEN,
        base_url=emulator.url,
        middleware=[tagged],
        concurrency=8,
        clock=clock,
        pacer=FakePacer(),
    ) as client:
        got = await asyncio.gather(*map(client.conversations.get, ids * 3))
    assert [conversation.id for conversation in got] == ids * 3
    seen = emulator.counters.recent
    assert len(seen) == 48
    for one in seen:
        conversation_id = one.target.rpartition("/")[2]
        assert one.headers.get("X-Tag") == (conversation_id if conversation_id < "8" else None)


async def test_a_request_goes_to_its_own_host(emulator: Emulator) -> None:
    """Whichever host the last one with the same headers went to."""
    transport = Transport(connections=4)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with Emulator(token=TOKEN) as other:
        for server in (emulator, other, emulator):
            url = f"{server.url}/conversations/{ID}"
            assert (await transport(evolve(new_request(), url=url, headers=headers))).status == 200
        await transport.close()
    hosts = [seen.headers["Host"] for seen in (*emulator.counters.recent, *other.counters.recent)]
    assert hosts == [urlsplit(server.url).netloc for server in (emulator, emulator, other)]


async def test_a_header_that_cannot_be_sent_closes_the_connection(
    emulator: Emulator, clock: FakeClock
) -> None:
    """It had been made, and nothing was said over it."""

    async def broken(request: Request, send: Send) -> Response:
        return await send(request.with_headers({"X-Mine": "a\r\nX-Other: b"}))

    async with SiteAssist(
        TOKEN, base_url=emulator.url, middleware=[broken], retry=ONCE, clock=clock
    ) as client:
        with pytest.raises(ConfigurationError, match="cannot be sent: ValueError"):
            await client.conversations.get(ID)
        await settle()
        assert emulator.connections_open == 0
    assert (emulator.counters.connections, emulator.counters.requests) == (1, 0)

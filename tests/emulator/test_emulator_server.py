"""The emulator's life on a socket."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading

import aiohttp
import pytest
from loopback import ID, Coma, ask, session_of, url

from siteassist_async.emulator import (
    Combined,
    Delay,
    Emulator,
    Oversized,
    Status,
    conversation,
    conversation_ids,
    in_thread,
)


async def test_a_client_gets_the_conversation() -> None:
    """As JSON with a length, on a connection that is kept."""
    async with Emulator(seed=4) as api, session_of(api) as session:
        assert api.url == f"http://127.0.0.1:{api.port}/v2"
        for conversation_id in conversation_ids(5):
            async with session.get(url(api, conversation_id)) as response:
                assert response.status == 200
                assert response.content_type == "application/json"
                assert response.content_length is not None
                assert await response.json() == conversation(conversation_id, seed=4)
        assert (api.counters.connections, api.connections_open) == (1, 1)
        assert api.counters.statuses == {200: 5}


async def test_what_was_received_is_kept_without_the_token() -> None:
    """Method, target and headers in the order of arrival, and whether the token was right."""
    async with Emulator() as api, session_of(api) as session:
        await session.get(url(api) + "?q=1", headers={"X-Trace": "7"})
        await session.get(url(api), headers={"Authorization": "Bearer sk_test_wrong"})
        await session.get(f"{api.url}/", skip_auto_headers=["Authorization"])
        first, second, _ = api.counters.recent
        assert (first.method, first.target) == ("GET", f"/v2/conversations/{ID}?q=1")
        assert first.headers["x-trace"] == "7"
        assert first.authorized
        assert not second.authorized
        assert first.headers["Authorization"] == second.headers["Authorization"] == "***"
        assert "sk_" not in repr(api.counters.recent)


async def test_a_request_without_a_token_is_unauthorized() -> None:
    """401 with the documented body."""
    async with Emulator() as api, aiohttp.ClientSession() as session:
        async with session.get(url(api)) as response:
            assert response.status == 401
            assert (await response.json())["error"]["code"] == "UNAUTHORIZED"
        assert "Authorization" not in api.counters.recent[0].headers


async def test_the_most_in_flight_is_counted() -> None:
    """Requests that wait for their latency are in flight together, each on its connection."""
    gate = asyncio.Event()

    async def sleep(_: float) -> None:
        if api.counters.in_flight == 5:
            gate.set()
        await gate.wait()

    async with Emulator(latency=1, sleep=sleep) as api, session_of(api) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(session.get(url(api)))
        assert (api.counters.most_in_flight, api.counters.in_flight) == (5, 0)
        assert api.counters.connections == 5
        assert api.counters.most_connections == api.connections_open == 5
        api.reset_counters()
        assert api.counters.most_in_flight == 0


async def test_dropped_connections_are_replaced() -> None:
    """Idle ones are closed; the emulator goes on listening."""
    async with Emulator() as api, session_of(api) as session:
        await (await session.get(url(api))).read()
        api.drop_connections()
        await (await session.get(url(api))).read()
        assert api.counters.connections == 2
    api.drop_connections()


async def test_a_stop_leaves_no_task_and_no_connection() -> None:
    """Idle, in flight, and blocked by a client that does not read."""
    coma, sending = Coma(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == 1:
            await coma.sleep(seconds)
        sending.set()

    before = asyncio.all_tasks()
    api = Emulator(sleep=sleep)
    api.script(ID, Status(200), Delay(1), Combined(Delay(2), Oversized(100_000_000)))
    await api.start()
    async with session_of(api) as session:
        await (await session.get(url(api))).read()
        _, stalled = await ask(api)
        await coma.begun.wait()
        _, deaf = await ask(api)
        await sending.wait()
        assert (api.connections_open, api.counters.in_flight) == (3, 2)
        await api.stop()
        assert (api.connections_open, api.counters.in_flight) == (0, 0)
        assert asyncio.all_tasks() == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(api.host, api.port)
    stalled.transport.abort()
    deaf.transport.abort()
    await asyncio.sleep(0)
    gc.collect()


async def test_an_emulator_can_be_started_again() -> None:
    """At the same port, with its scripts and counts; a second stop is nothing."""
    api = Emulator()
    async with api:
        first = api.url
        with pytest.raises(RuntimeError, match="started already"):
            await api.start()
        assert repr(api) == f"Emulator('{first}')"
    await api.stop()
    assert repr(api) == "Emulator(stopped)"
    async with api:
        assert api.url == first


async def test_a_taken_port_is_an_oserror() -> None:
    """As of any other server."""
    async with Emulator() as api:
        other = Emulator(port=api.port)
        with pytest.raises(OSError, match="address already in use"):
            await other.start()
        assert repr(other) == "Emulator(stopped)"


async def test_serving_forever_ends_with_a_stop() -> None:
    """Or when it is cancelled, which leaves the emulator to its `async with`."""
    async with Emulator() as api:
        serving = asyncio.create_task(api.serve_forever())
        await asyncio.sleep(0)
        assert not serving.done()
        await api.stop()
        await serving
    with pytest.raises(RuntimeError, match="not started"):
        await api.serve_forever()


def test_only_loopback_is_listened_on_unasked() -> None:
    """Any other address must be allowed; a name is no address."""
    with pytest.raises(ValueError, match="not a loopback address"):
        Emulator(host="0.0.0.0")
    with pytest.raises(ValueError, match="example"):
        Emulator(host="example.com")
    assert Emulator(host="0.0.0.0", allow_remote=True).host == "0.0.0.0"


def test_the_url_is_known_with_the_port() -> None:
    """It is https where a context is given, brackets around IPv6."""
    with pytest.raises(RuntimeError, match="no port"):
        _ = Emulator().url
    context = ssl.create_default_context()
    assert Emulator(host="::1", port=1, ssl_context=context).url == "https://[::1]:1/v2"


def test_an_emulator_in_a_thread_serves_code_that_blocks() -> None:
    """It can be scripted and read from outside, and is gone afterwards."""
    with in_thread(Emulator()) as api:
        api.script(ID, Status(503))
        first = asyncio.run(fetch(api))
        assert (first, asyncio.run(fetch(api))) == (503, 200)
        assert api.counters.statuses == {503: 1, 200: 1}
    assert repr(api) == "Emulator(stopped)"


async def fetch(api: Emulator) -> int:
    """One request on a session of its own."""
    async with session_of(api) as session, session.get(url(api)) as response:
        await response.read()
        return response.status


def test_a_thread_whose_emulator_cannot_start_ends() -> None:
    """The error reaches the caller."""
    threads = threading.active_count()
    with (
        in_thread(Emulator()) as api,
        pytest.raises(OSError, match="address already in use"),
        in_thread(Emulator(port=api.port)),
    ):
        raise AssertionError
    assert threading.active_count() == threads

"""The switch of aiohttp's private names: when it is off, who hears of it, and what goes on."""

from __future__ import annotations

import asyncio
import logging
import os
import runpy
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import aiohttp
import aiohttp.http
import pytest
from aiohttp.client_proto import ResponseHandler
from fakes import ID, OTHER_ID, TOKEN, client_of

from siteassist_async import ConnectionFailedError, DisconnectedError, SiteAssist
from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import PURE_PYTHON, announce, why_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes import FakeClock
    from faults.raw_server import RawServer

    from siteassist_async.emulator import Emulator


@pytest.fixture(autouse=True)
def unsaid() -> Iterator[None]:
    """Nothing has been said yet, as in a new process."""
    announce.cache_clear()
    yield
    announce.cache_clear()


def test_this_release_is_tested() -> None:
    """With another the client would still work, more slowly: read its code, then raise `TESTED`."""
    assert why_off() in {"", PURE_PYTHON}


@pytest.mark.parametrize("version", ["3.13.9", "3.15.0", "3.15.0rc1", "4.0.0a1"])
def test_an_untested_release_turns_all_of_it_off(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """What nobody promises may have changed."""
    monkeypatch.setattr(aiohttp, "__version__", version)
    assert why_off() == f"aiohttp {version} is not a release that this client was tested with"


METHODS = [
    (aiohttp.ClientSession, "_request"),
    (aiohttp.ClientRequest, "update_headers"),
    (aiohttp.ClientResponse, "start"),
    (ResponseHandler, "_reschedule_timeout"),
    (ResponseHandler, "_drop_timeout"),
    (ResponseHandler, "_on_read_timeout"),
    (ResponseHandler, "set_response_params"),
]


@pytest.mark.parametrize(("owner", "name"), METHODS)
def test_a_missing_method_turns_all_of_it_off(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Not only what it is called for: the rest stands on the same release."""
    monkeypatch.delattr(owner, name)
    assert why_off().startswith(f"aiohttp {aiohttp.__version__} has no {owner.__name__}.{name}")


def test_a_missing_attribute_turns_all_of_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that only an instance has are looked for in the code of its class."""
    needed = {aiohttp.TCPConnector: "_conns _no_such_name"}
    monkeypatch.setattr(aiohttp_internals, "_ATTRIBUTES", needed)
    assert why_off().endswith("has no TCPConnector._no_such_name")


def test_a_module_that_is_missing_turns_all_of_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package can be imported all the same."""
    monkeypatch.setitem(sys.modules, "aiohttp.client_proto", None)
    loaded = runpy.run_path(str(aiohttp_internals.__file__))
    assert " has no object." in loaded["OFF_BECAUSE"]


def test_the_pure_python_parser_turns_all_of_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends a connection's messages in other ways."""
    monkeypatch.setattr(aiohttp.http, "HttpResponseParser", Pure)
    assert why_off() == PURE_PYTHON


class Pure:
    """A parser from where the pure-Python one is."""

    __module__ = "aiohttp.http_parser"


def test_a_release_that_is_not_tested_is_one_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However many clients are made; and none is where nothing is off."""
    monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "")
    SiteAssist(TOKEN)
    assert caplog.records == []
    monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "aiohttp 4.0 is not tested")
    for _ in range(3):
        SiteAssist(TOKEN)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("siteassist_async.http", logging.WARNING)
    assert record.getMessage().startswith("aiohttp 4.0 is not tested: requests use its public API")


def test_the_pure_python_parser_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the page that says what changes, and whoever made the client."""
    monkeypatch.setattr(aiohttp.http, "HttpResponseParser", Pure)
    monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", why_off())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            SiteAssist(TOKEN)
    (warning,) = caught
    assert warning.category is RuntimeWarning
    assert "PROMISES.md" in str(warning.message)
    assert warning.filename == __file__


PROGRAM = f"""
import asyncio, sys
from siteassist_async import SiteAssist

async def main():
    for _ in range(2):
        async with SiteAssist({TOKEN!r}, base_url=sys.argv[1]) as client:
            print((await client.conversations.get({ID!r})).id)

asyncio.run(main())
"""


async def test_a_program_without_the_compiled_parser_works_and_is_warned_once(
    emulator: Emulator,
) -> None:
    """As users see it, with Python's own filters."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, emulator.url),
        env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await program.communicate()
    assert out.decode().split() == [ID, ID]
    assert err.decode().count(PURE_PYTHON) == 1
    assert emulator.counters.connections == emulator.counters.requests == 2


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch, turned off."""
    monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "of a test")


@pytest.mark.usefixtures("off")
async def test_no_private_name_is_touched_while_it_is_off(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for the client's own session nor for a user's."""
    for name in ("QuietConnector", "OneTimerHandler", "FastPath", "woken_by_loss"):
        monkeypatch.delattr(aiohttp_internals, name)
    async with aiohttp.ClientSession() as users:
        for session in (users, None):
            async with client_of(emulator, clock, session=session) as client:
                await client.conversations.get(ID)


@pytest.mark.parametrize("is_off", [False, True])
async def test_a_users_session_that_hides_its_middlewares_keeps_them(
    raw: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, is_off: bool
) -> None:
    """And no GET is repeated behind the client's back, nor a connection used twice."""
    seen: list[str] = []

    async def watch(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen.append(request.headers["Connection"])
        return await handler(request)

    def nothing(_: object) -> None:
        """As where the private name is gone."""

    if is_off:
        monkeypatch.setattr(aiohttp_internals, "OFF_BECAUSE", "of a test")
    else:
        monkeypatch.setattr(aiohttp_internals, "middlewares_of", nothing)
    raw.script[OTHER_ID].append(["close"])
    async with aiohttp.ClientSession(middlewares=[watch]) as users:
        client = client_of(raw, clock, session=users)
        await client.conversations.get(ID)
        with pytest.raises(DisconnectedError, match="would have sent the request again"):
            await client.conversations.get(OTHER_ID)
    assert seen == ["close", "close"]
    assert len(raw.requests) == 2


@pytest.mark.usefixtures("off")
async def test_whoever_reads_looks_whether_the_connection_is_lost(
    raw: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing public wakes them, and another release may not either."""

    async def asleep(_: object) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(aiohttp.StreamReader, "readany", asleep)
    raw.script[ID].append([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "close"])
    async with client_of(raw, clock) as client:
        with pytest.raises(ConnectionFailedError, match="truncated: connection closed"):
            await client.conversations.get(ID)

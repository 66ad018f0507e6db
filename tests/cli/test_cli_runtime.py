"""The event loop of a command: no lookup of a name that hangs keeps it from ending."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

import pytest

from siteassist_async.cli import runtime


@pytest.fixture(params=["uvloop", "asyncio"])
def _of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)


async def look_up(host: str) -> list[object]:
    """As aiohttp does."""
    running = asyncio.get_running_loop()
    return list(await running.getaddrinfo(host, 80, type=socket.SOCK_STREAM))


@pytest.mark.usefixtures("_of")
def test_a_lookup_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends at its deadline, and the answer that comes later goes to nobody."""
    answer, over = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        answer.wait(timeout=10)
        over.set()
        return []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await look_up("api.invalid")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    runtime.run(main())
    assert not over.is_set()
    answer.set()
    assert over.wait(timeout=10)


@pytest.mark.usefixtures("_of")
def test_a_lookup_gives_what_the_system_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses, or its error."""
    expected = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert runtime.run(look_up("127.0.0.1")) == expected

    def fail(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror):
        runtime.run(look_up("api.invalid"))

"""Proxies: those that refuse the way to the server, and those that lead to it."""

from __future__ import annotations

import asyncio
import pickle
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest

from siteassist_async import (
    ConfigurationError,
    ConnectionFailedError,
    ProxyError,
    RetryPolicy,
    SiteAssist,
)
from siteassist_async.emulator import Emulator

from .rows import TOKEN, frames, traces
from .test_tls import AUTHORITY, presenting, trusting
from .wire import ID, answer

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

    from fakes import FakeClock

    from .raw_server import RawServer

pytestmark = pytest.mark.usefixtures("public_only")


@pytest.mark.parametrize(
    ("status", "requests", "said"),
    [
        (407, 1, "407 Proxy Authentication Required"),
        (403, 1, "403 Forbidden"),
        (404, 1, "404 Not Found"),
        (502, 3, "502 Bad Gateway"),
        (503, 3, "503 Service Unavailable"),
        (504, 3, "504 Gateway Timeout"),
        (599, 1, "599"),
    ],
)
async def test_a_proxy_that_refuses_is_named_with_its_status(
    server: RawServer, clock: FakeClock, status: int, requests: int, said: str
) -> None:
    """It is tried again where a server's own status would be, and says nothing of what came."""
    server.script[""].append([answer(b"who are you?", f"{status} {TOKEN}"), "close"])
    server.forever = True
    proxy = f"http://127.0.0.1:{server.port}"
    retry = RetryPolicy(attempts=3)
    async with aiohttp.ClientSession(proxy=proxy) as session:
        client = SiteAssist(
            TOKEN, base_url="https://api.invalid/v2", session=session, retry=retry, clock=clock
        )
        with pytest.raises(ProxyError) as caught:
            await client.conversations.get(ID)
    error = caught.value
    assert (error.status, len(server.requests)) == (status, requests)
    assert f"the proxy refused the connection to the server: {said} (" in str(error)
    assert TOKEN not in traces(error)
    assert TOKEN.encode() not in b"".join(request.head for request in server.requests)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.status, str(twin)) == (status, str(error))


class Proxy:
    """An HTTP proxy: it forwards requests and opens tunnels.

    Attributes:
        heads: The heads of all requests that it got, in the clear.
        targets: The ports to forward to, by the host that is asked for.
    """

    def __init__(self, targets: dict[str, int]) -> None:
        self.heads: list[bytes] = []
        self.targets = targets

    async def __call__(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection."""
        head = await self.next_head(reader)
        target = head.split(b" ")[1]
        netloc = target if head.startswith(b"CONNECT ") else urlsplit(target).netloc
        there = await asyncio.open_connection(
            "127.0.0.1", self.targets[netloc.decode().partition(":")[0]]
        )
        back = asyncio.create_task(pump(there[0], writer))
        if netloc == target:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await pump(reader, there[1])
        while netloc != target and head:
            there[1].write(head.replace(target, urlsplit(target).path, 1))
            head = await self.next_head(reader)
        there[1].close()
        await back

    async def next_head(self, reader: StreamReader) -> bytes:
        """Read the head of a request; empty at the end of the connection."""
        with suppress(asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            return self.heads[-1]
        return b""


def shows_password(error: BaseException) -> bool:
    """Whether it is in the locals of a frame of the package or of aiohttp, or in the error."""
    ours = [frame for frame in frames(error) if frame.f_code.co_filename != __file__]
    seen = [str(error), repr(error.args), *(repr(frame.f_locals) for frame in ours)]
    return "p4ssword" in "".join(seen)


async def pump(reader: StreamReader, writer: StreamWriter) -> None:
    """Copy until the end."""
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize("encrypted", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("tunnelled", [False, True], ids=["http API", "https API"])
async def test_a_proxy_of_the_client_carries_its_requests(
    *, encrypted: bool, tunnelled: bool
) -> None:
    """With its own password, which is nowhere else; of a tunnel it sees the host alone."""
    host = "localhost" if not tunnelled else "api.example"
    served = presenting(AUTHORITY.issue_cert("127.0.0.1", "api.example"))
    async with Emulator(token=TOKEN, ssl_context=served if tunnelled else None) as api:
        proxy = Proxy({host: api.port})
        server = await asyncio.start_server(
            proxy, "127.0.0.1", 0, ssl=served if encrypted else None
        )
        port = server.sockets[0].getsockname()[1]
        scheme = "https" if encrypted else "http"
        client = SiteAssist(
            TOKEN,
            base_url=f"{'https' if tunnelled else 'http'}://{host}:{api.port}/v2",
            proxy=f"{scheme}://me:p%40ssword@127.0.0.1:{port}",
            tls=trusting(),
        )
        async with client:
            for _ in range(3):
                assert (await client.conversations.get(ID)).id == ID
        server.close()
        await server.wait_closed()
    assert api.counters.requests == 3
    login = b"Proxy-Authorization: Basic " + b64encode(b"me:p@ssword")
    assert all(login in head for head in proxy.heads)
    assert all((TOKEN.encode() in head) is not tunnelled for head in proxy.heads)
    assert all(head.startswith(b"CONNECT ") is tunnelled for head in proxy.heads)


async def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    """Nor is it in what a tracing tool sees."""
    client = SiteAssist(
        TOKEN,
        base_url="https://api.invalid/v2",
        proxy="http://me:p4ssword@127.0.0.1:1",
        retry=RetryPolicy(attempts=1),
    )
    async with client:
        with pytest.raises(
            ConnectionFailedError, match=r"127\.0\.0\.1:1: Connection refused"
        ) as caught:
            await client.conversations.get(ID)
    assert not shows_password(caught.value)
    assert "p4ssword" not in repr(vars(client))


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "p4ssword",
        "socks5://me:p4ssword@x",
        "http://",
        "http://p4ssword:x",
        "http://x/p4ssword",
        7,
    ],
)
def test_a_proxy_that_is_none_is_refused_without_being_shown(proxy: str) -> None:
    """It may contain a password in the wrong place."""
    with pytest.raises(ConfigurationError, match="proxy must be a URL such as") as caught:
        SiteAssist(TOKEN, proxy=proxy)
    assert not shows_password(caught.value)


async def test_a_session_has_its_own_proxy() -> None:
    """So there is no second one beside it."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="session and proxy exclude each other"):
            SiteAssist(TOKEN, session=session, proxy="http://x")

"""One attempt over aiohttp: what is read, what is not followed, how it ends."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock, Mock

import aiohttp
import pytest
from fakes import ID, ONCE, TOKEN, WITH_PRIVATE_NAMES, Silence, client_of, new_request, settle

from siteassist_async import (
    CertificateError,
    ClientClosedError,
    ConnectionFailedError,
    DisconnectedError,
    NotFoundError,
    ResponseTooLargeError,
    RetryPolicy,
    SiteAssist,
    TimedOutError,
    Timeout,
    UnexpectedStatusError,
)
from siteassist_async.emulator import (
    Combined,
    Drip,
    Emulator,
    Headers,
    Oversized,
    Redirect,
    Status,
)
from siteassist_async.transport import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from fakes import FakeClock

    from siteassist_async.emulator import Fault

pytestmark = pytest.mark.usefixtures("public_only")


@WITH_PRIVATE_NAMES
async def test_a_body_over_the_limit_is_not_read(emulator: Emulator, clock: FakeClock) -> None:
    """Of a 200 it is an error, is not tried again, and closes the connection."""
    emulator.script(ID, Oversized(100_000), Oversized(100_001), Oversized(10**9, chunked=True))
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock, max_body=100_000) as client:
        await client.conversations.get(ID)
        for _ in range(2):
            with pytest.raises(ResponseTooLargeError, match="longer than 100,000 bytes"):
                await client.conversations.get(ID)
    assert emulator.counters.requests == 3
    assert emulator.counters.connections == 2


async def test_of_an_error_body_over_the_limit_the_status_counts(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Its rest is not read; the connection is closed."""
    emulator.script(ID, Combined(Status(404), Oversized(10**9)))
    with pytest.raises(NotFoundError):
        await client.conversations.get(ID)
    await client.conversations.get(ID)
    assert emulator.counters.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(client: SiteAssist, emulator: Emulator, status: int) -> None:
    """A redirect is an error, and the other origin hears nothing."""
    async with Emulator(token=TOKEN) as elsewhere:
        emulator.script(ID, Redirect(f"{elsewhere.url}/conversations/{ID}", status))
        with pytest.raises(UnexpectedStatusError) as caught:
            await client.conversations.get(ID)
        assert caught.value.status == status
        assert elsewhere.counters.connections == 0


async def test_cookies_are_not_kept(client: SiteAssist, emulator: Emulator) -> None:
    """What the server sets is not sent back."""
    emulator.script(ID, Headers({"Set-Cookie": "session=1; Path=/"}))
    await client.conversations.get(ID)
    await client.conversations.get(ID)
    assert "Cookie" not in emulator.counters.recent[-1].headers


async def test_neither_proxy_nor_netrc_is_used_unasked(
    emulator: Emulator, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment can divert neither the request nor its credentials."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with client_of(emulator, clock) as client:
        await client.conversations.get(ID)
    assert emulator.counters.recent[-1].authorized


@pytest.mark.parametrize(
    ("fault", "limits", "said"),
    [
        (Silence(), Timeout(read=0.01), r"no data received for 0\.01 s"),
        (Drip(size=1, every=0.001), Timeout(total=0.02), r"no complete response within 0\.02 s"),
    ],
)
async def test_an_attempt_ends_by_its_timeouts(
    client: SiteAssist, emulator: Emulator, fault: Fault, limits: Timeout, said: str
) -> None:
    """Silence by `read`, a trickle by `total`; the connection is closed."""
    emulator.script(ID, fault)
    view = client.with_options(timeout=limits, retry=ONCE)
    with pytest.raises(TimedOutError, match=said) as caught:
        await view.conversations.get(ID)
    assert isinstance(caught.value, TimeoutError)
    await settle()
    assert emulator.connections_open == 0


async def test_a_timeout_is_tried_again(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """The next attempt has its own timeouts."""
    emulator.script(ID, Silence())
    await client.with_options(timeout=Timeout(read=0.05)).conversations.get(ID)
    assert clock.slept


async def test_a_server_that_is_not_there_is_a_connection_error(clock: FakeClock) -> None:
    """It is tried as often as the policy says."""
    async with Emulator() as emulator:
        pass
    async with client_of(emulator, clock, retry=RetryPolicy(attempts=3)) as client:
        with pytest.raises(
            ConnectionFailedError, match=r"cannot connect to 127\.0\.0\.1:\d+: Connection refused"
        ) as caught:
            await client.conversations.get(ID)
    assert caught.value.attempts == 3
    assert not isinstance(caught.value, DisconnectedError | CertificateError)


async def test_a_tls_context_is_used(emulator: Emulator, clock: FakeClock) -> None:
    """The context that is given makes the connection; here to a server without TLS."""
    shaken: list[ssl.SSLObject] = []

    class Handshake(ssl.SSLObject):
        def do_handshake(self) -> None:
            shaken.append(self)
            super().do_handshake()

    tls = ssl.create_default_context()
    tls.sslobject_class = Handshake
    url = emulator.url.replace("http:", "https:")
    async with SiteAssist(TOKEN, base_url=url, clock=clock, retry=ONCE, tls=tls) as client:
        with pytest.raises(ConnectionFailedError):
            await client.conversations.get(ID)
    assert shaken


async def test_each_request_has_the_timeouts_of_its_own() -> None:
    """Views of a client share its transport, and not its timeouts."""
    get = AsyncMock(side_effect=aiohttp.ClientPayloadError)
    session = Mock(closed=False, _middlewares=(), _loop=None, loop=None, get=get)
    transport = Transport(connections=1, session=session)
    for seconds in (1, 2, 2, 1):
        with pytest.raises(ConnectionFailedError):
            await transport(new_request(timeout=Timeout(connect=seconds, read=seconds)))
    given = [call.kwargs["timeout"] for call in get.call_args_list]
    assert [timeout.sock_connect for timeout in given] == [1, 2, 2, 1]
    assert [timeout.sock_read for timeout in given] == [1, 2, 2, 1]


async def test_a_closed_transport_opens_nothing() -> None:
    """Whatever stands above it has let through."""
    transport = Transport(connections=1)
    await transport.close()
    with pytest.raises(ClientClosedError):
        await transport(new_request())

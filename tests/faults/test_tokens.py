"""The token goes to one place, and an id or a token says nothing but itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from attrs import evolve
from fakes import FakeClock, client_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siteassist_async import (
    ConfigurationError,
    InvalidIdError,
    Request,
    RetryPolicy,
    SiteAssist,
    SiteAssistError,
    TokenError,
    UnexpectedStatusError,
)

from .raw_server import RawServer
from .rows import TOKEN
from .wire import ID, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from siteassist_async import Response, Send

pytestmark = pytest.mark.usefixtures("public_only")


@pytest.fixture
async def elsewhere() -> AsyncIterator[RawServer]:
    """Another origin on this machine."""
    elsewhere = await RawServer().start()
    yield elsewhere
    assert elsewhere.connections == 0
    await elsewhere.stop()


def head_of(server: RawServer) -> list[str]:
    """The lines of the only request."""
    (request,) = server.requests
    return request.head.decode("latin-1").rstrip("\r\n").split("\r\n")


async def test_a_request_says_what_it_must_and_no_more(
    server: RawServer, clock: FakeClock, *, public_only: bool
) -> None:
    """One line for each header, the token in one of them."""
    async with SiteAssist(TOKEN, base_url=server.url, clock=clock) as client:
        await client.conversations.get(ID.upper())
    line, *headers = head_of(server)
    assert line == f"GET /v2/conversations/{ID} HTTP/1.1"
    names = [header.partition(":")[0] for header in headers]
    if public_only:
        assert headers.pop(names.index("Connection")) == "Connection: close"
        names.remove("Connection")
    assert names == ["Host", "Accept", "Accept-Encoding", "User-Agent", "Authorization"]
    assert headers[-1] == f"Authorization: Bearer {TOKEN}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_origin_is_not_asked(
    server: RawServer, elsewhere: RawServer, clock: FakeClock, status: int
) -> None:
    """A redirect to it ends as an error; it sees no connection, let alone a token."""
    server.script[ID].append([answer(b"", status, [f"Location: {elsewhere.url}/{ID}"])])
    async with client_of(server, clock, retry=RetryPolicy()) as client:
        with pytest.raises(UnexpectedStatusError):
            await client.conversations.get(ID)
    assert len(server.requests) == 1


async def test_a_link_cannot_send_the_token_elsewhere(
    server: RawServer, elsewhere: RawServer, clock: FakeClock
) -> None:
    """A link that rewrites the URL to another origin gets an error before anything is sent."""

    async def stray(request: Request, send: Send) -> Response:
        return await send(evolve(request, url=f"{elsewhere.url}/{ID}"))

    async with SiteAssist(TOKEN, base_url=server.url, middleware=[stray], clock=clock) as client:
        with pytest.raises(ConfigurationError, match="refusing to send the token"):
            await client.conversations.get(ID)
    assert server.connections == 0


async def test_a_link_sees_no_token(server: RawServer, clock: FakeClock) -> None:
    """What a user's link logs of a request or a response has none."""
    seen: list[str] = []

    async def watch(request: Request, send: Send) -> Response:
        response = await send(request)
        seen.append(f"{request!r} {dict(request.headers)} {response!r} {dict(response.headers)}")
        return response

    async with SiteAssist(TOKEN, base_url=server.url, middleware=[watch], clock=clock) as client:
        await client.conversations.get(ID)
    assert seen
    assert TOKEN not in "".join(seen)


async def test_nothing_of_the_environment_is_used(
    server: RawServer,
    elsewhere: RawServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither proxies nor netrc, in whatever case they are written."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, elsewhere.url)
        monkeypatch.setenv(name.upper(), elsewhere.url)
    async with SiteAssist(TOKEN, base_url=server.url, clock=clock) as client:
        await client.conversations.get(ID)
    assert head_of(server)[-1] == f"Authorization: Bearer {TOKEN}"


async def test_a_users_session_that_reads_netrc_is_an_error_of_ours(
    server: RawServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What aiohttp raises of two credentials is a ValueError; nothing is sent."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with aiohttp.ClientSession(trust_env=True) as session:
        with pytest.raises(SiteAssistError) as caught:
            await client_of(server, clock, session=session).conversations.get(ID)
    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert server.requests == []


IDS = [
    "",
    "../../admin",
    f"{ID}/../../admin",
    f"../conversations/{ID}",
    "%2e%2e%2fadmin",
    f"{ID}%2f..",
    f"{ID}?admin=1",
    f"{ID}#top",
    f"{ID}\r\nX-Injected: 1",
    f"{ID}\n",
    f"\n{ID}",
    f"{ID} ",
    f"{ID}\0",
    ID.replace("1", "\u0661"),
    ID.replace("1", "\uff11"),
    ID.replace("e", "\u0435"),
    ID.replace("-", "\u2010"),
    ID.replace("-", ""),
    f"{{{ID}}}",
    f"urn:uuid:{ID}",
    f"http://127.0.0.1/{ID}",
    "x" * 100_000,
    "\ud83d",
    "\x1b[2J",
]


@pytest.mark.parametrize("given_id", IDS, ids=ascii)
async def test_an_id_that_is_no_uuid_is_never_sent(
    server: RawServer, clock: FakeClock, given_id: str
) -> None:
    """Nor does it write on a terminal."""
    async with SiteAssist(TOKEN, base_url=server.url, clock=clock) as client:
        with pytest.raises(InvalidIdError) as caught:
            await client.conversations.get(given_id)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert server.connections == 0


TOKENS = [
    "",
    " ",
    "a b",
    "a\r\nX-Injected: 1",
    "a\n",
    "a\0b",
    "a\tb",
    "\u00e9",
    "\u0661",
    "\ud83d",
    "a\x7f",
]


@pytest.mark.parametrize("token", TOKENS, ids=ascii)
async def test_a_token_that_a_header_cannot_carry_is_never_sent(
    server: RawServer, clock: FakeClock, token: str
) -> None:
    """Not as a string, and not from a callable; the error does not show it."""
    with pytest.raises(ConfigurationError) as refused:
        SiteAssist(token, base_url=server.url)

    async def give() -> str:
        return token

    async with SiteAssist(give, base_url=server.url, clock=clock) as client:
        with pytest.raises(TokenError) as caught:
            await client.conversations.get(ID)
    assert server.connections == 0
    if token.strip():
        assert token not in f"{refused.value!r} {caught.value!r}"


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(token=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1))
async def test_any_other_token_arrives_as_it_is(token: str) -> None:
    """Byte for byte, in one header."""
    server = await RawServer().start()
    async with SiteAssist(token, base_url=server.url, clock=FakeClock()) as client:
        await client.conversations.get(ID)
    await server.stop()
    assert head_of(server)[-1] == f"Authorization: Bearer {token}"


@pytest.mark.parametrize(
    "tail", ["\r\nX-Injected: 1", " HTTP/1.1\r\nX-Injected: 1", "\0", "\u00e9"]
)
async def test_a_link_cannot_inject_a_header_by_the_url(
    server: RawServer, clock: FakeClock, tail: str
) -> None:
    """A URL with what no URL has is an error of ours, and is not sent."""

    async def inject(request: Request, send: Send) -> Response:
        return await send(evolve(request, url=request.url + tail))

    async with SiteAssist(
        TOKEN, base_url=server.url, middleware=[inject], retry=RetryPolicy(attempts=1), clock=clock
    ) as client:
        with pytest.raises(ConfigurationError, match="refusing to send the token"):
            await client.conversations.get(ID)
    assert server.connections == 0

"""What is asked for, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from fakes import client_of

from .wire import ID, answer, conversation

if TYPE_CHECKING:
    from fakes import FakeClock

    from siteassist_async.wire import Request, Response, Send

    from .raw_server import RawServer


@pytest.mark.parametrize(
    ("tail", "query"),
    [
        ("", ""),
        ("?fields=a%2Fb+c", "?fields=a%2Fb+c"),
        ("?at=/a/../b?", "?at=/a/../b?"),
        ("?", ""),
        ("#top", ""),
        ("?a=1#top?b=2", "?a=1"),
    ],
)
async def test_a_url_is_sent_as_it_is(
    server: RawServer, clock: FakeClock, tail: str, query: str
) -> None:
    """Also one that a link has changed: nothing is quoted anew, and only a fragment is left out."""

    async def change(request: Request, send: Send) -> Response:
        return await send(evolve(request, url=f"{request.url}{tail}"))

    server.script[f"{ID}{query}"].append([answer(conversation(ID))])
    async with client_of(server, clock) as client:
        view = client.with_options(middleware=[change])
        assert (await view.conversations.get(ID)).id == ID
    (sent,) = server.requests
    assert sent.head.startswith(f"GET /v2/conversations/{ID}{query} HTTP/1.1\r\n".encode())

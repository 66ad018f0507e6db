"""Proxies that refuse the way to the server."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import aiohttp
import pytest

from siteassist_async import ProxyError, RetryPolicy, SiteAssist

from .rows import TOKEN, traces
from .wire import ID, answer

if TYPE_CHECKING:
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

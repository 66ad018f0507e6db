"""The client's own session, and requests through any session."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import is_out_of_descriptors
from siteassist_async.transport.failure import BrokenError, is_broken, reason_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from yarl import URL

    from siteassist_async.transport.proxy import Proxy
    from siteassist_async.wire import Request


def new_session(
    connections: int, tls: ssl.SSLContext | None, proxy: Proxy | None
) -> aiohttp.ClientSession:
    """Create a session that keeps no cookies and uses neither netrc nor proxy variables."""
    if aiohttp_internals.OFF_BECAUSE:
        # With the public API, unsolicited data on idle connections cannot be detected, and pooled
        # connections cannot be closed. So no connection is used twice.
        connector = aiohttp.TCPConnector(
            limit=connections, ssl=True if tls is None else tls, force_close=True
        )
    else:
        connector = aiohttp_internals.new_connector(connections, tls)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=None if proxy is None else proxy.url,
    )


class SessionPath:
    """Sends requests through the session, for all cases that the fast path does not cover."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._busy = 0  # requests in progress, without those that wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(
        self,
        url: URL,
        request: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's, for connecting and reading
    ) -> aiohttp.ClientResponse:
        """Send a request once and return the response with its headers; always call `end` after."""
        self._busy += 1
        while True:
            try:
                return await self._send(url, request, timeout)
            except aiohttp.ClientConnectorError as error:
                if not (is_out_of_descriptors(error) and self._busy > 1):
                    raise
            # If a woken request is cancelled here, its `end` wakes the next one.
            ended = asyncio.get_running_loop().create_future()
            self._waiting.append(ended)
            self._busy -= 1
            try:
                await ended
            finally:
                self._busy += 1

    def end(self) -> None:
        """Let the next request that waits for a file descriptor retry, after a body was read."""
        self._busy -= 1
        while self._waiting:
            ended = self._waiting.popleft()
            if not ended.done():
                ended.set_result(None)
                return

    async def _send(
        self,
        url: URL,
        request: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - as above
    ) -> aiohttp.ClientResponse:
        middlewares = aiohttp_internals.middlewares_of(self._session)
        # Tools wrap the session's methods, and expect a GET to use `get`.
        send = self._session.get
        if request.method != "GET":
            send = partial(self._session.request, request.method)
        if middlewares is not None:
            return await send(
                url,
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,  # overrides a user's session
                auto_decompress=False,  # aiohttp's has no size limit, and accepts truncated gzip
                # Replaces the session's middlewares, so those are included.
                middlewares=(_without_hidden_repeat, *middlewares),
            )
        return await send(
            url,
            data=request.body,
            # A connection that is not trusted any more could not be closed after its response.
            headers={"Connection": "close", **request.headers},
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            cookies=_NoCookies(),
        )


async def _without_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp silently repeats a GET after these errors (aio-libs/aiohttp#10790), so they are
    # converted before it sees them.
    try:
        return await handler(request)
    except aiohttp.ClientError as error:
        if not is_broken(error):
            raise
        raise BrokenError(reason_of(error)) from error


class _NoCookies:
    """Cookies for one request: none, and a guard against aiohttp's silent repeat of a GET.

    A middleware for the request would replace those of the session, which cannot be read without
    private names. But aiohttp iterates over the cookies each time that it sends the request.
    """

    def __init__(self) -> None:
        self._is_under_way = False

    def __iter__(self) -> Iterator[tuple[str, str]]:
        if self._is_under_way:
            raise BrokenError("aiohttp would have sent the request again")
        asyncio.get_running_loop().call_soon(self._go)
        return iter(())

    def _go(self) -> None:
        self._is_under_way = True

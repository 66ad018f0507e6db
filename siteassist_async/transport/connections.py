"""Requests through a session, and the client's own session."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import is_out_of_descriptors
from siteassist_async.transport.failure import BrokenError, is_broken, told

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from yarl import URL

    from siteassist_async.wire import Request


def new_session(connections: int, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session that keeps no cookies and reads neither netrc nor proxy variables."""
    if aiohttp_internals.OFF_BECAUSE:
        # What comes over an idle connection, and one that is distrusted, are out of public reach:
        # no connection is used twice.
        connector = aiohttp.TCPConnector(
            limit=connections, ssl=True if tls is None else tls, force_close=True
        )
    else:
        connector = aiohttp_internals.new_connector(connections, tls)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class SessionPath:
    """Sends requests by the session, as users, tools and other releases of aiohttp need it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._busy = 0  # requests, but for those that wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def send(
        self,
        url: URL,
        request: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's, of connecting and of silence
    ) -> aiohttp.ClientResponse:
        """Send it once, and wait for the head of the response; `end` must follow in any case."""
        self._busy += 1
        while True:
            try:
                return await self._send(url, request, timeout)
            except aiohttp.ClientConnectorError as error:
                if not (is_out_of_descriptors(error) and self._busy > 1):
                    raise
            await self._until_one_ends()

    def end(self) -> None:
        """Let the next one that waits for a file descriptor try again; the body has been read."""
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
        # Tools wrap methods of sessions, and expect a GET by `get`.
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
                raise_for_status=False,  # a user's session may have it set
                auto_decompress=False,  # aiohttp's has no limit, and takes half a gzip for whole
                # These replace the session's.
                middlewares=(_without_hidden_repeat, *middlewares),
            )
        return await send(
            url,
            data=request.body,
            # A connection that was distrusted would be used again.
            headers={"Connection": "close", **request.headers},
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,
            cookies=_NoCookies(),
        )

    async def _until_one_ends(self) -> None:
        # Whoever is cancelled in here has been woken in vain, and wakes the next as it ends.
        ended = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        self._busy -= 1
        try:
            await ended
        finally:
            self._busy += 1


async def _without_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp sends a GET again, unasked, where these two pass it (aio-libs/aiohttp#10790).
    try:
        return await handler(request)
    except aiohttp.ClientError as error:
        if not is_broken(error):
            raise
        raise BrokenError(told(error)) from error


class _NoCookies:
    """No cookies, and no hidden repeat, for one request.

    A middleware for one request would replace those of the session. aiohttp asks for the cookies
    each time that it sends.
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

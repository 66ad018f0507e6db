"""One attempt over aiohttp, the body read to its end."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from siteassist_async.errors import ClientClosedError, DisconnectedError, SiteAssistError
from siteassist_async.transport.body import read_body
from siteassist_async.transport.connections import close_idle, drop, middlewares_of, new_session
from siteassist_async.transport.exchange import Exchange
from siteassist_async.transport.failure import failure, fit_to_chain
from siteassist_async.transport.timers import AttemptTimer
from siteassist_async.wire import Request, Response, Timeout

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable


class Transport:
    """Sends one request over a pool of connections and reads the whole answer.

    Redirects are not followed, cookies not kept, and neither netrc nor proxy variables are read,
    unless a session of the user's own does so. A failure is a TransportError or a
    ResponseTooLargeError, and its connection is closed; a cancellation passes at once.
    """

    def __init__(
        self,
        *,
        connections: int,
        session: aiohttp.ClientSession | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connections = connections
        self._tls = tls
        self._users = session
        self._session = session
        self._closed = False
        self._timer = AttemptTimer()
        self._last_timeout: tuple[Timeout | None, aiohttp.ClientTimeout] = (
            None,
            aiohttp.ClientTimeout(),
        )
        self._origin, self._root = "", URL()
        self._exchange: Exchange | None = None

    async def __call__(self, request: Request) -> Response:
        """Send the request once."""
        session = self._session or self._open()
        request.tally.sent += 1
        task = self._timer.begin(request.timeout.total)
        try:
            response = await self._send(session, request)
            body = await read_body(response)
            return Response(response.status, response.headers, body, partial(drop, response))
        except asyncio.CancelledError as error:
            if self._timer.end(task):
                raise failure(TimeoutError(), request.timeout) from error
            # aiohttp cancels who waits for a connection of a session that is being closed.
            if not session.closed or task.cancelling():
                raise
            raise _closed() from error
        except SiteAssistError:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp lets ValueError and others through
            chosen = failure(error, request.timeout)
            if session.closed:
                chosen = _closed()
            if isinstance(chosen, DisconnectedError) and session is not self._users:
                close_idle(session)
            raise chosen from fit_to_chain(error)
        finally:
            self._timer.end(task)

    async def close(self) -> None:
        """Close the pool, unless the session is the user's; nothing can be sent any more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and session is not self._users:
            self._timer.stop()  # over a session of the user's, what is in flight goes on
            await session.close()

    def _send(
        self, session: aiohttp.ClientSession, request: Request
    ) -> Awaitable[aiohttp.ClientResponse]:
        url, timeout = self._url(request.url), self._timeout(request.timeout)
        if self._exchange is not None and not self._exchange.is_watched():
            return self._exchange.get(url, request, timeout)
        return session.get(
            url,
            headers=request.headers,
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,  # a user's session may have it set
            auto_decompress=False,  # aiohttp's has no limit, and takes half a gzip for whole
            middlewares=middlewares_of(session),
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise _closed()
        self._session = new_session(self._connections, self._tls)
        self._exchange = Exchange(self._session)
        return self._session

    def _url(self, url: str) -> URL:
        end = url.find("/", len("https://"))
        origin, path = url[:end], url[end:]
        if end < 0 or "?" in path or "#" in path:  # as no URL has that a link has not changed
            return URL(url, encoded=True)
        if origin != self._origin:
            self._origin, self._root = origin, URL(origin, encoded=True)
        return self._root.with_path(path, encoded=True)  # in half the time

    def _timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        last, converted = self._last_timeout
        if timeout is not last:
            converted = aiohttp.ClientTimeout(
                total=None,
                # Counts a wait for the pool too, and only our own pool has room for all.
                connect=None if self._users else timeout.connect,
                sock_connect=timeout.connect,
                sock_read=timeout.read,
                ceil_threshold=math.inf,
            )
            self._last_timeout = timeout, converted
        return converted


def _closed() -> SiteAssistError:
    return ClientClosedError("the client is closed")

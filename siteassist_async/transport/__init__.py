"""The transport: sends one attempt with aiohttp and reads the complete response."""

from __future__ import annotations

import asyncio
import math
import sys
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from siteassist_async.errors import (
    ClientClosedError,
    ConfigurationError,
    DisconnectedError,
    SiteAssistError,
)
from siteassist_async.forks import renew_in_children
from siteassist_async.tracebacks import cut
from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import close_idle, drop
from siteassist_async.transport.body import LARGEST_ERROR_BODY, MAX_BODY, read_body
from siteassist_async.transport.failure import failure, scrub
from siteassist_async.transport.home import Home, belongs_to
from siteassist_async.transport.proxy import Proxy
from siteassist_async.wire import Request, Response, Timeout

if TYPE_CHECKING:
    import ssl

__all__ = ["MAX_BODY", "SMALLEST_MAX_BODY", "Proxy", "Transport"]

SMALLEST_MAX_BODY = LARGEST_ERROR_BODY
"""The smallest limit for bodies: that of error bodies, which is fixed."""

_PARENTS_SESSIONS: list[Home] = []
"""Sessions of parent processes, kept alive so that garbage collection does not close them."""


class Transport:
    """Sends requests over a pool of connections and reads complete responses.

    Redirects are not followed, cookies are not kept, and neither netrc nor proxy variables are
    used, unless the user's own session does so. Failures are raised as TransportError,
    ResponseTooLargeError, ConfigurationError or ClientClosedError, and close the connection.
    Cancellation takes effect at once. The transport may be used in one event loop after another and
    in forked processes; each of them has its own connections.
    """

    def __init__(
        self,
        *,
        connections: int,
        session: aiohttp.ClientSession | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self._connections = connections
        self._tls = tls
        self._proxy = proxy
        self._max_body = max_body
        self._users = session
        self._home: Home | None = None
        self._closed = False
        self._last_timeout: tuple[Timeout | None, aiohttp.ClientTimeout] = (
            None,
            aiohttp.ClientTimeout(),
        )
        self._origin, self._root = "", URL()
        aiohttp_internals.announce(aiohttp_internals.OFF_BECAUSE)
        renew_in_children(self)

    async def __call__(self, request: Request) -> Response:
        """Send a request once, and return its complete response."""
        home = self._home
        if home is None or home.loop is not asyncio.get_running_loop():
            home = await self._open()
        handled = sys.exception()
        request.tally.sent += 1
        task = home.timer.begin(request.timeout.total)
        try:
            # In its own frame, so that the traceback, which is cut, holds its locals and not ours.
            return await self._send(home, request)
        except asyncio.CancelledError as error:
            cut(error, handled)
            if home.timer.end(task):
                raise failure(TimeoutError(), request.timeout) from error
            # When a session is closed, aiohttp cancels the requests that wait for a connection.
            if not home.session.closed or task.cancelling():
                raise
            raise self._why_closed() from error
        except SiteAssistError as error:
            cut(error, handled)
            raise
        except Exception as error:
            chosen = failure(error, request.timeout)
            if home.session.closed:
                chosen = self._why_closed()
            if isinstance(chosen, DisconnectedError) and not home.is_the_users:
                close_idle(home.session)
            scrub(error, handled)
            raise chosen from error
        finally:
            home.timer.end(task)

    def _why_closed(self) -> SiteAssistError:
        return _closed("client" if self._closed else "session that the client was given")

    async def close(self) -> None:
        """Close the pool, unless the session is the user's; later requests fail."""
        self._closed = True
        home, self._home = self._home, None
        if home is None:
            return
        if home.loop is asyncio.get_running_loop():
            await home.close()
        elif not home.loop.is_running():
            home.abandon()
        else:
            raise _in_use()

    def renew(self) -> None:
        """Leave the parent's connections alone in a forked process."""
        if self._home is not None:
            # Closing them, also by garbage collection, would affect the parent and the server.
            _PARENTS_SESSIONS.append(self._home)
            self._home = None

    async def _open(self) -> Home:
        if self._closed:
            raise _closed()
        loop, before = asyncio.get_running_loop(), self._home
        if before is not None and before.loop.is_running():
            raise _in_use()
        if self._users is None:
            home = Home.of_the_client(loop, self._connections, self._tls, self._proxy)
        elif belongs_to(self._users, loop):
            home = Home(loop, self._users, is_the_users=True)
        else:
            raise ConfigurationError("the session belongs to another event loop than the call")
        self._home = home
        if before is not None:
            before.abandon()
        await home.settle_in()
        return home

    async def _send(self, home: Home, request: Request) -> Response:
        timeout = self._timeout(request.timeout)
        url = self._parsed(request.url)
        is_plain = request.method == "GET" and request.body is None
        if is_plain and home.fast is not None and not home.fast.is_watched():
            response = await home.fast.get(url, request, timeout)
            body = await read_body(response, self._max_body, request.operation.statuses)
        else:
            if not (request.operation.repeatable or home.is_the_users):
                # On an idle connection that the server has just closed, the request would fail, and
                # it would be unknown whether the server received it.
                close_idle(home.session)
            try:
                response = await home.path.send(url, request, timeout)
                body = await read_body(response, self._max_body, request.operation.statuses)
            finally:
                home.path.end()
        return Response(response.status, response.headers, body, partial(drop, response))

    def _parsed(self, url: str) -> URL:
        end = url.find("/", len("https://"))
        origin = url[:end]
        if end < 0 or "#" in url or "?" in origin:  # only if middleware changed it
            return URL(url, encoded=True)
        # From its parts, as parsing a whole URL takes twice as long.
        if origin != self._origin:
            self._origin, self._root = origin, URL(origin, encoded=True)
        path, _, query = url[end:].partition("?")
        if not query:
            return self._root.with_path(path, encoded=True)
        return URL.build(
            scheme=self._root.scheme,
            authority=self._root.raw_authority,
            path=path,
            query_string=query,
            encoded=True,
        )

    def _timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        last, converted = self._last_timeout
        if timeout is not last:
            converted = aiohttp.ClientTimeout(
                total=None,
                # It includes the wait for a free connection, and only the client's own pool always
                # has one.
                connect=None if self._users else timeout.connect,
                sock_connect=timeout.connect,
                sock_read=timeout.read,
                ceil_threshold=math.inf,
            )
            self._last_timeout = timeout, converted
        return converted


def _closed(what: str = "client") -> SiteAssistError:
    return ClientClosedError(f"the {what} is closed")


def _in_use() -> SiteAssistError:
    return ConfigurationError(
        "the client is in use in another event loop: create one client per loop"
    )

"""One attempt over aiohttp, the body read to its end."""

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
from siteassist_async.transport.failure import failure, make_presentable
from siteassist_async.transport.home import Home, belongs_to
from siteassist_async.wire import Request, Response, Timeout

if TYPE_CHECKING:
    import ssl

__all__ = ["MAX_BODY", "SMALLEST_MAX_BODY", "Transport"]

SMALLEST_MAX_BODY = LARGEST_ERROR_BODY
"""Bodies up to this size are read without counting."""

_OF_PARENTS: list[Home] = []
"""What the parents of this process hold open: never touched, and so never collected."""


class Transport:
    """Sends one request over a pool of connections and reads the whole answer.

    Redirects are not followed, cookies not kept, and neither netrc nor proxy variables are read,
    unless a session of the user's own does so. A failure is a TransportError or a
    ResponseTooLargeError, and its connection is closed; a cancellation passes at once. It works in
    one event loop after another, and in processes that are forked: each has its own connections.
    """

    def __init__(
        self,
        *,
        connections: int,
        session: aiohttp.ClientSession | None = None,
        tls: ssl.SSLContext | None = None,
        max_body: int = MAX_BODY,
    ) -> None:
        self._connections = connections
        self._tls = tls
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
        """Send the request once."""
        home = self._home
        if home is None or home.loop is not asyncio.get_running_loop():
            home = await self._open()
        handled = sys.exception()
        request.tally.sent += 1
        task = home.timer.begin(request.timeout.total)
        try:
            # In a frame of its own: what is raised leaves it, with all that it holds, behind.
            return await self._send(home, request)
        except asyncio.CancelledError as error:
            cut(error, handled)
            if home.timer.end(task):
                raise failure(TimeoutError(), request.timeout) from error
            # aiohttp cancels who waits for a connection of a session that is being closed.
            if not home.session.closed or task.cancelling():
                raise
            raise _closed() from error
        except SiteAssistError as error:
            cut(error, handled)
            raise
        except Exception as error:
            chosen = failure(error, request.timeout)
            if home.session.closed:
                chosen = _closed()
            if isinstance(chosen, DisconnectedError) and not home.is_the_users:
                close_idle(home.session)
            make_presentable(error, handled)
            raise chosen from error
        finally:
            home.timer.end(task)

    async def close(self) -> None:
        """Close the pool, unless the session is the user's; nothing can be sent any more."""
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
        """Leave the parent's connections to the parent, in a process that was forked."""
        if self._home is not None:
            # To close them, as dropping them would, is seen by the parent and by the server.
            _OF_PARENTS.append(self._home)
            self._home = None

    async def _open(self) -> Home:
        if self._closed:
            raise _closed()
        loop, before = asyncio.get_running_loop(), self._home
        if before is not None and before.loop.is_running():
            raise _in_use()
        if self._users is None:
            home = Home.of_the_client(loop, self._connections, self._tls)
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
        url, timeout = self._url(request.url), self._timeout(request.timeout)
        is_plain = request.method == "GET" and request.body is None
        if is_plain and home.fast is not None and not home.fast.is_watched():
            response = await home.fast.get(url, request, timeout)
            body = await read_body(response, self._max_body)
        else:
            if not (request.operation.repeatable or home.is_the_users):
                # On a connection that the server has closed since, it would fail, and nobody could
                # tell whether it was received.
                close_idle(home.session)
            async with home.path.send(url, request, timeout) as response:
                body = await read_body(response, self._max_body)
        return Response(response.status, response.headers, body, partial(drop, response))

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


def _in_use() -> SiteAssistError:
    return ConfigurationError(
        "the client is in use in another event loop: create one client per loop"
    )

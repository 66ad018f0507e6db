"""Connections that are what they seem: idle, silent, and not tried again unasked."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_proto import ResponseHandler
from attrs import evolve

from siteassist_async.transport.failure import (
    BrokenError,
    is_broken,
    is_out_of_descriptors,
    told,
)
from siteassist_async.transport.timers import OneTimerHandler

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace


being_read: set[object] = set()
"""Protocols of connections whose answer somebody is reading.

aiohttp gives a connection to the next request when the last byte has come, before its reader has
looked at it and may have dropped the connection.
"""


SCARCE_FOR = 10.0
"""Seconds for which no more connections are made, after the system had no descriptor left."""


def new_session(connections: int, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session that keeps no cookies and reads neither netrc nor proxy variables."""
    connector = _QuietConnector(limit=connections, ssl=True if tls is None else tls)
    factory = functools.partial(OneTimerHandler, loop=asyncio.get_running_loop())
    setattr(connector, "_factory", factory)  # noqa: B010 - nothing public sets it
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def middlewares_of(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType]:
    """What to give to each request of a session: its own, and an end to hidden repeats."""
    # Middlewares given to a request replace the session's.
    return (_without_hidden_repeat, *own_middlewares(session))


def own_middlewares(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType]:
    """Those that a session was made with."""
    return getattr(session, "_middlewares", ())  # nothing public names them


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop | None:
    """The event loop that a session was made in; None where it does not tell."""
    return getattr(session, "_loop", None)  # the public name of it warns


def close_idle(session: aiohttp.ClientSession) -> None:
    """Close the connections that no request is using."""
    # A server that dropped one idle connection has dropped them all: a restart, a proxy's
    # timeout. Without this each costs an attempt, and nothing public closes them.
    for idle in getattr(session.connector, "_conns", {}).values():
        for protocol, _ in idle:
            protocol.close()


def drop(response: aiohttp.ClientResponse) -> None:
    """Close the connection that an answer came over, wherever it is by now."""
    response.close()
    # Once the last byte is read the connection is back in the pool and out of public reach.
    protocol = getattr(response, "_protocol", None)
    if protocol is not None:
        protocol.close()


class FrugalConnector(aiohttp.TCPConnector):
    """Makes do with the connections that it has, where the process may open no more files."""

    _scarce_until = 0.0
    _asked_limit = 0

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its parent's
    ) -> Connection:
        """As its parent; a request waits for a connection in use if there can be no other."""
        if self._scarce_until and self._scarce_until <= asyncio.get_running_loop().time():
            self._scarce_until = 0.0
            self._set_limit(self._asked_limit)
        while True:
            try:
                return await super().connect(req, traces, timeout)
            except aiohttp.ClientConnectorError as error:
                if not (is_out_of_descriptors(error) and self._settle_for_those_in_use()):
                    raise
                # That wait is no matter of connecting; the attempt's total bounds it.
                timeout = evolve(timeout, connect=None)

    def _settle_for_those_in_use(self) -> bool:
        """Whether there are some, and whoever comes now waits for them."""
        acquired: set[object] = getattr(self, "_acquired", set())
        in_use = sum(isinstance(one, ResponseHandler) for one in acquired)
        if not in_use:
            return False
        self._asked_limit = self._asked_limit or self.limit
        self._scarce_until = asyncio.get_running_loop().time() + SCARCE_FOR
        self._set_limit(in_use)
        return self.limit == in_use

    def _set_limit(self, limit: int) -> None:
        setattr(self, "_limit", limit)  # noqa: B010 - nothing public sets it


class _QuietConnector(FrugalConnector):
    """Hands out no connection with an answer that nobody has looked at, or has asked for."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its parent's
    ) -> Connection:
        """As its parent, which would take what has come for the next request's answer."""
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol in being_read:
                try:
                    await asyncio.sleep(0)  # its reader is next
                except asyncio.CancelledError:
                    connection.close()
                    raise
            if protocol is None or (protocol.is_connected() and not protocol.should_close):
                return connection
            lost = not protocol.is_connected()
            connection.close()
            if protocol.read_timeout is None:  # it is new, and so would be the next
                if lost:
                    raise aiohttp.ServerDisconnectedError
                raise aiohttp.ClientConnectionError("the server spoke before it was asked")


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

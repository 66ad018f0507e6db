"""aiohttp's private names: all that the package uses, and the switch that turns them off.

They save a third of a small request, and nobody promises that they stay. With a release that was
not tested, one that lacks a name, or without its compiled parser, `OFF_BECAUSE` says why none of
them is used: every request then goes through the public API, over a connection of its own.
"""

# What this file is for:
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import math
import warnings
from contextlib import contextmanager, suppress
from types import FunctionType
from typing import TYPE_CHECKING, cast

import aiohttp
import aiohttp.http
from attrs import evolve
from multidict import CIMultiDict

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator, Mapping, Sequence

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from siteassist_async.wire import Request
else:
    try:
        from aiohttp.client_proto import ResponseHandler
    except ImportError:
        ResponseHandler = object  # the self-check turns all of it off

_LOG = logging.getLogger("siteassist_async")

TESTED = "3.14."
"""Releases of aiohttp that these names were tested with, by how their versions begin."""

PURE_PYTHON = "aiohttp runs without its compiled parser"

_METHODS: Mapping[type, str] = {
    aiohttp.ClientSession: "_request get",
    aiohttp.ClientRequest: "connection_key send update_headers",
    aiohttp.ClientResponse: "connection start",
    aiohttp.StreamReader: "exception is_eof read_nowait set_exception",
    aiohttp.TCPConnector: "_close connect",
    ResponseHandler: (
        "_drop_timeout _on_read_timeout _reschedule_timeout closed connection_made is_connected"
        " read_timeout set_response_params should_close start_timeout"
    ),
}
_ATTRIBUTES: Mapping[type, str] = {
    aiohttp.ClientSession: "_loop _middlewares",
    aiohttp.ClientResponse: "_protocol",
    aiohttp.StreamReader: "total_bytes",
    aiohttp.TCPConnector: "_acquired _conns _factory _limit",
    ResponseHandler: "_loop _read_timeout _read_timeout_handle",
}


def why_off() -> str:
    """The self-check: why no private name can be used; "" where all can."""
    if not aiohttp.__version__.startswith(TESTED):
        return f"aiohttp {aiohttp.__version__} is not a release that this client was tested with"
    missing = [
        f"{owner.__name__}.{name}"
        for needed, has in ((_METHODS, hasattr), (_ATTRIBUTES, _makes))
        for owner, names in needed.items()
        for name in names.split()
        if not has(owner, name)
    ]
    if missing:
        return f"aiohttp {aiohttp.__version__} has no {', '.join(missing)}"
    if aiohttp.http.HttpResponseParser.__module__ == "aiohttp.http_parser":
        return PURE_PYTHON
    return ""


def _makes(owner: type, name: str) -> bool:
    """Whether methods of a class speak of the attribute, which only what is made of it has."""
    return any(
        name in method.__code__.co_names
        for base in owner.__mro__
        for method in vars(base).values()
        if isinstance(method, FunctionType)
    )


OFF_BECAUSE = why_off()
"""Why the private names are not used; "" where they are."""


@functools.cache
def announce(reason: str) -> None:
    """Say once why it goes slower, to whoever makes a client."""
    if reason == PURE_PYTHON:
        warnings.warn(
            f"{reason}: requests are slower, and some malformed responses are read differently"
            ' (PROMISES.md, "Without aiohttp\'s compiled parser")',
            RuntimeWarning,
            stacklevel=4,  # who calls SiteAssist()
        )
    elif reason:
        _LOG.warning(
            "%s: requests use its public API only, with a new connection for each, and are slower",
            reason,
        )


# Sessions and responses


def middlewares_of(
    session: aiohttp.ClientSession,
) -> Sequence[aiohttp.ClientMiddlewareType] | None:
    """Those that a session was made with; None where nothing tells."""
    return None if OFF_BECAUSE else getattr(session, "_middlewares", None)


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop | None:
    """The event loop that a session was made in; None where nothing tells."""
    if not OFF_BECAUSE:
        return getattr(session, "_loop", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(session, "loop", None)


def drop(response: aiohttp.ClientResponse) -> None:
    """Close the connection that an answer came over, wherever it is by now."""
    response.close()
    # Once the last byte is read the connection is back in the pool and out of public reach. With
    # the switch off no pool keeps any.
    protocol = None if OFF_BECAUSE else getattr(response, "_protocol", None)  # mocks have none
    if protocol is not None:
        protocol.close()


def close_idle(session: aiohttp.ClientSession) -> None:
    """Close the connections that no request is using; with the switch off there are none."""
    # A server that dropped one idle connection has dropped them all: a restart, a proxy's
    # timeout. Without this each costs an attempt, and nothing public closes them.
    if not OFF_BECAUSE and session.connector is not None:
        for idle in session.connector._conns.values():
            for protocol, _ in idle:
                protocol.close()


def abandon(session: aiohttp.ClientSession) -> None:
    """Close a session whose event loop runs no more; with the switch off it has no connections."""
    # Closing waits in the session's own loop, so only what needs no waiting is done.
    connector = session.connector
    session.detach()
    if not OFF_BECAUSE and connector is not None:
        with suppress(RuntimeError):  # the loop was closed without its tasks
            connector._close()


being_read: set[object] = set()
"""Protocols of connections whose answer somebody is reading.

aiohttp gives a connection to the next request when the last byte has come, before its reader has
looked at it and may have dropped the connection.
"""


@contextmanager
def woken_by_loss(response: aiohttp.ClientResponse) -> Generator[None]:
    """End the wait for a body when its connection is lost."""
    # After a fault in the framing of a body aiohttp closes the connection, and whoever is reading
    # the body waits for ever.
    protocol = None if response.connection is None else response.connection.protocol
    lost = None if protocol is None else protocol.closed
    wake = functools.partial(_wake, response.content)
    if lost is None:  # it is lost already
        wake()
        lost = asyncio.get_running_loop().create_future()
    lost.remove_done_callback(_look)
    lost.add_done_callback(_look)
    lost.add_done_callback(wake)
    being_read.add(protocol)
    try:
        yield
    finally:
        being_read.discard(protocol)
        lost.remove_done_callback(wake)


def _wake(content: aiohttp.StreamReader, _: asyncio.Future[None] | None = None) -> None:
    if content.exception() is None and not content.is_eof():
        content.set_exception(aiohttp.ClientPayloadError("connection closed mid-response"))


def _look(lost: asyncio.Future[None]) -> None:
    # asyncio logs an exception that nobody has looked at.
    _ = lost.cancelled() or lost.exception()


# Connections

READ_SIZE = 2**16
"""Bytes that asyncio makes room for at each read of a connection without TLS.

Its own 256 KiB are mapped and unmapped by the C library each time, at the cost of two page faults
and up to a fifth of the time of a small request, until something has freed a block as large.
"""


class OneTimerHandler(ResponseHandler):
    """A connection that times the silence of its server by a timer of its own.

    aiohttp makes two for each request.
    """

    _silent_since: float | None = None
    _due: float = math.inf  # when the timer looks, if there is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As its parent, with smaller blocks to read into."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own without TLS: the others need no help
            setattr(transport, "max_size", READ_SIZE)  # noqa: B010 - nothing public sets it

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        if not timeout:
            self._drop_timeout()
            return
        now = self._silent_since = self._loop.time()
        if now + timeout < self._due:
            self._arm(now + timeout)

    def _drop_timeout(self) -> None:
        self._silent_since = None
        if self.transport is None:
            self._disarm()

    def _on_read_timeout(self) -> None:
        self._disarm()
        if self._silent_since is None or not self._read_timeout:
            return
        due = self._silent_since + self._read_timeout
        if due > self._loop.time():
            self._arm(due)
        else:
            super()._on_read_timeout()

    def _arm(self, due: float) -> None:
        self._disarm()
        self._due = due
        self._read_timeout_handle = self._loop.call_at(due, self._on_read_timeout)

    def _disarm(self) -> None:
        super()._drop_timeout()
        self._due = math.inf


def is_out_of_descriptors(error: aiohttp.ClientConnectorError) -> bool:
    """Whether the system refused a socket, and not the server a connection."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return False  # it has no error of the system
    return error.os_error.errno in {errno.EMFILE, errno.ENFILE}


SCARCE_FOR = 10.0
"""Seconds for which no more connections are made, after the system had no descriptor left."""


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
            self._limit = self._asked_limit
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
        in_use = sum(
            isinstance(one, ResponseHandler) for one in cast("set[object]", self._acquired)
        )
        if not in_use:
            return False
        self._asked_limit = self._asked_limit or self._limit
        self._scarce_until = asyncio.get_running_loop().time() + SCARCE_FOR
        self._limit = in_use
        return True


class QuietConnector(FrugalConnector):
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
                raise aiohttp.ClientConnectionError("the server sent data before the request")


def new_connector(connections: int, tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """The connector of the client's own session, while private names are used."""
    connector = QuietConnector(limit=connections, ssl=True if tls is None else tls)
    connector._factory = cast(
        "functools.partial[ResponseHandler]",
        functools.partial(OneTimerHandler, loop=asyncio.get_running_loop()),
    )
    return connector


# The fast path, below a session


def methods_of_sessions() -> tuple[object, object]:
    """What a GET by a session would call now."""
    return aiohttp.ClientSession.get, getattr(aiohttp.ClientSession, "_request", None)


def untouched() -> tuple[object, object] | None:
    """The same; None where they are not aiohttp's own."""
    methods = methods_of_sessions()
    return methods if all(map(_is_aiohttps, methods)) else None


def _is_aiohttps(method: object) -> bool:
    return isinstance(method, FunctionType) and (
        method.__globals__.get("__name__") == "aiohttp.client"
    )


UNTOUCHED = untouched()


class _Get(aiohttp.ClientRequest):
    """A GET whose headers are each sent once, as a session sees to it."""

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Set them, the later of two names that differ in case only; the URL is the host."""
        self.headers = CIMultiDict({"Host": self.url.host_port_subcomponent or ""})
        for name, value in cast("Mapping[str, str]", headers).items():
            self.headers[name] = value


class FastPath:
    """Sends requests below a session, and tells whether anyone would miss them there.

    It leaves out redirects, cookies, proxies, bodies to send, and what one request has in common
    with the next.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._is_traced = bool(session.trace_configs or session._middlewares)
        self._host = "", ""
        self._headers: Mapping[str, str] = {}
        self._request: _Get | None = None

    def is_watched(self) -> bool:
        """Whether anyone would miss a request that does not go by the session.

        Tools that trace add something to every session that is made. Those that mock, as
        aioresponses and many a test, put methods of their own into the class.
        """
        return self._is_traced or methods_of_sessions() != UNTOUCHED

    async def get(
        self,
        url: URL,
        asked: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's, of connecting and of silence
    ) -> aiohttp.ClientResponse:
        """Send a GET once and wait for the head of its answer; raises the errors of aiohttp."""
        connector = cast("aiohttp.BaseConnector", self._session.connector)  # None once it is closed
        request = self._made(url, asked)
        try:
            connection = await connector.connect(request, traces=[], timeout=timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            cast("ResponseHandler", connection.protocol).set_response_params(
                read_until_eof=True,
                auto_decompress=False,  # aiohttp's has no limit, and takes half a gzip for whole
                read_timeout=timeout.sock_read,
            )
            # With no body to wait for it is sent before another sets the URL of its own.
            request.url = request.original_url = url
            response = await request.send(connection)
            request.response = None  # it would last until the next
        except BaseException:
            connection.close()
            raise
        try:
            return await response.start(connection)
        except BaseException:
            response.close()
            raise

    def _made(self, url: URL, asked: Request) -> _Get:
        """Give what all requests to this host with these headers share: making it takes long."""
        if (
            self._request is None
            or self._host != (url.scheme, url.raw_authority)
            or self._headers != asked.headers
        ):
            self._request = _Get("GET", url, headers=asked.headers, session=self._session)
            self._host, self._headers = (url.scheme, url.raw_authority), dict(asked.headers)
        return self._request

"""All uses of aiohttp's private names, and the self-check that turns them off together.

They save a third of the time of a small request, but aiohttp does not guarantee them. With an
untested release, one that lacks a name, or without aiohttp's compiled parser, `OFF_BECAUSE` is the
reason why none of them is used. Then every request uses the public API, over a new connection.
"""

# The purpose of this file:
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
        ResponseHandler = object  # the self-check turns private names off

_LOG = logging.getLogger("siteassist_async.http")

TESTED = "3.14."
"""The prefix of the aiohttp versions that these names were tested with."""

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
    """The self-check: return why private names cannot be used; "" if they can."""
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
    return PURE_PYTHON if parses_in_python() else ""


def parses_in_python() -> bool:
    """Whether aiohttp has no compiled parser, or was told not to use it."""
    parser = getattr(aiohttp.http, "HttpResponseParser", None)
    return getattr(parser, "__module__", "") == "aiohttp.http_parser"


def _makes(owner: type, name: str) -> bool:
    """Whether the code of a class mentions an instance attribute, which the class itself lacks."""
    return any(
        name in method.__code__.co_names
        for base in owner.__mro__
        for method in vars(base).values()
        if isinstance(method, FunctionType)
    )


OFF_BECAUSE = why_off()
"""Why private names are not used; "" if they are."""


@functools.cache
def announce(reason: str) -> None:
    """Warn once, when a client is created, that requests are slower and why."""
    if parses_in_python():
        warnings.warn(
            f"{PURE_PYTHON}: requests are slower, and some malformed responses are read differently"
            ' (PROMISES.md, "Without aiohttp\'s compiled parser")',
            RuntimeWarning,
            stacklevel=4,  # the caller of SiteAssist()
        )
    if reason not in {"", PURE_PYTHON}:
        _LOG.warning(
            "%s: requests use its public API only, with a new connection for each, and are slower",
            reason,
        )


# Sessions and responses


def middlewares_of(
    session: aiohttp.ClientSession,
) -> Sequence[aiohttp.ClientMiddlewareType] | None:
    """Return the middlewares of a session; None if they cannot be read."""
    return None if OFF_BECAUSE else getattr(session, "_middlewares", None)


def loop_of(session: aiohttp.ClientSession) -> asyncio.AbstractEventLoop | None:
    """Return the event loop of a session; None if it cannot be read."""
    if not OFF_BECAUSE:
        return getattr(session, "_loop", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return getattr(session, "loop", None)


def drop(response: aiohttp.ClientResponse) -> None:
    """Close the connection of a response, even if it is back in the pool or in use again."""
    response.close()
    # After the last byte the connection is back in the pool, which the public API cannot reach. If
    # private names are off, the pool keeps no connections.
    protocol = None if OFF_BECAUSE else getattr(response, "_protocol", None)  # mocks lack it
    if protocol is not None:
        protocol.close()


def close_idle(session: aiohttp.ClientSession) -> None:
    """Close the idle connections of a session; without private names there are none."""
    # If a server closed one idle connection, after a restart or a proxy's timeout, it has most
    # likely closed all of them. Otherwise each would cost an attempt. There is no public way.
    if not OFF_BECAUSE and session.connector is not None:
        for idle in session.connector._conns.values():
            for protocol, _ in idle:
                protocol.close()


def abandon(session: aiohttp.ClientSession) -> None:
    """Close a session whose event loop has stopped; without private names it has no connections."""
    # `close` would wait in the session's event loop, so only the synchronous part of it is done.
    connector = session.connector
    session.detach()
    if not OFF_BECAUSE and connector is not None:
        with suppress(RuntimeError):  # the loop was closed before its tasks ended
            connector._close()


being_read: set[object] = set()
"""Protocols of connections whose response is being read.

aiohttp gives a connection to the next request as soon as the last byte has arrived, before the
reader has seen that byte and may have closed the connection because of it.
"""


@contextmanager
def woken_by_loss(response: aiohttp.ClientResponse) -> Generator[None]:
    """A context to read a body in; it wakes the reader if the connection is lost."""
    # After a framing error in a body, aiohttp closes the connection without waking the reader,
    # which would wait until its timeout. So the protocol's `closed` future wakes it.
    content = response.content
    protocol = None if response.connection is None else response.connection.protocol
    lost = None if protocol is None else protocol.closed

    def wake(_: asyncio.Future[None] | None = None) -> None:
        if content.exception() is None and not content.is_eof():
            content.set_exception(aiohttp.ClientPayloadError("connection closed mid-response"))

    if lost is None:  # already lost
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


def _look(lost: asyncio.Future[None]) -> None:
    # asyncio logs exceptions that are never retrieved.
    _ = lost.cancelled() or lost.exception()


# Connections

READ_SIZE = 120 * 2**10
"""Size of asyncio's read buffer for connections without TLS, in bytes.

The default of 256 KiB is above the C library's threshold for mmap, 128 KiB, so every read maps and
unmaps memory. That costs two page faults and up to a fifth of the time of a small request. With
64 KiB, a page of 100 conversations takes two reads, and 5 % more time.
"""


class OneTimerHandler(ResponseHandler):
    """A connection that enforces the read timeout with one timer that outlives requests.

    aiohttp creates and cancels two timers per request. Here, activity only stores the time, and if
    the timer fires early, it is set again for the rest.
    """

    _silent_since: float | None = None
    _due: float = math.inf  # when the timer fires; infinite if there is none

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in the base class, with a smaller read buffer."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # only asyncio's own transport without TLS has it
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
    """Whether the system had no file descriptor for a socket."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return False  # it has no os_error
    return error.os_error.errno in {errno.EMFILE, errno.ENFILE}


SCARCE_FOR = 10.0
"""Seconds for which no new connections are opened after file descriptors ran out."""


class QuietConnector(aiohttp.TCPConnector):
    """A connector that never hands out a connection with unread or unsolicited data.

    Otherwise aiohttp would take that data for the response to the next request. When file
    descriptors run out, it continues with its open connections.
    """

    _scarce_until = 0.0
    _asked_limit = 0

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - its parent's
    ) -> Connection:
        """As in the base class, but connections that are lost or have received data are closed.

        Without file descriptors it waits for a connection in use.
        """
        if self._scarce_until and self._scarce_until <= asyncio.get_running_loop().time():
            self._scarce_until = 0.0
            self._limit = self._asked_limit
        while True:
            try:
                connection = await super().connect(req, traces, timeout)
            except aiohttp.ClientConnectorError as error:
                if not (is_out_of_descriptors(error) and self._settle_for_those_in_use()):
                    raise
                # The wait for a connection in use is not part of connecting; `total` limits it.
                timeout = evolve(timeout, connect=None)
                continue
            protocol = connection.protocol
            if protocol in being_read:
                try:
                    await asyncio.sleep(0)  # let the reader, which is scheduled next, finish
                except asyncio.CancelledError:
                    connection.close()
                    raise
            if protocol is None or (protocol.is_connected() and not protocol.should_close):
                return connection
            lost = not protocol.is_connected()
            connection.close()
            if protocol.read_timeout is None:  # a new connection; another would be no better
                if lost:
                    raise aiohttp.ServerDisconnectedError
                raise aiohttp.ClientConnectionError("the server sent data before the request")

    def _settle_for_those_in_use(self) -> bool:
        """Limit the pool to the connections in use for a while; False if there are none."""
        in_use = sum(
            isinstance(one, ResponseHandler) for one in cast("set[object]", self._acquired)
        )
        if not in_use:
            return False
        self._asked_limit = self._asked_limit or self._limit
        self._scarce_until = asyncio.get_running_loop().time() + SCARCE_FOR
        self._limit = in_use
        return True


def new_connector(connections: int, tls: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """Create the connector of the client's own session; needs private names."""
    connector = QuietConnector(limit=connections, ssl=True if tls is None else tls)
    connector._factory = cast(
        "functools.partial[ResponseHandler]",
        functools.partial(OneTimerHandler, loop=asyncio.get_running_loop()),
    )
    return connector


# The fast path, which bypasses the session


def methods_of_sessions() -> tuple[object, object]:
    """Return the methods that `session.get` would call now."""
    return aiohttp.ClientSession.get, getattr(aiohttp.ClientSession, "_request", None)


def untouched() -> tuple[object, object] | None:
    """Return those methods; None if they are not aiohttp's own."""
    methods = methods_of_sessions()
    are_aiohttps = all(
        isinstance(method, FunctionType) and method.__globals__.get("__name__") == "aiohttp.client"
        for method in methods
    )
    return methods if are_aiohttps else None


UNTOUCHED = untouched()


class _Get(aiohttp.ClientRequest):
    """A GET request in which every header name is unique, as sessions ensure."""

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Set the headers; of names that differ only in case, the last one wins."""
        self.headers = CIMultiDict({"Host": self.url.host_port_subcomponent or ""})
        for name, value in cast("Mapping[str, str]", headers).items():
            self.headers[name] = value


class FastPath:
    """Sends GET requests with a session's connector, bypassing the session itself.

    It saves time by leaving out redirects, cookies, proxies and request bodies, and by reusing the
    prepared request as long as host and headers stay the same.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._is_traced = bool(session.trace_configs or session._middlewares)
        self._origin = "", ""
        self._headers: Mapping[str, str] = {}
        self._request: _Get | None = None

    def is_watched(self) -> bool:
        """Whether a tool observes the session, so that requests must not bypass it.

        Tracing tools add trace configs or middlewares to every new session. Mocking tools, such as
        aioresponses, replace methods of the class.
        """
        return self._is_traced or methods_of_sessions() != UNTOUCHED

    async def get(
        self,
        url: URL,
        asked: Request,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's timeouts for connecting and reading
    ) -> aiohttp.ClientResponse:
        """Send a GET once, and return the response with its headers; raises aiohttp's errors."""
        # The connector is None if the session is closed; the transport converts that error.
        connector = cast("aiohttp.BaseConnector", self._session.connector)
        request = self._request
        origin = url.scheme, url.raw_authority
        if request is None or self._origin != origin or self._headers != asked.headers:
            # It is slow to create, so it is used again while host and headers stay the same.
            request = _Get("GET", url, headers=asked.headers, session=self._session)
            self._request, self._origin, self._headers = request, origin, dict(asked.headers)
        try:
            connection = await connector.connect(request, traces=[], timeout=timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        try:
            cast("ResponseHandler", connection.protocol).set_response_params(
                read_until_eof=True,
                auto_decompress=False,  # aiohttp's has no size limit, and accepts truncated gzip
                read_timeout=timeout.sock_read,
            )
            # The request object is shared, but without a body `send` does not suspend, so no other
            # call can change the URL before it is sent.
            request.url = request.original_url = url
            response = await request.send(connection)
            request.response = None  # otherwise it would stay alive until the next request
        except BaseException:
            connection.close()
            raise
        try:
            return await response.start(connection)
        except BaseException:
            response.close()
            raise

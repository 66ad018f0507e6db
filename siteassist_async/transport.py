"""One attempt over aiohttp, the body read to its end."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from siteassist_async.errors import (
    CertificateError,
    ConnectionFailedError,
    DisconnectedError,
    ResponseTooLargeError,
    SiteAssistError,
    TimedOutError,
)
from siteassist_async.wire import Request, Response, Timeout

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

LARGEST_BODY = 64 * 2**20
"""Bytes, decompressed. A conversation of 1,000 messages is about half a megabyte."""

LARGEST_ERROR_BODY = 64 * 2**10
"""Bytes, decompressed; the rest of a longer error is not read, and its status still counts."""


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
        self._users = None if session is None else _Pool(session, _own_middlewares(session))
        self._pool: _Pool | None = self._users
        self._timeouts: dict[Timeout, aiohttp.ClientTimeout] = {}

    async def __call__(self, request: Request) -> Response:
        """Send the request once."""
        pool = self._pool or self._open()
        pool.flying += 1
        try:
            async with asyncio.timeout(request.timeout.total):
                return await self._attempt(request, pool)
        except SiteAssistError:
            raise
        except Exception as error:  # noqa: BLE001 - aiohttp lets ValueError and others through
            failure = _failure(error, request.timeout)
            if isinstance(failure, DisconnectedError):
                self._retire(pool)
            raise failure from _without_headers(error)
        finally:
            pool.flying -= 1
            if pool.retired and not pool.flying:
                await pool.session.close()

    async def close(self) -> None:
        """Close the pool, unless the session is the user's."""
        pool, self._pool = self._pool, self._users
        if pool is not None and pool is not self._users:
            await pool.session.close()

    def _open(self) -> _Pool:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=True if self._tls is None else self._tls
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._pool = _Pool(session, (_without_hidden_repeat,))
        return self._pool

    def _retire(self, pool: _Pool) -> None:
        # A server that dropped one idle connection has dropped them all: a restart, a proxy's
        # timeout. Without this, each of them costs an attempt.
        if pool is self._pool and pool is not self._users:
            self._pool = None
            pool.retired = True

    async def _attempt(self, request: Request, pool: _Pool) -> Response:
        response = await pool.session.get(
            URL(request.url, encoded=True),
            headers=request.headers,
            timeout=self._timeout(request.timeout),
            allow_redirects=False,
            middlewares=pool.middlewares,
        )
        try:
            body = await _read(response)
        except BaseException:
            response.close()
            raise
        return Response(response.status, response.headers, body, _closing(response))

    def _timeout(self, timeout: Timeout) -> aiohttp.ClientTimeout:
        known = self._timeouts.get(timeout)
        if known is None:
            known = self._timeouts[timeout] = aiohttp.ClientTimeout(
                total=None,
                # Counts a wait for the pool too, and only our own pool has room for all.
                connect=None if self._users else timeout.connect,
                sock_connect=timeout.connect,
                sock_read=timeout.read,
                ceil_threshold=math.inf,
            )
        return known


class _Pool:
    """A session, and how many requests it carries."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        middlewares: Sequence[aiohttp.ClientMiddlewareType],
    ) -> None:
        self.session = session
        self.middlewares = middlewares
        self.flying = 0
        self.retired = False


class _BrokenError(Exception):
    """A connection that broke before the headers, in a form that aiohttp does not repeat."""


async def _without_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp sends a GET again, unasked, where these two pass it (aio-libs/aiohttp#10790).
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenError(str(error)) from error


def _own_middlewares(session: aiohttp.ClientSession) -> Sequence[aiohttp.ClientMiddlewareType]:
    # Middlewares given to a request replace the session's, and nothing public names those.
    return (_without_hidden_repeat, *getattr(session, "_middlewares", ()))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    succeeded = response.status == 200
    limit = LARGEST_BODY if succeeded else LARGEST_ERROR_BODY
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            response.close()
            if succeeded:
                raise ResponseTooLargeError(f"the body is longer than {limit:,} bytes")
            break
    return b"".join(chunks)[:limit]


def _closing(response: aiohttp.ClientResponse) -> Callable[[], None]:
    # Once the last byte is read the connection is back in the pool and out of public reach.
    protocol = getattr(response, "_protocol", None)
    return response.close if protocol is None else protocol.close


def _failure(error: Exception, timeout: Timeout) -> SiteAssistError:
    """Choose the error of ours that one of aiohttp's, or of anything below it, becomes."""
    reason = str(error) or type(error).__name__
    failure: SiteAssistError
    match error:
        case aiohttp.ConnectionTimeoutError():
            failure = TimedOutError(f"no connection within {timeout.connect:g} s")
        case aiohttp.SocketTimeoutError():
            failure = TimedOutError(f"the server was silent for {timeout.read:g} s")
        case TimeoutError():
            failure = TimedOutError(f"no whole answer within {timeout.total:g} s")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            failure = CertificateError(reason)
        case _BrokenError():
            failure = DisconnectedError(f"the connection broke before an answer came: {reason}")
        case aiohttp.ClientResponseError():
            failure = ConnectionFailedError(f"what came is not HTTP: {error.message}")
        case aiohttp.ClientPayloadError():
            failure = ConnectionFailedError(f"the answer broke off: {reason}")
        case _:
            failure = ConnectionFailedError(f"{type(error).__name__}: {reason}")
    return failure


def _without_headers(error: Exception) -> Exception:
    """Take the request's headers, and with them the token, out of what will be chained."""
    if isinstance(error, aiohttp.ClientResponseError):
        nothing = CIMultiDictProxy(CIMultiDict[str]())
        error.request_info = error.request_info._replace(headers=nothing)
        error.args = (error.status, error.message)
    return error

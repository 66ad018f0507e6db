"""Requests over connections, without what a session does that this client never needs."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, cast

import aiohttp
from multidict import CIMultiDict

from siteassist_async.transport.connections import own_middlewares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.client_proto import ResponseHandler
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from siteassist_async.wire import Request

KNOWN = "3.14."
"""Releases of aiohttp that are met below the session; with any other all goes by `session.get`.

What a session stands on has public names, but nobody promises how they are called. To go around
it saves a third of a small request: redirects, cookies, proxies, bodies to send, and what one
request has in common with the next.
"""


def methods_of_sessions() -> tuple[object, object]:
    """What a GET by a session would call now."""
    return aiohttp.ClientSession.get, getattr(aiohttp.ClientSession, "_request")  # noqa: B009 - nothing public tells


def untouched() -> tuple[object, object] | None:
    """The same; None where they are not known, or not aiohttp's own."""
    methods = methods_of_sessions()
    is_known = aiohttp.__version__.startswith(KNOWN) and all(map(_is_aiohttps, methods))
    return methods if is_known else None


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


class Exchange:
    """Sends requests below a session, and tells whether anyone would miss them there."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._is_traced = bool(session.trace_configs or own_middlewares(session))
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

"""One request over one connection, without what a session does that this client never needs."""

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

KNOWN = "3.14."
"""Releases of aiohttp that are met below the session; with any other all goes by `session.get`.

What a session stands on has public names, but nobody promises how they are called. To go around
it saves a fifth of a small request: redirects, cookies, proxies and bodies to send.
"""


def is_watched(session: aiohttp.ClientSession) -> bool:
    """Whether anyone would miss a request that does not go by the session.

    Tools that trace add something to every session that is made. Those that mock, as aioresponses
    and many a test, put methods of their own into the class.
    """
    return bool(
        methods_of_sessions() != UNTOUCHED or session.trace_configs or own_middlewares(session)
    )


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


class Headers:
    """Makes what is sent as headers, anew only where they are not those of the last request."""

    def __init__(self) -> None:
        self._last: tuple[str, Mapping[str, str]] | None = None
        self._made: CIMultiDict[str] = CIMultiDict()

    def made(self, url: URL, headers: Mapping[str, str]) -> CIMultiDict[str]:
        """Give the host and the headers, the later of two names that differ in case only."""
        this = url.raw_authority, headers
        if this != self._last:
            self._last = url.raw_authority, dict(headers)
            self._made = CIMultiDict({"Host": url.host_port_subcomponent or ""})
            for name, value in headers.items():
                self._made[name] = value
        return self._made.copy()


class _Get(aiohttp.ClientRequest):
    """A GET with no headers but those that it is given."""

    def update_headers(self, headers: LooseHeaders | None) -> None:
        """Take them as they are; the host is one of them."""
        self.headers = cast("CIMultiDict[str]", headers)


async def send_get(
    session: aiohttp.ClientSession,
    url: URL,
    headers: CIMultiDict[str],
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's, of connecting and of silence
) -> aiohttp.ClientResponse:
    """Send a GET once and wait for the head of its answer; raises the errors of aiohttp."""
    connector = cast("aiohttp.BaseConnector", session.connector)  # None once it is closed
    request = _Get("GET", url, headers=headers, session=session)
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
        response = await request.send(connection)
    except BaseException:
        connection.close()
        raise
    try:
        return await response.start(connection)
    except BaseException:
        response.close()
        raise

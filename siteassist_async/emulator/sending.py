"""Sending: writes a stub response to a connection, in whatever broken way it asks for."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from siteassist_async.emulator.responses import StubResponse, pieces

__all__ = ["Sleep", "send"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def send(request: web.BaseRequest, stub: StubResponse, sleep: Sleep) -> web.StreamResponse:
    """Send a stub response to its end, to its cut, or until the client disconnects."""
    if stub.whole:
        response: web.StreamResponse = web.Response(
            status=stub.status, body=stub.body, headers=stub.headers
        )
    else:
        response = web.StreamResponse(status=stub.status, headers=stub.headers)
        if stub.chunked:
            response.enable_chunked_encoding()
        elif "Content-Length" not in response.headers:
            response.content_length = stub.length
    if response.headers.get("Connection", "").lower() == "close":
        response.force_close()
    try:
        await _send(request, response, stub, sleep)
    except ConnectionError:
        # aiohttp notices by itself, and closes the connection silently.
        return response
    return response


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, stub: StubResponse, sleep: Sleep
) -> None:
    if stub.delay:
        await sleep(stub.delay)
    if stub.dropped:
        return _close(request, reset=stub.reset)
    if stub.raw is not None:
        _write(request, stub.raw)
        return _close(request)
    await response.prepare(request)
    if not stub.whole:
        for piece in pieces(stub):
            if stub.every:
                await sleep(stub.every)
            await response.write(piece)
    if stub.cut is not None:
        if stub.hold:
            await sleep(stub.hold)
        return _close(request, reset=stub.reset)
    await response.write_eof()
    if stub.unsolicited:
        await sleep(stub.late)
        _write(request, stub.unsolicited)
    return None


def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is not None:
        request.transport.write(data)


def _close(request: web.BaseRequest, *, reset: bool = False) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        opened: socket.socket = transport.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    else:
        transport.close()

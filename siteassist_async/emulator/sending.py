"""Puts an answer on the wire, in whatever broken way it asks for."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from siteassist_async.emulator.answers import Answer, pieces

__all__ = ["Sleep", "send"]

Sleep: TypeAlias = Callable[[float], Awaitable[object]]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def send(request: web.BaseRequest, answer: Answer, sleep: Sleep) -> web.StreamResponse:
    """Send an answer to its end, its cut or the moment the client has gone."""
    response = _response(answer)
    try:
        await _send(request, response, answer, sleep)
    except ConnectionError:
        # aiohttp looks for itself, and drops the connection without a word.
        return response
    return response


async def _send(
    request: web.BaseRequest, response: web.StreamResponse, answer: Answer, sleep: Sleep
) -> None:
    if answer.delay:
        await sleep(answer.delay)
    if answer.dropped:
        return _close(request, reset=answer.reset)
    if answer.raw is not None:
        _write(request, answer.raw)
        return _close(request)
    await response.prepare(request)
    if not answer.whole:
        await _send_pieces(response, answer, sleep)
    if answer.cut is not None:
        if answer.hold:
            await sleep(answer.hold)
        return _close(request, reset=answer.reset)
    await response.write_eof()
    if answer.unsolicited:
        await sleep(answer.late)
        _write(request, answer.unsolicited)
    return None


def _response(answer: Answer) -> web.StreamResponse:
    if answer.whole:
        response: web.StreamResponse = web.Response(
            status=answer.status, body=answer.body, headers=answer.headers
        )
    else:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        if answer.chunked:
            response.enable_chunked_encoding()
        elif "Content-Length" not in response.headers:
            response.content_length = answer.length
    if response.headers.get("Connection", "").lower() == "close":
        response.force_close()
    return response


async def _send_pieces(response: web.StreamResponse, answer: Answer, sleep: Sleep) -> None:
    for piece in pieces(answer):
        if answer.every:
            await sleep(answer.every)
        await response.write(piece)


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

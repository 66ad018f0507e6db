"""Reading response bodies: completely, decompressed, and within a size limit."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from siteassist_async.errors import ResponseTooLargeError
from siteassist_async.transport import aiohttp_internals
from siteassist_async.transport.aiohttp_internals import drop, woken_by_loss
from siteassist_async.transport.inflate import ENCODINGS, PIECE, Inflater

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_BODY = 16 * 2**20
"""The default limit in bytes, decompressed: 30 times a conversation of 1,000 messages.

Checking a body is a single call of the decoder, which blocks the event loop. With this limit that
is less than 0.1 s, also for a hostile body; a higher limit allows for more.
"""

LARGEST_ERROR_BODY = 64 * 2**10
"""The limit for error bodies in bytes, decompressed; the rest of a longer body is not read."""


_LOOK_EVERY = 0.05


async def read_body(
    response: aiohttp.ClientResponse, max_body: int, statuses: tuple[int, ...]
) -> bytes:
    """Read the complete body of a success, or as much as possible of any other body.

    Errors are raised only if the status is one of `statuses`; otherwise it is more useful than the
    error.

    Raises:
        ResponseTooLargeError: The body exceeds the limit.
        EncodingError: The body does not match its Content-Encoding.
        aiohttp.ClientError: The body is incomplete or malformed.
    """
    succeeded = response.status in statuses
    pieces: list[bytes] = []
    try:
        limit = max_body if succeeded else LARGEST_ERROR_BODY
        if aiohttp_internals.OFF_BECAUSE:
            await _read(response, partial(_next_piece, response), pieces, limit)
        elif (  # a body that has arrived completely and uncompressed, as most have
            response.content.is_eof()
            and response.content.total_bytes <= limit
            and hdrs.CONTENT_ENCODING not in response.headers
        ):
            pieces.append(response.content.read_nowait())
        else:
            with woken_by_loss(response):
                await _read(response, response.content.readany, pieces, limit)
    except Exception:
        drop(response)
        if succeeded:
            raise
    except BaseException:
        drop(response)
        raise
    if response.connection is not None:  # after a 101, aiohttp does not release the connection
        drop(response)
    return b"".join(pieces)


async def _read(
    response: aiohttp.ClientResponse,
    next_piece: Callable[[], Awaitable[bytes]],
    pieces: list[bytes],
    limit: int,
) -> None:
    encoding = response.headers.get(hdrs.CONTENT_ENCODING, "").lower()
    inflater = Inflater(encoding) if encoding in ENCODINGS else None
    room = limit
    while sent := await next_piece():
        for piece in inflater.feed(sent) if inflater else (sent,):
            pieces.append(piece[:room])
            room -= len(piece)
            if len(piece) == PIECE:  # one packet may decompress to the whole limit
                await asyncio.sleep(0)
            if room < 0:
                raise ResponseTooLargeError(f"the body is longer than {limit:,} bytes")
    if inflater:
        inflater.finish()


async def _next_piece(response: aiohttp.ClientResponse) -> bytes:
    """Read with the public API, polling for a lost connection in place of `woken_by_loss`."""
    is_closed = False
    while True:
        look = asyncio.timeout(_LOOK_EVERY)
        try:
            async with look:
                return await response.content.readany()
        except TimeoutError:
            if not look.expired():
                raise
        except RuntimeError as error:  # aiohttp itself noticed that the connection is lost
            raise _lost() from error
        if is_closed:
            raise _lost()
        # Data that aiohttp has received but not passed on arrives before the next check.
        is_closed = response.connection is None or response.connection.closed


def _lost() -> aiohttp.ClientPayloadError:
    return aiohttp.ClientPayloadError("connection closed mid-response")

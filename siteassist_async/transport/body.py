"""A body, read to its end under a limit."""

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
"""Bytes, decompressed, unless told otherwise: 30 times a conversation of 1,000 messages.

To check as many that are packed with values takes one call of the decoder, during which nothing
else runs, less than a tenth of a second; a higher limit is a longer hold.
"""

LARGEST_ERROR_BODY = 64 * 2**10
"""Bytes, decompressed; the rest of a longer error is not read, and its status still counts."""


_LOOK_EVERY = 0.05


async def read_body(response: aiohttp.ClientResponse, max_body: int) -> bytes:
    """Read a 200's body whole, and of any other status as much of it as can be had.

    Raises:
        ResponseTooLargeError: A 200's body is longer than the limit.
        EncodingError: It is not what its Content-Encoding says.
        aiohttp.ClientError: It breaks off.
    """
    succeeded = response.status == 200
    pieces: list[bytes] = []
    try:
        limit = max_body if succeeded else LARGEST_ERROR_BODY
        if aiohttp_internals.OFF_BECAUSE:
            await _read(response, partial(_next_piece, response), pieces, limit)
        elif _is_short_and_whole(response):
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
    if response.connection is not None:  # a 101 ends no answer, and frees no connection
        drop(response)
    return b"".join(pieces)


def _is_short_and_whole(response: aiohttp.ClientResponse) -> bool:
    """Whether a body has come to its end, and there is nothing to undo or to count: most do."""
    return (
        response.content.is_eof()
        and response.content.total_bytes <= LARGEST_ERROR_BODY
        and hdrs.CONTENT_ENCODING not in response.headers
    )


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
            if len(piece) == PIECE:  # a packet may unpack to all that there is room for
                await asyncio.sleep(0)
            if room < 0:
                raise ResponseTooLargeError(f"the body is longer than {limit:,} bytes")
    if inflater:
        inflater.finish()


async def _next_piece(response: aiohttp.ClientResponse) -> bytes:
    """Read by public names alone; as in `woken_by_loss`, nobody waits for a lost connection."""
    is_closed = False
    while True:
        look = asyncio.timeout(_LOOK_EVERY)
        try:
            async with look:
                return await response.content.readany()
        except TimeoutError:
            if not look.expired():
                raise
        except RuntimeError as error:  # aiohttp looks for itself, where nothing is left to read
            raise _lost() from error
        if is_closed:
            raise _lost()
        # What aiohttp has yet to pass on comes before the next look.
        is_closed = response.connection is None or response.connection.closed


def _lost() -> aiohttp.ClientPayloadError:
    return aiohttp.ClientPayloadError("connection closed mid-response")

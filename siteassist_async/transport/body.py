"""A body, read to its end under a limit."""

from __future__ import annotations

import asyncio
import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import hdrs

from siteassist_async.errors import ResponseTooLargeError
from siteassist_async.transport.connections import being_read, drop
from siteassist_async.transport.inflate import ENCODINGS, PIECE, Inflater

if TYPE_CHECKING:
    from collections.abc import Generator

MAX_BODY = 16 * 2**20
"""Bytes, decompressed, unless told otherwise: 30 times a conversation of 1,000 messages.

To check as many that are packed with values takes one call of the decoder, during which nothing
else runs, less than a tenth of a second; a higher limit is a longer hold.
"""

LARGEST_ERROR_BODY = 64 * 2**10
"""Bytes, decompressed; the rest of a longer error is not read, and its status still counts."""


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
        if _is_short_and_whole(response):
            pieces.append(response.content.read_nowait())
        else:
            with _woken_by_loss(response):
                await _read(response, pieces, max_body if succeeded else LARGEST_ERROR_BODY)
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


async def _read(response: aiohttp.ClientResponse, pieces: list[bytes], limit: int) -> None:
    encoding = response.headers.get(hdrs.CONTENT_ENCODING, "").lower()
    inflater = Inflater(encoding) if encoding in ENCODINGS else None
    room = limit
    while sent := await response.content.readany():
        for piece in inflater.feed(sent) if inflater else (sent,):
            pieces.append(piece[:room])
            room -= len(piece)
            if len(piece) == PIECE:  # a packet may unpack to all that there is room for
                await asyncio.sleep(0)
            if room < 0:
                raise ResponseTooLargeError(f"the body is longer than {limit:,} bytes")
    if inflater:
        inflater.finish()


@contextmanager
def _woken_by_loss(response: aiohttp.ClientResponse) -> Generator[None]:
    # After a fault in the framing of a body aiohttp closes the connection, and whoever is reading
    # the body waits for ever.
    protocol = getattr(response.connection, "protocol", None)
    lost: asyncio.Future[None] | None = getattr(protocol, "closed", None)
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
        content.set_exception(aiohttp.ClientPayloadError("the connection was closed amid it"))


def _look(lost: asyncio.Future[None]) -> None:
    # asyncio logs an exception that nobody has looked at.
    _ = lost.cancelled() or lost.exception()

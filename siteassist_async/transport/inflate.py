"""Compressed bodies, undone piece by piece and to their very end."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCODINGS = {
    "gzip": 16 + zlib.MAX_WBITS,
    "x-gzip": 16 + zlib.MAX_WBITS,
    "deflate": zlib.MAX_WBITS,
}
"""The window of each encoding that is undone here: those that the client asks for."""

PIECE = 2**18
"""Bytes that are undone at a time."""

_MOST_MEMBERS = 100  # of gzip; empty ones take no memory, but time


class EncodingError(ValueError):
    """A body that is not what its Content-Encoding says, or not all of it."""


class Inflater:
    """Undoes one encoding; aiohttp's own does not mind a gzip body that ends early."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(ENCODINGS[encoding])
        self._members = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Undo the next bytes, a piece at a time: a bomb goes off no further than it is asked to.

        Raises:
            EncodingError: They are not in the encoding.
        """
        piece = b""
        while data or len(piece) == PIECE:
            if not self._members or self._stream.eof:
                if not data:
                    return
                self._begin(data)
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise EncodingError(f"the body is not {self._encoding}: {error}") from error
            yield piece
            data = self._stream.unused_data or self._stream.unconsumed_tail

    def finish(self) -> None:
        """Check that all has come; nothing at all is an empty body.

        Raises:
            EncodingError: It has not.
        """
        if self._members and not self._stream.eof:
            raise EncodingError(f"the {self._encoding} body is incomplete")

    def _begin(self, data: bytes) -> None:
        self._members += 1
        if self._members > (1 if self._encoding == "deflate" else _MOST_MEMBERS):
            raise EncodingError(f"the {self._encoding} body has data after its end")
        window = ENCODINGS[self._encoding]
        if self._encoding == "deflate" and data[0] & 0x0F != 8:
            window = -window  # without the zlib header that RFC 9110 asks for, as some send it
        self._stream = zlib.decompressobj(window)

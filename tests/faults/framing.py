"""Bytes that are no HTTP, or that say two things of where the body ends."""

from __future__ import annotations

from siteassist_async import ConnectionFailedError, UnusableResponseError

from .raw_server import Again, Step
from .rows import TOKEN, Row, fails
from .wire import BODY, GOOD, JSON, LAST_CHUNK, answer, chunk, head

TE = "Transfer-Encoding: chunked"
CHUNKED = head(headers=[*JSON, TE])


def not_http(name: str, *steps: Step) -> Row:
    """What comes cannot be read."""
    return fails(name, *steps, error=ConnectionFailedError, says="invalid HTTP response")


def broken_off(name: str, *steps: Step) -> Row:
    """What comes can be read for a while."""
    return fails(name, *steps, error=ConnectionFailedError, says="truncated")


def unusable(name: str, *steps: Step, reused: bool = False) -> Row:
    """What comes can be read, and is no conversation."""
    return fails(name, *steps, error=UnusableResponseError, requests=1, reused=reused)


def length(value: object, *more: str) -> bytes:
    """The conversation with this Content-Length, and more headers."""
    return answer(BODY, headers=[*JSON, *more], length=value)


LENGTHS = [
    not_http("Content-Length too short", length(len(BODY) - 5)),
    not_http("Content-Length too short by one", length(len(BODY) - 1)),
    not_http("Content-Length of 0, and a body", length(0)),
    broken_off("Content-Length too long", length(len(BODY) + 5), "close"),
    broken_off("Content-Length of 2^63", length(2**63), "close"),
    unusable("Content-Length of 2^64 - 1: aiohttp takes it for none", length(2**64 - 1), "close"),
    not_http("Content-Length of 2^64", length(2**64)),
    not_http("Content-Length negative", length(-5)),
    not_http("Content-Length of nonsense", length("many")),
    not_http("Content-Length with a sign", length(f"+{len(BODY)}")),
    not_http("Content-Length hexadecimal", length(f"{len(BODY):#x}")),
    not_http("Content-Length with a fraction", length(f"{len(BODY)}.0")),
    not_http("Content-Length of Arabic digits", length("٣٢٠")),
    not_http("Content-Length empty", length("")),
    not_http("Content-Length twice, the same", length(len(BODY), f"Content-Length: {len(BODY)}")),
    not_http("Content-Length twice, different", length(len(BODY), "Content-Length: 5")),
    not_http("Content-Length as a list", length(f"{len(BODY)}, {len(BODY)}")),
    not_http(
        "Content-Length, then chunked", answer(chunk(BODY), headers=["Content-Length: 10", TE])
    ),
    not_http("chunked, then Content-Length", answer(chunk(BODY), headers=[TE], length=10)),
]

CHUNKS = [
    not_http("chunk size of nonsense", CHUNKED + b"zz\r\n" + BODY),
    not_http("the token in a chunk size", CHUNKED + TOKEN.encode() + b"\r\n" + BODY),
    broken_off(
        "the token in a chunk size amid the body",
        CHUNKED + chunk(BODY[:9]),
        "pause",
        TOKEN.encode() + b"\r\n",
        "silence",
    ),
    not_http("chunk size negative", CHUNKED + b"-5\r\n" + BODY),
    not_http("chunk size with 0x", CHUNKED + b"0x140\r\n" + BODY),
    not_http("chunk size of 72 bits", CHUNKED + b"f" * 18 + b"\r\n" + BODY),
    not_http("chunk size missing", CHUNKED + b"\r\n" + BODY),
    broken_off("chunk size of 2^63 - 1", CHUNKED + b"7fffffffffffffff\r\n" + BODY, "close"),
    not_http("chunk longer than it says", CHUNKED + b"5\r\n" + BODY + b"\r\n" + LAST_CHUNK),
    not_http("chunk without its line break", CHUNKED + chunk(BODY)[:-2] + LAST_CHUNK),
    not_http(
        "chunks with bare line feeds", (CHUNKED + chunk(BODY) + LAST_CHUNK).replace(b"\r\n", b"\n")
    ),
    broken_off("bad chunk amid the body", CHUNKED + chunk(BODY[:9]), "pause", b"zz\r\n", "silence"),
    not_http("trailer without a colon", CHUNKED + chunk(BODY) + b"0\r\nnonsense\r\n\r\n"),
    not_http("1,000 trailers", CHUNKED + chunk(BODY) + b"0\r\n" + b"X-A: 1\r\n" * 1000 + b"\r\n"),
    broken_off(
        "endless trailers", CHUNKED + chunk(BODY), "pause", b"0\r\n", Again(b"X-A: 1\r\n" * 200)
    ),
    unusable(
        "an encoding before chunked",
        head(headers=[*JSON, "Transfer-Encoding: gzip, chunked"]) + chunk(b"\x1f\x8b") + LAST_CHUNK,
        reused=True,
    ),
    unusable(
        "an encoding after chunked",
        head(headers=[*JSON, "Transfer-Encoding: chunked, identity"]) + chunk(BODY) + LAST_CHUNK,
        "close",
    ),
    unusable(
        "an encoding that nobody has heard of",
        head(headers=[*JSON, "Transfer-Encoding: xchunked"]) + chunk(BODY),
        "close",
    ),
]

STATUS_LINES = [
    not_http(f"status line {line!r}", GOOD.replace(b"HTTP/1.1 200 OK", line.encode()))
    for line in (
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 \uff12\uff10\uff10 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/9.9 200 OK",
        "HTTP/1 200 OK",
        "http/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "ICY 200 OK",
        f"{TOKEN} 200 OK",
        "200 OK",
    )
]

HEADERS = [
    not_http(name, answer(BODY, headers=[header]))
    for name, header in (
        ("header without a colon", "Nonsense"),
        ("the token in place of a header", TOKEN),
        ("the token in a header's name", f"{TOKEN} : 1"),
        ("header without a name", ": 1"),
        ("header with a space before the colon", "X-A : 1"),
        ("NUL in a header's name", "X\0A: 1"),
        ("NUL in a header's value", "X-A: a\0b"),
        ("carriage return in a header's value", "X-A: a\rb"),
        ("non-ASCII in a header's name", "Xé: 1"),
        ("header line of 100 KB", "X-A: " + "a" * 100_000),
        ("header name of 100 KB", "a" * 100_000 + ": 1"),
        ("1,000 headers", "\r\n".join(f"X-{i}: 1" for i in range(1000))),
    )
] + [
    not_http("carriage returns alone", GOOD.replace(b"\r\n", b"\r")),
    not_http("endless headers", b"HTTP/1.1 200 OK\r\n", Again(b"X-A: 1\r\n" * 200)),
    not_http("endless header line", b"HTTP/1.1 200 OK\r\nX-A: ", Again(b"a" * 10_000)),
    not_http("endless header name", b"HTTP/1.1 200 OK\r\n", Again(b"a" * 10_000)),
    not_http("endless reason", b"HTTP/1.1 200 ", Again(b"a" * 10_000)),
]

OTHER_PROTOCOLS = [
    not_http("HTTP/0.9", BODY, "close"),
    not_http("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    not_http("settings of HTTP/2", b"\0\0\x12\x04\0\0\0\0\0" + bytes(18)),
    not_http("HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    not_http("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    not_http("SMTP", b"220 mail.example ESMTP\r\n"),
    not_http("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46"),
    not_http("Redis", b"-ERR unknown command\r\n"),
    not_http("zeros", bytes(1000)),
    not_http("endless garbage", Again(b"a" * 10_000)),
    not_http("bytes after the body", GOOD + b"extra"),
    not_http("body after a 204", head(204, JSON) + BODY),
    not_http("body after a 304", answer(BODY, 304)),
]

ROWS: list[Row] = [*LENGTHS, *CHUNKS, *STATUS_LINES, *HEADERS, *OTHER_PROTOCOLS]

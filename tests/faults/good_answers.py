"""Good answers in odd form."""

from __future__ import annotations

import json

from .raw_server import Drip
from .rows import Row, good, tolerated
from .wire import BODY, GOOD, JSON, LAST_CHUNK, answer, chunk, chunked, conversation, error, head

TITLED = json.dumps({**json.loads(BODY), "title": "é\u2028\U0001f3a8"}, ensure_ascii=False).encode()
CHUNKED = [*JSON, "Transfer-Encoding: chunked"]


def with_headers(*headers: str) -> bytes:
    """The conversation with these headers too."""
    return answer(BODY, headers=[*JSON, *headers])


FORMS = [
    good("as documented", GOOD),
    good(
        "lower-case headers", GOOD.lower().replace(BODY.lower(), BODY).replace(b"http/", b"HTTP/")
    ),
    good("upper-case header names", GOOD.replace(b"Content-Length", b"CONTENT-LENGTH")),
    good("no space after the colon", GOOD.replace(b": application", b":application")),
    good("spaces after the value", answer(BODY, length=f"{len(BODY)}  \t ")),
    good("no content type", answer(BODY, headers=[])),
    good("content type of HTML", answer(BODY, headers=["Content-Type: text/html"])),
    good("content type of nonsense", answer(BODY, headers=["Content-Type: ;;;=é"])),
    good(
        "charset of nonsense",
        answer(BODY, headers=["Content-Type: application/json; charset=klingon"]),
    ),
    good(
        "charset of another, body in UTF-8",
        answer(TITLED, headers=["Content-Type: application/json; charset=utf-16"]),
        title="é\u2028\U0001f3a8",
    ),
    good("byte order mark", answer(b"\xef\xbb\xbf" + BODY)),
    good("pretty-printed", answer(json.dumps(json.loads(BODY), indent=4).encode())),
    good("white space around", answer(b" \r\n\t" + BODY + b"\r\n\r\n")),
    good("ASCII only", answer(json.dumps(json.loads(TITLED)).encode()), title="é\u2028\U0001f3a8"),
    good("id in upper case", answer(conversation("123E4567-E89B-12D3-A456-426614174000"))),
    good("lone surrogate", answer(conversation(title="\ud83d")), title="\ud83d"),
    good("unknown fields and values", answer(conversation(status="snoozed", tags=[["new"]]))),
    good(
        "key twice: the last counts", answer(BODY[:-1] + b',"status":"x","status":"y"}'), status="y"
    ),
    tolerated("duplicate headers", with_headers(*JSON, "X-A: 1", "X-A: 2")),
    good("Set-Cookie", with_headers("Set-Cookie: session=1; Path=/", "Set-Cookie: b=2")),
    tolerated("terminal escapes in a header", with_headers("X-A: \x1b[31m")),
    good("Latin-1 in a header", with_headers("X-A: \udce9")),
    tolerated("continued header line", with_headers("X-A: 1\r\n  2")),
    good("header line of 8,000 bytes", with_headers("X-A: " + "a" * 8000)),
    good("100 headers", with_headers(*[f"X-{i}: {i}" for i in range(100)])),
    good("Content-Encoding: identity", with_headers("Content-Encoding: identity")),
    good("Content-Encoding of nonsense", with_headers("Content-Encoding: utf-8")),
]

FRAMES = [
    good("chunked", chunked(BODY[:7], BODY[7:99], BODY[99:])),
    good("a chunk a byte", chunked(*[BODY[i : i + 1] for i in range(len(BODY))])),
    good("chunk extension", head(headers=CHUNKED) + chunk(BODY, ';a="b;c"') + LAST_CHUNK),
    tolerated("chunk size padded", head(headers=CHUNKED) + chunk(BODY, "  ") + LAST_CHUNK),
    good("chunk size with zeros", head(headers=CHUNKED) + b"0000" + chunk(BODY) + LAST_CHUNK),
    good("trailers", head(headers=CHUNKED) + chunk(BODY) + b"0\r\nX-Sum: 1\r\nX-B: 2\r\n\r\n"),
    good("Chunked with a capital", chunked(BODY, headers=JSON).replace(b"chunked", b"Chunked")),
    good("until the connection closes", head() + BODY, "close", reused=False),
    good("until the connection is reset", head() + BODY, "pause", "reset", reused=False),
    good("Connection: close", with_headers("Connection: close"), reused=False),
    good("Connection: close, and closed", with_headers("Connection: close"), "close", reused=False),
    good("Keep-Alive: timeout=0", with_headers("Keep-Alive: timeout=0, max=0")),
    good("half-closed after it", GOOD, "half-close", reused=False),
    good("HTTP/1.0", answer(BODY, version="1.0"), reused=False),
    good("HTTP/1.0 until closed", head(version="1.0") + BODY, "close", reused=False),
    good(
        "HTTP/1.0 kept alive",
        answer(BODY, version="1.0", headers=[*JSON, "Connection: keep-alive"]),
    ),
    good("HTTP/2.0 in the status line", answer(BODY, version="2.0"), reused=False),
    good(
        "RTSP in the status line: aiohttp minds not",
        GOOD.replace(b"HTTP/1.1", b"RTSP/1.0"),
        reused=False,
    ),
    good("no reason", GOOD.replace(b"200 OK", b"200")),
    good("a reason in Latin-1", GOOD.replace(b"OK", b"\xe9t\xe9")),
    good("a reason that is another status", GOOD.replace(b"OK", b"404 Not Found")),
    tolerated("bare line feeds", GOOD.replace(b"\r\n", b"\n")),
    good("empty lines first", b"\r\n\r\n" + GOOD),
    good("100 Continue first", b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD),
    good("103 Early Hints first", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + GOOD),
    good("102 three times first", b"HTTP/1.1 102 Processing\r\n\r\n" * 3, "pause", GOOD),
    good("199, which nobody has heard of, first", b"HTTP/1.1 199 Odd\r\n\r\n" + GOOD),
    good("another answer after it", GOOD + answer(error(), 404), reused=False),
    good("half an answer after it", GOOD + b"HTTP/1.1 200 O"),
    good("a byte a packet", Drip(GOOD)),
    good("a byte a packet, chunked", Drip(chunked(BODY[:9], BODY[9:]))),
    *[
        good(f"in two packets, cut at {cut}", GOOD[:cut], "pause", GOOD[cut:])
        for cut in (
            1,
            16,
            17,
            18,
            40,
            len(GOOD) - len(BODY) - 1,
            len(GOOD) - len(BODY),
            len(GOOD) - 1,
        )
    ],
]

ROWS: list[Row] = [*FORMS, *FRAMES]

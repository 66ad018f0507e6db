"""Error bodies that are not as documented: the status decides, whatever they say."""

from __future__ import annotations

import gzip
import json

from siteassist_async import (
    AuthenticationError,
    ConnectionFailedError,
    ConversationDetails,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
)

from .raw_server import Again, Step
from .rows import TOKEN, Row, fails
from .wire import ID, JSON, OTHER_ID, answer, chunk, error, head

HTML = ["Content-Type: text/html"]


def not_found(name: str, body: bytes, *, says: str = "404", **telling: object) -> Row:
    """A 404 with this body."""
    return of_404(name, answer(body, 404), says=says, reused=True, **telling)


def of_404(
    name: str, *steps: Step, says: str = "404", reused: bool = True, **telling: object
) -> Row:
    """A 404 in this form."""
    return fails(name, *steps, error=NotFoundError, requests=1, says=says, reused=reused, **telling)


def nested(levels: int) -> bytes:
    """Details of so many levels."""
    return b'{"error":{"message":"m","details":' + b"[" * levels + b"]" * levels + b"}}"


MISSHAPEN = [
    not_found("empty", b"", message="", code=None, details=None),
    not_found("white space", b" \r\n", message=" \r\n"),
    not_found("no code", error(), message="No.", code=None),
    not_found("code of another status", error(code="UNAUTHORIZED"), code="UNAUTHORIZED"),
    not_found("code is a number", error(code=401), code=None),
    not_found("code is huge", error(code="X" * 50_000)),
    not_found("code of escapes", error(code="\x1b[2J\r\n")),
    not_found("details null", error(details=None), details=None, raw_details=None),
    not_found("details a string", error(details="x"), details=None, raw_details="x"),
    not_found("details a list", error(details=[1]), details=None, raw_details=[1]),
    not_found("details of another status", error(details={"retryAfter": 1}), details=None),
    not_found(
        "details of this id in upper case",
        error(details={"conversationId": ID.upper()}),
        details=ConversationDetails(ID.upper()),
    ),
    not_found("details whose id is a number", error(details={"conversationId": 5}), details=None),
    not_found("message missing", b'{"error":{}}', message='{"error":{}}'),
    not_found("message null", error(None), says='{"error": {"message": null}}'),
    not_found("message a number", error(5), says='{"error": {"message": 5}}'),
    not_found("message a list", error([]), says='{"error": {"message": []}}'),
    not_found("message huge", error("x" * 60_000), says="xxx…"),
    not_found("message of terminal escapes", error("\x1b]0;owned\x07\x1b[2J"), says=r"\x1b[2J"),
    not_found("message of line breaks", error("a\r\nb\u2028c\x85d"), says=r"a\r\nb\u2028c\x85d"),
    not_found("message of a right-to-left override", error("\u202etxt"), says=r"\u202etxt"),
    not_found("message of a lone surrogate", b'{"error":{"message":"\\ud83d"}}', says=r"\ud83d"),
    not_found("key twice", b'{"error":{"message":"a","message":"b"}}', message="b"),
    not_found("error a string", b'{"error":"x"}', says='{"error":"x"}'),
    not_found("error a list", b'{"error":[]}', says='{"error":[]}'),
    not_found("error null", b'{"error":null}', says='{"error":null}'),
    not_found("not an object", b"[1]", says="[1]"),
    not_found("null", b"null", says="null"),
    not_found("as other APIs have it", b'{"message":"gone"}', says="gone"),
]

NOT_JSON = [
    of_404("an HTML page", answer(b"<h1>Not here</h1>", 404, HTML), says="<h1>Not here</h1>"),
    not_found("text", b"no such thing", message="no such thing"),
    not_found("UTF-16", error().decode().encode("utf-16")),
    not_found("Latin-1", '{"error":{"message":"é"}}'.encode("latin-1")),
    not_found("binary", bytes(range(256))),
    not_found("zeros", bytes(1000)),
    not_found("truncated JSON", error("long enough")[:-9], says="long "),
    not_found("NaN", b'{"error":{"message":NaN}}', says="NaN"),
    not_found(
        "a number of 5,000 digits", b'{"error":{"message":"m","details":' + b"1" * 5000 + b"}}"
    ),
    not_found("60,000 brackets", b"[" * 60_000, says="[[["),
    of_404(
        "100,000 brackets: over the limit", answer(b"[" * 100_000, 404), says="[[[", reused=False
    ),
    not_found("100,000 braces", b'{"a":' * 12_000),
    not_found("300 levels deep", nested(300), message="m"),
    not_found("900 levels deep", nested(900), message="m"),
    not_found("5,000 levels deep", nested(5000)),
]

SENT_BADLY = [
    of_404("longer than the limit", answer(b"x" * 10**6, 404), says="xxx…", reused=False),
    of_404("without an end", head(404), Again(b"x" * 10_000), says="xxx…", reused=False),
    of_404(
        "shorter than it says", answer(error(), 404, length=99), "close", says="No.", reused=False
    ),
    of_404(
        "reset amid it", answer(error(), 404, length=99), "pause", "reset", says="No.", reused=False
    ),
    of_404(
        "a bad chunk amid it, in a packet of its own",
        head(404, [*JSON, "Transfer-Encoding: chunked"]) + chunk(error()),
        "pause",
        b"zz\r\n",
        says="No.",
        reused=False,
    ),
    fails(
        "a bad chunk in the packet of the headers: aiohttp loses the status",
        head(404, [*JSON, "Transfer-Encoding: chunked"]) + b"zz\r\n",
        error=ConnectionFailedError,
    ),
    of_404(
        "gzip", answer(gzip.compress(error()), 404, [*JSON, "Content-Encoding: gzip"]), says="No."
    ),
    of_404(
        "gzip that is none", answer(error(), 404, [*JSON, "Content-Encoding: gzip"]), reused=False
    ),
    of_404(
        "gzip that ends early",
        answer(gzip.compress(error(), mtime=0)[:-4], 404, [*JSON, "Content-Encoding: gzip"]),
        says="No.",
        reused=False,
    ),
    of_404(
        "brotli, which was not asked for", answer(b"\x0b\x01", 404, [*JSON, "Content-Encoding: br"])
    ),
]

OF_ANOTHER = [
    of_404(
        "404 about another conversation: the status decides, the connection is dropped",
        answer(error(details={"conversationId": OTHER_ID}), 404),
        reused=False,
        details=ConversationDetails(OTHER_ID),
    ),
    fails(
        "401 that is a page",
        answer(b"<h1>", 401, HTML),
        error=AuthenticationError,
        requests=1,
        reused=True,
    ),
    fails("429 that is a page", answer(b"<h1>", 429, HTML), error=RateLimitError, reused=True),
    fails(
        "503 that is a page", answer(b"<h1>", 503, HTML), error=ServiceUnavailableError, reused=True
    ),
    fails(
        "429 of a used-up quota, which names no time",
        answer(error(code="QUOTA_EXCEEDED"), 429),
        error=RateLimitError,
        requests=1,
        reused=True,
    ),
]

_ESCAPED = TOKEN.replace("_", "\\u005f")

ECHOES = [
    not_found("the token in the message", error(f"bad {TOKEN}"), message="bad [token]"),
    not_found("the token in the code", error(code=TOKEN), code="[token]"),
    not_found(
        "the token in the details",
        error(details={TOKEN: [{"a": TOKEN}]}),
        raw_details={"[token]": [{"a": "[token]"}]},
    ),
    not_found(
        "the token escaped in the JSON",
        json.dumps({"error": {"message": "?", "code": "?", "details": ["?"]}})
        .replace("?", _ESCAPED)
        .encode(),
        message="[token]",
        code="[token]",
        raw_details=["[token]"],
    ),
    not_found("the token in a page", f"<pre>Authorization: Bearer {TOKEN}".encode()),
    not_found("the token where the excerpt ends", b"x" * 190 + TOKEN.encode() + b"y" * 99),
    of_404("the token in a header", answer(error(), 404, [f"X-Echo: Bearer {TOKEN}"])),
    of_404("the token as a header's name", answer(error(), 404, [f"{TOKEN}: 1"])),
    of_404(
        "the token as the request id",
        answer(error(), 404, [f"X-Request-Id: {TOKEN}"]),
        says="[token]",
    ),
    of_404("the token as the reason", answer(error(), f"404 {TOKEN}")),
]

ROWS: list[Row] = [*MISSHAPEN, *NOT_JSON, *SENT_BADLY, *OF_ANOTHER, *ECHOES]

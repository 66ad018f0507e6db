"""What aiohttp's pure-Python parser reads in another way than the compiled one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async import (
    ConnectionFailedError,
    DisconnectedError,
    SiteAssistError,
    TimedOutError,
    Timeout,
    UnexpectedStatusError,
    UnusableResponseError,
)
from siteassist_async.transport.aiohttp_internals import parses_in_python

from .slow import TWICE

if TYPE_CHECKING:
    from .rows import Row

TAKES = [
    "framing: Content-Length twice, the same",
    "framing: chunks with bare line feeds",
    "framing: status line 'HTTP/1.1\\t200 OK'",
    "framing: status line 'HTTP/1.2 200 OK'",
    "framing: status line 'HTTP/9.9 200 OK'",
    "framing: status line ' HTTP/1.1 200 OK'",
    "framing: bytes after the body",
]

REFUSES = [
    "good: RTSP in the status line: aiohttp minds not",
    "good: empty lines first",
    "framing: Content-Length too short",
    "framing: Content-Length too short by one",
    "framing: Content-Length of 2^64 - 1: aiohttp takes it for none",
    "framing: Content-Length twice, different",
    "framing: 1,000 trailers",
    "time: silence after empty lines",
    "time: empty lines for ever",
    "time: a chunk extension for ever",
    "time: zeros of a chunk size for ever",
]

WAITS_FOR_MORE = [
    "framing: Content-Length of 2^64",
    "framing: chunk size of 72 bits",
    "framing: carriage returns alone",
    "framing: settings of HTTP/2",
    "framing: SSH",
    "framing: SMTP",
    "framing: TLS alert",
    "framing: Redis",
    "framing: zeros",
]

OUTCOMES: dict[str, type[SiteAssistError] | None] = {
    **dict.fromkeys(TAKES),
    **dict.fromkeys(REFUSES, ConnectionFailedError),
    **dict.fromkeys(WAITS_FOR_MORE, TimedOutError),
    "framing: Content-Length of 0, and a body": UnusableResponseError,
    "framing: HTTP/0.9": DisconnectedError,
    "framing: body after a 204": UnexpectedStatusError,
    "framing: body after a 304": UnexpectedStatusError,
}
"""Still one outcome each, but another: an exact class, or None for the conversation."""


def as_read(row: Row) -> Row:
    """The row as it is read by the parser that is used."""
    if not parses_in_python() or row.name not in OUTCOMES:
        return row
    error = OUTCOMES[row.name]
    is_retried = error not in {None, UnusableResponseError, UnexpectedStatusError}
    return evolve(
        row,
        error=error,
        requests=2 if is_retried else 1,
        says="",
        telling={},
        retry=TWICE,
        timeout=Timeout(connect=30, read=0.1, total=60),
    )

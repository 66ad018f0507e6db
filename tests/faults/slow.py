"""Servers that take their time; the time-outs are real, of some milliseconds."""

from __future__ import annotations

from attrs import evolve

from siteassist_async import (
    DeadlineExceededError,
    NotFoundError,
    RetryPolicy,
    TimedOutError,
    Timeout,
)

from .raw_server import Again, Drip, Step
from .rows import Row, fails
from .wire import BODY, GOOD, JSON, answer, chunk, error, head

TWICE = RetryPolicy(attempts=2)
HEAD = GOOD[: -len(BODY)]
CHUNKED = head(headers=[*JSON, "Transfer-Encoding: chunked"])


def silent(name: str, *steps: Step) -> Row:
    """The server stops speaking; what it sent is no complete response."""
    row = fails(
        name, *steps, "silence", error=TimedOutError, requests=2, says="no data received for 0.03 s"
    )
    return evolve(row, retry=TWICE, timeout=Timeout(connect=30, read=0.03, total=60))


def endless(name: str, *steps: Step) -> Row:
    """The server goes on speaking, and never comes to an end."""
    row = fails(
        name, *steps, error=TimedOutError, requests=2, says="no complete response within 0.3 s"
    )
    return evolve(row, retry=TWICE, timeout=Timeout(connect=30, read=30, total=0.3))


def slowly(data: bytes) -> Drip:
    """A byte now and then, well within the time that it may be silent."""
    return Drip(data, every=0.005)


SILENT = [
    silent("nothing is said"),
    silent("silence amid the status line", GOOD[:10]),
    silent("silence amid the headers", GOOD[:40]),
    silent("silence after the headers", HEAD),
    silent("silence amid the body", GOOD[:-20]),
    silent("silence before the body's last byte", GOOD[:-1]),
    silent("silence amid a chunk", CHUNKED + chunk(BODY)[:-20]),
    silent("silence before the last chunk", CHUNKED + chunk(BODY)),
    silent("silence after a body without a length", head() + BODY),
    silent("silence after empty lines", b"\r\n" * 1000),
    evolve(
        silent("silence amid an error's body: its status counts", answer(error(), 404, length=99)),
        error=NotFoundError,
        requests=1,
        says="No.",
    ),
]

ENDLESS = [
    endless("a byte now and then, of the headers", slowly(GOOD)),
    endless("a byte now and then, of the body", HEAD, slowly(BODY)),
    endless("a chunk now and then", CHUNKED, *[slowly(chunk(b" ")) for _ in range(99)]),
    endless(
        "silence after 100 Continue: aiohttp's own time-out ends with it",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        "silence",
    ),
    endless("empty lines for ever", Again(b"\r\n" * 500)),
    endless("100 Continue for ever", Again(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
    endless("a chunk extension for ever", CHUNKED + b"5;", Again(b"a" * 10_000)),
    endless("zeros of a chunk size for ever", CHUNKED, Again(b"0" * 10_000)),
]


def too_late(name: str, *steps: Step) -> Row:
    """The deadline of the whole call passes; no attempt's time-out would have."""
    return evolve(fails(name, *steps, error=DeadlineExceededError, requests=1), deadline=0.25)


DEADLINES = [
    too_late("the deadline passes before the headers", "silence"),
    too_late("the deadline passes amid the body", GOOD[:-20], "silence"),
    too_late("the deadline passes while it drips", slowly(GOOD)),
]

ROWS: list[Row] = [*SILENT, *ENDLESS, *DEADLINES]

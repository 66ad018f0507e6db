"""Connections that break, and answers that are not to this request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async import ConnectionFailedError, DisconnectedError, WrongConversationError

from .rows import Row, fails
from .wire import BODY, GOOD, JSON, OTHER_ID, answer, chunk, chunked, conversation, head

if TYPE_CHECKING:
    from .raw_server import Play, Step

CHUNKED = head(headers=[*JSON, "Transfer-Encoding: chunked"])
HEAD = GOOD[: -len(BODY)]
SHORT = GOOD[:-20]


def disconnected(name: str, *steps: Step) -> Row:
    """Nothing of an answer comes."""
    return fails(name, *steps, error=DisconnectedError, says="before a response")


def broken_off(name: str, *steps: Step) -> Row:
    """An answer begins, and does not end."""
    return fails(name, *steps, error=ConnectionFailedError, says="the response is truncated")


def wrong(name: str, *steps: Step) -> Row:
    """An answer to somebody else."""
    return fails(name, *steps, error=WrongConversationError)


def recovers(name: str, *plays: Play) -> Row:
    """Each of these faults costs a request and a connection, and then comes the conversation."""
    requests = len(plays) + 1
    return Row(name, [*plays, [GOOD]], requests=requests, connections=requests)


BEFORE = [
    disconnected("closed after the request", "close"),
    disconnected("reset after the request", "reset"),
    disconnected("half-closed after the request", "half-close"),
    disconnected("closed amid the status line", GOOD[:10], "close"),
    disconnected("closed after the status line", GOOD[:17], "close"),
    disconnected("closed amid the headers", GOOD[:30], "close"),
    disconnected("reset amid the headers", GOOD[:30], "pause", "reset"),
    disconnected("closed after 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n", "close"),
]

AMID = [
    broken_off("closed after the headers", HEAD, "close"),
    broken_off("reset after the headers", HEAD, "pause", "reset"),
    broken_off("closed amid the body", SHORT, "close"),
    broken_off("closed amid the body, later", SHORT, "pause", "close"),
    broken_off("reset amid the body", SHORT, "pause", "reset"),
    broken_off("half-closed amid the body", SHORT, "half-close"),
    broken_off("closed before the body's last byte", GOOD[:-1], "close"),
    broken_off("closed amid a chunk", CHUNKED + chunk(BODY)[:-50], "close"),
    broken_off("closed amid a chunk's size", CHUNKED + chunk(BODY) + b"1", "close"),
    broken_off("closed before the last chunk", CHUNKED + chunk(BODY), "close"),
    broken_off("closed before the last line break", chunked(BODY)[:-2], "close"),
    broken_off("closed amid a trailer", CHUNKED + chunk(BODY) + b"0\r\nX-A: ", "close"),
    broken_off("closed amid a body without a length", head() + BODY[:-20], "close"),
    broken_off("closed amid a body of HTTP/1.0", head(version="1.0") + BODY[:-1], "close"),
    broken_off("reset amid a body without a length", head() + BODY[:-20], "pause", "reset"),
    broken_off("ended amid the JSON, and framed as whole", answer(BODY[:-20])),
]

RECOVERED = [
    recovers(f"{fault.name}, once", *fault.plays)
    for fault in (BEFORE[0], BEFORE[1], AMID[2], AMID[9])
] + [recovers("four faults", ["close"], ["reset"], [SHORT, "close"], [HEAD, "reset"])]

NOT_OURS = [
    wrong("another conversation", answer(conversation(OTHER_ID))),
    wrong("another conversation, then this one", answer(conversation(OTHER_ID)) + GOOD),
    wrong("a conversation whose id is no UUID", answer(conversation("../admin"))),
    wrong("a conversation without an id's text", answer(conversation(""))),
    recovers("another conversation, once", [answer(conversation(OTHER_ID))]),
]

ROWS: list[Row] = [*BEFORE, *AMID, *RECOVERED, *NOT_OURS]

"""What the emulator puts on the wire, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from attrs import evolve, frozen

from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body

__all__ = ["JSON", "Answer", "Fault", "HeaderPairs", "error_answer", "pieces"]

HeaderPairs: TypeAlias = tuple[tuple[str, str], ...]

JSON: HeaderPairs = (("Content-Type", "application/json; charset=utf-8"),)

_SPACES = b" " * 65_536


@frozen
class Answer:
    """One answer and the way it is sent; times are seconds, sizes are bytes."""

    status: int
    body: bytes = b""
    headers: HeaderPairs = JSON
    conversation_id: str = ""
    """The id that the request asked for; empty where it asked for none."""
    delay: float = 0.0
    """Passes before anything is sent."""
    padding: int = 0
    """Spaces sent after the body, as part of it."""
    chunked: bool = False
    """Sent chunked, instead of with a Content-Length."""
    piece: int | None = None
    """The body goes out in pieces of this size, with `every` before each."""
    every: float = 0.0
    cut: int | None = None
    """After so much of the body the connection is silent for `hold`, and closed."""
    hold: float = 0.0
    dropped: bool = False
    """Nothing is sent; the connection is closed."""
    reset: bool = False
    """A connection that is closed early is closed with a TCP reset."""
    raw: bytes | None = None
    """Sent instead of an HTTP answer; the connection is closed after it."""
    unsolicited: bytes = b""
    """Sent `late` after the answer, on the same connection."""
    late: float = 0.0

    @property
    def length(self) -> int:
        """The length of the body with its padding."""
        return len(self.body) + self.padding

    @property
    def whole(self) -> bool:
        """Whether the body goes out at once, to its end."""
        return not (self.padding or self.chunked or self.piece or self.cut is not None)

    @property
    def is_http(self) -> bool:
        """Whether a status line is sent at all."""
        return not self.dropped and self.raw is None

    def with_headers(self, headers: HeaderPairs) -> Answer:
        """This answer with `headers` in place of those of the same name."""
        replaced = {name.lower() for name, _ in headers}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in replaced)
        return evolve(self, headers=kept + headers)


Fault: TypeAlias = Callable[[Answer], Answer]
"""Turns the answer that the API would have given into the one that it gives.

The faults of this package are frozen values; any other callable will do as well."""


def pieces(answer: Answer) -> Iterator[bytes]:
    """Split an answer's body into the pieces that are written, up to where it is cut."""
    left = answer.length if answer.cut is None else min(answer.cut, answer.length)
    size = answer.piece or len(_SPACES)
    start = 0
    while left > 0:
        piece = answer.body[start : start + min(size, left)] or _SPACES[: min(size, left)]
        start += len(piece)
        left -= len(piece)
        yield piece


def error_answer(
    status: int, conversation_id: str = "", details: Mapping[str, object] | None = None
) -> Answer:
    """The documented answer of a status, with the asked id where it names one.

    `details` replaces the documented ones. A status that is not documented gets its name as
    the message, and no code.
    """
    if details is None and status != 404:
        return Answer(status, _documented_error(status), conversation_id=conversation_id)
    error: dict[str, Any] = msgspec.json.decode(_documented_error(status))["error"]
    error["details"] = {"conversationId": conversation_id} if details is None else dict(details)
    body = msgspec.json.encode({"error": error})
    return Answer(status, body, conversation_id=conversation_id)


@cache
def _documented_error(status: int) -> bytes:
    if status in DOCUMENTED_STATUSES:
        return msgspec.json.encode(msgspec.json.decode(documented_body(status)))
    return msgspec.json.encode({"error": {"message": _reason(status)}})


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"

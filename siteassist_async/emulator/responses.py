"""Stub responses: what the emulator sends, and how, as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from attrs import evolve, frozen

from siteassist_async.contract import DOCUMENTED_STATUSES, documented_body

__all__ = ["JSON", "Fault", "HeaderPairs", "StubResponse", "error_response", "pieces"]

HeaderPairs: TypeAlias = tuple[tuple[str, str], ...]

JSON: HeaderPairs = (("Content-Type", "application/json; charset=utf-8"),)

_SPACES = b" " * 65_536


@frozen
class StubResponse:
    """One response and the way it is sent; times are seconds, sizes are bytes."""

    status: int
    body: bytes = b""
    headers: HeaderPairs = JSON
    conversation_id: str = ""
    """The ID in the request's path; empty if there was none."""
    delay: float = 0.0
    """Time before anything is sent."""
    padding: int = 0
    """Spaces sent after the body, as part of it."""
    chunked: bool = False
    """Send the body chunked, without a Content-Length."""
    piece: int | None = None
    """Send the body in pieces of this size, waiting `every` before each."""
    every: float = 0.0
    cut: int | None = None
    """After so many bytes of the body, wait for `hold` and close the connection."""
    hold: float = 0.0
    dropped: bool = False
    """Close the connection without sending anything."""
    reset: bool = False
    """Close the connection with a TCP reset, if it is closed early."""
    raw: bytes | None = None
    """Sent instead of an HTTP response; the connection is closed after it."""
    unsolicited: bytes = b""
    """Sent `late` after the response, on the same connection."""
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

    def with_headers(self, headers: HeaderPairs) -> StubResponse:
        """This response with `headers` in place of those of the same name."""
        replaced = {name.lower() for name, _ in headers}
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in replaced)
        return evolve(self, headers=kept + headers)


Fault: TypeAlias = Callable[[StubResponse], StubResponse]
"""Turns the response that the API would have sent into the one that it sends.

The faults of this package are frozen values; any other callable works as well."""


def pieces(response: StubResponse) -> Iterator[bytes]:
    """Split a body into the pieces to write, up to where it is cut."""
    left = response.length if response.cut is None else min(response.cut, response.length)
    size = response.piece or len(_SPACES)
    start = 0
    while left > 0:
        piece = response.body[start : start + min(size, left)] or _SPACES[: min(size, left)]
        start += len(piece)
        left -= len(piece)
        yield piece


def error_response(
    status: int, conversation_id: str = "", details: Mapping[str, object] | None = None
) -> StubResponse:
    """Return the documented response of a status; a 404 names the ID.

    `details` replaces the documented ones. An undocumented status has its reason phrase as the
    message, and no code.
    """
    if details is None and status != 404:
        return StubResponse(status, _documented_error(status), conversation_id=conversation_id)
    error: dict[str, Any] = msgspec.json.decode(_documented_error(status))["error"]
    error["details"] = {"conversationId": conversation_id} if details is None else dict(details)
    body = msgspec.json.encode({"error": error})
    return StubResponse(status, body, conversation_id=conversation_id)


@cache
def _documented_error(status: int) -> bytes:
    if status in DOCUMENTED_STATUSES:
        return msgspec.json.encode(msgspec.json.decode(documented_body(status)))
    message = f"Status {status}"
    with suppress(ValueError):
        message = HTTPStatus(status).phrase
    return msgspec.json.encode({"error": {"message": message}})

"""The dead letters: one JSON line for each id that could not be had, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from attrs import frozen

from siteassist_async.errors import (
    APIError,
    ConnectionFailedError,
    DeadlineExceededError,
    InvalidIdError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SiteAssistError,
    TimedOutError,
    TokenError,
    TransportError,
    UnusableResponseError,
    printable,
)

if TYPE_CHECKING:
    from siteassist_async.export.id_list import Entry

_REASONS: tuple[tuple[type[SiteAssistError], str], ...] = (
    (InvalidIdError, "invalid id"),
    (NotFoundError, "not found"),
    (PermissionDeniedError, "forbidden"),
    (RateLimitError, "rate limited"),
    (ServerError, "server error"),
    (APIError, "refused"),
    (TimedOutError, "timed out"),
    (ConnectionFailedError, "connection failed"),
    (DeadlineExceededError, "deadline exceeded"),
    (UnusableResponseError, "unusable response"),
    (TokenError, "no token"),
)

_TRANSIENT = (
    ServerError,
    RateLimitError,
    TransportError,
    DeadlineExceededError,
    UnusableResponseError,
    TokenError,
)


@frozen
class DeadLetter:
    """One line of the dead letters.

    Attributes:
        id: The id; what stands in the input, or its beginning, where that is no UUID.
        reason: One of a few words for the kind of failure.
        error: The class of the exception.
        message: What it says, on one line.
        retryable: Whether another time may well succeed.
        attempts: Requests that were sent.
        at: When it failed, in UTC.
        line: The line of the input; only for what is no UUID.
        status: The answer's HTTP status, if one came.
        code: The answer's error code, if it had one.
    """

    id: str
    reason: str
    error: str
    message: str
    retryable: bool
    attempts: int
    at: datetime
    line: int | None = None
    status: int | None = None
    code: str | None = None

    @classmethod
    def of(cls, entry: Entry, error: SiteAssistError) -> DeadLetter:
        """Describe a failure."""
        answer = error if isinstance(error, APIError) else None
        return cls(
            id=entry.id or printable(entry.text),
            reason=next((reason for kind, reason in _REASONS if isinstance(error, kind)), "failed"),
            error=type(error).__name__,
            message=printable(str(error), 500),
            retryable=isinstance(error, _TRANSIENT),
            attempts=error.attempts,
            at=datetime.now(UTC).replace(microsecond=0),
            line=None if entry.id else entry.line,
            status=answer.status if answer else None,
            code=printable(answer.code) if answer and answer.code else None,
        )

    @property
    def key(self) -> str | int:
        """What tells it from all other dead letters: the id, or the line of what is none."""
        return self.id if self.line is None else self.line


def encode(letter: DeadLetter) -> bytes:
    """Write a dead letter on one line."""
    return msgspec.json.encode(letter)


def decode(line: bytes) -> DeadLetter:
    """Read a dead letter; raises msgspec's errors where the line is none."""
    return msgspec.json.decode(line, type=DeadLetter)

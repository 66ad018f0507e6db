"""Dead letters: one JSON line for each ID that failed, with the reason."""

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


@frozen
class DeadLetter:
    """One line of the dead letters.

    Attributes:
        id: The ID; if it is not a UUID, the text in the input, or its beginning.
        reason: The kind of failure, in a word or two.
        error: The class of the exception.
        message: The exception's message, on one line.
        retryable: Whether a retry may succeed.
        attempts: Requests that were sent.
        at: When it failed, in UTC.
        line: The line number in the input; only if the ID is not a UUID.
        status: The response's HTTP status, if there was one.
        code: The response's error code, if it had one.
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
            retryable=error.retryable,
            attempts=error.attempts,
            at=datetime.now(UTC).replace(microsecond=0),
            line=None if entry.id else entry.line,
            status=answer.status if answer else None,
            code=printable(answer.code) if answer and answer.code else None,
        )

    @property
    def key(self) -> str | int:
        """What identifies it among all: the ID, or the line number of an invalid one."""
        return self.id if self.line is None else self.line


def encode(letter: DeadLetter) -> bytes:
    """Encode a dead letter as one line."""
    return msgspec.json.encode(letter)


def decode(line: bytes) -> DeadLetter:
    """Decode a dead letter; raises msgspec's errors if the line is not one."""
    return msgspec.json.decode(line, type=DeadLetter)

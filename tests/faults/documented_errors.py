"""The eleven documented errors, each with and without retries."""

from __future__ import annotations

from attrs import evolve

from siteassist_async import RetryPolicy
from siteassist_async.contract import documented_body
from siteassist_async.errors import DOCUMENTED, RateLimitError, ServiceUnavailableError

from .rows import Row, fails
from .wire import GOOD, answer

CODES = {
    400: "INVALID_REQUEST_BODY",
    401: "UNAUTHORIZED",
    402: "PAYMENT_REQUIRED",
    403: "FORBIDDEN",
    404: "CONVERSATION_NOT_FOUND",
    409: "CONFLICT",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_SERVER_ERROR",
    502: "BAD_GATEWAY",
    503: "SERVICE_UNAVAILABLE",
}
PATIENCE = {429: 150, 503: 75}
"""Enough for two waits as long as they ask for, and a tenth more."""

RETRIED = {429, 500, 502, 503}
ONCE = RetryPolicy(attempts=1, patience=0)


def documented(status: int) -> Row:
    """The documented body of a status, which names this id where it names one."""
    return fails(
        str(status),
        answer(documented_body(status), status),
        error=DOCUMENTED[status],
        requests=1,
        reused=True,
        status=status,
        code=CODES[status],
    )


def retried(status: int) -> Row:
    """As above, tried as often as the policy has it."""
    if DOCUMENTED[status] in {RateLimitError, ServiceUnavailableError}:
        retry = RetryPolicy(patience=PATIENCE[status])
        return evolve(documented(status), retry=retry, requests=3)
    return evolve(documented(status), requests=5)


ROWS: list[Row] = [
    *[
        # Who comes next after a refusal has to wait.
        evolve(
            documented(status),
            name=f"{status} without retries",
            retry=ONCE,
            reused=None if status in PATIENCE else True,
        )
        for status in DOCUMENTED
    ],
    *[
        evolve(
            retried(status) if status in RETRIED else documented(status),
            name=f"{status} with retries",
        )
        for status in DOCUMENTED
    ],
    *[
        Row(
            f"{status} once, then the conversation", [*documented(status).plays, [GOOD]], requests=2
        )
        for status in sorted(RETRIED)
    ],
]

"""How a refusal tells its wait, and how a limit shows what it has left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from siteassist_async.emulator.answers import Answer, HeaderPairs, error_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.emulator.limits import Quota

__all__ = ["QuotaHeaders", "RetryAfter", "quota_headers", "refusal"]

RetryAfter: TypeAlias = Literal["exact", "ceil"] | float | None
"""What a refusal says: the exact wait, the wait in whole seconds rounded up, always the same
number, or nothing."""

QuotaHeaders: TypeAlias = Literal["ratelimit", "x-ratelimit", "x-ratelimit-delta"] | None
"""The rate limit headers of every answer: the IETF draft's `RateLimit` and `RateLimit-Policy`,
`X-RateLimit-*` with the reset in Unix time, the same with the reset in seconds, or none."""


def refusal(wait: float, told: RetryAfter, *, header: bool = False) -> Answer:
    """The 429 of a request that would be granted in `wait` seconds.

    With `header` the wait is told in `Retry-After` too, rounded up: the header has no fractions.
    """
    retry_after = _retry_after(wait, told)
    if retry_after is None:
        return error_answer(429, details={})
    answer = error_answer(429, details={"retryAfter": retry_after})
    if header:
        return answer.with_headers((("Retry-After", str(math.ceil(retry_after))),))
    return answer


def quota_headers(
    quota: Quota, style: QuotaHeaders, wall_clock: Callable[[], float]
) -> HeaderPairs:
    """Write a quota as headers; `wall_clock` gives the Unix time."""
    if style is None:
        return ()
    reset = math.ceil(quota.reset)
    if style == "ratelimit":
        policy = f'"default";q={quota.limit};w={math.ceil(quota.window)}'
        left = f'"default";r={quota.remaining};t={reset}'
        return (("RateLimit-Policy", policy), ("RateLimit", left))
    if style == "x-ratelimit":
        reset = math.ceil(wall_clock() + quota.reset)
    return (
        ("X-RateLimit-Limit", str(quota.limit)),
        ("X-RateLimit-Remaining", str(quota.remaining)),
        ("X-RateLimit-Reset", str(reset)),
    )


def _retry_after(wait: float, told: RetryAfter) -> float | None:
    if told == "exact":
        return wait
    if told == "ceil":
        return math.ceil(wait)
    return told

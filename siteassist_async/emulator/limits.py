"""Rate limits, their 429 responses and their headers; without a clock or waiting of their own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from attrs import Factory, define, field, frozen
from attrs.validators import ge, gt

from siteassist_async.emulator.responses import HeaderPairs, StubResponse, error_response

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FixedWindow",
    "Limit",
    "Quota",
    "QuotaHeaders",
    "RetryAfter",
    "TokenBucket",
    "quota_headers",
    "refusal",
]


# Seconds: rounding must not refuse a request that comes exactly when its Retry-After ends.
_ROUNDING = 1e-6


@frozen
class Quota:
    """What is left of a limit.

    `limit` requests at most at once, `remaining` of them now, all again after `reset` seconds;
    a whole `limit` comes back every `window` seconds.
    """

    limit: int
    remaining: int
    reset: float
    window: float


class Limit(Protocol):
    """Decides whether a request is granted; `now` is in seconds of any clock that runs forward."""

    def take(self, now: float) -> float:
        """Spend one request: 0.0 if it is granted, else the seconds until one would be."""
        ...

    def quota(self, now: float) -> Quota:
        """What is left at `now`, after the last request."""
        ...


@define
class TokenBucket:
    """`rate` requests per second on average, `burst` (one second's worth by default) at once.

    Both may be set at any time; they hold from the last request on.
    """

    rate: float = field(validator=gt(0.0))
    burst: float = field(
        validator=ge(1.0), default=Factory(lambda self: max(1.0, self.rate), takes_self=True)
    )
    _tokens: float = field(init=False, default=Factory(lambda self: self.burst, takes_self=True))
    _since: float = field(init=False, default=-math.inf)

    def take(self, now: float) -> float:
        """Spend one token: 0.0 if there was one, else the seconds until there is."""
        self._refill(now)
        if self._tokens >= 1 - _ROUNDING * self.rate:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate

    def quota(self, now: float) -> Quota:
        """What is left at `now`; the window is the time that fills an empty bucket."""
        self._refill(now)
        return Quota(
            limit=int(self.burst),
            remaining=int(self._tokens),
            reset=(self.burst - self._tokens) / self.rate,
            window=self.burst / self.rate,
        )

    def _refill(self, now: float) -> None:
        if now > self._since:
            self._tokens = min(self.burst, self._tokens + (now - self._since) * self.rate)
            self._since = now


@define
class FixedWindow:
    """`count` requests in each window of `window` seconds; the first window begins at `start`."""

    count: int = field(validator=ge(1))
    window: float = field(validator=gt(0.0))
    start: float = 0.0
    _used: int = field(init=False, default=0)

    def take(self, now: float) -> float:
        """Spend one request: 0.0 if the window has one left, else the seconds until the next."""
        self._roll(now)
        if self._used < self.count:
            self._used += 1
            return 0.0
        return self.start + self.window - now

    def quota(self, now: float) -> Quota:
        """What the window of `now` has left."""
        self._roll(now)
        return Quota(
            limit=self.count,
            remaining=self.count - self._used,
            reset=self.start + self.window - now,
            window=self.window,
        )

    def _roll(self, now: float) -> None:
        passed = (now - self.start + _ROUNDING) // self.window
        if passed > 0:
            self.start += passed * self.window
            self._used = 0


RetryAfter: TypeAlias = Literal["exact", "ceil"] | float | None
"""What a 429 names as its wait: the exact one, the one rounded up to whole seconds, a fixed number,
or none."""

QuotaHeaders: TypeAlias = Literal["ratelimit", "x-ratelimit", "x-ratelimit-delta"] | None
"""The rate limit headers of every response: the IETF draft's `RateLimit` and `RateLimit-Policy`,
`X-RateLimit-*` with the reset in Unix time, the same with the reset in seconds, or none."""


def refusal(wait: float, named: RetryAfter, *, header: bool = False) -> StubResponse:
    """Return the 429 of a request that would be granted in `wait` seconds.

    With `header` it has a `Retry-After` header too, rounded up: the header has no fractions.
    """
    if named is None:
        return error_response(429, details={})
    if named == "exact":
        seconds = wait
    elif named == "ceil":
        seconds = math.ceil(wait)
    else:
        seconds = named
    response = error_response(429, details={"retryAfter": seconds})
    if header:
        return response.with_headers((("Retry-After", str(math.ceil(seconds))),))
    return response


def quota_headers(
    quota: Quota, style: QuotaHeaders, wall_clock: Callable[[], float]
) -> HeaderPairs:
    """Format a quota as headers; `wall_clock` returns the Unix time."""
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

"""The client under test and what others do instead, as decisions in virtual time."""

from __future__ import annotations

import math
from random import Random
from typing import TYPE_CHECKING

from attrs import define

from siteassist_async.pacing import Pace

if TYPE_CHECKING:
    from pacing.servers import Refusal


def full_jitter(random: Random, attempt: int) -> float:
    """Seconds: the backoff of this package's retry policy, and of AWS's architecture blog."""
    return random.random() * min(20.0, 0.5 * 2.0 ** min(attempt - 1, 30))


class Unpaced:
    """Sends whenever a slot is free, and backs off for each request by itself.

    As aiohttp-retry, tenacity around a request, or botocore's standard mode.
    """

    spares = False

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)

    def start_at(self, now: float) -> float:
        """At once."""
        return now

    def start(self, now: float) -> None:
        """Nothing is kept."""

    def granted(self, sent: float, now: float) -> None:
        """Nothing is learned."""

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """Full jitter, whatever the server says."""
        del sent, now, refusal
        return full_jitter(self.random, attempt)


class RetryAfter(Unpaced):
    """Delays the refused request, and only it, as long as the server says.

    As @octokit/plugin-throttling, githubkit, azure-core and openai-python.
    """

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """What the server says; without that, full jitter."""
        if refusal.retry_after is None:
            return super().refused(sent, now, refusal, attempt)
        return refusal.retry_after


@define
class Adaptive:
    """botocore's adaptive mode: a cubic send rate, cut by 0.7 at each refusal.

    As botocore/retries/adaptive.py and throttling.py: the rate is at most twice the measured one,
    that is smoothed by 0.8 over half seconds, and the retries back off as in its standard mode.
    """

    random: Random
    spares: bool = False
    _enabled: bool = False
    _rate: float = 1.0
    _tokens: float = 0.0
    _filled: float = 0.0
    _measured: float = 0.0
    _counted: int = 0
    _slice: float = 0.0
    _most: float = 0.0
    _failed: float = 0.0

    def start_at(self, now: float) -> float:
        """As soon as the bucket has a token."""
        self._fill(now)
        if not self._enabled or self._tokens >= 1 - 1e-9:
            return now
        return now + (1 - self._tokens) / self._rate

    def start(self, now: float) -> None:
        """Spend a token."""
        self._fill(now)
        if self._enabled:
            self._tokens -= 1

    def granted(self, sent: float, now: float) -> None:
        """Grow along the cubic."""
        del sent
        self._measure(now)
        plateau = (self._most * 0.3 / 0.4) ** (1 / 3)
        self._set(now, 0.4 * (now - self._failed - plateau) ** 3 + self._most)

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """Cut, and back off."""
        del sent, refusal
        self._measure(now)
        self._most = min(self._measured, self._rate) if self._enabled else self._measured
        self._failed, self._enabled = now, True
        self._set(now, self._most * 0.7)
        return min(20.0, self.random.random() * 2.0 ** min(attempt - 1, 30))

    def _measure(self, now: float) -> None:
        self._counted += 1
        current = math.floor(now * 2) / 2
        if current > self._slice:
            rate = self._counted / (current - self._slice)
            self._measured = 0.8 * rate + 0.2 * self._measured
            self._counted, self._slice = 0, current

    def _set(self, now: float, rate: float) -> None:
        self._fill(now)
        rate = min(rate, 2 * self._measured)
        self._rate = max(rate, 0.5)
        self._tokens = min(self._tokens, max(rate, 1.0))

    def _fill(self, now: float) -> None:
        tokens = self._tokens + (now - self._filled) * self._rate
        self._tokens, self._filled = min(tokens, max(self._rate, 1.0)), now


@define
class Aimd:
    """Additive increase, multiplicative decrease of the requests in flight.

    As AIMDLimit of Netflix's concurrency-limits (10 at first, one more for a grant while at least
    half is in use, 0.9 of it after a refusal); refused requests back off with full jitter.
    """

    random: Random
    spares: bool = False
    _limit: int = 10
    _in_flight: int = 0

    def start_at(self, now: float) -> float:
        """When a slot is free."""
        return now if self._in_flight < self._limit else math.inf

    def start(self, now: float) -> None:
        """Take a slot."""
        del now
        self._in_flight += 1

    def granted(self, sent: float, now: float) -> None:
        """One more, if they are in use."""
        del sent, now
        self._limit += self._in_flight * 2 >= self._limit
        self._in_flight -= 1

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """A tenth less."""
        del sent, now, refusal
        self._in_flight -= 1
        self._limit = max(1, min(self._limit - 1, int(self._limit * 0.9)))
        return full_jitter(self.random, attempt)


class Paced:
    """This package: `Pace` decides for all, and the retry link delays the refused request."""

    spares = True

    def __init__(self, seed: int = 0, *, max_rate: float | None = None) -> None:
        self.random = Random(seed)
        self.pace = Pace(concurrency=64, max_rate=max_rate, random=self.random.random)
        self.start_at, self.start = self.pace.start_at, self.pace.start

    def granted(self, sent: float, now: float) -> None:
        """Told to the pace."""
        self.pace.granted(sent, now)

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """Told to the pace; the retry link's own delay, as in `middleware/retry.py`."""
        self.pace.refused(sent, now, refusal.retry_after, limited=refusal.limited)
        if refusal.retry_after:
            return refusal.retry_after * (1 + self.random.random() / 10)
        return full_jitter(self.random, attempt)

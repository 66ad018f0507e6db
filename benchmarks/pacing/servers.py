"""Servers with a limit, in virtual time: what they grant, and what their refusals say."""

from __future__ import annotations

import math
from typing import Protocol

from attrs import define, field, frozen

from siteassist_async.emulator.limits import Limit, TokenBucket


@frozen
class Refusal:
    """A 429 where `limited`, else a 503; `retry_after` is None where the server names no time."""

    retry_after: float | None
    limited: bool = True


class Says(Protocol):
    """What a refusal says, where one more request would be granted after `wait` seconds."""

    def __call__(self, wait: float) -> float | None:
        """Seconds, or nothing."""
        ...


def exact(wait: float) -> float | None:
    """The very moment."""
    return wait


def rounded(wait: float) -> float | None:
    """Whole seconds, at least one."""
    return float(max(1, math.ceil(wait)))


def always_60(wait: float) -> float | None:
    """A minute, whatever is true."""
    del wait
    return 60.0


def absent(wait: float) -> float | None:
    """Nothing."""
    del wait
    return None


@frozen
class Unlimited:
    """Grants everything."""

    def take(self, now: float) -> float:
        """As of a limit."""
        del now
        return 0.0


@define
class Changing:
    """A token bucket whose rate changes: `rates` are pairs of a time and the rate from then on."""

    bucket: TokenBucket
    rates: tuple[tuple[float, float], ...]
    _passed: int = field(init=False, default=0)

    def take(self, now: float) -> float:
        """As of a limit."""
        while self._passed < len(self.rates) and self.rates[self._passed][0] <= now:
            since, rate = self.rates[self._passed]
            self.bucket.quota(since)  # fills it at the old rate until then
            self.bucket.rate = rate
            self._passed += 1
        return self.bucket.take(now)


@define
class Server:
    """A limit, what is said where it is reached, and a spell of 503s from one time to another."""

    limit: Limit | Changing | Unlimited
    says: Says = exact
    spell: tuple[float, float] = (math.inf, math.inf)

    def answer(self, now: float) -> Refusal | None:
        """None where the request is granted."""
        begin, end = self.spell
        if begin <= now < end:
            return Refusal(self.says(min(5.0, end - now)), limited=False)
        wait = self.limit.take(now)
        return Refusal(self.says(wait)) if wait else None

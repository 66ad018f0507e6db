"""Servers with a limit, in virtual time: what is granted, what is refused and what they say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable


class Limiter(Protocol):
    """Grants or refuses one request at a time; times never go back."""

    def take(self, now: float) -> float:
        """Zero where the request is granted, else the seconds until the next one would be."""
        ...

    def time_for(self, count: float) -> float:
        """The seconds in which `count` requests can be granted from a fresh start: the ideal."""
        ...


@define
class TokenBucket:
    """`rates` requests a second, each from its time on, and at most `burst` saved up."""

    rates: tuple[tuple[float, float], ...]
    burst: float
    _tokens: float = field(default=math.nan, init=False)
    _filled: float = field(default=0.0, init=False)

    def take(self, now: float) -> float:
        """As `Limiter.take`."""
        if math.isnan(self._tokens):
            self._tokens = self.burst
        self._tokens = min(self.burst, self._tokens + self._filled_between(self._filled, now))
        self._filled = now
        # A bucket that fills in steps of 1e-16 must not refuse what it announced.
        if self._tokens >= 1.0 - 1e-9:
            self._tokens -= 1.0
            return 0.0
        return (1.0 - self._tokens) / self.rate(now)

    def rate(self, now: float) -> float:
        """The limit at this moment."""
        return next(rate for since, rate in reversed(self.rates) if since <= now)

    def _filled_between(self, begin: float, end: float) -> float:
        if len(self.rates) == 1:
            return (end - begin) * self.rates[0][1]
        ends = [since for since, _ in self.rates[1:]] + [math.inf]
        return sum(
            max(0.0, min(end, until) - max(begin, since)) * rate
            for (since, rate), until in zip(self.rates, ends, strict=True)
        )

    def time_for(self, count: float) -> float:
        """As `Limiter.time_for`."""
        left = count - self.burst
        if left <= 0:
            return 0.0
        for (since, rate), (until, _) in zip(self.rates, self.rates[1:], strict=False):
            if left <= (until - since) * rate:
                return since + left / rate
            left -= (until - since) * rate
        since, rate = self.rates[-1]
        return since + left / rate


@define
class FixedWindow:
    """`quota` requests in each window of `length` seconds."""

    quota: int
    length: float
    _window: int = field(default=-1, init=False)
    _used: int = field(default=0, init=False)

    def take(self, now: float) -> float:
        """As `Limiter.take`."""
        window = int(now // self.length)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used < self.quota:
            self._used += 1
            return 0.0
        return (window + 1) * self.length - now

    def rate(self, now: float) -> float:
        """The limit at this moment, spread over a window."""
        del now
        return self.quota / self.length

    def time_for(self, count: float) -> float:
        """As `Limiter.time_for`."""
        return (math.ceil(count / self.quota) - 1) * self.length


@define
class Unlimited:
    """Grants everything."""

    def take(self, now: float) -> float:
        """As `Limiter.take`."""
        del now
        return 0.0

    def rate(self, now: float) -> float:
        """No limit."""
        del now
        return math.inf

    def time_for(self, count: float) -> float:
        """As `Limiter.time_for`."""
        del count
        return 0.0


@frozen
class Refusal:
    """A 429 where `limited`, else a 503; `retry_after` is None where the server names no time."""

    retry_after: float | None
    limited: bool = True


def exact(wait: float) -> float | None:
    """The server names the very moment."""
    return wait


def rounded_up(wait: float) -> float | None:
    """The server names whole seconds, at least one."""
    return float(max(1, math.ceil(wait)))


def always_60(wait: float) -> float | None:
    """The server names a minute whatever is true."""
    del wait
    return 60.0


def absent(wait: float) -> float | None:
    """The server names nothing."""
    del wait


@define
class Server:
    """A limiter, what its refusals say, and a spell of 503s."""

    limiter: TokenBucket | FixedWindow | Unlimited
    says: Callable[[float], float | None] = exact
    spell: tuple[float, float] = (math.inf, math.inf)

    def answer(self, now: float) -> Refusal | None:
        """None where the request is granted."""
        begin, end = self.spell
        if begin <= now < end:
            return Refusal(self.says(min(5.0, end - now)), limited=False)
        wait = self.limiter.take(now)
        return Refusal(self.says(wait)) if wait > 0 else None

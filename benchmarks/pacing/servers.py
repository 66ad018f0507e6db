"""Servers with a limit, in virtual time: what they grant, and what their refusals say."""

from __future__ import annotations

import math
from enum import Enum
from typing import Protocol

from attrs import define, field, frozen

from siteassist_async.emulator.limits import Limit, TokenBucket


class Kind(Enum):
    """How a request fails."""

    LIMITED = "429"
    UNAVAILABLE = "503"
    BROKEN = "no connection"


@frozen
class Refusal:
    """Why there is no answer; `retry_after` is None where the server names no time."""

    retry_after: float | None
    kind: Kind = Kind.LIMITED


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


@frozen
class Spell:
    """A time in which nothing is granted; a time to wait that is named is `retry_after` at most.

    `truly`: No refusal names more than what is left of the spell.
    """

    begin: float
    end: float
    kind: Kind = Kind.UNAVAILABLE
    retry_after: float | None = 5.0
    truly: bool = False

    def refusal(self, now: float, says: Says) -> Refusal:
        """What is answered in it."""
        if self.retry_after is None:
            return Refusal(None, self.kind)
        if not self.truly:
            return Refusal(self.retry_after, self.kind)
        return Refusal(says(min(self.retry_after, self.end - now)), self.kind)


@define
class Server:
    """A limit, what is said where it is reached, a spell, and ids that are refused by themselves.

    Attributes:
        bad: Those ids.
        badly: What is answered to them, always; it takes nothing from the limit.
        vainly: How often it was.
    """

    limit: Limit | Changing | Unlimited
    says: Says = exact
    spell: Spell | None = None
    bad: frozenset[int] = frozenset()
    badly: Refusal = Refusal(30.0, Kind.UNAVAILABLE)
    vainly: int = field(init=False, default=0)

    def answer(self, now: float, subject: int) -> Refusal | None:
        """None where the request is granted."""
        if self.spell is not None and self.spell.begin <= now < self.spell.end:
            return self.spell.refusal(now, self.says)
        if subject in self.bad:
            self.vainly += 1
            return self.badly
        wait = self.limit.take(now)
        return Refusal(self.says(wait)) if wait else None

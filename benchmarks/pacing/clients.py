"""The client under test and what others do instead, as decisions in virtual time."""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from pacing.engine import Item
from pacing.servers import Kind
from siteassist_async.errors import (
    ConnectionFailedError,
    RateLimitError,
    ServiceUnavailableError,
    SiteAssistError,
)
from siteassist_async.middleware.retry import RetryBudget
from siteassist_async.middleware.retry_policy import Retry, RetryPolicy, decide, requested_delay
from siteassist_async.pacing import Pace, Permit, StartTooLateError, Waiter, WaitQueue
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from pacing.servers import Refusal

POLICY = RetryPolicy()


def full_jitter(random: Random, attempt: int) -> float:
    """Seconds: the backoff of this package's retry policy, and of AWS's architecture blog."""
    return random.random() * min(20.0, 0.5 * 2.0 ** min(attempt - 1, 30))


def error_of(refusal: Refusal) -> SiteAssistError:
    """The error that this package raises for it."""
    if refusal.kind is Kind.BROKEN:
        return ConnectionFailedError("")
    limited = refusal.kind is Kind.LIMITED
    return (RateLimitError if limited else ServiceUnavailableError)(retry_after=refusal.retry_after)


@define(eq=False)
class Unpaced:
    """Sends whenever a slot is free, and backs off for each request by itself.

    As aiohttp-retry, tenacity around a request, or botocore's standard mode. After so many
    `attempts` an item has failed.
    """

    seed: int = 0
    attempts: float = math.inf
    slots: int = 64
    random: Random = field(init=False)
    started: list[Item] = field(init=False, factory=list["Item"])
    dropped: list[Item] = field(init=False, factory=list["Item"])
    _queue: deque[Item] = field(init=False, factory=deque["Item"])
    _in_flight: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)

    def enter(self, item: Item, now: float) -> None:
        """First come, first served."""
        del now
        self._queue.append(item)

    def advance(self, now: float) -> float:
        """Start what may start; when to look again."""
        while self._queue:
            if self._queue[0].over:
                self._queue.popleft()
                continue
            at = self.start_at(now) if self._in_flight < self.slots else math.inf
            if at > now:
                return at
            self.start(now)
            self._in_flight += 1
            self.started.append(self._queue.popleft())
        return math.inf

    def start_at(self, now: float) -> float:
        """At once."""
        return now

    def start(self, now: float) -> None:
        """Nothing is kept."""

    def granted(self, item: Item, now: float) -> None:
        """Nothing is learned."""
        del item, now
        self._in_flight -= 1

    def refused(self, item: Item, now: float, refusal: Refusal) -> Retry | SiteAssistError:
        """Back off, up to the last attempt."""
        del now
        self._in_flight -= 1
        if item.attempts >= self.attempts:
            return error_of(refusal)
        return Retry(self.delay(refusal, item.attempts))

    def delay(self, refusal: Refusal, attempt: int) -> float:
        """Full jitter, whatever the server says."""
        del refusal
        return full_jitter(self.random, attempt)

    def abandon(self, item: Item) -> None:
        """Nobody waits for it any more."""
        self._in_flight -= item.in_flight


@define(eq=False)
class RetryAfter(Unpaced):
    """Delays the refused request, and only it, as long as the server says.

    As @octokit/plugin-throttling, githubkit, azure-core and openai-python.
    """

    def delay(self, refusal: Refusal, attempt: int) -> float:
        """What the server says; without that, full jitter."""
        if refusal.retry_after is None:
            return full_jitter(self.random, attempt)
        return refusal.retry_after


@define(eq=False)
class Adaptive(Unpaced):
    """botocore's adaptive mode: a cubic send rate, cut by 0.7 at each refusal.

    As botocore/retries/adaptive.py and throttling.py: the rate is at most twice the measured one,
    that is smoothed by 0.8 over half seconds, and the retries back off as in its standard mode.
    """

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

    def granted(self, item: Item, now: float) -> None:
        """Grow along the cubic."""
        Unpaced.granted(self, item, now)
        self._measure(now)
        plateau = (self._most * 0.3 / 0.4) ** (1 / 3)
        self._set(now, 0.4 * (now - self._failed - plateau) ** 3 + self._most)

    def refused(self, item: Item, now: float, refusal: Refusal) -> Retry | SiteAssistError:
        """Cut, and back off."""
        self._measure(now)
        self._most = min(self._measured, self._rate) if self._enabled else self._measured
        self._failed, self._enabled = now, True
        self._set(now, self._most * 0.7)
        return Unpaced.refused(self, item, now, refusal)

    def delay(self, refusal: Refusal, attempt: int) -> float:
        """As of its standard mode."""
        del refusal
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


@define(eq=False)
class Aimd(Unpaced):
    """Additive increase, multiplicative decrease of the requests in flight.

    As AIMDLimit of Netflix's concurrency-limits (10 at first, one more for a grant while at least
    half is in use, 0.9 of it after a refusal); refused requests back off with full jitter.
    """

    _limit: int = 10

    def start_at(self, now: float) -> float:
        """When a slot is free."""
        return now if self._in_flight < self._limit else math.inf

    def granted(self, item: Item, now: float) -> None:
        """One more, if they are in use."""
        self._limit += self._in_flight * 2 >= self._limit
        Unpaced.granted(self, item, now)

    def refused(self, item: Item, now: float, refusal: Refusal) -> Retry | SiteAssistError:
        """A tenth less."""
        self._limit = max(1, min(self._limit - 1, int(self._limit * 0.9)))
        return Unpaced.refused(self, item, now, refusal)


class Paced:
    """This package: `Pace` and `WaitQueue` decide for all, the retry policy for each item."""

    def __init__(self, seed: int = 0, *, max_rate: float | None = None, slots: int = 64) -> None:
        self.random = Random(seed)
        self.started: list[Item] = []
        self.dropped: list[Item] = []
        self.pace = Pace(concurrency=slots, max_rate=max_rate, random=self.random.random)
        self._slots = Slots(slots)
        self._queue = WaitQueue()
        self._budget = RetryBudget(POLICY.budget)

    def enter(self, item: Item, now: float) -> None:
        """As `AdaptivePacer.acquire`."""
        latest = self.pace.latest_start(now, item.deadline)
        item.waiter = waiter = Waiter(
            item.job.key, item.bulk, latest, self._slots, partial(self._told, item)
        )
        try:
            self._queue.enter(waiter, self.pace, now)
        except StartTooLateError:
            self.dropped.append(item)

    def advance(self, now: float) -> float:
        """Start what may start; when to look again."""
        return self._queue.advance(self.pace, now)

    def granted(self, item: Item, now: float) -> None:
        """Told to the pace."""
        self._slots.release()
        self.pace.succeeded(self._permit(item), now)
        if not item.bulk:
            self._budget.earn()

    def refused(self, item: Item, now: float, refusal: Refusal) -> Retry | SiteAssistError:
        """Told to the pace; what follows is as in `middleware/retry.py`."""
        self._slots.release()
        permit = self._permit(item)
        if refusal.kind is Kind.BROKEN:
            self.pace.abandoned(permit)
        else:
            limited = refusal.kind is Kind.LIMITED
            alone, _ = self.pace.throttled(permit, now, refusal.retry_after, limited=limited)
            item.progress.throttled_alone += alone
        return self._again(item, now, error_of(refusal))

    def abandon(self, item: Item) -> None:
        """Nobody waits for it any more."""
        if item.in_flight:
            self._slots.release()
            self.pace.abandoned(self._permit(item))
        elif item.waiter is not None:
            self._queue.leave(item.waiter)

    def _again(self, item: Item, now: float, error: SiteAssistError) -> Retry | SiteAssistError:
        progress = item.progress
        error.isolated = progress.throttled_alone >= POLICY.refusals - 1
        retry = decide(POLICY, error, progress, self.random.random(), bulk=item.bulk)
        if retry is None or now + retry.delay >= item.deadline:
            return error
        if not retry.spends_attempt:
            progress.throttled += 1
        elif item.bulk or self._budget.spend():
            progress.spent += 1
        else:
            return error
        if requested_delay(error):
            progress.patience = max(0.0, progress.patience - retry.delay)
        return retry

    def _told(self, item: Item) -> None:
        outcome = None if item.waiter is None else item.waiter.outcome
        if isinstance(outcome, Permit):
            item.permit = outcome
            self.started.append(item)
        else:
            self.dropped.append(item)

    def _permit(self, item: Item) -> Permit:
        if item.permit is None:
            raise AssertionError(item)
        return item.permit

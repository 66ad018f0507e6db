"""The pacing decisions: when the next request may start. No I/O; the time is passed in.

Three limits apply at once: the gate (a pause of all requests), the window (requests in flight) and
the rate (requests per second). The window opens by slow start; the rate is learned from 429s.
"""

from __future__ import annotations

import math
import random as random_module
from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from siteassist_async.events import GateClosed, PaceEvent, RateChanged, WindowChanged
from siteassist_async.immutable import define, frozen
from siteassist_async.pacing.gate import LONGEST_PAUSE, Backoff, Gate, is_usable, pause_after
from siteassist_async.pacing.hints import HeaderHints
from siteassist_async.pacing.isolation import Isolation
from siteassist_async.pacing.learner import CREDIT, Learner, restored
from siteassist_async.pacing.pacer import PaceSnapshot, Permit
from siteassist_async.pacing.rate import LearnedRate, Rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.pacing.hints import RateLimitHint


# `high` estimates this quantile. It grows by about a tenth after a longer response and shrinks a
# little after a shorter one, so an outlier of 20 s moves it no further than one of 1 s.
QUANTILE, STEP = 0.98, 0.1
LONGER, SHORTER = 1 + STEP * QUANTILE, 1 - STEP * (1 - QUANTILE)
# Seconds: the assumed mean before the first response.
UNKNOWN = 0.1


@define
class Latency:
    """A mean and a high quantile of response times, weighted towards recent ones.

    Attributes:
        mean: Mean response time in seconds.
        high: Seconds within which nearly all responses arrive; 0 before the first.
    """

    mean: float = UNKNOWN
    high: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a response time in seconds."""
        seconds = max(seconds, 1e-3)
        if not self.high:
            self.mean = self.high = seconds
            return
        # Outliers count as ten times the mean, so that a single one does not dominate it.
        most = 10 * self.mean
        self.mean += 0.1 * (min(seconds, most) - self.mean)
        self.high *= LONGER if seconds > self.high else SHORTER


# Slow start: the initial window; the requests that may start at once; the requests per second after
# them, doubled after each window's worth of successes; and the successes that end it. Small jobs
# run at nearly full speed, and yet the first 429, which takes some 25 ms to arrive, does not find a
# whole window of requests in flight.
FIRST_WINDOW, FIRST_BURST, FIRST_RATE, SLOW_START = 32, 14, 420.0, 128
# After this many general throttlings in a row, only one request is sent at a time. If its response
# takes more than ALONE_FOR seconds, another one is sent, so that a slow response blocks nothing.
ALONE, ALONE_FOR = 2, 2.0
# For URGENT_FOR seconds after the start of an interactive call, bulk work leaves one in RESERVED of
# the window free for such calls.
URGENT_FOR, RESERVED = 10.0, 4
# One request in this many is timed: that is precise enough, and costs less.
SAMPLED = 4
# The number of 429s that may be taken back, because they turn out to be about their IDs only.
MOST_BLAMED = 8
# Seconds after which a rate that an earlier run learned may be out of date, and after which it is
# ignored.
STALE, FORGOTTEN = 300.0, 86_400.0


@frozen
class _Blamed:
    """An ID whose 429 changed the rate, and the learner's state from before."""

    subject: Hashable
    learner: Learner


class Pace:
    """The state of a pacer: a gate, a window and a rate; without I/O, clock or lock.

    Each permit from `start` must be settled exactly once, with `succeeded`, `throttled` or
    `abandoned`. `random` returns numbers from [0, 1).
    """

    def __init__(
        self,
        *,
        concurrency: int = 64,
        max_rate: float | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._concurrency = concurrency
        self._random = random
        self._window = concurrency if max_rate else min(concurrency, FIRST_WINDOW)
        self._limit = self._window
        self._in_flight = 0
        self._in_a_row = 0
        # Requests in flight that started after the last general throttling; the number of the last
        # start before that; and the number of the last start that a fork has made irrelevant.
        self._since_cut = self._cut_number = self._forgotten = 0
        self._last_start = -math.inf
        self._earliest = -math.inf
        self._urgent_until = -math.inf
        self._gate = Gate()
        self._backoff = Backoff()
        self._learner = Learner(max_rate)
        self._blamed: deque[_Blamed] = deque(maxlen=MOST_BLAMED)
        self._hints = HeaderHints()
        self._isolation = Isolation()
        self._latency = Latency()
        self._started = 0
        self._succeeded = 0
        self._throttled = 0

    @property
    def limit(self) -> int:
        """The maximum number of requests in flight."""
        return self._limit

    @property
    def opens(self) -> float:
        """The time from which the next request may pass the gate; it may be in the past."""
        return self._gate.probes()

    def adjust(self, *, concurrency: int, max_rate: float | None) -> None:
        """Raise the maximum window to `concurrency`; replace `max_rate` if it is given."""
        self._concurrency = max(self._concurrency, concurrency)
        if max_rate is not None:
            self._learner.max_rate = max_rate

    def forget_flights(self) -> None:
        """Treat nothing as in flight any more, in a forked process."""
        self._in_flight = self._since_cut = 0
        self._cut_number = self._forgotten = self._started

    def parked_until(self, subject: Hashable) -> float:
        """Return when a throttled ID may be requested again; 0 if it is not throttled."""
        return self._isolation.parked_until(subject) if self._isolation.parked else 0.0

    def was_throttled(self, subject: Hashable) -> bool:
        """Whether an ID was throttled and has not succeeded since."""
        return subject in self._isolation.parked

    def would_isolate(self, subject: Hashable) -> bool:
        """Whether another throttling of an ID would show that it is throttled individually."""
        return not self._in_a_row and self._isolation.would_isolate(subject)

    def start_at(self, now: float, *, bulk: bool = False) -> float:
        """Return the earliest time for the next start; infinite while the window is full."""
        limit = self._limit
        if bulk and now < self._urgent_until:
            limit -= limit // RESERVED
        if self._in_a_row >= ALONE:
            if self._since_cut:
                return max(self._from(now), self._last_start + ALONE_FOR)
        elif self._in_flight >= limit:
            return math.inf
        return self._from(now)

    def try_start(self, now: float, subject: Hashable, *, bulk: bool) -> Permit | None:
        """Start a request now if allowed, else return None; the fast path of most requests."""
        limit = self._limit
        if bulk and now < self._urgent_until:
            limit -= limit // RESERVED
        if now < self._earliest:
            return None
        if self._since_cut if self._in_a_row >= ALONE else self._in_flight >= limit:
            return None
        if self._isolation.parked and self._isolation.parked_until(subject) > now:
            return None
        return self.start(now, subject, bulk=bulk)

    def start(self, now: float, subject: Hashable = None, *, bulk: bool = False) -> Permit:
        """Start a request now; without a subject, it counts as being about an ID of its own."""
        if not bulk:
            self._urgent_until = now + URGENT_FOR
        self._in_flight += 1
        self._since_cut += 1
        self._started += 1
        self._last_start = now
        if now < self._gate.until:
            self._gate.probe(now)
        self._learner.start(now, self._earliest)
        rate, credit = self._learner.current, CREDIT
        if rate is None and self._succeeded < SLOW_START:
            rate = FIRST_RATE * 2.0 ** (self._succeeded // FIRST_WINDOW)
            credit = FIRST_BURST / FIRST_RATE
        if rate is not None:
            self._earliest = max(self._earliest, now - credit) + 1 / rate
        return Permit(now, subject or object(), bulk, self._started)

    def expected_start(self, now: float, ahead: int, *, shared: bool = False) -> float:
        """Estimate when a request would start behind `ahead` others.

        Set `shared` if bulk work waits too, because that gets a share of the starts.
        """
        rate = min(self._learner.current or math.inf, self._limit / self._latency.mean)
        if shared:
            rate *= 1 - 1 / RESERVED
        return self._from(now) + ahead / rate

    def latest_start(self, now: float, deadline: float) -> float:
        """Return when a call must start at the latest to receive its response by its deadline."""
        # At most half of the time is reserved for the response. Otherwise, once responses took too
        # long, no request would ever be sent to find out that they no longer do.
        return deadline - min(self._latency.high, (deadline - now) / 2)

    def spare(self, left: float) -> float:
        """Return how much of the `left` seconds for waiting to reserve for a slow response."""
        return min(self._latency.high, left / 4)

    def succeeded(
        self, permit: Permit, now: float, hint: RateLimitHint | None = None
    ) -> tuple[PaceEvent, ...]:
        """Settle a request that was not throttled, whatever its status."""
        number = permit.number
        self._in_flight -= number > self._forgotten
        self._since_cut -= number > self._cut_number
        self._succeeded += 1
        if number % SAMPLED == 0 or number < FIRST_WINDOW:
            self._latency.add(now - permit.sent)
        is_over = self._isolation.watch and self._isolation.succeeded(permit)
        counts = self._learner.succeeded(permit.sent, now)
        # A probe succeeded: the outage is over, and the rate continues where it was before.
        if now < self._gate.until and (is_over or counts) and self._gate.open(now):
            self._earliest = now
            self._learner.resume(now)
        events: tuple[PaceEvent, ...] = ()
        if hint is not None:
            wait = self._hints.succeeded(permit.sent, now, hint)
            if wait and self._gate.close(now, wait):
                self._rest(limited=False)
                events = (GateClosed(wait),)
        if self._window == self._concurrency and not (counts and self._in_a_row):
            return events
        self._window = min(self._concurrency, self._window + 1)
        if counts:
            self._in_a_row = 0
            self._backoff.end(now)
        return (*events, *self._window_change())

    def throttled(
        self,
        permit: Permit,
        now: float,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None = None,
    ) -> tuple[bool, tuple[PaceEvent, ...]]:
        """Settle a throttled request: a 429 if `limited`, else a 503.

        Returns whether only this subject is throttled, and the events. The ID is parked in any
        case; what is not judged to be general affects no other request. A general 503 closes the
        gate; a general 429 also teaches the learner, unless it was sent before the last one that
        did: then it only extends the gate. Without a usable `retry_after`, the time is taken from
        the header hint or from the backoff.
        """
        self._settle(permit)
        self._throttled += 1
        if not is_usable(retry_after) and hint is not None:
            retry_after = self._hints.wait(hint)
        verdict = self._isolation.throttled(
            permit,
            now,
            now + min(retry_after, LONGEST_PAUSE)
            if retry_after is not None and is_usable(retry_after)
            else now,
            limited=limited,
            started=self._started,
            in_a_row=self._in_a_row,
        )
        if verdict.own and limited and any(one.subject == permit.subject for one in self._blamed):
            return verdict.alone, self._take_back(permit.subject, now)
        if not verdict.general:
            return verdict.alone, ()
        return False, self._close(permit, now, retry_after, limited=limited)

    def abandoned(self, permit: Permit) -> None:
        """Settle a request that neither succeeded nor was throttled, such as a cancelled one."""
        self._settle(permit)

    def learned(self, epoch: float) -> LearnedRate | None:
        """Return the learned rate for a later run; None before the first 429."""
        rate = self._learner.rate
        return None if rate is None else LearnedRate(rate.ceiling, rate.period, epoch)

    def restore(self, learned: LearnedRate, now: float, *, epoch: float) -> tuple[PaceEvent, ...]:
        """Start from a rate that an earlier run learned, unless a rate has been learned already.

        A rate older than STALE is probed upwards at once, and one older than FORGOTTEN is ignored;
        `epoch` is the current Unix time.
        """
        rate = self._learner.rate
        age = epoch - learned.at
        if rate is not None or not learned.is_usable() or not age < FORGOTTEN:
            return ()
        start = restored(learned.rate, learned.period, climbing=not -STALE < age < STALE)
        self._learner.restore(start, now)
        self._window = self._concurrency
        return (*self._rate_change(rate), *self._window_change())

    def snapshot(self, now: float) -> PaceSnapshot:
        """Return the current state, for display."""
        rate = self._learner.rate
        return PaceSnapshot(
            rate=self._learner.current,
            ceiling=None if rate is None else rate.ceiling,
            gate=self._gate.left(now),
            in_flight=self._in_flight,
            limit=self._limit,
            succeeded=self._succeeded,
            throttled=self._throttled,
            waited=self._gate.waited(now),
            parked=len(self._isolation.parked),
        )

    def _from(self, now: float) -> float:
        """Return the earliest start by the gate and the rate alone."""
        opens = self._gate.until
        if now >= opens:
            return max(now, self._earliest)
        probe = self._gate.probes()
        return max(now, probe) if probe < opens else max(opens, self._earliest)

    def _settle(self, permit: Permit) -> None:
        self._in_flight -= permit.number > self._forgotten
        self._since_cut -= permit.number > self._cut_number

    def _close(
        self, permit: Permit, now: float, retry_after: float | None, *, limited: bool
    ) -> tuple[PaceEvent, ...]:
        """Handle a general throttling: close the gate, and learn from a 429."""
        rate = self._learner.rate
        counts = self._learner.throttled(permit.sent, now)
        self._in_a_row += counts
        self._hints.throttled(permit.sent)
        if retry_after is None or not is_usable(retry_after):
            pause = self._backoff.after(now, self._in_a_row, self._random(), limited=limited)
        else:
            pause = pause_after(retry_after, self._in_a_row, self._random())
        closed = self._gate.close(now, pause, strict=limited)
        if counts and limited:
            self._blamed.append(_Blamed(permit.subject, self._learner.copy()))
            named = is_usable(retry_after)
            # Little's law: the rate at which the requests in flight complete.
            at_once = self._in_flight / self._latency.mean if self._succeeded else 0.0
            until, flying = self._gate.until, (self._in_flight, at_once)
            self._learner.learn(permit.sent, now, until, flying, named=named)
        if counts:
            self._cut(now)
        if counts or closed:
            self._rest(limited=limited)
        gate = GateClosed(pause, asked=is_usable(retry_after))
        return (*_if(gate, when=closed), *self._rate_change(rate), *self._window_change())

    def _cut(self, now: float) -> None:
        """Ignore the outcomes of requests sent before now."""
        self._learner.cut(now)
        self._since_cut, self._cut_number = 0, self._started

    def _take_back(self, subject: Hashable, now: float) -> tuple[PaceEvent, ...]:
        """Roll back what was learned since a 429 that turned out to be about its ID only."""
        before = self._learner.rate
        while (blamed := self._blamed.pop()).subject != subject:
            pass
        blamed.learner.max_rate = self._learner.max_rate  # `adjust` may have changed it since
        blamed.learner.resume(now)
        self._learner = blamed.learner
        self._cut(now)
        self._earliest = min(self._earliest, now)
        return self._rate_change(before)

    def _rest(self, *, limited: bool) -> None:
        until = self._gate.until
        self._learner.rest(until, limited=limited, calm=self._last_start < self._urgent_until)
        # A random point in the first interval, so that many clients do not start in step.
        rate = self._learner.current
        self._earliest = until if rate is None else until + self._random() / rate

    def _rate_change(self, before: Rate | None) -> tuple[PaceEvent, ...]:
        after, current = self._learner.rate, self._learner.current
        if after is None or current is None:
            return ()
        return _if(RateChanged(current), when=before is None or before.floor != after.floor)

    def _window_change(self) -> tuple[PaceEvent, ...]:
        before = self._limit
        self._limit = 1 if self._in_a_row >= ALONE else self._window
        return _if(WindowChanged(self._limit), when=self._limit != before)


def _if(event: PaceEvent, *, when: bool) -> tuple[PaceEvent, ...]:
    return (event,) if when else ()

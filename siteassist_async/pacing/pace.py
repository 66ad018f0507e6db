"""The pacing decisions: when the next request may start, with the time passed in."""

from __future__ import annotations

import math
import random as random_module
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.pacing.episode import restored
from siteassist_async.pacing.events import GateClosed, PaceEvent, RateChanged, WindowChanged
from siteassist_async.pacing.foresight import Foresight
from siteassist_async.pacing.gate import Backoff, Gate, is_usable, pause_after
from siteassist_async.pacing.learned import LearnedRate
from siteassist_async.pacing.learner import CREDIT, Learner

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.pacing.hints import RateLimitHint
    from siteassist_async.pacing.rate import Rate

# Slow start: requests in flight at first; of these so many at once, and then so many a second,
# twice as many after each window's worth of grants, until so many are granted. Small jobs stay
# near full speed, and a refusal, which takes some 25 ms to come back, does not find a whole window
# of requests on their way.
FIRST_WINDOW, FIRST_BURST, FIRST_RATE, SLOW_START = 32, 14, 420.0, 128
# From this many refusals in a row on, one request goes ahead alone.
ALONE = 2


@frozen
class PaceSnapshot:
    """What a pacer knows at one moment.

    Attributes:
        rate: Requests a second now; None while nothing paces.
        ceiling: The limit as it was last measured.
        gate: Seconds until the gate opens.
        in_flight: Requests.
        limit: Requests that may be in flight.
        granted: Requests, as are those `refused`.
        waited: Seconds for which the gate has been closed.
    """

    rate: float | None
    ceiling: float | None
    gate: float
    in_flight: int
    limit: int
    granted: int
    refused: int
    waited: float


class Pace:
    """A gate, a window and a rate; no I/O, no clock, no lock.

    Each `start` is followed by exactly one `granted`, `refused` or `released`. `random` gives
    numbers from [0, 1).
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
        self._earliest = -math.inf
        self._gate = Gate()
        self._backoff = Backoff()
        self._learner = Learner(max_rate)
        self._foresight = Foresight()
        self._granted = 0
        self._refused = 0

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        return self._limit

    @property
    def opens(self) -> float:
        """The time at which the gate opens, or did."""
        return self._gate.until

    def adjust(self, *, concurrency: int, max_rate: float | None) -> None:
        """Let the window grow to at least `concurrency`; a `max_rate` replaces the one before."""
        self._concurrency = max(self._concurrency, concurrency)
        if max_rate is not None:
            self._learner.max_rate = max_rate

    def start_at(self, now: float) -> float:
        """The earliest time for the next start; infinite until a slot is free."""
        if self._in_flight >= self._limit:
            return math.inf
        return max(now, self._earliest)

    def try_start(self, now: float) -> bool:
        """Count a request that starts now, if one may."""
        if self._in_flight >= self._limit or now < self._earliest:
            return False
        self.start(now)
        return True

    def start(self, now: float) -> None:
        """Count a request that starts now."""
        self._in_flight += 1
        self._learner.start(now, self._earliest)
        rate, credit = self._learner.current, CREDIT
        if rate is None:
            if self._granted >= SLOW_START:
                return
            rate = FIRST_RATE * 2.0 ** (self._granted // FIRST_WINDOW)
            credit = FIRST_BURST / FIRST_RATE
        self._earliest = max(self._earliest, now - credit) + 1 / rate

    def granted(
        self, sent: float, now: float, hint: RateLimitHint | None = None
    ) -> tuple[PaceEvent, ...]:
        """An answer that is no refusal came to a request started at `sent`."""
        self._in_flight -= 1
        self._granted += 1
        counts = self._learner.granted(sent, now)
        events = () if hint is None else self._heed(sent, now, hint)
        if self._window == self._concurrency and not (counts and self._in_a_row):
            return events
        self._window = min(self._concurrency, self._window + 1)
        if counts:
            self._in_a_row = 0
            self._backoff.end(now)
        return (*events, *self._window_change())

    def refused(
        self,
        sent: float,
        now: float,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None = None,
    ) -> tuple[PaceEvent, ...]:
        """A refusal came to a request started at `sent`; `limited` for a 429, else a 503.

        One to a request sent before the last refusal only extends the gate, and a 503 only closes
        it. Where `retry_after` names no time, a header's is taken, or a backoff.
        """
        rate = self._learner.rate
        self._in_flight -= 1
        self._refused += 1
        counts = self._learner.refused(sent, now)
        self._in_a_row += counts
        self._foresight.refused(sent)
        if not is_usable(retry_after) and hint is not None:
            retry_after = self._foresight.wait(hint)
        pause = self._pause(retry_after, now, limited=limited)
        closed = self._gate.close(now, pause)
        if counts and limited:
            named = is_usable(retry_after)
            self._learner.learn(sent, now, self._gate.until, self._in_flight, named=named)
        if counts:
            self._learner.cut(now)
        if counts or closed:
            self._rest(limited=limited)
        gate = GateClosed(pause, asked=is_usable(retry_after))
        return (*_if(gate, when=closed), *self._rate_change(rate), *self._window_change())

    def released(self) -> None:
        """A request ended in a way that teaches nothing."""
        self._in_flight -= 1

    def learned(self) -> LearnedRate | None:
        """What is worth keeping for the next run; None before the first 429."""
        rate = self._learner.rate
        return None if rate is None else LearnedRate(rate.ceiling, rate.period)

    def restore(self, learned: LearnedRate, now: float) -> tuple[PaceEvent, ...]:
        """Begin at a rate that an earlier run learned, unless this one has learned one."""
        rate = self._learner.rate
        if rate is not None or not learned.is_usable():
            return ()
        self._learner.restore(restored(learned.rate, learned.period), now)
        self._window = self._concurrency
        return (*self._rate_change(rate), *self._window_change())

    def snapshot(self, now: float) -> PaceSnapshot:
        """The state for people and progress lines."""
        rate = self._learner.rate
        return PaceSnapshot(
            rate=self._learner.current,
            ceiling=None if rate is None else rate.ceiling,
            gate=self._gate.left(now),
            in_flight=self._in_flight,
            limit=self._limit,
            granted=self._granted,
            refused=self._refused,
            waited=self._gate.waited(now),
        )

    def _heed(self, sent: float, now: float, hint: RateLimitHint) -> tuple[PaceEvent, ...]:
        wait = self._foresight.granted(sent, now, hint)
        if not wait or not self._gate.close(now, wait):
            return ()
        self._rest(limited=False)
        return (GateClosed(wait),)

    def _pause(self, retry_after: float | None, now: float, *, limited: bool) -> float:
        if retry_after is None or not is_usable(retry_after):
            return self._backoff.after(now, self._in_a_row, self._random(), limited=limited)
        return pause_after(retry_after, self._in_a_row, self._random())

    def _rest(self, *, limited: bool) -> None:
        until = self._gate.until
        self._learner.rest(until, limited=limited)
        # Somewhere in the first interval, so that many clients do not start in step.
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

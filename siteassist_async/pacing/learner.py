"""The learner: measures the limit from what succeeds between two 429s, and sets the next rate."""

from __future__ import annotations

import copy
import math

from attrs import field

from siteassist_async.immutable import define, frozen
from siteassist_async.pacing.rate import PERIOD_PER_PAUSE, SHORTEST_PERIOD, SLOWEST, Rate, within

# The share of the measured limit to continue with, so that the server's token bucket refills a bit.
CUT = 0.95
# Cuts of the rate if nothing could be measured, and after a climb to well above the limit.
BLIND_CUT, CUT_AFTER_CLIMB = 0.85, 0.75
# The margin of error of a measurement: this many requests, plus those of this many seconds.
DOUBT, DOUBT_TIME = 2.0, 0.05
# The lowest share of the rate that a single 429 cuts to.
DEEPEST_CUT = 0.5
# The ceiling before a climb had been right until then. After the climb it moves by this share, on a
# logarithmic scale, towards the rate at which the climb ended.
RAISE = 0.15
# With a quota per window, the rate is raised by this factor until this share is throttled.
SPEED_UP, SPENT_TOO_FAST = 1.25, 0.02
# Seconds of delay that later starts may catch up on, because timers are not more precise.
CREDIT = 0.05
# Seconds without requests after which counting restarts.
IDLE = 1.0


@define
class Learner:
    """The learned rate, and the counts that the next one is computed from.

    Attributes:
        max_rate: The limit in requests per second, if the user knows it.
        rate: The learned rate; None before the first 429.
        current: Requests per second at the last start; None without a limit.
        started: Requests since the gate opened or an idle period ended.
    """

    max_rate: float | None = None
    rate: Rate | None = field(init=False, default=None)
    current: float | None = field(init=False, default=None)
    started: int = field(init=False, default=0)
    _begin: float = field(init=False, default=-math.inf)
    # The origin of the rate's age. Idle time shifts it, because nothing is learned from it.
    _since: float = field(init=False, default=-math.inf)
    _idle_from: float = field(init=False, default=-math.inf)
    # The time of the last 429 that counted, and the numbers of successes and 429s since then that
    # were sent after it.
    _cut: float = field(init=False, default=-math.inf)
    _good: int = field(init=False, default=0)
    _bad: int = field(init=False, default=0)
    _before: Observation | None = field(init=False, default=None)
    # All successes since the first observation started, and its initial burst, which is known once
    # all responses to it have arrived.
    _successes: int = field(init=False, default=0)
    _discovery: Observation | None = field(init=False, default=None)
    _burst: Burst | None = field(init=False, default=None)

    def start(self, now: float, planned: float) -> None:
        """Count a request that starts now, and that the rate allowed to start at `planned`."""
        if now > self._idle_from:
            self._begin, self.started = now, 0
            if self.rate is None:
                self._successes = 0
        self._idle_from = now + IDLE
        self.started += 1
        if self.rate is None:
            self.current = self.max_rate
            return
        if now > planned + CREDIT:
            self._since += now - max(planned, self._since)
        self.current = self._within(self.rate.at(now - self._since))

    def succeeded(self, sent: float, now: float) -> bool:
        """Count a success; True if it was sent after the last 429 that counted."""
        self._idle_from = now + IDLE
        self._successes += 1
        counts = sent > self._cut
        self._good += counts
        return counts

    def throttled(self, sent: float, now: float) -> bool:
        """Count a 429; True if it counts, that is, was sent after the last one that counted."""
        self._idle_from = now + IDLE
        self._bad += 1
        return sent > self._cut

    def learn(
        self, sent: float, now: float, until: float, flying: tuple[int, float], *, named: bool
    ) -> None:
        """Learn from a 429 that counts.

        The gate closes until `until`; `named` if the API gave that time. `flying` is the number of
        requests in flight, and the rate at which they complete. Without a success since the 429
        before, there is nothing to learn.
        """
        active, pause = max(0.0, sent - self._begin), until - now
        if self.rate is None and self.max_rate is None:
            in_flight, at_once = flying
            # The outcomes of the requests in flight are unknown: assume that half of them succeed.
            successes = max(1.0, self.started - 1 - in_flight / 2)
            self.rate = first_rate(successes, active, pause, at_once)
            self._before = self._discovery = Observation(successes, active, 0.0, pause)
        elif self._good:
            current = self.current or SLOWEST
            rest = max(0.0, sent - self._cut - active)
            seen = Observation(
                # Requests started after the throttled one are most likely throttled too.
                successes=max(0.0, self.started - 1 - (now - sent) * current),
                active=active,
                rest=rest,
                # The client's own backoff says nothing about the pause needed: assume the last one.
                pause=pause if named else max(pause, rest),
                rate=current,
                throttled=self._bad / (self._bad + self._good),
            )
            if self._burst is None and self._discovery is not None:
                self._burst = Burst(self._successes - self._good, self._discovery.active)
            rate = self.rate or Rate(seen.rate, seen.rate)
            rate = next_rate(rate, seen, self._before or seen, self._burst)
            self.rate = rate.stretched(seen.throttled)
            self._before = seen
        else:
            return
        self._good, self._bad = 0, 1

    def rest(self, until: float, *, limited: bool, calm: bool = False) -> None:
        """Restart counting when the gate opens; after a 429 the pause sets how often to probe."""
        self._begin, self._idle_from, self.started = until, until + IDLE, 0
        if self.rate is None:
            return
        if limited:
            # A measurement of a short time may be far from the limit, so it is corrected soon.
            calm = calm and self._before is not None and self._before.active > SHORTEST_PERIOD
            self.rate = self.rate.after(until - self._cut, calm=calm)
        self._since, self.current = until, self._within(self.rate.at(0.0))

    def copy(self) -> Learner:
        """Return a copy of the current state, to roll back to."""
        return copy.copy(self)

    def resume(self, now: float) -> None:
        """Continue after a pause from which nothing is learned."""
        self._begin, self._idle_from, self.started = now, now + IDLE, 0
        if self.rate is None:
            self.current = self.max_rate
        else:
            self._since, self.current = now, self._within(self.rate.at(0.0))

    def cut(self, now: float) -> None:
        """Ignore the outcomes of requests sent before now."""
        self._cut = now

    def restore(self, rate: Rate, now: float) -> None:
        """Continue with a rate that an earlier run learned."""
        self.rate, self.current, self._since = rate, self._within(rate.at(0.0)), now

    def _within(self, rate: float) -> float:
        return rate if self.max_rate is None else min(rate, self.max_rate)


@frozen
class Observation:
    """What was observed between the opening of the gate and the next 429.

    Attributes:
        successes: Number of requests that succeeded, including those still in flight.
        active: Seconds during which requests started.
        rest: Seconds for which the gate had been closed before.
        pause: Seconds for which the gate is closed now.
        rate: Requests per second at the end.
        throttled: The share of requests that were throttled.
    """

    successes: float
    active: float
    rest: float
    pause: float
    rate: float = 0.0
    throttled: float = 0.0


@frozen
class Burst:
    """The initial burst: requests that succeeded before the first 429, and in how many seconds."""

    successes: float
    active: float


def first_rate(successes: float, active: float, pause: float, at_once: float) -> Rate:
    """Return the rate to try after the first 429, which closes the gate for `pause` seconds.

    `at_once` is the rate of the requests in flight, which is above the mean if the traffic has just
    grown. The initial burst that the server allows is unknown, so the limit lies somewhere between
    the rate of successes with the pause counted (lower) and without it (upper). If a 429 costs a
    minute, the search is shortest from the geometric mean of both; if it costs little, from half
    the upper bound.
    """
    active = max(active, 0.02)
    upper = max(successes / active, at_once)
    lower = successes / (active + pause)
    start = within(min(upper / 2, math.sqrt(lower * upper)))
    return Rate(floor=start, ceiling=start, climbing=True)


def next_rate(rate: Rate, seen: Observation, before: Observation, burst: Burst | None) -> Rate:
    """Return the rate after a further 429; the observation `before` ended with the one before."""
    if is_quota(seen, before):
        spend = within(seen.rate * (SPEED_UP if seen.throttled < SPENT_TOO_FAST else 1 / SPEED_UP))
        return Rate(floor=spend, ceiling=spend, stretch=rate.stretch)
    if seen.rate > 1.1 * rate.ceiling:
        held = 0.0 if rate.climbing else rate.ceiling * (seen.rate / rate.ceiling) ** RAISE
        limit = max(measured(seen), CUT_AFTER_CLIMB * seen.rate, held)
    elif is_pause_long(seen):
        limit = None if burst is None else limit_without(burst, seen)
        limit = BLIND_CUT * seen.rate if limit is None else min(CUT * seen.rate, limit)
    else:
        # The rate that succeeded is a lower bound, and the rate that was throttled an upper one.
        limit = math.sqrt(measured(seen) * seen.rate)
    ceiling = within(max(DEEPEST_CUT * seen.rate, limit))
    return Rate(floor=CUT * ceiling, ceiling=ceiling, stretch=rate.stretch)


def measured(seen: Observation) -> float:
    """Return the rate that was observed to succeed: a lower bound, since pauses may waste capacity.

    A token bucket refills in the pause before, and a window ends with the pause after. The margin
    of error is added at the rate in use, so that a few requests alone are no measurement.
    """
    pause = min(seen.rest, max(seen.pause, 1.0))
    doubt = DOUBT + DOUBT_TIME * seen.rate
    return min(seen.rate, (seen.successes + doubt) / (seen.active + pause + doubt / seen.rate))


def limit_without(burst: Burst, seen: Observation) -> float | None:
    """Return the limit, given that the pause was long enough to allow the initial burst again.

    Two periods that start with the same burst differ by what the limit allowed in the extra time
    of the longer one. None if it is not longer by enough to measure that.
    """
    longer = seen.active - burst.active
    return (seen.successes - burst.successes) / longer if longer > 0.5 * burst.active else None


def is_quota(seen: Observation, before: Observation) -> bool:
    """Whether the limit is a quota per window, which may be used up at any rate.

    Then using it up sooner makes the pause longer by the same time: the cycle length is constant.
    """
    longer = abs(seen.active - before.active)
    cycles = abs(seen.active + seen.pause - before.active - before.pause)
    return is_pause_long(seen) and cycles < 0.2 * longer


def is_pause_long(seen: Observation) -> bool:
    """Whether most of the time was spent in pauses, which say little about the limit."""
    return min(seen.rest, max(seen.pause, 1.0)) > max(1.5, seen.active)


def restored(limit: float, period: float, *, climbing: bool = False) -> Rate:
    """Return the rate to start from for a limit that an earlier run learned.

    If `climbing`, it doubles within seconds, because the limit may have changed since.
    """
    ceiling = within(limit)
    if climbing:
        return Rate(floor=ceiling, ceiling=ceiling, climbing=True)
    return Rate(floor=CUT * ceiling, ceiling=ceiling).after(period / PERIOD_PER_PAUSE)

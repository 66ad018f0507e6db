"""The learning: what is counted between two refusals, and the rate that follows from it."""

from __future__ import annotations

import copy
import math

from attrs import define, field, frozen

from siteassist_async.pacing.rate import PERIOD_PER_PAUSE, SHORTEST_PERIOD, SLOWEST, Rate, within

# The share of the measured limit to go on with, so that the server's bucket fills a little.
CUT = 0.95
# Where nothing could be measured, and where the rate had climbed until well above the limit.
BLIND_CUT, CUT_AFTER_CLIMB = 0.85, 0.75
# So many requests, and the requests of so many seconds, may be refused by chance.
DOUBT, DOUBT_TIME = 2.0, 0.05
# No refusal cuts to less than this share of the rate.
DEEPEST_CUT = 0.5
# The ceiling before a climb was right for a period: it moves so far up, on a logarithmic scale,
# towards where the climb ended.
RAISE = 0.15
# Where a window has a quota it is spent faster and faster, until this share is refused.
SPEED_UP, SPENT_TOO_FAST = 1.25, 0.02
# Seconds by which late starts may be made up for: a timer is no more exact than that.
CREDIT = 0.05
# Seconds without any request after which the counting begins anew.
IDLE = 1.0


@define
class Learner:
    """The rate in use, if there is one yet, and the counts from which the next one is made.

    Attributes:
        max_rate: A limit that the user knows, in requests a second.
        rate: What was learned; None before the first 429.
        current: Requests a second at the last start; None while nothing paces.
        started: Requests since the gate opened or an idle time ended.
    """

    max_rate: float | None = None
    rate: Rate | None = field(init=False, default=None)
    current: float | None = field(init=False, default=None)
    started: int = field(init=False, default=0)
    _begin: float = field(init=False, default=-math.inf)
    # When the age of the rate is zero. Idle time moves it: it teaches nothing.
    _since: float = field(init=False, default=-math.inf)
    _idle_from: float = field(init=False, default=-math.inf)
    # When the last refusal came that counts, and what came since that taught.
    _cut: float = field(init=False, default=-math.inf)
    _good: int = field(init=False, default=0)
    _bad: int = field(init=False, default=0)
    _before: Observation | None = field(init=False, default=None)
    # All grants since the first observation began; its burst, known once all of it has come back.
    _granted: int = field(init=False, default=0)
    _discovery: Observation | None = field(init=False, default=None)
    _burst: Burst | None = field(init=False, default=None)

    def start(self, now: float, planned: float) -> None:
        """Count a request that starts now and was free to start at `planned`."""
        if now > self._idle_from:
            self._begin, self.started = now, 0
            if self.rate is None:
                self._granted = 0
        self._idle_from = now + IDLE
        self.started += 1
        if self.rate is None:
            self.current = self.max_rate
            return
        if now > planned + CREDIT:
            self._since += now - max(planned, self._since)
        self.current = self._within(self.rate.at(now - self._since))

    def granted(self, sent: float, now: float) -> bool:
        """Count a grant; whether it was sent since the last refusal that counts."""
        self._idle_from = now + IDLE
        self._granted += 1
        counts = sent > self._cut
        self._good += counts
        return counts

    def refused(self, sent: float, now: float) -> bool:
        """Count a refusal; whether it counts: the request was sent since the last that did."""
        self._idle_from = now + IDLE
        self._bad += 1
        return sent > self._cut

    def learn(
        self, sent: float, now: float, until: float, flying: tuple[int, float], *, named: bool
    ) -> None:
        """Learn from a 429 that counts; the gate closes `until` then, a time that the API `named`.

        `flying` are the requests in flight, and the rate at which they come and go.
        A second one teaches nothing before something was granted again.
        """
        if self.rate is None and self.max_rate is None:
            self._discover(sent, now, until, flying)
        elif self._good:
            seen = self._observation(sent, now, until - now, named=named)
            rate = self.rate or Rate(seen.rate, seen.rate)
            rate = next_rate(rate, seen, self._before or seen, self._first())
            self.rate = rate.stretched(seen.refused)
            self._before = seen
        else:
            return
        self._good, self._bad = 0, 1

    def rest(self, until: float, *, limited: bool, calm: bool = False) -> None:
        """Begin anew when the gate opens; after a 429 the pause sets how often to probe."""
        self._begin, self._idle_from, self.started = until, until + IDLE, 0
        if self.rate is None:
            return
        if limited:
            # What was measured in a moment may be far from the limit.
            calm = calm and self._before is not None and self._before.active > SHORTEST_PERIOD
            self.rate = self.rate.after(until - self._cut, calm=calm)
        self._since, self.current = until, self._within(self.rate.at(0.0))

    def copy(self) -> Learner:
        """What is known now, to come back to."""
        return copy.copy(self)

    def resume(self, now: float) -> None:
        """Go on from what was known before a pause that taught nothing."""
        self._begin, self._idle_from, self.started = now, now + IDLE, 0
        if self.rate is None:
            self.current = self.max_rate
        else:
            self._since, self.current = now, self._within(self.rate.at(0.0))

    def cut(self, now: float) -> None:
        """Let what was sent before now count no more."""
        self._cut = now

    def restore(self, rate: Rate, now: float) -> None:
        """Go on with a rate that was learned before."""
        self.rate, self.current, self._since = rate, self._within(rate.at(0.0)), now

    def _within(self, rate: float) -> float:
        return rate if self.max_rate is None else min(rate, self.max_rate)

    def _discover(self, sent: float, now: float, until: float, flying: tuple[int, float]) -> None:
        active = max(0.0, sent - self._begin)
        in_flight, at_once = flying
        # Of what is in flight nobody knows yet how much is granted: half, say.
        granted = max(1.0, self.started - 1 - in_flight / 2)
        self.rate = first_rate(granted, active, until - now, at_once)
        self._before = self._discovery = Observation(granted, active, 0.0, until - now)

    def _observation(self, sent: float, now: float, pause: float, *, named: bool) -> Observation:
        rate = self.current or SLOWEST
        active = max(0.0, sent - self._begin)
        rest = max(0.0, sent - self._cut - active)
        return Observation(
            # Those started after the refused one are most likely refused too.
            granted=max(0.0, self.started - 1 - (now - sent) * rate),
            active=active,
            rest=rest,
            # A backoff of ours says nothing of how long it will take: as long as the last time.
            pause=pause if named else max(pause, rest),
            rate=rate,
            refused=self._bad / (self._bad + self._good),
        )

    def _first(self) -> Burst | None:
        if self._burst is None and self._discovery is not None:
            self._burst = Burst(self._granted - self._good, self._discovery.active)
        return self._burst


@frozen
class Observation:
    """What was seen between the gate's opening and the next refusal.

    Attributes:
        granted: Requests, those still in flight included.
        active: Seconds in which requests started.
        rest: Seconds for which the gate had been closed before.
        pause: Seconds for which it is closed now.
        rate: Requests a second when it ended.
        refused: Share of the requests.
    """

    granted: float
    active: float
    rest: float
    pause: float
    rate: float = 0.0
    refused: float = 0.0


@frozen
class Burst:
    """What a limit that had long been left alone granted, and the seconds in which it did."""

    granted: float
    active: float


def first_rate(granted: float, active: float, pause: float, at_once: float) -> Rate:
    """What to try after the first refusal, for which the gate closes for `pause` seconds.

    `at_once` is the rate of what is in flight: more than the mean where the traffic has just
    grown. The limit lies between what was granted without the pause and with it, for the burst
    that came first is unknown. Where a refusal costs a minute, the geometric mean of the two is
    the shorter search; where it costs little, half the upper one.
    """
    active = max(active, 0.02)
    upper = max(granted / active, at_once)
    lower = granted / (active + pause)
    start = within(min(upper / 2, math.sqrt(lower * upper)))
    return Rate(floor=start, ceiling=start, climbing=True)


def next_rate(rate: Rate, seen: Observation, before: Observation, burst: Burst | None) -> Rate:
    """What to go on with after a further refusal; the last ended the observation `before`."""
    if is_quota(seen, before):
        spend = within(seen.rate * (SPEED_UP if seen.refused < SPENT_TOO_FAST else 1 / SPEED_UP))
        return Rate(floor=spend, ceiling=spend, stretch=rate.stretch)
    ceiling = within(_ceiling(rate, seen, burst))
    return Rate(floor=CUT * ceiling, ceiling=ceiling, stretch=rate.stretch)


def _ceiling(rate: Rate, seen: Observation, burst: Burst | None) -> float:
    if seen.rate > 1.1 * rate.ceiling:
        held = 0.0 if rate.climbing else rate.ceiling * (seen.rate / rate.ceiling) ** RAISE
        return max(measured(seen), CUT_AFTER_CLIMB * seen.rate, held)
    if is_pause_long(seen):
        limit = None if burst is None else limit_without(burst, seen)
        limit = BLIND_CUT * seen.rate if limit is None else min(CUT * seen.rate, limit)
    else:
        # What was granted is a lower bound and what was refused an upper one.
        limit = math.sqrt(measured(seen) * seen.rate)
    return max(DEEPEST_CUT * seen.rate, limit)


def measured(seen: Observation) -> float:
    """The rate that the server was seen to grant: a lower bound, for a pause may waste some.

    A token bucket refills in the pause before, a window ends with the pause after. Some
    requests' worth of the rate in use is added: a few arrivals by chance are no measurement.
    """
    pause = min(seen.rest, max(seen.pause, 1.0))
    doubt = DOUBT + DOUBT_TIME * seen.rate
    return min(seen.rate, (seen.granted + doubt) / (seen.active + pause + doubt / seen.rate))


def limit_without(burst: Burst, seen: Observation) -> float | None:
    """The limit, where the pause was so long that the burst was granted once more.

    Two spans that begin with the same burst differ by what the limit granted in the longer one.
    """
    longer = seen.active - burst.active
    return (seen.granted - burst.granted) / longer if longer > 0.5 * burst.active else None


def is_quota(seen: Observation, before: Observation) -> bool:
    """Whether each window has a quota, which may be spent at any rate.

    Then spending it faster is followed by as much more of a pause.
    """
    longer = abs(seen.active - before.active)
    cycles = abs(seen.active + seen.pause - before.active - before.pause)
    return is_pause_long(seen) and cycles < 0.2 * longer


def is_pause_long(seen: Observation) -> bool:
    """Whether most of the time was spent waiting, which says little about the limit."""
    return min(seen.rest, max(seen.pause, 1.0)) > max(1.5, seen.active)


def restored(limit: float, period: float, *, climbing: bool = False) -> Rate:
    """The rate that begins at a limit which was learned before.

    Where it is `climbing` it doubles within seconds, for the limit may be another by now.
    """
    ceiling = within(limit)
    if climbing:
        return Rate(floor=ceiling, ceiling=ceiling, climbing=True)
    return Rate(floor=CUT * ceiling, ceiling=ceiling).after(period / PERIOD_PER_PAUSE)

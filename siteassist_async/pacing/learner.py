"""The learning: what is counted between two refusals, and the rate that follows from it."""

from __future__ import annotations

import copy
import math

from attrs import define, field

from siteassist_async.pacing.episode import Burst, Episode, first_rate, next_rate
from siteassist_async.pacing.rate import SHORTEST_PERIOD, SLOWEST, Rate

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
    _before: Episode | None = field(init=False, default=None)
    # All grants since the first episode began; its burst, known once all of it has come back.
    _granted: int = field(init=False, default=0)
    _discovery: Episode | None = field(init=False, default=None)
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
            seen = self._episode(sent, now, until - now, named=named)
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
        self._before = self._discovery = Episode(granted, active, 0.0, until - now)

    def _episode(self, sent: float, now: float, pause: float, *, named: bool) -> Episode:
        rate = self.current or SLOWEST
        active = max(0.0, sent - self._begin)
        rest = max(0.0, sent - self._cut - active)
        return Episode(
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

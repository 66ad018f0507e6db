"""Rates: how the rate grows while nothing is throttled, and the form in which it is saved."""

from __future__ import annotations

import math

from attrs import evolve

from siteassist_async.immutable import frozen

# Requests per second: the bounds of plausible limits, whatever was measured.
SLOWEST, FASTEST = 1e-3, 1e5

# Seconds from one probe of the limit to the next: bounds, and as a multiple of the pause that a
# probe costs. So probing takes less than a twelfth of the time, whatever `retryAfter` is.
SHORTEST_PERIOD, LONGEST_PERIOD, PERIOD_PER_PAUSE = 5.5, 1200.0, 12.0
# After this many periods without a 429 the limit must have been raised: the rate climbs.
PATIENCE = 1.3
# If more than this share is throttled, the periods become up to LONGEST_STRETCH times as long.
TOLERATED, LONGEST_STRETCH = 0.01, 2.0
# Factor on the periods while interactive calls arrive, because a probe that is throttled closes the
# gate for them too.
CALM = 4.0
# Seconds in which a climb doubles the rate: the minimum, and as a share of the pause it may cost.
DOUBLING, DOUBLING_PER_PAUSE = 3.0, 0.2


@frozen
class Rate:
    """Requests per second as a function of the time without a 429.

    Cubic from `floor` to `ceiling` in a period, as in TCP CUBIC (RFC 9438): fast growth far from
    the limit last measured, slow growth close to it. After that, or at once if `climbing`,
    exponential.
    """

    floor: float
    ceiling: float
    climbing: bool = False
    period: float = SHORTEST_PERIOD
    doubling: float = DOUBLING
    stretch: float = 1.0

    def at(self, age: float) -> float:
        """Return the requests per second, `age` seconds after the gate opened."""
        age = max(age, 0.0)  # a probe of a closed gate is sent before it opens
        room = self.ceiling - self.floor
        climbed = age if self.climbing else age - PATIENCE * self.period
        if climbed < 0:
            return within(self.ceiling - room * (1 - age / self.period) ** 3)
        top = self.ceiling + room * (PATIENCE - 1) ** 3
        doublings = climbed / self.doubling
        # Quadratic at first, so that a climb starts gently and without a kink.
        doublings = doublings**2 if doublings < 1 else 2 * doublings - 1
        return within(top * 2.0 ** min(doublings, 60.0))

    def stretched(self, throttled: float) -> Rate:
        """Return the rate with longer periods if too much was `throttled`, else with shorter."""
        stretch = self.stretch * min(2.0, max(0.5, math.sqrt(throttled / TOLERATED)))
        return evolve(self, stretch=min(LONGEST_STRETCH, max(1.0, stretch)))

    def after(self, pause: float, *, calm: bool = False) -> Rate:
        """Return the rate with periods for 429s that cost `pause` seconds; longer if `calm`."""
        shortest = SHORTEST_PERIOD * self.stretch
        longer = CALM if calm else 1.0
        period = min(LONGEST_PERIOD, longer * max(shortest, PERIOD_PER_PAUSE * pause))
        return evolve(self, period=period, doubling=max(DOUBLING, DOUBLING_PER_PAUSE * pause))


@frozen
class LearnedRate:
    """A learned rate, for a later run.

    Attributes:
        rate: The limit in requests per second.
        period: Seconds from one probe of the limit to the next.
        at: The Unix time at which it was current.
    """

    rate: float
    period: float
    at: float = 0.0

    def is_usable(self) -> bool:
        """Whether both numbers are plausible: positive and finite."""
        return 0 < self.rate < math.inf and 0 < self.period < math.inf


def within(rate: float) -> float:
    """Return a rate, limited to plausible values."""
    return min(FASTEST, max(SLOWEST, rate))

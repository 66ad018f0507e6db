"""Rates: as a function of the time without a refusal, and as they are saved and restored."""

from __future__ import annotations

import math

from attrs import evolve, frozen

# Requests a second: what cannot be a limit of an API, whatever was measured.
SLOWEST, FASTEST = 1e-3, 1e5

# Seconds from one probe to the next, at least; and as a multiple of the pause that a probe costs:
# whatever `retryAfter` is, probing costs less than a twelfth of the time.
SHORTEST_PERIOD, LONGEST_PERIOD, PERIOD_PER_PAUSE = 5.5, 1200.0, 12.0
# After this many periods without a refusal the limit must have been raised: the rate climbs.
PATIENCE = 1.3
# Where more than this share is refused, the periods become up to twice as long.
TOLERATED, LONGEST_STRETCH = 0.01, 2.0
# So many times as long are the periods while calls come that somebody waits for: a probe closes the
# gate for them too.
CALM = 4.0
# Seconds in which a climb doubles the rate, at least; and as a share of the pause it may cost.
DOUBLING, DOUBLING_PER_PAUSE = 3.0, 0.2


@frozen
class Rate:
    """Requests a second as a function of the time without a refusal.

    Cubic from `floor` to `ceiling` in a period, as in TCP CUBIC (RFC 9438): fast far from what
    was last measured, slow around it. Past that, or at once where it is `climbing`, exponential.
    """

    floor: float
    ceiling: float
    climbing: bool = False
    period: float = SHORTEST_PERIOD
    doubling: float = DOUBLING
    stretch: float = 1.0

    def at(self, age: float) -> float:
        """Requests a second, `age` seconds after the gate opened."""
        age = max(age, 0.0)  # what probes a closed gate is sent before
        room = self.ceiling - self.floor
        climbed = age if self.climbing else age - PATIENCE * self.period
        if climbed < 0:
            return within(self.ceiling - room * (1 - age / self.period) ** 3)
        top = self.ceiling + room * (PATIENCE - 1) ** 3
        doublings = climbed / self.doubling
        # Quadratic at first, so that a climb begins gently and its slope has no step.
        doublings = doublings**2 if doublings < 1 else 2 * doublings - 1
        return within(top * 2.0 ** min(doublings, 60.0))

    def stretched(self, refused: float) -> Rate:
        """The same, probing less often where too large a share was `refused`, else more often."""
        stretch = self.stretch * min(2.0, max(0.5, math.sqrt(refused / TOLERATED)))
        return evolve(self, stretch=min(LONGEST_STRETCH, max(1.0, stretch)))

    def after(self, pause: float, *, calm: bool = False) -> Rate:
        """The same, where the last refusal cost `pause` seconds; `calm` probes less often."""
        shortest = SHORTEST_PERIOD * self.stretch
        longer = CALM if calm else 1.0
        period = min(LONGEST_PERIOD, longer * max(shortest, PERIOD_PER_PAUSE * pause))
        return evolve(self, period=period, doubling=max(DOUBLING, DOUBLING_PER_PAUSE * pause))


@frozen
class LearnedRate:
    """A limit in requests a second, and the seconds from one probe of it to the next.

    Attributes:
        at: When it held, as a Unix time.
    """

    rate: float
    period: float
    at: float = 0.0

    def is_usable(self) -> bool:
        """Whether both can have been learned: above zero, and neither infinite nor NaN."""
        return 0 < self.rate < math.inf and 0 < self.period < math.inf


def within(rate: float) -> float:
    """The rate, within what can be."""
    return min(FASTEST, max(SLOWEST, rate))

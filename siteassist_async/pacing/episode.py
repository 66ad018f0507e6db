"""What a refusal teaches: the next rate, from what was seen since the refusal before."""

from __future__ import annotations

import math

from attrs import frozen

from siteassist_async.pacing.rate import PERIOD_PER_PAUSE, Rate, within

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


@frozen
class Episode:
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


def next_rate(rate: Rate, seen: Episode, before: Episode, burst: Burst | None) -> Rate:
    """What to go on with after a further refusal, the last having ended the episode `before`."""
    if is_quota(seen, before):
        spend = within(seen.rate * (SPEED_UP if seen.refused < SPENT_TOO_FAST else 1 / SPEED_UP))
        return Rate(floor=spend, ceiling=spend, stretch=rate.stretch)
    ceiling = within(_ceiling(rate, seen, burst))
    return Rate(floor=CUT * ceiling, ceiling=ceiling, stretch=rate.stretch)


def _ceiling(rate: Rate, seen: Episode, burst: Burst | None) -> float:
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


def measured(seen: Episode) -> float:
    """The rate that the server was seen to grant: a lower bound, for a pause may waste some.

    A token bucket refills in the pause before, a window ends with the pause after. Some
    requests' worth of the rate in use is added: a few arrivals by chance are no measurement.
    """
    pause = min(seen.rest, max(seen.pause, 1.0))
    doubt = DOUBT + DOUBT_TIME * seen.rate
    return min(seen.rate, (seen.granted + doubt) / (seen.active + pause + doubt / seen.rate))


def limit_without(burst: Burst, seen: Episode) -> float | None:
    """The limit, where the pause was so long that the burst was granted once more.

    Two spans that begin with the same burst differ by what the limit granted in the longer one.
    """
    longer = seen.active - burst.active
    return (seen.granted - burst.granted) / longer if longer > 0.5 * burst.active else None


def is_quota(seen: Episode, before: Episode) -> bool:
    """Whether each window has a quota, which may be spent at any rate.

    Then spending it faster is followed by as much more of a pause.
    """
    longer = abs(seen.active - before.active)
    cycles = abs(seen.active + seen.pause - before.active - before.pause)
    return is_pause_long(seen) and cycles < 0.2 * longer


def is_pause_long(seen: Episode) -> bool:
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

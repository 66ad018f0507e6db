"""The gate: closed for all until the time that a refusal named."""

from __future__ import annotations

import math

from attrs import define, field

# Seconds of our own backoff where the API names no time, doubled with each refusal in a row. A 503
# may end at any moment, the quota of a minute does not come back within it.
FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_OUTAGE_BACKOFF = 0.5, 30.0, 6.0
# Seconds that a further refusal in a row adds where the time that the API named was too short, as
# it is where other clients take what comes free.
FIRST_EXTRA, LONGEST_EXTRA = 0.2, 1.0
# Seconds: more than a day is a mistake, and infinity would close the gate for good.
LONGEST_PAUSE = 86_400.0
# Seconds between two requests that probe a gate which 503s closed.
PROBE_INTERVAL = 60.0


@define
class Gate:
    """Open, or closed until a time; counts how long it has been closed.

    What closes it is strict (a 429: the API named the time for all) or half open (503s: the API
    may be back at any moment): then one request may probe it each minute.
    """

    until: float = -math.inf
    _strict: float = field(default=-math.inf, init=False)
    _probe: float = field(default=-math.inf, init=False)
    _closed: float = field(default=0.0, init=False)

    def close(self, now: float, seconds: float, *, strict: bool = True) -> bool:
        """Close it for `seconds` from now; False where it is closed for longer already."""
        until = now + seconds
        if strict:
            self._strict = max(self._strict, until)
        elif now >= self.until:
            self._probe = now + PROBE_INTERVAL
        if until <= self.until:
            return False
        self._closed += until - max(now, self.until)
        self.until = until
        return True

    def probes(self) -> float:
        """When a request may start while it is closed; not before it opens where it is strict."""
        return min(self.until, max(self._strict, self._probe))

    def probe(self, now: float) -> None:
        """Count a request that starts now; while it is closed that is a probe."""
        if now < self.until:
            self._probe = now + PROBE_INTERVAL

    def open(self, now: float) -> bool:
        """Open it for what a probe showed; False where it was open or is strict for longer."""
        until = max(now, self._strict)
        if until >= self.until:
            return False
        self._closed -= self.until - until
        self.until = until
        return True

    def left(self, now: float) -> float:
        """Seconds until it opens."""
        return max(0.0, self.until - now)

    def waited(self, now: float) -> float:
        """Seconds for which it has been closed, up to now."""
        return self._closed - self.left(now)


def is_usable(retry_after: float | None) -> bool:
    """Whether the API named a time: neither absent, nor zero, negative or no number."""
    return retry_after is not None and 0 < retry_after < math.inf


def pause_after(retry_after: float, in_a_row: int, jitter: float) -> float:
    """Seconds to wait as the API asks, at the `in_a_row`th refusal without a grant.

    `jitter` is from [0, 1).
    """
    if in_a_row < 2:
        return min(retry_after, LONGEST_PAUSE)
    extra = min(LONGEST_EXTRA, FIRST_EXTRA * _doubled(in_a_row - 1)) * (0.5 + jitter)
    return min(max(retry_after, extra), LONGEST_PAUSE)


@define
class Backoff:
    """Our own pauses, where the API names no time.

    They begin at a quarter of what the last spell of 429s took, so that the quota of a minute is
    not asked for ten times in each minute.
    """

    _first: float = field(init=False, default=FIRST_BACKOFF)
    _since: float | None = field(init=False, default=None)

    def after(self, now: float, in_a_row: int, jitter: float, *, limited: bool) -> float:
        """Seconds to wait at the `in_a_row`th refusal without a grant; jitter is from [0, 1)."""
        if not limited:
            pause = min(LONGEST_OUTAGE_BACKOFF, FIRST_BACKOFF * _doubled(in_a_row))
        else:
            self._since = now if self._since is None else self._since
            pause = min(LONGEST_BACKOFF, self._first * _doubled(in_a_row))
        return pause * (0.5 + jitter / 2)

    def end(self, now: float) -> None:
        """Something was granted: the spell is over."""
        if self._since is not None:
            self._first = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, (now - self._since) / 4))
            self._since = None


def _doubled(in_a_row: int) -> float:
    return 2.0 ** min(max(in_a_row - 1, 0), 30)

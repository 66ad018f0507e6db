"""The gate: pauses all requests until the time that the API named, or for a backoff."""

from __future__ import annotations

import math

from attrs import field

from siteassist_async.immutable import define

# Seconds of backoff without a Retry-After, doubled each time that requests are throttled in a row.
# The limit is lower for 503s: an outage may end at any moment, while a quota per minute does not
# come back earlier.
FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_OUTAGE_BACKOFF = 0.5, 30.0, 6.0
# Seconds of the shortest pause when requests are throttled again after a pause: the Retry-After was
# too short, for example because other clients use the quota as it becomes free.
FIRST_EXTRA, LONGEST_EXTRA = 0.2, 1.0
# Seconds: a longer pause is taken for a mistake, and infinity would close the gate forever.
LONGEST_PAUSE = 86_400.0
# Seconds between two probes of a gate that 503s closed.
PROBE_INTERVAL = 60.0


@define
class Gate:
    """A gate that is open, or closed until a time; it also totals the time it has been closed.

    A 429 closes it strictly: the API named a time for all requests. 503s leave it half open: the
    API may be back at any moment, so one request per `PROBE_INTERVAL` may probe it.
    """

    until: float = -math.inf
    _strict: float = field(default=-math.inf, init=False)
    _probe: float = field(default=-math.inf, init=False)
    _closed: float = field(default=0.0, init=False)

    def close(self, now: float, seconds: float, *, strict: bool = True) -> bool:
        """Close the gate for `seconds` from now; False if it is already closed for longer."""
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
        """Return when the next request may pass: a probe, or the opening if it is strict."""
        return min(self.until, max(self._strict, self._probe))

    def probe(self, now: float) -> None:
        """Note that a request starts now; while the gate is closed, that is a probe."""
        if now < self.until:
            self._probe = now + PROBE_INTERVAL

    def open(self, now: float) -> bool:
        """Open the gate after a successful probe; False if it was open or is closed strictly."""
        until = max(now, self._strict)
        if until >= self.until:
            return False
        self._closed -= self.until - until
        self.until = until
        return True

    def left(self, now: float) -> float:
        """Return the seconds until the gate opens."""
        return max(0.0, self.until - now)

    def waited(self, now: float) -> float:
        """Return for how many seconds in total the gate has been closed up to now."""
        return self._closed - self.left(now)


def is_usable(retry_after: float | None) -> bool:
    """Whether a Retry-After names a time: present, positive, finite."""
    return retry_after is not None and 0 < retry_after < math.inf


def pause_after(retry_after: float, in_a_row: int, jitter: float) -> float:
    """Return the seconds to pause for a Retry-After.

    `in_a_row` counts throttled requests without a success in between; `jitter` is from [0, 1).
    """
    if in_a_row < 2:
        return min(retry_after, LONGEST_PAUSE)
    extra = min(LONGEST_EXTRA, FIRST_EXTRA * _doubled(in_a_row - 1)) * (0.5 + jitter)
    return min(max(retry_after, extra), LONGEST_PAUSE)


@define
class Backoff:
    """The client's own backoff, for throttling without a Retry-After.

    It starts at a quarter of the time that the last series of 429s took. Otherwise a quota that is
    renewed once a minute would be probed ten times in each minute.
    """

    _first: float = field(init=False, default=FIRST_BACKOFF)
    _since: float | None = field(init=False, default=None)

    def after(self, now: float, in_a_row: int, jitter: float, *, limited: bool) -> float:
        """Return the seconds to pause; `in_a_row` and `jitter` as for `pause_after`."""
        if not limited:
            pause = min(LONGEST_OUTAGE_BACKOFF, FIRST_BACKOFF * _doubled(in_a_row))
        else:
            self._since = now if self._since is None else self._since
            pause = min(LONGEST_BACKOFF, self._first * _doubled(in_a_row))
        return pause * (0.5 + jitter / 2)

    def end(self, now: float) -> None:
        """Note a success, which ends a series of 429s."""
        if self._since is not None:
            self._first = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, (now - self._since) / 4))
            self._since = None


def _doubled(in_a_row: int) -> float:
    return 2.0 ** min(max(in_a_row - 1, 0), 30)

"""The gate: closed for all until the time that a refusal named."""

from __future__ import annotations

import math

from attrs import define, field

# Seconds of our own backoff where the API names no time, doubled with each refusal in a row.
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 12.0
# Seconds that a further refusal in a row adds where the time that the API named was too short, as
# it is where other clients take what comes free.
FIRST_EXTRA, LONGEST_EXTRA = 0.2, 1.0
# Seconds: more than a day is a mistake, and infinity would close the gate for good.
LONGEST_PAUSE = 86_400.0


@define
class Gate:
    """Open, or closed until a time; counts how long it has been closed."""

    until: float = -math.inf
    _closed: float = field(default=0.0, init=False)

    def close(self, now: float, seconds: float) -> bool:
        """Close it for `seconds` from now; False where it is closed for longer already."""
        until = now + seconds
        if until <= self.until:
            return False
        self._closed += until - max(now, self.until)
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


def pause_after(retry_after: float | None, in_a_row: int, jitter: float) -> float:
    """Seconds to wait after a refusal, the `in_a_row`th without a grant; jitter is from [0, 1)."""
    doubled = 2.0 ** min(max(in_a_row - 1, 0), 30)
    if retry_after is None or not is_usable(retry_after):
        return min(LONGEST_BACKOFF, FIRST_BACKOFF * doubled) * (0.5 + jitter / 2)
    if in_a_row < 2:
        return min(retry_after, LONGEST_PAUSE)
    extra = min(LONGEST_EXTRA, FIRST_EXTRA * doubled / 2) * (0.5 + jitter)
    return min(max(retry_after, extra), LONGEST_PAUSE)

"""Latency: a running mean and a high quantile of recent response times."""

from __future__ import annotations

from siteassist_async.immutable import define

# `high` estimates this quantile. It grows by about a tenth after a longer response and shrinks a
# little after a shorter one, so an outlier of 20 s moves it no further than one of 1 s.
QUANTILE, STEP = 0.98, 0.1
LONGER, SHORTER = 1 + STEP * QUANTILE, 1 - STEP * (1 - QUANTILE)
# Seconds: the assumed mean before the first response.
UNKNOWN = 0.1


@define
class Latency:
    """A mean and a high quantile of response times, weighted towards recent ones.

    Attributes:
        mean: Mean response time in seconds.
        high: Seconds within which nearly all responses arrive; 0 before the first.
    """

    mean: float = UNKNOWN
    high: float = 0.0

    def add(self, seconds: float) -> None:
        """Add a response time in seconds."""
        seconds = max(seconds, 1e-3)
        if not self.high:
            self.mean = self.high = seconds
            return
        # Outliers count as ten times the mean, so that a single one does not dominate it.
        most = 10 * self.mean
        self.mean += 0.1 * (min(seconds, most) - self.mean)
        self.high *= LONGER if seconds > self.high else SHORTER

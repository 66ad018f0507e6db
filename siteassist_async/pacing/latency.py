"""How long answers take of late."""

from __future__ import annotations

from attrs import define

# The share of answers that come within `high`, and how fast it follows: by a tenth where an answer
# took longer. So one answer of 20 s moves it by a tenth, however long it took.
QUANTILE, STEP = 0.98, 0.1
LONGER, SHORTER = 1 + STEP * QUANTILE, 1 - STEP * (1 - QUANTILE)
# Seconds: what is taken for the mean before the first answer.
UNKNOWN = 0.1


@define
class Latency:
    """A mean and a high quantile, each from the last answers only.

    Attributes:
        mean: Seconds from a start to its answer.
        high: Seconds within which nearly all answers come; 0 before the first.
    """

    mean: float = UNKNOWN
    high: float = 0.0

    def add(self, seconds: float) -> None:
        """Count an answer."""
        seconds = max(seconds, 1e-3)
        if not self.high:
            self.mean = self.high = seconds
            return
        # What is far out counts as ten times the usual, so that it does not stand for all.
        most = 10 * self.mean
        self.mean += 0.1 * (min(seconds, most) - self.mean)
        self.high *= LONGER if seconds > self.high else SHORTER

"""What a pacer has learned, as it is saved and restored."""

from __future__ import annotations

import math

from attrs import frozen


@frozen
class LearnedRate:
    """A limit in requests a second, and the seconds from one probe of it to the next."""

    rate: float
    period: float

    def is_usable(self) -> bool:
        """Whether both could have been learned: finite and above zero."""
        return all(
            isinstance(value, int | float) and math.isfinite(value) and value > 0
            for value in (self.rate, self.period)
        )

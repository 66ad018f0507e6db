"""What a pacer has learned, as it is saved and restored."""

from __future__ import annotations

import math

from attrs import frozen


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

"""Whether a header may close the gate before a refusal does: only where refusals proved it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from siteassist_async.pacing.hints import RateLimitHint

# Seconds: for no longer is a header believed, so that a wrong one costs little.
LONGEST_WAIT = 60.0


@define
class Foresight:
    """What the headers said of an empty quota, and whether they were right.

    A header that says "nothing left" is first tested: is a request that starts after it refused?
    Then the next such header closes the gate. Where one is granted all the same, or the quota is
    still empty when the gate has opened, headers are ignored from then on.
    """

    _proven: bool = field(init=False, default=False)
    _wrong: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)
    _empty_from: float = field(init=False, default=math.inf)
    _empty_until: float = field(init=False, default=-math.inf)

    def granted(self, sent: float, now: float, hint: RateLimitHint) -> float:
        """Heed the header of a grant; the seconds for which to close the gate, or 0."""
        wait = self.wait(hint)
        if self._empty_from < sent < self._empty_until:
            self._wrong = True
        if self._closed and sent >= self._empty_until:
            self._closed, self._wrong = False, self._wrong or wait is not None
        if self._wrong or wait is None:
            return 0.0
        self._empty_from, self._empty_until = now, now + wait
        self._closed = self._proven
        return wait if self._proven else 0.0

    def refused(self, sent: float) -> None:
        """Note the refusal of a request; it may prove the header right."""
        if self._empty_from < sent < self._empty_until:
            self._proven = True

    def wait(self, hint: RateLimitHint) -> float | None:
        """The seconds for which an empty quota stays so; None where it is not, or nobody knows."""
        if hint.remaining is None or hint.remaining >= 1:
            return None
        wait = hint.window if hint.reset is None else hint.reset
        return None if wait is None or not wait > 0 else min(wait, LONGEST_WAIT)

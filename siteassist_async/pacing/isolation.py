"""Isolation: does the API throttle one ID, or all requests?

A 429 or 503 does not say whether it is about the requested ID or about the whole project. Taking it
for the project's would let one bad ID stop everything; taking it for the ID's would keep sending
requests to an API that is down. So the decision is made from evidence: what else succeeded and what
else was throttled in the meantime.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import field

from siteassist_async.immutable import define, frozen

if TYPE_CHECKING:
    from siteassist_async.pacing.pacer import Permit

MOST_PARKED = 10_000
"""Maximum number of throttled IDs to remember; the one throttled longest ago is forgotten first."""

# Different IDs throttled with 503 in a row that make an outage. If 5 % of IDs are bad, that happens
# by chance once in some ten thousand requests.
OUTAGE = 5
# A second 429 of an ID is its own if SERVED other requests succeeded in between, for each other 429
# in that time, and if its Retry-After is LONGER times that of IDs that met the project's limit.
SERVED, LONGER = 5, 2.0
# Where one request in ten meets the project's limit, an ID may be throttled twice by chance, even
# with SERVED successes in between. So a second 429 whose Retry-After is not LONGER is the ID's own
# only after PROVEN successes. And it brings the ID closer to failing only after PROVEN
# successes, or once KNOWN 429s (less those that turned out not to be) were an ID's own.
PROVEN, KNOWN = 50, 3
# Seconds after the end of its wait for which an ID's earlier throttling is still considered.
FORGOTTEN = 600.0
# A 429 whose wait is below this share of the waits of individually throttled IDs is the limit's.
ALIKE = 0.5
# Once IDs are known to be throttled individually, a 429 is taken for the project's limit only if
# LIMITED of the last WINDOW outcomes were 429s.
WINDOW, LIMITED = 32, 16
MOST_LONE = 20


@define
class _Parked:
    """An ID that was throttled and has not succeeded since."""

    until: float
    wait: float
    """Seconds that a 429 asked to wait; 0 after a 503, which says nothing about a rate limit."""
    first: int
    """The number of its first throttled request."""
    served: int
    """The count of all successes when it was last throttled."""
    limited: int
    """The count of 429s of the project's limit when it was last throttled, this one included."""
    suspect: bool
    """Whether its 429 was attributed to the ID without proof."""
    own: bool = False


@frozen
class Verdict:
    """What a throttled request means; if neither `own` nor `general`, it is not known yet.

    Attributes:
        own: The ID is throttled individually: it was throttled before, and others succeeded since.
        alone: So many succeeded that this is not chance: it counts towards the ID's outcome.
        general: All requests are throttled: the gate closes.
    """

    own: bool
    alone: bool
    general: bool


@define
class Isolation:
    """Tracks which IDs were throttled, and what succeeded in the meantime.

    A first 503 may be about one ID or about all. A first 429 is taken to be about all, because
    rate limits are per project. If the same ID is throttled again while others succeed, it is
    throttled individually. Once that has been seen, a first 429 of another ID is attributed by the
    share of 429s among the last requests. If such an ID then succeeds after its wait, as IDs that
    met the project's limit do, the attribution was wrong and is taken back.

    Attributes:
        parked: The IDs that were throttled and have not succeeded since.
        watch: Whether a success is evidence for anything, and so must be counted.
    """

    parked: dict[Hashable, _Parked] = field(factory=dict[Hashable, _Parked], init=False)
    watch: bool = field(default=False, init=False)
    # The number of successes, and the highest number of a permit that succeeded.
    _served: int = field(default=0, init=False)
    _latest: int = field(default=-1, init=False)
    # The IDs with a 503 since the last success that was sent after the first of them; the permit
    # number of that first one; and whether they were enough evidence of an outage.
    _streak: set[Hashable] = field(factory=set[Hashable], init=False)
    _streak_from: int = field(default=0, init=False)
    _outage: bool = field(default=False, init=False)
    # How often a 429 was an ID's own, less the attributions that turned out wrong.
    _lone: int = field(default=0, init=False)
    # The last outcomes, True for a 429; recorded only while `_lone` is above 0.
    _outcomes: deque[bool] = field(factory=lambda: deque[bool](maxlen=WINDOW), init=False)
    # The number of 429s of the project's limit.
    _limited: int = field(default=0, init=False)
    # The last wait of a 429 that was an ID's own.
    _own_wait: float = field(default=0.0, init=False)
    # The longest wait of a 429 after which an ID succeeded, at least half a second: the longest
    # that the project's limit is known to ask for.
    _limit_wait: float = field(default=0.5, init=False)

    def parked_until(self, subject: Hashable) -> float:
        """Return when an ID may be requested again; 0 if it was not throttled."""
        parked = self.parked.get(subject)
        return 0.0 if parked is None else parked.until

    def would_isolate(self, subject: Hashable) -> bool:
        """Whether, if this ID is throttled again now, it would count as throttled individually."""
        parked = self.parked.get(subject)
        return parked is not None and self._served_since(parked) >= SERVED

    def succeeded(self, permit: Permit) -> bool:
        """Count a success; True if it was sent after the start of a series of 503s, and so ends it.

        It need not be called unless `watch` is set.
        """
        self._served += 1
        self._latest = max(self._latest, permit.number)
        if self.parked:
            parked = self.parked.pop(permit.subject, None)
            if parked is not None:
                # An ID that succeeds after its wait behaves as one that met the project's limit, so
                # a 429 that was attributed to it on suspicion counts as one of the limit after all.
                self._limit_wait = max(self._limit_wait, parked.wait)
                if parked.suspect:
                    self._lone = max(0, self._lone - 1)
                    self._limited += 1
        if self._lone:
            self._outcomes.append(False)
        self.watch = bool(self.parked or self._lone or self._streak)
        if not self._streak or permit.number <= self._streak_from:
            return False
        self._streak.clear()
        self._outage = False
        return True

    def throttled(  # noqa: PLR0913 - all that the verdict depends on
        self,
        permit: Permit,
        now: float,
        until: float,
        *,
        limited: bool,
        started: int,
        in_a_row: int,
    ) -> Verdict:
        """Judge a throttled request whose ID was asked to wait `until` a time.

        `limited` is set for a 429. `started` is the number of requests so far, and `in_a_row` the
        number of general throttlings since the last success.
        """
        self.watch = True
        before = self.parked.pop(permit.subject, None)
        if before is not None and now > before.until + FORGOTTEN:
            before = None
        own = (
            before is not None
            and not (in_a_row if limited else self._outage)
            and self._is_own(before, until - now, limited=limited)
        )
        # With a wait no longer than the limit's, `_is_own` has already required PROVEN successes.
        alone = (own and before is not None) and (
            not limited or self._lone >= KNOWN or self._served_since(before) >= PROVEN
        )
        general = suspect = False
        # Three cases: known to be individual; a 429, which is general unless it resembles the 429s
        # of individually throttled IDs; a 503, which is general only as part of an outage.
        if own:
            if limited:
                self._lone = min(MOST_LONE, self._lone + 1)
                self._own_wait = until - now
        elif limited:
            alike = self._is_longer(until - now) and until - now >= ALIKE * self._own_wait
            general = not alike or self._is_limit()
            suspect = not general
            self._limited += general
        else:
            general = self._outage = self._outage or self._is_outage(permit, started)
        first = permit.number if before is None else before.first
        wait = until - now if limited else 0.0
        self.parked[permit.subject] = _Parked(
            until, wait, first, self._served, self._limited, suspect, own
        )
        if len(self.parked) > MOST_PARKED:
            del self.parked[next(iter(self.parked))]
        return Verdict(own, alone, general)

    def _is_own(self, before: _Parked, wait: float, *, limited: bool) -> bool:
        if not limited:
            # The API was up: a request sent after the ID's first 503 has succeeded.
            return self._latest > before.first
        served = self._served_since(before)
        if not self._is_longer(wait):
            return served >= PROVEN
        known = self._lone >= KNOWN and self._limited == before.limited
        return before.own or known or served >= SERVED

    def _is_longer(self, wait: float) -> bool:
        return wait > LONGER * self._limit_wait

    def _served_since(self, before: _Parked) -> float:
        """Return the successes since the ID was throttled, per general 429 since (plus one)."""
        return (self._served - before.served) / (1 + self._limited - before.limited)

    def _is_limit(self) -> bool:
        """Whether a first 429 that resembles individual ones is the project's limit after all."""
        if not self._lone:
            return True
        self._outcomes.append(True)
        if self._outcomes.count(True) < LIMITED:
            return False
        self._outcomes.clear()
        return True

    def _is_outage(self, permit: Permit, started: int) -> bool:
        if not self._streak:
            self._streak_from = permit.number
        self._streak.add(permit.subject)
        # Throttled responses arrive before successes do, so a few bad IDs among good ones may start
        # a series too. Only if half of the requests since were throttled is it an outage.
        throttled = len(self._streak)
        return throttled >= OUTAGE and 2 * throttled >= started - self._streak_from

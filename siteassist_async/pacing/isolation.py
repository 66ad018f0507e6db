"""Whose refusal it is: one id's own, or everyone's."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from siteassist_async.pacing.pacer import Permit

MOST_PARKED = 10_000
"""Ids that are remembered as refused; the one refused longest ago is forgotten first."""

# So many ids, refused one after another, are no accident: 5 % of bad ids get there by chance once
# in some ten thousand requests.
OUTAGE = 5
# So many requests granted between two 429s of an id, for each other 429, show that it is the id
# where it is asked to wait longer, so many times, than ids were that met the limit.
SERVED, LONGER = 5, 2.0
# That may be chance where one request in ten meets the limit: else, and for it to count towards
# the id's outcome, so many must have been granted, or so many more ids been refused by themselves
# than met the limit.
PROVEN, KNOWN = 50, 3
# Seconds after its wait in which another refusal of an id is still taken for the same trouble.
FORGOTTEN = 600.0
# A 429 that asks for less than this share of the wait that ids ask for by themselves is a limit's.
ALIKE = 0.5
# Where single ids are known to answer 429, so many of the last outcomes must be refusals before
# one is taken for the project's limit.
WINDOW, LIMITED = 32, 16
MOST_LONE = 20


@define
class _Parked:
    """An id that was refused and not answered since."""

    until: float
    wait: float
    """Seconds that a 429 asked it to wait; 0 after a 503, which says nothing of a limit's wait."""
    first: int
    """The number of its first refused request."""
    served: int
    """Grants of all when it was last refused."""
    limited: int
    """429s that were no id's own, when it was last refused, this one included."""
    suspect: bool
    """Whether its refusal was taken for its own on suspicion."""
    own: bool = False


@frozen
class Verdict:
    """What a refusal means.

    Attributes:
        own: The id was refused before, and others were answered since.
        alone: So many were that this is no chance: it counts towards the id's outcome.
        general: It is everyone's: the gate closes. Neither: nobody knows yet.
    """

    own: bool
    alone: bool
    general: bool


@define
class Isolation:
    """Remembers who was refused and who was answered meanwhile.

    A 503 may be one id's or everyone's, and a 429 is everyone's, for limits are per project: until
    the same id is refused again while others are answered. From then on a 429 of another id is
    judged by how many of the last requests were refused, until such an id turns out to be
    answered after its wait, as ids are that met a limit.

    Attributes:
        parked: What was refused and not answered since.
        watch: Whether an answer can tell anything.
    """

    parked: dict[Hashable, _Parked] = field(factory=dict[Hashable, _Parked], init=False)
    watch: bool = field(default=False, init=False)
    _served: int = field(default=0, init=False)
    _latest: int = field(default=-1, init=False)  # the number of the last started that was granted
    _streak: set[Hashable] = field(factory=set[Hashable], init=False)
    _streak_from: int = field(default=0, init=False)
    _outage: bool = field(default=False, init=False)
    _lone: int = field(default=0, init=False)
    _outcomes: deque[bool] = field(factory=lambda: deque[bool](maxlen=WINDOW), init=False)
    _limited: int = field(default=0, init=False)
    # The wait that was last asked of an id by its own 429.
    _own_wait: float = field(default=0.0, init=False)
    # The longest wait of a 429 after which an id was answered; a limit's may be of half a second.
    _limit_wait: float = field(default=0.5, init=False)

    def parked_until(self, subject: Hashable) -> float:
        """When the id may be asked again, as it asked itself; 0 where it has not."""
        parked = self.parked.get(subject)
        return 0.0 if parked is None else parked.until

    def is_telling(self, subject: Hashable) -> bool:
        """Whether an id was refused, and so many answered since that it would be its own again."""
        parked = self.parked.get(subject)
        return parked is not None and self._served_since(parked) >= SERVED

    def granted(self, permit: Permit) -> bool:
        """Count an answer; whether it ends a streak of refusals that began before it was sent.

        Needs to be called only while there is something to `watch`.
        """
        self._served += 1
        self._latest = max(self._latest, permit.number)
        if self.parked:
            parked = self.parked.pop(permit.subject, None)
            if parked is not None:
                self._recovered(parked)
        if self._lone:
            self._outcomes.append(False)
        self.watch = bool(self.parked or self._lone or self._streak)
        if not self._streak or permit.number <= self._streak_from:
            return False
        self._streak.clear()
        self._outage = False
        return True

    def refused(  # noqa: PLR0913 - all that the verdict depends on
        self,
        permit: Permit,
        now: float,
        until: float,
        *,
        limited: bool,
        started: int,
        in_a_row: int,
    ) -> Verdict:
        """Judge a refusal that asks its id to wait `until` then.

        `started` is the number of requests so far, `in_a_row` how many refusals of everyone came
        since the last answer.
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
        alone = own and before is not None and (not limited or self._is_proven(before))
        general = suspect = False
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

    def _recovered(self, parked: _Parked) -> None:
        self._limit_wait = max(self._limit_wait, parked.wait)
        if parked.suspect:
            self._lone = max(0, self._lone - 1)
            self._limited += 1

    def _is_own(self, before: _Parked, wait: float, *, limited: bool) -> bool:
        if not limited:
            return self._latest > before.first
        served = self._served_since(before)
        if not self._is_longer(wait):
            return served >= PROVEN
        known = self._lone >= KNOWN and self._limited == before.limited
        return before.own or known or served >= SERVED

    def _is_proven(self, before: _Parked) -> bool:
        # What is no longer than a limit's wait was its own only by being proven.
        return self._lone >= KNOWN or self._served_since(before) >= PROVEN

    def _is_longer(self, wait: float) -> bool:
        return wait > LONGER * self._limit_wait

    def _served_since(self, before: _Parked) -> float:
        """Grants since an id was refused before, for each 429 that was no id's own, and one."""
        return (self._served - before.served) / (1 + self._limited - before.limited)

    def _is_limit(self) -> bool:
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
        # Refusals come back before answers do: as many as half of what was sent since are more
        # than bad ids among good ones.
        refused = len(self._streak)
        return refused >= OUTAGE and 2 * refused >= started - self._streak_from

"""The wait queue: which calls wait for a start, and which is next. No I/O, no clock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from operator import itemgetter
from typing import TYPE_CHECKING

from attrs import field

from siteassist_async.immutable import define
from siteassist_async.pacing.pace import RESERVED, URGENT_FOR
from siteassist_async.pacing.pacer import Permit, StartTooLateError
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from siteassist_async.events import WaitReason
    from siteassist_async.pacing.pace import Pace


@define(eq=False)
class Waiter:
    """A call that waits to start.

    Attributes:
        subject: The ID it is about.
        bulk: Whether it is part of bulk work, as opposed to an interactive call.
        latest: When it must start at the latest.
        slots: The slots of its client; it needs a free one.
        notify: Called once, when the wait is over.
        outcome: The permit, or the reason for rejecting the call. None after `notify` means that
            its ID was throttled meanwhile, and that it has to wait for that before it returns.
        gone: Whether it has left the queue.
    """

    subject: Hashable
    bulk: bool
    latest: float
    slots: Slots
    notify: Callable[[], object] = lambda: None
    outcome: Permit | StartTooLateError | None = field(default=None, init=False)
    gone: bool = field(default=False, init=False)


@define
class _Line:
    """The waiting calls of one client."""

    urgent: list[tuple[float, int, Waiter]] = field(factory=list[tuple[float, int, "Waiter"]])
    bulk: deque[tuple[int, Waiter]] = field(factory=deque[tuple[int, "Waiter"]])
    # Bulk work for IDs that were throttled before.
    back: deque[tuple[int, Waiter]] = field(factory=deque[tuple[int, "Waiter"]])

    def first_bulk(self, pace: Pace) -> tuple[int, Waiter] | None:
        """Return the next call of bulk work, with its arrival number."""
        back = self.back[0] if _clean_bulk(self.back) else None
        bulk = self.bulk[0] if _clean_bulk(self.bulk) else None
        if back is None or bulk is None:
            return back or bulk
        # A throttled ID goes first if the result shows whether it is throttled individually.
        return (0, back[1]) if pace.would_isolate(back[1].subject) else min(back, bulk)

    def late(self, earliest: float) -> Iterator[Waiter]:
        """Yield the calls that must start before `earliest`; the consumer removes each at once."""
        while _clean_heap(self.urgent) and self.urgent[0][0] < earliest:
            yield self.urgent[0][2]
        for bulk in (self.bulk, self.back):
            while _clean_bulk(bulk) and bulk[0][1].latest < earliest:
                yield bulk[0][1]

    def first_latest(self) -> float:
        """Return the earliest `latest` of the calls at the heads of the lines."""
        heads = [bulk[0][1].latest for bulk in (self.bulk, self.back) if _clean_bulk(bulk)]
        if _clean_heap(self.urgent):
            heads.append(self.urgent[0][0])
        return min(heads, default=math.inf)


@define
class WaitQueue:
    """The queue of calls that wait for a start, across all clients that share a pacer.

    Order: interactive calls go first, by the earliest `latest`. Bulk work is first come, first
    served, except that a throttled ID goes first if another throttling would show that it is
    throttled individually. To keep bulk work from starving, it gets at least one start in four
    while both wait; and while interactive calls arrive, it leaves one slot in four free for them.
    """

    _lines: dict[Slots, _Line] = field(factory=dict["Slots", _Line], init=False)
    _arrivals: int = field(default=0, init=False)
    _urgent_in_a_row: int = field(default=0, init=False)
    _waiting: int = field(default=0, init=False)
    _urgent: int = field(default=0, init=False)
    # The maximum `latest` since the queue was last empty.
    _latest: float = field(default=-math.inf, init=False)

    def __len__(self) -> int:
        return self._waiting

    def enter(self, waiter: Waiter, pace: Pace, now: float) -> float:
        """Add a call; returns the estimated seconds until it starts.

        Raises:
            StartTooLateError: It is not expected to start in time.
        """
        ahead = self._urgent
        if not waiter.bulk:
            if waiter.latest < self._latest:  # rare: calls of equal patience arrive in order
                ahead = sum(
                    not other.gone and latest <= waiter.latest
                    for line in self._lines.values()
                    for latest, _, other in line.urgent
                )
            self._latest = max(self._latest, waiter.latest)
        shared = any(line.bulk or line.back for line in self._lines.values())
        start = pace.expected_start(now, ahead, shared=shared)
        # Under lasting overload, every call starts about as late as admission allows. So a call is
        # admitted only if that leaves time for a slow response.
        spare = pace.spare(waiter.latest - now) if ahead else 0.0
        if start > waiter.latest - spare:
            raise StartTooLateError(start - now, self.reason(waiter, pace, now))
        line = self._lines.setdefault(waiter.slots, _Line())
        self._arrivals += 1
        if waiter.bulk:
            came_back = pace.was_throttled(waiter.subject)
            (line.back if came_back else line.bulk).append((self._arrivals, waiter))
        else:
            heappush(line.urgent, (waiter.latest, self._arrivals, waiter))
            self._urgent += 1
        self._waiting += 1
        return start - now

    def reason(self, waiter: Waiter, pace: Pace, now: float) -> WaitReason:
        """Return what a call waits for first."""
        if pace.opens > now:
            return "gate"
        return "pace" if waiter.slots.free > 0 and pace.start_at(now) < math.inf else "slots"

    def leave(self, waiter: Waiter) -> None:
        """Remove a call, lazily: its entry is dropped once it reaches the head of its line."""
        if not waiter.gone:
            waiter.gone = True
            self._waiting -= 1
            self._urgent -= not waiter.bulk

    def advance(self, pace: Pace, now: float) -> float:
        """Start every call that may start now, and reject every call that no longer can in time.

        Returns when to check again; infinite if only the end of a request can change anything.
        """
        while self._waiting:
            # In each round, because another late call may have become the head of its line.
            earliest = max(now, pace.opens)
            for line in self._lines.values():
                for late in line.late(earliest):
                    self.leave(late)
                    start = max(pace.expected_start(now, 0), earliest)
                    late.outcome = StartTooLateError(start - now, self.reason(late, pace, now))
                    late.notify()
            at, waiter = self._next(pace, now)
            if waiter is None or at > now:
                latest = min(line.first_latest() for line in self._lines.values())
                # A call that must start right now is late only a moment after.
                return min(at, max(latest, math.nextafter(now, math.inf)))
            self.leave(waiter)
            if pace.parked_until(waiter.subject) > now:
                waiter.notify()
                continue
            if not waiter.bulk:
                waiter.slots.urgent_until = now + URGENT_FOR
            waiter.slots.free -= 1
            self._urgent_in_a_row = 0 if waiter.bulk else self._urgent_in_a_row + 1
            waiter.outcome = pace.start(now, waiter.subject, bulk=waiter.bulk)
            waiter.notify()
        self._lines.clear()
        self._latest = -math.inf
        return math.inf

    def _next(self, pace: Pace, now: float) -> tuple[float, Waiter | None]:
        """Return the call to start next and when; the time is infinite if no slot is free."""
        bulk, bulk_at = None, math.inf
        if self._waiting > self._urgent:
            heads = [
                head
                for slots, line in self._lines.items()
                if has_room(slots, now) and (head := line.first_bulk(pace)) is not None
            ]
            if heads:
                _, bulk = min(heads, key=itemgetter(0))
                bulk_at = pace.start_at(now, bulk=True)
        urgent: list[tuple[float, int, Waiter]] = []
        if self._urgent:
            urgent = [
                line.urgent[0]
                for slots, line in self._lines.items()
                if _clean_heap(line.urgent) and slots.free > 0
            ]
        if not urgent:
            return bulk_at, bulk
        at = pace.start_at(now)
        is_bulk_due = self._urgent_in_a_row >= RESERVED - 1
        if bulk is not None and (bulk_at < at or (bulk_at == at and is_bulk_due)):
            return bulk_at, bulk
        return at, min(urgent)[2]


def has_room(slots: Slots, now: float) -> bool:
    """Whether a slot is free for bulk work, apart from those reserved for interactive calls."""
    kept = slots.count // RESERVED if now < slots.urgent_until else 0
    return slots.free > kept


def _clean_heap(urgent: list[tuple[float, int, Waiter]]) -> bool:
    while urgent and urgent[0][2].gone:
        heappop(urgent)
    return bool(urgent)


def _clean_bulk(bulk: deque[tuple[int, Waiter]]) -> bool:
    while bulk and bulk[0][1].gone:
        bulk.popleft()
    return bool(bulk)

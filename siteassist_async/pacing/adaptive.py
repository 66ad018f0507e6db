"""The adaptive pacer: `Pace` makes the decisions, and this class does the waiting.

All clients of a process for the same project share one, by `pacer_for`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import Hashable
from contextvars import Context
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from attrs import evolve, field

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.forks import renew_in_children
from siteassist_async.immutable import define
from siteassist_async.pacing.pace import URGENT_FOR, Pace
from siteassist_async.pacing.pacer import Pacer, PaceSnapshot, Permit, Start, StartTooLateError
from siteassist_async.pacing.queue import Waiter, WaitQueue, has_room

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from siteassist_async.events import PaceEvent
    from siteassist_async.pacing.hints import RateLimitHint
    from siteassist_async.pacing.rate import LearnedRate
    from siteassist_async.slots import Slots


class AdaptivePacer(Pacer):
    """The default pacer, shared by all clients of a project within a process.

    `Pace` makes the decisions without I/O; this class adds the clock, the lock and the waiting. It
    may be used from any number of event loops, one after another or in several threads at once.
    Calls are ordered within each event loop; what was learned outlives the loops.
    """

    def __init__(self, pace: Pace | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__()
        self._pace = pace or Pace()
        self._clock = clock
        # Threads may share a pacer, and decisions are not atomic. The lock is reentrant because the
        # garbage collector may run while it is held, finalize an abandoned request and so settle
        # its permit.
        self._lock = threading.RLock()
        self._queues: dict[asyncio.AbstractEventLoop, _LoopQueue] = {}
        self._not_sent = 0
        renew_in_children(self)

    def acquire_nowait(self, subject: Hashable, slots: Slots, *, bulk: bool) -> Permit | None:
        """As `Pacer.acquire_nowait`."""
        if self._queues or slots.free <= 0:
            return None
        with self._lock:
            now = self._clock.now()
            if bulk and now < slots.urgent_until and not has_room(slots, now):
                return None
            permit = self._pace.try_start(now, subject, bulk=bulk)
        if permit is None:
            return None
        slots.free -= 1
        if not bulk:
            slots.urgent_until = now + URGENT_FOR
        permit.pacer = self
        return permit

    async def acquire(self, start: Start) -> Permit:
        """As `Pacer.acquire`."""
        latest = min(start.latest, self._pace.latest_start(self._clock.now(), start.deadline))
        permit = None
        try:
            while permit is None:
                permit = await self._wait(start, latest)
        except StartTooLateError:
            self._not_sent += 1
            raise
        permit.pacer = self
        return permit

    def succeeded(self, permit: Permit, hint: RateLimitHint | None) -> None:
        """As `Permit.succeeded`."""
        with self._lock:
            events = self._pace.succeeded(permit, self._clock.now(), hint)
        if events or self._queues:
            self._changed(events)

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        """As `Permit.throttled`."""
        with self._lock:
            alone, events = self._pace.throttled(
                permit, self._clock.now(), retry_after, limited=limited, hint=hint
            )
        self._changed(events)
        return alone

    def abandoned(self, permit: Permit) -> None:
        """As `Permit.abandoned`."""
        with self._lock:
            self._pace.abandoned(permit)
        self._changed(())

    def adjust(self, *, concurrency: int, max_rate: float | None = None) -> None:
        """Raise the maximum window to `concurrency`; replace `max_rate` if it is given."""
        with self._lock:
            self._pace.adjust(concurrency=concurrency, max_rate=max_rate)
        self._changed(())

    def snapshot(self) -> PaceSnapshot:
        """Return the current state."""
        with self._lock:
            waiting = sum(len(loop_queue.queue) for loop_queue in self._queues.values())
            state = self._pace.snapshot(self._clock.now())
        return evolve(state, waiting=waiting, not_sent=self._not_sent)

    def learned(self) -> LearnedRate | None:
        """Return the learned rate, to be passed to `restore` by a later run; None before a 429."""
        with self._lock:
            return self._pace.learned(time.time())

    def restore(self, learned: LearnedRate) -> None:
        """Start from a rate that an earlier run learned; an old rate is soon probed upwards.

        Ignored if it is invalid or more than a day old, or if this process has learned a rate.
        """
        with self._lock:
            events = self._pace.restore(learned, self._clock.now(), epoch=time.time())
        self._changed(events)

    def renew(self) -> None:
        """Reset after a fork: the requests in flight belong to the parent."""
        self._lock = threading.RLock()  # another thread of the parent may have held the old one
        self._queues = {}
        self._pace.forget_flights()

    async def _wait(self, start: Start, latest: float) -> Permit | None:
        """Wait until the ID is not parked, then in the queue; None if it was parked meanwhile."""
        while (until := self._pace.parked_until(start.subject)) > (now := self._clock.now()):
            if until > latest:
                raise StartTooLateError(until - now, "retry_after")
            start.on_wait("retry_after", until - now)
            await self._clock.sleep(until - now)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def notify() -> None:
            if not done.done():
                done.set_result(None)

        waiter = Waiter(start.subject, start.bulk, latest, start.slots, notify)
        with self._lock:
            now = self._clock.now()
            loop_queue = self._queues.get(loop) or _LoopQueue(loop)
            expected = loop_queue.queue.enter(waiter, self._pace, now)
            self._queues[loop] = loop_queue
        self._advance(loop_queue)
        try:
            if waiter.outcome is None:
                now = self._clock.now()
                start.on_wait(loop_queue.queue.reason(waiter, self._pace, now), expected)
            await done
        except BaseException:
            with self._lock:
                loop_queue.queue.leave(waiter)
            if isinstance(waiter.outcome, Permit):  # granted just before the cancellation
                waiter.slots.release()
                self.abandoned(waiter.outcome)
            elif not loop.is_closed():
                self._advance(loop_queue)
            raise
        if isinstance(waiter.outcome, StartTooLateError):
            raise waiter.outcome
        return waiter.outcome

    def _changed(self, events: Sequence[PaceEvent]) -> None:
        """Advance the queues of all event loops, and emit the events."""
        if self._queues:
            try:
                current = asyncio.get_running_loop()
            except RuntimeError:
                current = None
            for loop_queue in list(self._queues.values()):
                if loop_queue.loop is current:
                    self._advance(loop_queue)
                    continue
                try:
                    loop_queue.loop.call_soon_threadsafe(self._advance, loop_queue)
                except RuntimeError:
                    # The loop was closed while its tasks waited, so none of them will ever start.
                    self._queues.pop(loop_queue.loop, None)
        for event in events:
            self.events.emit(event)

    def _advance(self, loop_queue: _LoopQueue) -> None:
        """Start or reject the calls that are due in one event loop, and schedule the next check."""
        with self._lock:
            now = self._clock.now()
            at = loop_queue.queue.advance(self._pace, now)
            if not len(loop_queue.queue):
                if self._queues.get(loop_queue.loop) is loop_queue:
                    del self._queues[loop_queue.loop]
                at = math.inf
        loop_queue.plan(at, self._look_later)

    async def _look_later(self, loop_queue: _LoopQueue) -> None:
        try:
            while loop_queue.looks_at < math.inf:
                await self._clock.sleep(loop_queue.looks_at - self._clock.now())
                loop_queue.looks_at = math.inf
                self._advance(loop_queue)
        except asyncio.CancelledError:
            if loop_queue.forget(asyncio.current_task()):  # by other code, while calls still wait
                loop_queue.loop.call_soon(self._advance, loop_queue)
            raise


@define(eq=False)
class _LoopQueue:
    """The waiting calls of one event loop, and the task that checks them when the next is due.

    Attributes:
        looks_at: When that task wakes up; infinite if there is none.
    """

    loop: asyncio.AbstractEventLoop
    queue: WaitQueue = field(factory=WaitQueue, init=False)
    looks_at: float = field(default=math.inf, init=False)
    _looker: asyncio.Task[None] | None = field(default=None, init=False)

    def plan(
        self, at: float, look: Callable[[_LoopQueue], Coroutine[object, object, None]]
    ) -> None:
        """Schedule a check at a time, unless an earlier one is scheduled already."""
        if at >= self.looks_at:
            if at == math.inf and not len(self.queue):
                self._stop()
            return
        looking = self._looker is not None and self._looker is asyncio.current_task(self.loop)
        self.looks_at = at
        if not looking:
            self._stop()
            self.looks_at = at
            self._looker = self.loop.create_task(look(self), context=Context())

    def forget(self, looker: asyncio.Task[object] | None) -> bool:
        """Forget a cancelled task; True if it was the one scheduled to check."""
        if looker is not self._looker:
            return False
        self._looker, self.looks_at = None, math.inf
        return True

    def _stop(self) -> None:
        looker, self._looker = self._looker, None
        if looker is not None and looker is not asyncio.current_task(self.loop):
            looker.cancel()
        self.looks_at = math.inf


_PACERS: WeakValueDictionary[Hashable, AdaptivePacer] = WeakValueDictionary()
_LOCK = threading.Lock()


def pacer_for(
    base_url: str,
    token: str | Callable[[], object],
    *,
    concurrency: int,
    max_rate: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AdaptivePacer:
    """Return the pacer for a base URL and token, shared by all clients of this process.

    The maximum window is the largest `concurrency` given, and the last `max_rate` given applies.
    Two token callables count as the same token if they are equal. The pacer, and what it has
    learned, lives as long as a client refers to it.
    """
    key = (base_url, _fingerprint(token), id(clock))
    with _LOCK:
        pacer = _PACERS.get(key)
        if pacer is None:
            pace = Pace(concurrency=concurrency, max_rate=max_rate)
            pacer = _PACERS[key] = AdaptivePacer(pace, clock=clock)
        else:
            pacer.adjust(concurrency=concurrency, max_rate=max_rate)
    return pacer


def _fingerprint(token: object) -> Hashable:
    if isinstance(token, str):
        # A hash, so that debuggers and dumps of this table do not show the token.
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass")).digest()
    return token if isinstance(token, Hashable) else id(token)

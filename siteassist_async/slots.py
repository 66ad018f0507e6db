"""Slots: the limit on the requests that one client has in flight."""

from __future__ import annotations

import asyncio
import math
from collections import deque


class Slots:
    """A semaphore whose free slots can be taken without a method call, because every request does.

    Take a slot with `await acquire()`, or with `free -= 1` if `free > 0`. Call `release` once for
    each slot taken.

    Attributes:
        count: Total number of slots.
        free: Number of free slots.
        urgent_until: Until this time, bulk work leaves a share of the slots free for interactive
            calls; set when one of those starts.
    """

    def __init__(self, count: int) -> None:
        self.count = self.free = count
        self.urgent_until = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Take a slot, waiting for one first come, first served; if cancelled, none is held."""
        if self.free > 0:
            self.free -= 1
            return
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # the slot was handed over before the cancellation
                self.release()
            raise

    def release(self) -> None:
        """Hand the slot to the caller that has waited longest, or make it free."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self.free += 1

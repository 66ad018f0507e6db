"""Slots for so many at once."""

from __future__ import annotations

import asyncio
import math
from collections import deque


class Slots:
    """A semaphore whose free slots are taken without a call: it is passed for each request.

    Take a free one by `free -= 1` while `free > 0`, else by `wait`; `release` follows either once.

    Attributes:
        count: All slots.
        free: Slots that nobody holds.
        urgent_until: Until then bulk work leaves a share of the slots to calls that somebody waits
            for; set by who starts those.
    """

    def __init__(self, count: int) -> None:
        self.count = self.free = count
        self.urgent_until = -math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Get a free slot, or wait for one."""
        if self.free > 0:
            self.free -= 1
        else:
            await self.wait()

    async def wait(self) -> None:
        """Get a slot in turn; a cancelled call holds none."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():  # it had been given before the cancellation came
                self.release()
            raise

    def release(self) -> None:
        """Give the slot to who has waited longest."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self.free += 1

"""The time as the package sees it: a clock that tests and simulations can replace."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and a sleep that agree with each other."""

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller for `seconds`; zero or less only gives way to others."""
        ...


class SystemClock:
    """The machine's clock; the same for every event loop and thread of the process."""

    # Without a frame of ours around it: each request asks several times.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()

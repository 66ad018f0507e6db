"""Clocks: the package's only source of time, so that tests and simulations can replace it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and a matching sleep."""

    def now(self) -> float:
        """Return seconds since an arbitrary point in time; never decreases."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the caller for `seconds`; zero or less only yields to the event loop."""
        ...


class SystemClock:
    """The machine's clock; the same for every event loop and thread of the process."""

    # The function itself, without a wrapper: each request calls it several times.
    now = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`."""
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()

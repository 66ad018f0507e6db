"""A door that an emulator's answers pass when a test lets them."""

from __future__ import annotations

import asyncio
import math
from threading import Semaphore


class Door:
    """Lets so many answers pass and holds the others until it is opened; an emulator's `sleep`."""

    def __init__(self, passing: float = 0) -> None:
        self._passing = passing
        self._held = Semaphore(0)
        self._waiting: list[asyncio.Future[None]] = []

    async def __call__(self, _: float) -> None:
        """Pass, or wait."""
        self._passing -= 1
        if self._passing < 0:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            self._held.release()
            await waiting

    def wait_for(self, count: int) -> None:
        """Wait until so many more are held; from another thread."""
        for _ in range(count):
            assert self._held.acquire(timeout=20)

    def open(self) -> None:
        """Let all pass from now on; from another thread."""
        self._passing = math.inf
        for waiting in self._waiting:
            waiting.get_loop().call_soon_threadsafe(_let_pass, waiting)


def _let_pass(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

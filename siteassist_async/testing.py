"""For tests of code that uses this package: a clock that needs no time, and aioresponses.

The fixtures of `siteassist_async.pytest_plugin` need no import.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Generator

    import aiohttp
    import aioresponses


class InstantClock:
    """A clock on which waits take no time: `SiteAssist(clock=InstantClock())`.

    A sleep advances the time by its length and returns, so that a test does not wait for retries
    and for Retry-After. Several clients and an emulator may share one, in any threads:
    `Emulator(clock=clock.now, sleep=clock.sleep)`. Whether a wait or a retry would end before the
    `deadline` is judged by this clock; the time that a request is on the wire is real, as is the
    `timeout`.

    Attributes:
        slept: The lengths of all sleeps, in seconds.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = 1000.0
        self._lock = Lock()

    def now(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += max(0.0, seconds)

    async def sleep(self, seconds: float) -> None:
        """Advance the time, and let other tasks run."""
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


@contextmanager
def patched_aioresponses() -> Generator[aioresponses.aioresponses]:
    """Use aioresponses with aiohttp 3.14 and later, which aioresponses 0.7.9 does not support.

    ```py
    with patched_aioresponses() as mocked:
        mocked.get(f"https://api.siteassist.io/v2/conversations/{id}", payload=...)
    ```

    See pnuckowski/aioresponses#289. It may stay in use with a release that has been fixed.
    """
    import aiohttp  # noqa: PLC0415 - `InstantClock` needs neither
    import aioresponses  # noqa: PLC0415

    def stream(loop: asyncio.AbstractEventLoop) -> aiohttp.StreamReader:
        # With the default limit, a body of 64 KiB would pause a protocol that reads from nowhere.
        protocol = mock.Mock(_reading_paused=False)
        return aiohttp.StreamReader(protocol, limit=2**30, loop=loop)

    response = functools.partial(aiohttp.ClientResponse, stream_writer=mock.Mock(output_size=0))
    with (
        mock.patch("aioresponses.core.ClientResponse", response),
        mock.patch("aioresponses.core.stream_reader_factory", stream),
        aioresponses.aioresponses() as mocked,
    ):
        yield mocked

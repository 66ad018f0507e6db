"""An emulator in a thread of its own, for code that blocks or that is not asyncio's."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from siteassist_async.emulator.server import Emulator

__all__ = ["in_thread"]


@contextmanager
def in_thread(emulator: Emulator) -> Generator[Emulator]:
    """Run an emulator in a thread for the length of a `with` block.

    Its options, `script`, `missing` and counters may be used from the calling thread.

    Raises:
        OSError: the port is taken.
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="siteassist-emulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(emulator.start(), loop).result()
        yield emulator
    finally:
        asyncio.run_coroutine_threadsafe(emulator.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

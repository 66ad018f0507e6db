"""The checkpointer: saves a checkpoint about once a second, in a thread beside the work."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.clock import Clock
    from siteassist_async.export.checkpoint import Checkpoint
    from siteassist_async.export.ledger import Ledger


INTERVAL = 1.0
"""Seconds from the end of one checkpoint to the beginning of the next."""


class Checkpointer:
    """Saves a ledger in a thread, while outcomes are still being written.

    Attributes:
        store_use: Held while the store is committed, and while the input is read, which uses it.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.store_use = asyncio.Lock()
        self._ledger = ledger
        self._clock = clock
        self._due = clock.now() + INTERVAL
        self._saving: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Start a checkpoint if one is due.

        Raises:
            OutputError: The last one failed.
        """
        if self._saving is not None and self._saving.done():
            saved, self._saving = self._saving, None
            saved.result()
            self._due = self._clock.now() + INTERVAL
        if self._saving is None and self._clock.now() >= self._due:
            self._saving = asyncio.create_task(self._save(self._ledger.snapshot()))

    async def save(self, *, clean: bool = False, finished: bool = False) -> None:
        """Save a checkpoint now; `clean` and `finished` as for `Ledger.snapshot`.

        Raises:
            OutputError: It could not be saved.
        """
        await self.close()
        if self._saving is not None:
            self._saving.result()
        await self._save(self._ledger.snapshot(clean=clean, finished=finished))

    async def close(self) -> None:
        """Wait for the checkpoint that is being saved."""
        if self._saving is not None:
            await outlast(self._saving)

    async def _save(self, checkpoint: Checkpoint) -> None:
        await run_in_thread(self._ledger.sync)
        async with self.store_use:
            await run_in_thread(partial(self._ledger.commit, checkpoint))


T = TypeVar("T")


async def run_in_thread(call: Callable[[], T], *, on_cancel: Callable[[], None] | None = None) -> T:
    """Call in a thread; cancellation waits for its end, because it uses files that are closed then.

    `on_cancel` may make it end sooner.
    """
    task = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await outlast(task)
        raise


async def outlast(task: asyncio.Future[T]) -> None:
    """Wait for the end of a task, however it ends and however often this is cancelled."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not report it

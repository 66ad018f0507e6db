"""A checkpoint about once a second, beside the work and out of its way."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.export.threads import in_thread, outlast

if TYPE_CHECKING:
    from siteassist_async.clock import Clock
    from siteassist_async.export.checkpoint import Checkpoint
    from siteassist_async.export.ledger import Ledger

INTERVAL = 1.0
"""Seconds from the end of one checkpoint to the beginning of the next."""


class Checkpointer:
    """Saves a ledger in a thread while it goes on being written.

    Attributes:
        store_use: Held while the store is committed; whoever reads the input holds it too.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.store_use = asyncio.Lock()
        self._ledger = ledger
        self._clock = clock
        self._due = clock.now() + INTERVAL
        self._saving: asyncio.Task[None] | None = None

    def tick(self) -> None:
        """Begin a checkpoint if it is time.

        Raises:
            OutputError: The last one failed.
        """
        if self._saving is not None and self._saving.done():
            saved, self._saving = self._saving, None
            saved.result()
            self._due = self._clock.now() + INTERVAL
        if self._saving is None and self._clock.now() >= self._due:
            self._saving = asyncio.create_task(self._save(self._ledger.snapshot()))

    async def save(self, *, clean: bool = False) -> None:
        """Make a checkpoint now; `clean` says that the run ends with it.

        Raises:
            OutputError: It could not be made.
        """
        await self.close()
        if self._saving is not None:
            self._saving.result()
        await self._save(evolve(self._ledger.snapshot(), clean=clean))

    async def close(self) -> None:
        """Wait for the end of what was begun."""
        if self._saving is not None:
            await outlast(self._saving)

    async def _save(self, checkpoint: Checkpoint) -> None:
        await in_thread(self._ledger.sync)
        async with self.store_use:
            await in_thread(partial(self._ledger.commit, checkpoint))

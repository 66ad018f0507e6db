"""One run of an export: reads IDs, fetches and writes, until the input or the run ends."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.bulk import AsyncInput, Options, Outage, Pool
from siteassist_async.errors import CertificateError, OutageError, SiteAssistError
from siteassist_async.export.checkpointer import Checkpointer
from siteassist_async.export.errors import ExportError
from siteassist_async.export.id_list import Entry
from siteassist_async.export.summary import Ending
from siteassist_async.outage import ends_bulk_work, needs_a_person

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Sequence,
    )

    from siteassist_async.clock import Clock
    from siteassist_async.export.ledger import Ledger

ELSEWHERE = 10
"""How many IDs from all over the list are tried if none was ever answered."""


@frozen
class Conclusion:
    """How a run ended, and the error if one ended it."""

    ending: Ending
    error: SiteAssistError | None = None


class Run:
    """The work of one run.

    Args:
        fetch: Returns the record of an ID.
        limit: The maximum number of concurrent fetches.
        most: The maximum number of IDs to fetch.
        wait: Seconds to wait during an outage.
        stopped: Whether to claim no further IDs.
    """

    def __init__(  # noqa: PLR0913 - what a run depends on, each by its name
        self,
        ledger: Ledger,
        *,
        fetch: Callable[[str], Awaitable[bytes]],
        limit: int,
        most: int | None,
        wait: float,
        stopped: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._fetch = fetch
        self._limit = limit
        self._wait = wait
        self._stopped = stopped
        self._left = math.inf if most is None else most
        self._clock = clock
        self._checkpointer = Checkpointer(ledger, clock)
        self._pool: Pool[Entry, bytes] | None = None

    @property
    def outage(self) -> Outage | None:
        """The current outage, if there is one."""
        return None if self._pool is None else self._pool.outage

    async def execute(self) -> Conclusion:
        """Work until the input ends or something else ends the run; saves a checkpoint at the end.

        Raises:
            InputError: The input can no longer be read.
            OutputError: A file cannot be written, or was changed by someone else.
        """
        try:
            conclusion = await self._until_end()
            finished = conclusion.ending is Ending.FINISHED
            await self._checkpointer.save(clean=True, finished=finished)
            return conclusion
        finally:
            await self._checkpointer.close()

    async def _until_end(self) -> Conclusion:
        try:
            while await self._pass():
                if self._ledger.retry is None:
                    return Conclusion(Ending.FINISHED)
                self._ledger.finish_retry()
                await self._checkpointer.save()
        except OutageError as outage:
            return concluded(outage.error)
        except SiteAssistError as error:
            if isinstance(error, ExportError) or ends_bulk_work(error):
                raise
            return concluded(error)
        return Conclusion(Ending.STOPPED if self._stopped() else Ending.LIMITED)

    async def _pass(self) -> bool:
        """Process the current queue; returns whether all its entries have their outcome."""
        proven = self._ledger.last_answered
        options = Options[Entry](
            wait=self._wait,
            strict=True,
            proven=None if proven is None else Entry(-1, 0, 0, proven, proven),
            # Not only from its beginning, whose IDs may belong to another project.
            elsewhere=lambda: self._ledger.queue.ids.sample(ELSEWHERE),
            stopped=self._stopped,
            clock=self._clock,
        )
        async with aclosing(self._blocks()) as blocks:
            entries = _Entries(blocks, self._ledger, self._stopped, self._left)
            self._pool = pool = Pool(
                entries, lambda entry: self._fetch(entry.id), limit=self._limit, options=options
            )
            try:
                pool.fill()
                while await pool.has_outcomes():
                    self._write(list(pool.outcomes))
                    pool.outcomes.clear()
                    pool.fill()
                    self._checkpointer.tick()
            finally:
                await pool.stop()
            self._left = entries.left
        return not (self._ledger.queue.cursor.open or entries.cut_short)

    def _write(self, outcomes: Sequence[tuple[Entry, bytes | SiteAssistError]]) -> None:
        self._ledger.record_success(
            [(e, record) for e, record in outcomes if isinstance(record, bytes)]
        )
        for entry, outcome in outcomes:
            if not isinstance(outcome, bytes):
                self._ledger.record_failure(entry, outcome)

    async def _blocks(self) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield the entries without an outcome; a block is claimed before the next is read."""
        queue = self._ledger.queue
        yield queue.open_entries()
        blocks = queue.blocks()
        while True:
            async with self._checkpointer.store_use:
                block = next(blocks, None)
            if block is None:
                return
            yield block.entries
            queue.finish(block)
            await asyncio.sleep(0)  # many duplicates in a row must not block the event loop


class _Entries(AsyncInput["Entry"]):
    """The entries to fetch; duplicates and invalid lines are completed as they are claimed.

    Attributes:
        cut_short: The run was stopped before the last entry.
        left: How many entries may still be fetched.
    """

    def __init__(
        self,
        blocks: AsyncIterator[Sequence[Entry]],
        ledger: Ledger,
        stopped: Callable[[], bool],
        left: float,
    ) -> None:
        super().__init__(blocks)
        self.cut_short = False
        self.left = left
        self._ledger = ledger
        self._is_stopped = stopped

    def take(self) -> bool:
        """As `Input.take`."""
        while not (self._is_stopped() or self.cut_short):
            if not super().take():
                return False
            entry = self.key
            is_fetched = not (entry.duplicate or entry.settled or entry.fault)
            if is_fetched and not self.left:
                self.cut_short = True  # so that it is read again by the next run
                break
            if entry.position not in self._ledger.queue.cursor.open:
                self._ledger.claim(entry)
            if is_fetched:
                self.left -= 1
                return True
            if entry.fault is not None:
                self._ledger.record_failure(entry, entry.fault)
            elif entry.duplicate:
                self._ledger.record_duplicate(entry)
            else:
                self._ledger.record_settled(entry)
        self.cut_short = self.cut_short or not self.exhausted
        self.exhausted = True
        return False


def concluded(error: SiteAssistError) -> Conclusion:
    """Return how a run ends that an error of the API ends."""
    blocked = needs_a_person(error) or isinstance(error, CertificateError)
    return Conclusion(Ending.BLOCKED if blocked else Ending.UNREACHABLE, error)

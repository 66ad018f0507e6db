"""One run over an open ledger: read ids, fetch, write, and know when to end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.bulk import AsyncInput, Options, Outage, Pool
from siteassist_async.errors import CertificateError, OutageError, SiteAssistError
from siteassist_async.export.checkpointer import Checkpointer
from siteassist_async.export.errors import ExportError
from siteassist_async.export.id_list import Entry
from siteassist_async.export.summary import Ending
from siteassist_async.outage import ends_all, needs_a_person

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Sequence,
    )

    from siteassist_async.clock import Clock
    from siteassist_async.export.id_list import Block
    from siteassist_async.export.ledger import Ledger

ELSEWHERE = 10
"""So many ids from all over the list are asked for where none was ever answered."""


@frozen
class Conclusion:
    """How a run ended, and the error if one ended it."""

    ending: Ending
    error: SiteAssistError | None = None


class Run:
    """The work of one run.

    Args:
        fetch: Gives the record of an id.
        limit: How many fetches run at once.
        wait: Seconds to wait while nothing is answered.
        stopped: Whether to take no further ids.
    """

    def __init__(  # noqa: PLR0913 - what a run depends on, each by its name
        self,
        ledger: Ledger,
        *,
        fetch: Callable[[str], Awaitable[bytes]],
        limit: int,
        wait: float,
        stopped: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._fetch = fetch
        self._limit = limit
        self._wait = wait
        self._stopped = stopped
        self._clock = clock
        self._checkpointer = Checkpointer(ledger, clock)
        self._pool: Pool[Entry, bytes] | None = None

    @property
    def outage(self) -> Outage | None:
        """Where nothing is answered at the moment."""
        return None if self._pool is None else self._pool.outage

    async def execute(self) -> Conclusion:
        """Work until the input ends or something ends it before; leaves a checkpoint.

        Raises:
            InputError: The input cannot be read any further.
            OutputError: A file cannot be written, or was changed by someone.
        """
        try:
            conclusion = await self._until_end()
            await self._checkpointer.save(clean=True)
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
            return _concluded(outage.error)
        except SiteAssistError as error:
            if isinstance(error, ExportError) or ends_all(error):
                raise
            return _concluded(error)
        return Conclusion(Ending.STOPPED)

    async def _pass(self) -> bool:
        """Ask for all ids of the list that is to be read now; whether all have their outcome."""
        async with aclosing(self._blocks()) as blocks:
            entries = _Entries(blocks, self._ledger, self._stopped)
            self._pool = pool = Pool(entries, self._ask, limit=self._limit, options=self._options())
            try:
                pool.fill()
                while await pool.has_outcomes():
                    self._write(list(pool.outcomes))
                    pool.outcomes.clear()
                    pool.fill()
                    self._checkpointer.tick()
            finally:
                await pool.stop()
        return not (self._ledger.queue.cursor.open or entries.cut_short)

    def _options(self) -> Options[Entry]:
        proven = self._ledger.last_answered
        return Options(
            wait=self._wait,
            strict=True,
            proven=None if proven is None else Entry(-1, 0, 0, proven, proven),
            elsewhere=self._elsewhere,
            stopped=self._stopped,
            clock=self._clock,
        )

    def _elsewhere(self) -> Sequence[Entry]:
        """Ids from all over the list, for those at its beginning may be another project's."""
        return self._ledger.queue.ids.sample(ELSEWHERE)

    def _write(self, outcomes: Sequence[tuple[Entry, bytes | SiteAssistError]]) -> None:
        self._ledger.record_success(
            [(e, record) for e, record in outcomes if isinstance(record, bytes)]
        )
        for entry, outcome in outcomes:
            if not isinstance(outcome, bytes):
                self._ledger.record_failure(entry, outcome)

    def _ask(self, entry: Entry) -> Awaitable[bytes]:
        return self._fetch(entry.id)

    async def _blocks(self) -> AsyncGenerator[Sequence[Entry], None]:
        """Yield the ids without an outcome; after each block all of it was taken."""
        queue = self._ledger.queue
        yield queue.open_entries()
        blocks = queue.blocks()
        while block := await self._next(blocks):
            yield block.entries
            queue.finish(block)
            await asyncio.sleep(0)  # a long stretch of duplicates must not stall the loop

    async def _next(self, blocks: Iterator[Block]) -> Block | None:
        async with self._checkpointer.store_use:
            return next(blocks, None)


class _Entries(AsyncInput["Entry"]):
    """The entries to ask for; duplicates and what is no id get their outcome as they are taken.

    Attributes:
        cut_short: The run was stopped before the last.
    """

    def __init__(
        self,
        blocks: AsyncIterator[Sequence[Entry]],
        ledger: Ledger,
        stopped: Callable[[], bool],
    ) -> None:
        super().__init__(blocks)
        self.cut_short = False
        self._ledger = ledger
        self._is_stopped = stopped

    def take(self) -> bool:
        """As `Input.take`."""
        while not self._is_stopped():
            if not super().take():
                return False
            entry = self.key
            if entry.position not in self._ledger.queue.cursor.open:
                self._ledger.claim(entry)
            if entry.duplicate:
                self._ledger.record_duplicate(entry)
            elif entry.fault is not None:
                self._ledger.record_failure(entry, entry.fault)
            else:
                return True
        self.cut_short = self.cut_short or not self.exhausted
        self.exhausted = True
        return False


def _concluded(error: SiteAssistError) -> Conclusion:
    blocked = needs_a_person(error) or isinstance(error, CertificateError)
    return Conclusion(Ending.BLOCKED if blocked else Ending.UNREACHABLE, error)

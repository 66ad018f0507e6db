"""One run over an open ledger: read ids, fetch, write, and know when to end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.bulk import batches, ends_all
from siteassist_async.errors import (
    AuthenticationError,
    PaymentRequiredError,
    SiteAssistError,
)
from siteassist_async.export.breaker import Breaker, Failure, is_foreign, is_silent
from siteassist_async.export.checkpointer import Checkpointer
from siteassist_async.export.summary import Ending

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from siteassist_async.clock import Clock
    from siteassist_async.export.id_list import Block, Entry
    from siteassist_async.export.ledger import Ledger


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
        stopped: Whether to take no further ids.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        fetch: Callable[[str], Awaitable[bytes]],
        limit: int,
        stopped: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._fetch = fetch
        self._limit = limit
        self._stopped = stopped
        self._checkpointer = Checkpointer(ledger, clock)
        had_answers = ledger.counts.exported or ledger.counts.failed or ledger.retry
        self._breaker = Breaker(trusted=bool(had_answers))
        self._exhausted = False

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
            while (error := await self._pass()) is None and self._exhausted:
                if self._ledger.retry is None:
                    return Conclusion(Ending.FINISHED)
                self._ledger.finish_retry()
                await self._checkpointer.save()
        except (AuthenticationError, PaymentRequiredError) as refusal:
            return Conclusion(Ending.BLOCKED, refusal)
        if error is None:
            return Conclusion(Ending.STOPPED)
        blocked = is_foreign(error)
        return Conclusion(Ending.BLOCKED if blocked else Ending.UNREACHABLE, error)

    async def _pass(self) -> SiteAssistError | None:
        """Ask for all ids of the list that is to be read now; return what ends the run, if any."""
        async with (
            aclosing(self._entries()) as entries,
            aclosing(batches(entries, self._ask, limit=self._limit)) as rounds,
        ):
            async for outcomes in rounds:
                self._ledger.export(
                    [(e, record) for e, record in outcomes if isinstance(record, bytes)]
                )
                for entry, outcome in outcomes:
                    if isinstance(outcome, bytes):
                        self._bury(self._breaker.succeeded())
                        continue
                    self._note(Failure(entry, outcome))
                    if self._breaker.is_tripped() and (error := await self._look_closer()):
                        return error
                self._checkpointer.tick()
        return await self._look_closer() if self._exhausted else None

    def _note(self, failure: Failure) -> None:
        if not is_silent(failure.error):
            self._ledger.last_answered = failure.entry.id
        self._bury(self._breaker.failed(failure))

    def _ask(self, entry: Entry) -> Awaitable[bytes]:
        return self._fetch(entry.id)

    async def _look_closer(self) -> SiteAssistError | None:
        """Return what ends the run, if what is held is not about its ids; else settle that."""
        error = self._breaker.held()
        if error is None or (is_silent(error) and await self._is_served()):
            self._bury(self._breaker.release())
            return None
        return error

    async def _is_served(self) -> bool:
        """Ask again for an id that was answered for: if it is again, the server is there."""
        if self._ledger.last_answered is None:
            return False
        try:
            await self._fetch(self._ledger.last_answered)
        except SiteAssistError as error:
            if ends_all(error):
                raise
            return not is_silent(error)
        return True

    def _bury(self, failures: list[Failure]) -> None:
        for failure in failures:
            self._ledger.bury(failure.entry, failure.error)

    async def _entries(self) -> AsyncGenerator[Entry, None]:
        """Yield the ids to ask for; duplicates and what is no id get their outcome here."""
        feed = self._ledger.feed
        self._exhausted = False
        for entry in feed.open_entries():
            if self._stopped():
                return
            if self._is_due(entry):
                yield entry
        blocks = feed.blocks()
        while block := await self._next(blocks):
            idle = True
            for entry in block.entries:
                if self._stopped():
                    return
                self._ledger.take(entry)
                if self._is_due(entry):
                    idle = False
                    yield entry
            feed.finish(block)
            if idle:  # a long stretch of duplicates must not stall the loop
                await asyncio.sleep(0)
        self._exhausted = True

    async def _next(self, blocks: Iterator[Block]) -> Block | None:
        async with self._checkpointer.store_use:
            return next(blocks, None)

    def _is_due(self, entry: Entry) -> bool:
        if entry.duplicate:
            self._ledger.skip(entry)
        elif entry.fault is not None:
            self._ledger.bury(entry, entry.fault)
        return not entry.duplicate and entry.fault is None

"""The export job: from a list of IDs to a file of conversations, resumable after any crash."""

from __future__ import annotations

import os
from contextlib import ExitStack, aclosing
from functools import partial
from os import SEEK_END
from typing import TYPE_CHECKING, BinaryIO

from attrs import evolve

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.export.checkpoint import Counts
from siteassist_async.export.checkpointer import run_in_thread
from siteassist_async.export.disk import private, writing
from siteassist_async.export.errors import ExportError
from siteassist_async.export.layout import Layout
from siteassist_async.export.resume import Resume
from siteassist_async.export.run import Conclusion, Run, concluded
from siteassist_async.export.source import Source
from siteassist_async.export.staging import StoppedError, check_ids, listed, spool, write_ids
from siteassist_async.export.state import made_state
from siteassist_async.export.summary import Ending, Progress, Summary
from siteassist_async.listing import Listing
from siteassist_async.outage import WAIT, ends_bulk_work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from siteassist_async.export.ledger import Ledger, RestorablePacer
    from siteassist_async.export.staging import GivenIds


class _NotListedError(Exception):
    """There is nothing to export: the list is empty, or could not be read."""

    def __init__(self, conclusion: Conclusion) -> None:
        super().__init__(conclusion)
        self.conclusion = conclusion


class ExportJob:
    """Writes the conversation of every ID in `source` to `output`, one JSON document per line.

    A new job with the same source and output resumes where the last one ended, however that
    ended. Beside `output` (`conversations.jsonl`) are the dead letters, which are the IDs that
    failed (`conversations.failed.jsonl`), and the state (`.conversations.jsonl.export/`). New
    files are readable by their owner only.

    Args:
        source: The IDs: files, or any iterable or async iterable of IDs or of rows of a database,
            such as a cursor. An iterable is read to its end before the first request, in constant
            memory. So is a listing, such as `client.conversations.every()`: each run lists anew,
            and fetches what is new or has changed.
        output: The file of records; created if it is missing, never overwritten.
        fetch: Returns the JSON of one conversation, without a newline, or raises a
            `SiteAssistError`. It is called with canonical IDs, once for each. It is called again
            for an ID that failed for a reason that may not be its own; and after 20 failures in
            a row for one that succeeded before, to find out whether the server is the cause.
        limit: The maximum number of concurrent fetches.
        hidden: Write the records to a file in the state folder (`records`) instead of `output`,
            which they are to be converted to by `siteassist_async.formats.convert`. The dead
            letters are in `conversations.parquet.failed.jsonl` then.
        most: The maximum number of IDs to fetch in this run; the next one goes on after them.
        restart: Delete what earlier runs of this export wrote, and start over. A file that this
            export cannot prove to have written is an error all the same.
        retry_failed: Retry the UUIDs in the dead letters first.
        refresh_open: Fetch the conversations again, first, that were open when they were exported.
        any_input: Accept a source that shares few IDs with those of the earlier runs. Without it,
            it must have half of the IDs that were exported, or half of its own must have been.
        rebuild_state: Rebuild the state first, from the output and the dead letters: if the state
            is damaged or lost, or the output was edited on purpose.
        pacer: Its learned rate is saved with the state, and restored by the next run.
        wait: Seconds to wait during an outage, before the run ends.
        clock: For the time between two checkpoints, the elapsed time and the waits of an outage.

    Raises:
        ConfigurationError: The limit is not positive.
        OutputError: The output's folder cannot be read.
    """

    def __init__(  # noqa: PLR0913 - the options of an export, each by its name
        self,
        source: Source | GivenIds,
        output: Path,
        *,
        fetch: Callable[[str], Awaitable[bytes]],
        limit: int = 32,
        hidden: bool = False,
        most: int | None = None,
        restart: bool = False,
        retry_failed: bool = False,
        refresh_open: bool = False,
        any_input: bool = False,
        rebuild_state: bool = False,
        pacer: RestorablePacer | None = None,
        wait: float = WAIT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if limit < 1:
            raise ConfigurationError(f"limit must be at least 1, not {limit}")
        if most is not None and most < 1:
            raise ConfigurationError(f"most must be at least 1, not {most}")
        if not isinstance(source, Source):
            check_ids(source)
        self._source = source
        self._most = most
        self._layout = Layout.of(output, hidden=hidden)
        self._resume = partial(
            Resume,
            layout=self._layout,
            restart=restart,
            retry_failed=retry_failed,
            refresh_open=refresh_open,
            any_input=any_input,
            rebuild_state=rebuild_state,
            pacer=pacer,
            stopped=self._is_stopped,
        )
        self._is_rebuilt = rebuild_state
        self._fetch = fetch
        self._limit = limit
        self._wait = wait
        self._clock = clock
        self._started = clock.now()
        self._stopping = False
        self._ledger: Ledger | None = None
        self._run: Run | None = None
        self._exported_before = self._updated_before = 0
        self._listed = None if isinstance(source, Source) else 0
        self._last = Progress(Counts(), already_there=0)

    async def run(self) -> Summary:
        """Export until the input ends, `stop` is called or no further request can succeed.

        Cancelling it ends it at once; the next run resumes all the same.

        Raises:
            InputError: The IDs cannot be read, or are not those of the earlier runs.
            OutputError: A file cannot be written, is in use, or was changed by someone else.
        """
        self._started = self._clock.now()
        with ExitStack() as stack:
            try:
                source = self._source
                if not isinstance(source, Source):
                    file = stack.enter_context(spool(self._layout.output))
                    source = await self._written(source, file)
                opening = partial(stack.enter_context, self._resume(source).open_ledger())
                ledger = await run_in_thread(opening, on_cancel=self.stop)
            except _NotListedError as error:
                return self._summary(error.conclusion)
            except StoppedError as stopped:
                self._last = Progress(stopped.counts, already_there=stopped.counts.exported)
                return self._summary(Conclusion(Ending.STOPPED))
            self._exported_before = ledger.counts.exported
            self._updated_before = ledger.counts.updated
            self._ledger = ledger
            if ledger.pacer is not None and ledger.learned is not None:
                ledger.pacer.restore(ledger.learned)
            try:
                run = self._run = Run(
                    ledger,
                    fetch=self._fetch,
                    limit=self._limit,
                    most=self._most,
                    wait=self._wait,
                    stopped=self._is_stopped,
                    clock=self._clock,
                )
                conclusion = await run.execute()
                ledger.letters.remove_empty()
            finally:
                self._last = self._measure(ledger)
                self._ledger = None
        return self._summary(conclusion)

    async def _written(self, ids: GivenIds, file: BinaryIO) -> Source:
        stopped, self._listed = self._is_stopped, 0
        write = partial(
            write_ids, file=file, output=self._layout.output, stopped=stopped, written=self._count
        )
        if not isinstance(ids, Listing):
            return await write(ids)
        # Before what may be hours of listing; all is checked again after it.
        self._layout.refuse_other_exports()
        self._layout.refuse_foreign_data(known=self._is_rebuilt or self._layout.has_state())
        items = listed(ids, wait=self._wait, clock=self._clock, stopped=stopped)
        try:
            async with aclosing(items):
                source = await write(items)
        except SiteAssistError as error:
            if isinstance(error, ExportError) or ends_bulk_work(error):
                raise
            raise _NotListedError(concluded(error)) from error
        if not file.seek(0, SEEK_END):
            # An empty output if there is none, for those who read it or convert it.
            with made_state(self._layout), writing(self._layout.records):
                os.close(private(self._layout.records, os.O_WRONLY | os.O_CREAT))
            raise _NotListedError(Conclusion(Ending.FINISHED))
        file.seek(0)
        return source

    def stop(self) -> None:
        """Start no further requests; `run` returns once those in flight are written."""
        self._stopping = True

    def progress(self) -> Progress:
        """Return how far the job is; cheap, and safe to call from the event loop at any time."""
        if self._ledger is not None:
            return self._measure(self._ledger)
        if self._last.total is not None:  # of a run that has ended
            return self._last
        return evolve(self._last, listed=self._listed, elapsed=self._clock.now() - self._started)

    def _count(self) -> None:
        self._listed = (self._listed or 0) + 1

    def _is_stopped(self) -> bool:
        return self._stopping

    def _measure(self, ledger: Ledger) -> Progress:
        counts, in_flight = ledger.counts, ledger.in_flight()
        outage = self._run.outage if self._run else None
        return Progress(
            counts=evolve(counts),
            already_there=self._exported_before,
            updated=counts.updated - self._updated_before,
            in_flight=in_flight,
            total=counts.claimed + ledger.remaining(),
            bytes_written=ledger.records.written,
            elapsed=self._clock.now() - self._started,
            outage=self._clock.now() - outage.since if outage else 0.0,
            outage_error=outage.error if outage else None,
        )

    def _summary(self, conclusion: Conclusion) -> Summary:
        return Summary(
            ending=conclusion.ending,
            progress=evolve(self._last, elapsed=self._clock.now() - self._started),
            output=self._layout.output,
            dead_letters=self._layout.dead_letters,
            error=conclusion.error,
        )

"""What runs on a worker: the export of a partition."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, cast

import msgspec
from attrs import define, evolve, field, frozen
from distributed import Worker, WorkerPlugin, get_worker

from siteassist_async.client import SiteAssist
from siteassist_async.clock import SYSTEM_CLOCK
from siteassist_async.distributed.folder import Folder, Mark, Part, read, write
from siteassist_async.distributed.project import Access
from siteassist_async.distributed.store import Store
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.events import Event, RetryScheduled
from siteassist_async.export import (
    Counts,
    Ending,
    ExportError,
    ExportJob,
    OutputInUseError,
    Progress,
    Source,
    StateError,
    Summary,
)
from siteassist_async.export.checkpointer import outlast, run_in_thread
from siteassist_async.export.layout import Layout
from siteassist_async.pacing import AdaptivePacer, Pacer
from siteassist_async.pacing.pace import STALE
from siteassist_async.pacing.rate import SHORTEST_PERIOD, LearnedRate

PLUGIN = "siteassist_async"

TOPIC = "siteassist_async"
"""The topic of Dask's events on which workers send their news."""

INTERVAL = 1.0
"""Seconds between two news of a partition, and between two attempts to lock its output."""

GRACE = 8.0
"""Seconds for requests in flight, and their retries, when a job is stopped."""


FIRST_RATE = 240.0
"""Requests per second of all workers together, if nothing is known of the limit.

It doubles within seconds. Without this, each worker has all its requests in flight when the limit
is first met, and all of them are refused.
"""


@frozen
class Task:
    """A partition to be exported. It is sent through the scheduler, so it holds no secret.

    Attributes:
        key: Its key in Dask, which no other task has.
        wait: Seconds to wait during an outage, or for another process that writes its output.
        workers: How many share the limit.
    """

    key: str
    folder: Folder | Store
    number: int
    part: Part
    access: Access
    retry_failed: bool
    wait: float
    workers: int


@frozen
class Outcome:
    """How the run of a partition ended.

    Attributes:
        ending: None if it did not run to an end.
        error: What ended it, or kept it from running.
    """

    progress: Progress
    ending: Ending | None
    error: SiteAssistError | None = None


@frozen
class News:
    """What a worker says about a partition, when it begins, every second, and when it ends.

    Attributes:
        total: As `Progress.total`; None if the job is not open yet, so that the counts are unknown.
        pacer: Identifies the pacer, whose numbers are those of all partitions that use it.
    """

    key: str
    ended: bool
    counts: Counts
    already_there: int
    updated: int
    total: int | None
    in_flight: int
    bytes_written: int
    pacer: str
    throttled: int = 0
    succeeded: int = 0
    retries: int = 0
    waited: float = 0.0
    gate: float = 0.0
    ceiling: float | None = None


@define
class Seat:
    """A client of a worker, its pacer, and how often its requests were repeated."""

    token: str = field(repr=False)
    client: SiteAssist
    pacer: Pacer
    retries: int = 0

    @property
    def adaptive(self) -> AdaptivePacer | None:
        """The pacer, if it learns the limit here."""
        return self.pacer if isinstance(self.pacer, AdaptivePacer) else None

    def __call__(self, event: Event) -> None:
        """Count what the client's events say."""
        if isinstance(event, RetryScheduled):
            self.retries += 1


class Clients(WorkerPlugin):
    """The clients of a worker, one for each project, and the jobs that use them.

    A client lives as long as the worker, so that its pacer keeps what it has learned.
    """

    name = PLUGIN
    idempotent = True

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's
        """Begin without a client."""
        self._stack = AsyncExitStack()
        self._seats: dict[Access, Seat] = {}
        self.running: dict[str, Running] = {}

    async def seat(self, task: Task) -> Seat:
        """Return the client of a project; a new one if its token was replaced.

        Raises:
            ConfigurationError: There is no token here, or it cannot work.
        """
        access = task.access
        token = access.read_token()
        seat = self._seats.get(access)
        if seat is None or seat.token != token:
            client, pacer = access.client(token)
            seat = self._seats[access] = Seat(token, client, pacer)
            if seat.adaptive is not None and access.max_rate is None:
                known = None
                with suppress(StateError):  # it is learned anew
                    known = read(task.folder.local.pace, LearnedRate)
                known = known or LearnedRate(FIRST_RATE, SHORTEST_PERIOD, time.time() - STALE)
                # Its share of the limit that all workers have learned.
                seat.adaptive.restore(evolve(known, rate=known.rate / task.workers))
            client.events.subscribe(seat)
            await self._stack.enter_async_context(client)
        return seat

    def transition(self, key: Any, start: Any, finish: Any, **_: Any) -> None:  # noqa: ANN401 - Dask's
        """Stop a job whose task was cancelled: by its owner, or because that is gone."""
        if start == "executing" and finish == "released" and key in self.running:
            self.running[key].stop()

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's
        """Close the clients; Dask has cancelled the tasks."""
        await self._stack.aclose()


async def run_partition(task: Task) -> Outcome:
    """Export a partition; it resumes where its last run ended, on whatever worker that was."""
    worker = get_worker()
    clients = cast("Clients", worker.plugins[PLUGIN])
    running = clients.running[task.key] = Running(task, worker)
    try:
        return await running.run(clients)
    finally:
        del clients.running[task.key]


class Running:
    """A partition that is being exported."""

    def __init__(self, task: Task, worker: Worker) -> None:
        self._task = task
        self._worker = worker
        self._seat: Seat | None = None
        self._job: ExportJob | None = None
        self._run: asyncio.Future[Summary] | None = None
        self._stopping = False

    def stop(self) -> None:
        """Start no further requests, and end within `GRACE`."""
        self._stopping = True
        if self._job is not None and self._run is not None:
            self._job.stop()
            asyncio.get_running_loop().call_later(GRACE, self._run.cancel)

    async def run(self, clients: Clients) -> Outcome:
        """Export, send news, and note how it ended."""
        progress = Progress(Counts(), already_there=0)
        self._send(progress)
        try:
            self._seat = await clients.seat(self._task)
            outcome = await self._export(self._seat)
            progress = outcome.progress
        except ConfigurationError as error:
            outcome = Outcome(progress, Ending.BLOCKED, error)
        finally:
            self._send(progress, ended=True)
        return outcome

    async def _export(self, seat: Seat) -> Outcome:
        task, started = self._task, SYSTEM_CLOCK.now()
        try:
            folder = await run_in_thread(partial(task.folder.fetch, task.number))
        except ExportError as error:
            return Outcome(Progress(Counts(), already_there=0), None, error)
        while True:
            layout = Layout(folder.output(task.number))
            # That of an object store is without its state.
            is_fetched = folder != task.folder and not layout.has_state()
            self._job = job = ExportJob(
                Source(folder.ids(task.number), is_staged=True),
                layout.output,
                fetch=seat.client.conversations.get_record,
                limit=task.access.concurrency,
                retry_failed=task.retry_failed,
                rebuild_state=is_fetched and layout.output.exists(),
                pacer=seat.adaptive,
                wait=task.wait,
            )
            if self._stopping:
                return Outcome(job.progress(), Ending.STOPPED)
            try:
                summary = await self._watched(job)
                if summary is None:
                    return Outcome(job.progress(), Ending.STOPPED)
                await run_in_thread(partial(self._note, summary, seat.adaptive))
            except OutputInUseError as error:
                # A worker that Dask has lost may still be running it.
                if SYSTEM_CLOCK.now() - started >= task.wait:
                    return Outcome(job.progress(), None, error)
                await asyncio.sleep(INTERVAL)
            except ExportError as error:
                return Outcome(job.progress(), None, error)
            else:
                return Outcome(summary.progress, summary.ending, summary.error)

    async def _watched(self, job: ExportJob) -> Summary | None:
        """Run a job and send news of it; None if it was stopped and did not end in time."""
        run = self._run = asyncio.ensure_future(job.run())
        try:
            while not (await asyncio.wait({run}, timeout=INTERVAL))[0]:
                self._send(job.progress())
            return None if run.cancelled() else run.result()
        finally:
            run.cancel()
            await outlast(run)

    def _note(self, summary: Summary, pacer: AdaptivePacer | None) -> None:
        task = self._task
        learned = pacer.learned() if pacer else None
        if learned is not None:
            write(task.folder.local.pace, evolve(learned, rate=learned.rate * task.workers))
        finished = summary.ending is Ending.FINISHED
        size = task.folder.local.size(task.number)
        task.folder.end(task.number, Mark(task.part, size, finished, summary.counts))

    def _send(self, progress: Progress, *, ended: bool = False) -> None:
        seat = self._seat
        news = News(
            self._task.key,
            ended,
            progress.counts,
            progress.already_there,
            progress.updated,
            progress.total,
            progress.in_flight,
            progress.bytes_written,
            pacer=f"{self._worker.address} {self._task.folder}",
        )
        if seat is not None:
            pace = seat.pacer.snapshot()
            news = evolve(
                news,
                throttled=pace.throttled,
                succeeded=pace.succeeded,
                retries=seat.retries,
                waited=pace.waited,
                gate=pace.gate,
                ceiling=pace.ceiling,
            )
        self._worker.log_event(TOPIC, msgspec.to_builtins(news))

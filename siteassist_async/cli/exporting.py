"""One export from start to end: the job, its client, the signals and the progress."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.cli.runtime import Interrupts, interrupts
from siteassist_async.cli.status import Attempts, Meter, Status
from siteassist_async.client import SiteAssist
from siteassist_async.clock import SYSTEM_CLOCK
from siteassist_async.export import ExportError, ExportJob, Source, Summary
from siteassist_async.middleware.retry_policy import RetryPolicy
from siteassist_async.outage import WAIT
from siteassist_async.pacing import pacer_for

if TYPE_CHECKING:
    from siteassist_async.cli.connection import Connection
    from siteassist_async.cli.console import Console
    from siteassist_async.cli.progress import Reporter

# A job is patient: eight attempts are half a minute, in which a deploy or a proxy comes back. It
# waits as long as the API asks it to, and has no budget, for nobody is kept waiting by it.
PATIENT = RetryPolicy(attempts=8, patience=math.inf, budget=None)

# `docker stop` kills after 10 seconds.
GRACE = 8.0


@frozen
class Wanted:
    """What to export, and how."""

    source: Source
    output: Path
    concurrency: int = 32
    max_rate: float | None = None
    restart: bool = False
    retry_failed: bool = False
    rebuild_state: bool = False
    retry: RetryPolicy = PATIENT
    wait: float = WAIT


@frozen
class Result:
    """What came of it.

    Attributes:
        summary: None if it was ended at once.
        last: The last status; its counts are those of `summary` if there is one.
        requests: Attempts that ended.
        error: What ended it in its midst: a file that cannot be read or written any more.
    """

    summary: Summary | None
    last: Status
    requests: int
    error: ExportError | None = None


async def export(
    wanted: Wanted,
    connection: Connection,
    console: Console,
    reporter: Reporter,
    *,
    grace: float = GRACE,
) -> Result:
    """Export until it is done or ended by a signal.

    A first signal leaves what is in flight `grace` seconds to end, a second one none.

    Raises:
        ConfigurationError: The base URL or the token cannot work.
        ExportError: As `ExportJob.run`, where it has not begun.
    """
    attempts = Attempts(SYSTEM_CLOCK)
    pacer = pacer_for(
        connection.base_url,
        connection.token,
        concurrency=wanted.concurrency,
        max_rate=wanted.max_rate,
    )
    async with SiteAssist(
        connection.token,
        base_url=connection.base_url,
        tls=connection.tls,
        retry=wanted.retry,
        concurrency=wanted.concurrency,
        pacer=pacer,
        middleware=(attempts,),
    ) as client:
        job = ExportJob(
            wanted.source,
            wanted.output,
            fetch=client.conversations.get_record,
            limit=wanted.concurrency,
            restart=wanted.restart,
            retry_failed=wanted.retry_failed,
            rebuild_state=wanted.rebuild_state,
            pacer=pacer,
            wait=wanted.wait,
        )
        stats = client.retry_stats
        meter = Meter(job.progress, pacer.snapshot, lambda: stats.retries, attempts)
        try:
            summary = await _run(job, meter, console, reporter, grace)
        except ExportError as error:
            last = meter.read()
            if last.progress.total is None:  # it had not begun
                raise
            return Result(None, last, attempts.ended, error)
        return Result(summary, meter.read(), attempts.ended)


async def _run(
    job: ExportJob, meter: Meter, console: Console, reporter: Reporter, grace: float
) -> Summary | None:
    running = asyncio.create_task(job.run())
    loop = asyncio.get_running_loop()

    def ask() -> None:
        job.stop()
        loop.call_later(grace, running.cancel)
        flying = job.progress().in_flight
        console.info(
            f"stopping; {flying} in flight have {grace:g} s to end, and Ctrl-C again ends at once"
        )

    try:
        with interrupts(ask, running.cancel) as taken:
            await _watch(running, meter, reporter, taken)
    finally:
        console.erase()
        running.cancel()
    return None if running.cancelled() else running.result()


async def _watch(
    running: asyncio.Task[Summary], meter: Meter, reporter: Reporter, taken: Interrupts
) -> None:
    while not running.done():
        reporter.show(meter.read(stopping=taken.count > 0))
        await asyncio.wait({running}, timeout=reporter.interval)

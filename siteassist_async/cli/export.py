"""`siteassist export`: the job, its client, the signals and the progress."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, evolve, frozen

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import connection
from siteassist_async.cli.progress import reporter_for
from siteassist_async.cli.status import Attempts, Meter
from siteassist_async.cli.summary import (
    Result,
    closing,
    code_of,
    summary_record,
    table,
)
from siteassist_async.client import SiteAssist
from siteassist_async.clock import SYSTEM_CLOCK
from siteassist_async.conversations import ListedStatus
from siteassist_async.errors import ConfigurationError, SiteAssistError, printable
from siteassist_async.export import (
    Ending,
    ExportError,
    ExportJob,
    InputError,
    OutputExistsError,
    Source,
    Summary,
)
from siteassist_async.export.layout import Layout
from siteassist_async.formats import convert, format_of, prepare
from siteassist_async.middleware.retry_policy import PATIENT, RetryPolicy
from siteassist_async.outage import WAIT
from siteassist_async.pacing import pacer_for

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.connection import Connection
    from siteassist_async.cli.console import Console
    from siteassist_async.cli.progress import Reporter

GRACE = 8.0
"""Seconds for requests in flight after the first signal: `docker stop` kills after ten."""

_STDIN = "-"


@frozen
class Listed:
    """The conversations of the project, of this status and age."""

    status: ListedStatus | None = None
    since: datetime | None = None
    until: datetime | None = None


@frozen
class Wanted:
    """What to export, and how."""

    source: Source | Listed
    output: Path
    hidden: bool = False
    concurrency: int = 32
    most: int | None = None
    max_rate: float | None = None
    restart: bool = False
    retry_failed: bool = False
    refresh_open: bool = False
    any_input: bool = False
    rebuild_state: bool = False
    retry: RetryPolicy = PATIENT
    wait: float = WAIT


def run(options: Options, console: Console) -> int:
    """Export, and print the summary."""
    if options.dask is not None:
        try:
            command = import_module("siteassist_async.cli.dask")
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"--dask needs {error.name}: pip install 'siteassist_async[dask]'"
            ) from error
        return int(command.run(options, console))
    result = _export(options, console)
    code = code_of(result)
    if result.error is not None:  # a file could no longer be read or written
        if options.json:
            console.result(json.dumps(summary_record(result) | {"event": "error"}))
        elif not options.quiet:
            console.result(table(result))
        console.error(str(result.error))
        return code
    if options.json:
        console.result(json.dumps(summary_record(result)))
    elif not options.quiet:
        console.result(f"{table(result)}\n\n{closing(result, options.command_line)}")
    if options.quiet and code:
        console.error(closing(result, options.command_line))
    return code


async def export(
    wanted: Wanted,
    connection: Connection,
    console: Console,
    reporter: Reporter,
    *,
    grace: float = GRACE,
) -> Result:
    """Export until it is done or a signal ends it.

    The first signal gives requests in flight `grace` seconds to finish; the second ends at once.

    Raises:
        ConfigurationError: The base URL or the token cannot work.
        ExportError: As `ExportJob.run`, before the first request.
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
        proxy=connection.proxy,
        retry=wanted.retry,
        concurrency=wanted.concurrency,
        pacer=pacer,
        on_event=attempts,
    ) as client:
        source = wanted.source
        job = ExportJob(
            source if isinstance(source, Source) else client.conversations.every(**asdict(source)),
            wanted.output,
            fetch=client.conversations.get_record,
            limit=wanted.concurrency,
            hidden=wanted.hidden,
            most=wanted.most,
            restart=wanted.restart,
            retry_failed=wanted.retry_failed,
            refresh_open=wanted.refresh_open,
            any_input=wanted.any_input,
            rebuild_state=wanted.rebuild_state,
            pacer=pacer,
            wait=wanted.wait,
        )
        meter = Meter(job.progress, pacer.snapshot, attempts)
        try:
            summary = await _run(job, meter, console, reporter, grace)
        except ExportError as error:
            last = meter.read()
            if last.progress.total is None:  # nothing was exported yet
                raise
            return Result(None, last, attempts.ended, error)
        return Result(summary, meter.read(), attempts.ended)


async def _run(
    job: ExportJob, meter: Meter, console: Console, reporter: Reporter, grace: float
) -> Summary | None:
    """Run the job under the signals; None if it was ended at once."""
    running = asyncio.create_task(job.run())
    loop = asyncio.get_running_loop()

    def stop() -> None:
        job.stop()
        loop.call_later(grace, running.cancel)
        in_flight = job.progress().in_flight
        what = (
            f"waiting up to {grace:g} s for {in_flight} requests in flight; " if in_flight else ""
        )
        console.info(f"stopping: {what}press Ctrl-C again to end at once")

    try:
        with runtime.interrupts(stop, running.cancel) as received:
            while not running.done():
                reporter.show(meter.read(stopping=received.count > 0))
                await asyncio.wait({running}, timeout=reporter.interval)
    finally:
        console.erase()
        running.cancel()
    return None if running.cancelled() else running.result()


def source_of(options: Options) -> Source:
    """Return the source of the IDs.

    Raises:
        InputError: Standard input is one of the files, and closed.
    """
    if _STDIN in options.inputs and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] # None if closed at start
        raise InputError("is closed", path="standard input")
    return Source(
        (0 if name == _STDIN else Path(name) for name in options.inputs),
        options.column,
        options.updated_column,
    )


def _export(options: Options, console: Console) -> Result:
    if options.partitions is not None:
        raise ConfigurationError("--partitions is an option of --dask")
    from_stdin = _STDIN in options.inputs
    output = Path(options.output)
    _refuse_streams(output, options.log_file)
    form = format_of(options.output, options.format)
    layout = Layout.of(output, hidden=form.is_sink)
    wanted = Wanted(
        source=Listed(options.status, options.since, options.until)
        if options.all
        else source_of(options),
        output=output,
        hidden=layout.hidden,
        most=options.limit,
        concurrency=options.concurrency,
        max_rate=options.max_rate,
        wait=options.wait,
        restart=options.restart,
        retry_failed=options.retry_failed,
        refresh_open=options.refresh is not None,
        any_input=options.any_input,
        rebuild_state=options.rebuild_state,
    )
    target = connection(options, stdin_has_ids=from_stdin)
    if from_stdin and sys.stdin.isatty():
        console.info("reading IDs, one per line; press Ctrl-D to end")
    if layout.hidden:  # before the first request: it may be something else, or of another version
        prepare(layout.records, output, format=form.name, restart=options.restart)
    reporter = reporter_for(console, quiet=options.quiet, json=options.json)
    result = runtime.run(export(wanted, target, console, reporter))
    is_over = result.summary is not None and result.summary.ending is not Ending.STOPPED
    # Without records, nothing was fetched, and the result says why.
    if layout.hidden and is_over and layout.records.exists():
        console.info(f"converting the records to {printable(str(output), 1000)}")
        try:
            convert(layout.records, output, format=form.name)
        except SiteAssistError as error:
            return evolve(result, error=error)
    return result


def _refuse_streams(output: Path, log_file: str | None) -> None:
    """Raise where this command prints to a file of the export, as with `-o /dev/stdout`."""
    layouts = [Layout.of(output, hidden=hidden) for hidden in (False, True)]
    for path in (output, *(layout.dead_letters for layout in layouts)):
        if log_file is not None and path.exists() and path.samefile(log_file):
            raise ConfigurationError(f"--log-file {log_file}: is a file of the export")
        for stream, name in ((1, "output"), (2, "error")):
            with suppress(OSError):  # one of them does not exist
                status = os.fstat(stream)
                if stat.S_ISREG(status.st_mode) and os.path.samestat(path.stat(), status):
                    raise OutputExistsError(
                        f"is where standard {name} goes; pass a file to -o, and redirect nothing "
                        "to it or its dead letters",
                        path=str(path),
                    )

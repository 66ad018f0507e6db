"""`siteassist export --dask`: the export on a cluster, the signals and the progress."""

from __future__ import annotations

import json
import logging
import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, cast

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import connection, proxy_of
from siteassist_async.cli.export import source_of
from siteassist_async.cli.progress import reporter_for
from siteassist_async.cli.runtime import SIGNALS, Interrupts
from siteassist_async.cli.status import Attempts, Meter
from siteassist_async.cli.summary import Result, closing, error_record, summary_record, table
from siteassist_async.client import SiteAssist
from siteassist_async.clock import SYSTEM_CLOCK
from siteassist_async.distributed import Project, Report
from siteassist_async.distributed.exporting import Exporting
from siteassist_async.errors import ConfigurationError, printable
from siteassist_async.export import Ending, ExitCode, Summary
from siteassist_async.export.staging import listed as pages_of
from siteassist_async.export.staging import write_ids
from siteassist_async.formats import FORMATS
from siteassist_async.middleware.retry_policy import PATIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console
    from siteassist_async.export import Source

_NOT_HERE = ("format", "limit", "refresh", "restart", "rebuild_state", "any_input")
_SHOWN = 5


def run(options: Options, console: Console) -> int:
    """Export, and print the summary.

    Raises:
        ConfigurationError: The options cannot work.
        SiteAssistError: As `distributed.export`, or the conversations cannot be listed.
    """
    for name in _NOT_HERE:
        if getattr(options, name):
            raise ConfigurationError(
                f"--{name.replace('_', '-')} cannot be used with --dask; each partition in OUTPUT "
                "is an export of its own"
            )
    name = options.output.rstrip("/").rpartition("/")[2]
    for suffix in (suffix for form in FORMATS for suffix in form.suffixes):
        if name.lower().endswith(suffix):
            folder = printable(name[: -len(suffix)] or "out", 60)
            raise ConfigurationError(
                f"--dask writes a folder of JSON lines: use -o {folder}, and then "
                f"`siteassist convert {folder} -o {printable(name, 60)}`"
            )
    if options.token_place and options.token_place[0] == "keyring":
        raise ConfigurationError("--keyring cannot be used with --dask: workers have none")
    with TemporaryFile() as listed:
        source = (
            runtime.run(_listed(options, cast("BinaryIO", listed)))
            if options.all
            else source_of(options)
        )
        return _run(options, source, console)


async def _listed(options: Options, file: BinaryIO) -> Source:
    """List all conversations to a file, and return the source that reads it."""
    target = connection(options)
    async with SiteAssist(
        target.token,
        base_url=target.base_url,
        tls=target.tls,
        proxy=target.proxy,
        retry=PATIENT,
        max_rate=options.max_rate,
    ) as client:
        listing = client.conversations.every(
            status=options.status, since=options.since, until=options.until
        )
        ids = pages_of(listing, wait=options.wait, clock=SYSTEM_CLOCK, stopped=lambda: False)
        return await write_ids(
            ids, file, Path(options.output), stopped=lambda: False, written=lambda: None
        )


def _run(options: Options, source: Source, console: Console) -> int:
    place, name = options.token_place or (None, "")
    project = Project(
        source,
        token_file=Path(name).absolute() if place == "token_file" else None,
        token_env=name if place == "token_env" else None,
        base_url=options.base_url,
        ca=None if options.ca is None else Path(options.ca).absolute(),
        proxy=proxy_of(options),
        concurrency=options.concurrency,
        max_rate=options.max_rate,
    )
    exporting = Exporting(
        [project],
        options.output,
        cluster=None if options.dask == "local" else options.dask,
        partitions=options.partitions,
        retry_failed=options.retry_failed,
        wait=options.wait,
    )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # the report says what happened
    attempts = Attempts(SYSTEM_CLOCK)
    meter = Meter(exporting.progress, exporting.pace, attempts)
    reporter = reporter_for(console, quiet=options.quiet, json=options.json)

    def stop() -> None:
        exporting.stop()
        console.info("stopping: waiting for requests in flight; press Ctrl-C again to end at once")

    with _interrupts(stop) as received:
        shown = 0.0

        def tick() -> None:
            nonlocal shown
            attempts.retries = exporting.retries()
            if SYSTEM_CLOCK.now() - shown >= reporter.interval:
                shown = SYSTEM_CLOCK.now()
                reporter.show(meter.read(stopping=received.count > 0))

        report = exporting.execute(tick)
    console.erase()
    pace = exporting.pace()
    summary = Summary(
        report.ending,
        report.progress,
        # They are printed only, and a URL is no path.
        cast("Path", report.output),
        cast("Path", f"{report.output}/part-*.failed.jsonl"),
        report.error,
    )
    result = Result(summary, meter.read(), pace.succeeded + pace.throttled)
    if options.json:
        console.result(json.dumps(summary_record(result) | _record(report)))
    elif not options.quiet:
        console.result(f"{table(result)}\n\n{_closing(report, result, options)}")
    if options.quiet and report.exit_code:
        console.error(_closing(report, result, options))
    return report.exit_code


def _closing(report: Report, result: Result, options: Options) -> str:
    """Say how the export ended, and what ended partitions of it."""
    if report.ending in {Ending.BLOCKED, Ending.UNREACHABLE} or not report.errors:
        return closing(result, options.command_line)
    lines = [
        f"Not finished: {', '.join(str(p.output).rpartition('/')[2] for p in parts[:_SHOWN])}"
        f"{f' and {len(parts) - _SHOWN} more' if len(parts) > _SHOWN else ''}: {error}"
        for error, parts in report.errors.items()
    ]
    fix = "Fix the cause above, then run" if report.exit_code is ExitCode.ACT else "Run"
    return "\n".join([*lines, f"{fix} the same command again to resume."])


def _record(report: Report) -> dict[str, object]:
    return {
        "exit_code": int(report.exit_code),
        "partitions": len(report.partitions),
        "unfinished": [
            {
                "output": str(partition.output),
                "ending": partition.ending.value if partition.ending else None,
                "error": error_record(partition.error) if partition.error else None,
            }
            for partition in report.unfinished
        ],
    }


@contextmanager
def _interrupts(stop: Callable[[], object]) -> Generator[Interrupts]:
    """Handle signals while in the context: Dask's client has its event loop in another thread."""
    received = Interrupts(stop, partial(signal.default_int_handler, signal.SIGINT, None))
    numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def handle(*_: object) -> None:
        received()

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

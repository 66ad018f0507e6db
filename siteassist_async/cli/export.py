"""`siteassist export`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.cli import loop
from siteassist_async.cli.connection import connection
from siteassist_async.cli.console import Console
from siteassist_async.cli.exporting import Result, Wanted, export
from siteassist_async.cli.reporters import reporter_for
from siteassist_async.cli.summary import closing, code_of, error_record, summary_record, table
from siteassist_async.errors import SiteAssistError
from siteassist_async.export import Source, exit_code

if TYPE_CHECKING:
    from siteassist_async.cli.parser import ExportOptions

_STDIN = "-"


def run(options: ExportOptions) -> int:
    """Export, and print what came of it."""
    console = Console.of_process(quiet=options.quiet)
    try:
        result = _export(options, console)
    except SiteAssistError as error:
        return _failed(error, options, console)
    if options.json:
        console.tell(json.dumps(summary_record(result)))
    elif not options.quiet:
        console.tell(f"{table(result)}\n\n{closing(result, options.command_line)}")
    code = code_of(result)
    if options.quiet and code:
        console.fail(closing(result, options.command_line))
    return code


def _export(options: ExportOptions, console: Console) -> Result:
    from_stdin = options.input == _STDIN
    wanted = Wanted(
        source=Source(0 if from_stdin else Path(options.input), options.column),
        output=Path(options.output),
        concurrency=options.concurrency,
        max_rate=options.max_rate,
        wait=options.wait,
        restart=options.restart,
        retry_failed=options.retry_failed,
    )
    target = connection(options, stdin_has_ids=from_stdin)
    if from_stdin and sys.stdin and sys.stdin.isatty():
        console.say("reading ids, one a line; Ctrl-D ends them")
    reporter = reporter_for(console, quiet=options.quiet, json=options.json)
    return loop.run(export(wanted, target, console, reporter))


def _failed(error: SiteAssistError, options: ExportOptions, console: Console) -> int:
    code = exit_code(error)
    if options.json:
        record = {"event": "error", "exit_code": int(code), "error": error_record(error)}
        console.tell(json.dumps(record))
    console.fail(str(error))
    return code

"""`siteassist export`."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.cli import runtime
from siteassist_async.cli.connection import connection
from siteassist_async.cli.console import Console
from siteassist_async.cli.exporting import Result, Wanted, export
from siteassist_async.cli.progress import reporter_for
from siteassist_async.cli.redaction import redact_words
from siteassist_async.cli.summary import closing, code_of, error_record, summary_record, table
from siteassist_async.errors import ConfigurationError, SiteAssistError
from siteassist_async.export import ExportError, InputError, OutputExistsError, Source, exit_code
from siteassist_async.export.layout import Layout

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
    if result.error is not None:
        return _broken_off(result, result.error, options, console)
    if options.json:
        console.result(json.dumps(summary_record(result)))
    elif not options.quiet:
        console.result(f"{table(result)}\n\n{closing(result, options.command_line)}")
    code = code_of(result)
    if options.quiet and code:
        console.error(closing(result, options.command_line))
    return code


def _export(options: ExportOptions, console: Console) -> Result:
    from_stdin = options.input == _STDIN
    if from_stdin and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] # closed at the start
        raise InputError("is closed", path="standard input")
    _refuse_streams(options.output)
    wanted = Wanted(
        source=Source(0 if from_stdin else Path(options.input), options.column),
        output=Path(options.output),
        concurrency=options.concurrency,
        max_rate=options.max_rate,
        wait=options.wait,
        restart=options.restart,
        retry_failed=options.retry_failed,
        rebuild_state=options.rebuild_state,
    )
    target = connection(options, stdin_has_ids=from_stdin)
    if from_stdin and sys.stdin.isatty():
        console.info("reading ids, one a line; Ctrl-D ends them")
    reporter = reporter_for(console, quiet=options.quiet, json=options.json)
    return runtime.run(export(wanted, target, console, reporter))


def _refuse_streams(output: str) -> None:
    """Raise where this command itself prints to a file of the export: -o /dev/stdout, say."""
    layout = Layout.of(Path(output))
    for path in (layout.output, layout.dead_letters):
        for stream, name in ((1, "output"), (2, "error")):
            if _is_file(path, stream):
                raise OutputExistsError(
                    f"is where standard {name} goes; name a file with -o, and redirect nothing to "
                    "it or its dead letters",
                    path=str(path),
                )


def _is_file(path: Path, descriptor: int) -> bool:
    try:
        status = os.fstat(descriptor)
        return stat.S_ISREG(status.st_mode) and os.path.samestat(path.stat(), status)
    except OSError:  # one of them is not there
        return False


def _broken_off(
    result: Result, error: ExportError, options: ExportOptions, console: Console
) -> int:
    """Tell what was done until a file could not be read or written any more."""
    if options.json:
        console.result(json.dumps(summary_record(result) | {"event": "error"}))
    elif not options.quiet:
        console.result(table(result))
    console.error(str(error))
    return code_of(result)


def _failed(error: SiteAssistError, options: ExportOptions, console: Console) -> int:
    code = exit_code(error)
    if options.json:
        record = {"event": "error", "exit_code": int(code), "error": error_record(error)}
        console.result(json.dumps(record))
    console.error(redact_words(str(error)) if isinstance(error, ConfigurationError) else str(error))
    return code

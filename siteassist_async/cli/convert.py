"""`siteassist convert`."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.errors import printable
from siteassist_async.export import ExitCode
from siteassist_async.formats import convert
from siteassist_async.formats.converting import refuse_table

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Convert a log, and print what was done."""
    log = Path(options.log)
    refuse_table(log)
    if log.is_dir():
        log = import_module("siteassist_async.distributed.joining").join(log)
    done = convert(log, options.output, format=options.format, rebuild=options.rebuild)
    if options.json:
        found = {"output": str(done.output), "records": done.records, "total": done.total}
        event = {"event": "converted", "exit_code": int(ExitCode.DONE)}
        console.result(json.dumps(event | found))
    elif not options.quiet:
        output = printable(str(done.output), 1000)
        console.result(f"{output}: {done.records:,} records read, {done.total:,} of the log in all")
    return ExitCode.DONE

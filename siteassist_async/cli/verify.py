"""`siteassist verify`."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.errors import printable
from siteassist_async.export import ExitCode, Fault, Verified, verify
from siteassist_async.export.disk import plural
from siteassist_async.formats.converting import verify_table

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Verify an export, and print what was found.

    Raises:
        InputError: It is not the output of an export.
    """
    output = Path(options.output)
    is_distributed = (output / ".partitions.export").is_dir()
    found: Verified
    export_faults: tuple[Fault, ...] = ()
    if is_distributed:
        found = import_module("siteassist_async.distributed.joining").verify(output)
    else:
        export = verify(output)
        fault, is_behind = verify_table(export, format=options.format)
        export_faults = export.faults  # what is wrong with a table says how to repair it
        found = evolve(
            export,
            faults=(*export.faults, *([fault] if fault else [])),
            unfinished=export.unfinished or is_behind,
        )
    for wrong in found.faults:
        console.error(f"{printable(str(wrong.path), 1000)}: {printable(wrong.what, 1000)}")
    lost = found.failed + found.invalid
    if found.faults:
        code, verdict = ExitCode.ACT, "Verification failed."
        if is_distributed:
            verdict += (
                " Restore the files; or move all files of the partitions named above away, with "
                "their states (such as .part-00000.jsonl.export), and run the export again, which "
                "fetches them anew."
            )
        elif export_faults:
            is_line = any(wrong.is_line for wrong in export_faults)
            edit = "delete the lines named above and " if is_line else ""
            verdict += (
                f" Restore the files; or {edit}run the export with --rebuild-state, which goes on "
                "from what is there and fetches what is missing."
            )
    elif found.unfinished:
        code = ExitCode.RUN_AGAIN
        verdict = "Valid so far. The last run did not finish: run the export again."
    else:
        code = ExitCode.SOME_FAILED if lost else ExitCode.DONE
        verdict = "Valid: every line is complete, no record is there twice, and the state agrees."
    if options.json:
        console.result(json.dumps(_record(found, code)))
    else:
        older = f", {found.updated:,} older" if found.updated else ""
        counts = f"{plural(found.records, 'record')}{older}, {plural(lost, 'dead letter')}"
        console.result(f"{printable(str(found.output), 1000)}: {counts}\n{verdict}")
    return code


def _record(found: Verified, code: ExitCode) -> dict[str, object]:
    return {
        "event": "verified",
        "exit_code": int(code),
        "output": str(found.output),
        "records": found.records,
        "updated": found.updated,
        "failed": found.failed,
        "invalid": found.invalid,
        "unfinished": found.unfinished,
        "faults": [{"file": str(fault.path), "message": fault.what} for fault in found.faults],
    }

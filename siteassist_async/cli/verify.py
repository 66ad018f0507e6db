"""`siteassist verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from siteassist_async.errors import printable
from siteassist_async.export import ExitCode, Verified, verify
from siteassist_async.export.disk import plural

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Verify an export, and print what was found."""
    found = verify(Path(options.output))
    for fault in found.faults:
        console.error(f"{printable(str(fault.path), 1000)}: {printable(fault.what, 1000)}")
    console.result(json.dumps(_record(found)) if options.json else _text(found))
    return _code(found)


def _code(found: Verified) -> ExitCode:
    if found.faults:
        return ExitCode.ACT
    if found.unfinished:
        return ExitCode.RUN_AGAIN
    return ExitCode.SOME_FAILED if found.failed or found.invalid else ExitCode.DONE


def _text(found: Verified) -> str:
    letters = plural(found.failed + found.invalid, "dead letter")
    older = f", {found.updated:,} older" if found.updated else ""
    counts = (
        f"{printable(str(found.output), 1000)}: {plural(found.records, 'record')}{older}, {letters}"
    )
    if found.faults:
        return (
            f"{counts}\n"
            "Verification failed. Restore the files; or delete the lines named above and run the "
            "export with --rebuild-state, which fetches what is missing."
        )
    valid = (
        f"{counts}\nValid: every line is complete, no record is there twice, and the state agrees."
    )
    if found.unfinished:
        return f"{valid}\nThe last run did not finish: run the export again."
    return valid


def _record(found: Verified) -> dict[str, object]:
    return {
        "event": "verified",
        "exit_code": int(_code(found)),
        "output": str(found.output),
        "records": found.records,
        "updated": found.updated,
        "failed": found.failed,
        "invalid": found.invalid,
        "unfinished": found.unfinished,
        "faults": [{"file": str(fault.path), "message": fault.what} for fault in found.faults],
    }

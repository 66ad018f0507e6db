"""`siteassist verify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from siteassist_async.errors import printable
from siteassist_async.export import ExitCode, InputError, Verified, verify
from siteassist_async.export.disk import plural
from siteassist_async.formats.verifying import verify_table

if TYPE_CHECKING:
    from siteassist_async.cli.commands import Options
    from siteassist_async.cli.console import Console


def run(options: Options, console: Console) -> int:
    """Verify an export, and print what was found.

    Raises:
        InputError: It is not the output of an export.
    """
    output = Path(options.output)
    if output.is_dir() and next(output.glob("part-*.jsonl"), None):
        raise InputError(
            "is the folder of an export with --dask; verify each of its partitions, such as "
            "part-00000.jsonl",
            path=str(output),
        )
    found = verify(output)
    advice = _advice(found)
    fault, is_behind = verify_table(found, format=options.format)
    found = evolve(
        found,
        faults=(*found.faults, *([fault] if fault else [])),
        unfinished=found.unfinished or is_behind,
    )
    for wrong in found.faults:
        console.error(f"{printable(str(wrong.path), 1000)}: {printable(wrong.what, 1000)}")
    console.result(json.dumps(_record(found)) if options.json else _text(found, advice))
    return _code(found)


def _code(found: Verified) -> ExitCode:
    if found.faults:
        return ExitCode.ACT
    if found.unfinished:
        return ExitCode.RUN_AGAIN
    return ExitCode.SOME_FAILED if found.failed or found.invalid else ExitCode.DONE


def _advice(found: Verified) -> str:
    """Say how to repair the files that an export writes; what is wrong with a table says it."""
    if not found.faults:
        return ""
    edit = "delete the lines named above and " if any(f.is_line for f in found.faults) else ""
    return (
        f" Restore the files; or {edit}run the export with --rebuild-state, which goes on from "
        "what is there and fetches what is missing."
    )


def _text(found: Verified, advice: str) -> str:
    letters = plural(found.failed + found.invalid, "dead letter")
    older = f", {found.updated:,} older" if found.updated else ""
    counts = (
        f"{printable(str(found.output), 1000)}: {plural(found.records, 'record')}{older}, {letters}"
    )
    if found.faults:
        return f"{counts}\nVerification failed.{advice}"
    if found.unfinished:
        return f"{counts}\nValid so far. The last run did not finish: run the export again."
    return (
        f"{counts}\nValid: every line is complete, no record is there twice, and the state agrees."
    )


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

"""What an export has come to, for a person and for a program."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from siteassist_async.cli.progress import duration
from siteassist_async.cli.redaction import redact
from siteassist_async.errors import (
    AuthenticationError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    printable,
)
from siteassist_async.export import Ending, ExitCode, exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siteassist_async.cli.exporting import Result
    from siteassist_async.errors import SiteAssistError
    from siteassist_async.export import Summary

_ONCE = {"--restart", "--retry-failed", "--rebuild-state"}

_ADVICE = {
    AuthenticationError: "Check the token",
    PaymentRequiredError: "The project's plan does not include this: change the plan",
    PermissionDeniedError: "Use a token that may read these conversations",
    NotFoundError: "Check the base URL, for what answers there is not the API",
}


def code_of(result: Result) -> ExitCode:
    """The exit code of an export; one that was ended at once is to be run again."""
    if result.error is not None:
        return exit_code(result.error)
    return ExitCode.RUN_AGAIN if result.summary is None else exit_code(result.summary)


def table(result: Result) -> str:
    """Write the counts, which add up to what was asked, and what they cost."""
    counts, pace = result.summary or result.last.progress, result.last.pace
    retryable = f"{result.summary.retryable:,} may succeed another time" if result.summary else ""
    requests = f"{pace.refused:,} refused, {result.last.retries:,} made again"
    speed = f"{counts.exported / counts.elapsed:,.0f} a second" if counts.elapsed else ""
    total = result.last.progress.total or 0
    rows = [
        ("asked", f"{counts.asked:,}", f"of {total:,}" if total > counts.asked else ""),
        ("exported", f"{counts.exported:,}", size(counts.bytes_written)),
        ("already there", f"{counts.already_there:,}", ""),
        ("failed", f"{counts.failed:,}", retryable if counts.failed else ""),
        ("invalid", f"{counts.invalid:,}", "no UUID" if counts.invalid else ""),
        ("duplicates", f"{counts.duplicates:,}", ""),
        ("requests", f"{result.requests:,}", requests),
        ("time", seconds(counts.elapsed), speed),
        ("waited", seconds(pace.waited), "because the API asked for it" if pace.waited else ""),
    ]
    if pace.ceiling:
        rows.append(("limit", f"{pace.ceiling:,.0f}/s", "about, as learned"))
    return "\n".join(f"  {name:<13} {value:>11}  {note}".rstrip() for name, value, note in rows)


def closing(result: Result, command_line: Sequence[str]) -> str:
    """Say how it ended and what to do next."""
    summary = result.summary
    if summary is None:
        return "Ended at once. Run the same command again, and it goes on from here."
    return _CLOSINGS[summary.ending](summary, command_line)


def summary_record(result: Result) -> dict[str, object]:
    """Give everything as values for JSON; times in seconds, rates in a second."""
    counts, summary, pace = result.summary or result.last.progress, result.summary, result.last.pace
    error = result.error or (summary.error if summary else None)
    return {
        "event": "summary",
        "ending": summary.ending.value if summary else Ending.STOPPED.value,
        "exit_code": int(code_of(result)),
        "asked": counts.asked,
        "exported": counts.exported,
        "already_there": counts.already_there,
        "failed": counts.failed,
        "retryable": summary.retryable if summary else None,
        "duplicates": counts.duplicates,
        "invalid": counts.invalid,
        "bytes_written": counts.bytes_written,
        "elapsed": round(counts.elapsed, 3),
        "requests": result.requests,
        "retries": result.last.retries,
        "refused": pace.refused,
        "waited": round(pace.waited, 3),
        "learned_limit": pace.ceiling,
        "output": str(summary.output) if summary else None,
        "dead_letters": str(summary.dead_letters) if summary and _lost(summary) else None,
        "error": error_record(error) if error else None,
    }


def error_record(error: SiteAssistError) -> dict[str, str]:
    """Give an error as values for JSON."""
    return {"type": type(error).__name__, "message": redact(str(error))}


def seconds(value: float) -> str:
    """Write a time: exactly while it is short."""
    return f"{value:.1f} s" if value < 99.95 else duration(value)


def size(count: float) -> str:
    """Write bytes in the unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _finished(summary: Summary, command_line: Sequence[str]) -> str:
    output = printable(str(summary.output), 1000)
    lost = _lost(summary)
    if not lost:
        return f"Done: all that was asked for is in {output}"
    said = (
        f"Finished: what could be had is in {output}\n"
        f"Could not be had: {lost:,}, each with its reason in "
        f"{printable(str(summary.dead_letters), 1000)}"
    )
    if not summary.retryable:
        return said  # a conversation that is not there will not be there another time
    again = [word for word in command_line if word not in _ONCE]
    return (
        f"{said}\nTo ask again: {printable(redact(shlex.join((*again, '--retry-failed'))), 1000)}"
    )


def _stopped(_: Summary, __: Sequence[str]) -> str:
    return "Stopped. Run the same command again, and it goes on from here."


def _unreachable(summary: Summary, _: Sequence[str]) -> str:
    return (
        f"Stopped, for the server gives no usable answers: {summary.error}\n"
        "Run the same command again later, and it goes on from here."
    )


def _blocked(summary: Summary, _: Sequence[str]) -> str:
    return (
        f"Stopped, for every further request would fail: {summary.error}\n"
        f"{_advice(summary.error)}, then run the same command again: it goes on from here."
    )


_CLOSINGS = {
    Ending.FINISHED: _finished,
    Ending.STOPPED: _stopped,
    Ending.UNREACHABLE: _unreachable,
    Ending.BLOCKED: _blocked,
}


def _lost(summary: Summary) -> int:
    return summary.failed + summary.invalid


def _advice(error: SiteAssistError | None) -> str:
    return next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), "See to it")

"""The summary of an export, for people and as JSON."""

from __future__ import annotations

import shlex
from json import dumps
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.cli.progress import duration
from siteassist_async.cli.redaction import redact, redact_words
from siteassist_async.cli.status import Status
from siteassist_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidIdError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    ProxyError,
    SiteAssistError,
    printable,
)
from siteassist_async.export import Ending, ExitCode, Progress, Summary, exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siteassist_async.cli.console import Console

_ONCE = {"--restart", "--retry-failed", "--rebuild-state", "--refresh=open"}

_ADVICE = {
    AuthenticationError: "Check the token",
    PaymentRequiredError: "The project's plan does not include this: change the plan",
    PermissionDeniedError: "Use a token that may read these conversations",
    ProxyError: "Check the proxy, its user name and its password",
    NotFoundError: "Check the base URL: the server that answers there is not the API",
}


@frozen
class Result:
    """How an export ended.

    Attributes:
        summary: None if the export was ended at once.
        last: The last status; its counts are those of `summary` if there is one.
        requests: Attempts that ended.
        error: What ended the export before its end: a file that could no longer be read or
            written, or the conversion of its records.
    """

    summary: Summary | None
    last: Status
    requests: int
    error: SiteAssistError | None = None

    @property
    def progress(self) -> Progress:
        """How far the export is: at the end of the run, or when it was last measured."""
        return self.summary.progress if self.summary else self.last.progress


def code_of(result: Result) -> ExitCode:
    """Return the exit code; an export that was ended at once should be run again."""
    if result.error is not None:
        return exit_code(result.error)
    return ExitCode.RUN_AGAIN if result.summary is None else exit_code(result.summary)


def table(result: Result) -> str:
    """Format the counts, which add up to the IDs processed, and what they cost."""
    progress, pace = result.progress, result.last.pace
    counts = progress.counts
    retryable = f"{counts.retryable:,} retryable" if result.summary and counts.failed else ""
    requests = f"{pace.throttled:,} throttled, {result.last.retries:,} retried"
    speed = f"{progress.exported / progress.elapsed:,.0f} per second" if progress.elapsed else ""
    total = result.last.progress.total or 0
    there = progress.asked - progress.exported - counts.failed - counts.invalid - counts.duplicates
    unchanged = "unchanged" if counts.unchanged else "from earlier runs"
    rows = [
        ("IDs", f"{progress.asked:,}", f"of {total:,}" if total > progress.asked else ""),
        ("exported", f"{progress.exported:,}", size(progress.bytes_written)),
        ("already there", f"{max(0, there):,}", unchanged if there > 0 else ""),
        ("failed", f"{counts.failed:,}", retryable),
        ("invalid", f"{counts.invalid:,}", "not a UUID" if counts.invalid else ""),
        ("duplicates", f"{counts.duplicates:,}", ""),
        ("requests", f"{result.requests:,}", requests),
        ("time", seconds(progress.elapsed), speed),
        ("waited", seconds(pace.waited), "as requested by the API" if pace.waited else ""),
    ]
    if pace.ceiling:
        rows.append(("rate limit", f"{pace.ceiling:,.0f}/s", "estimated"))
    if progress.updated:
        rows.insert(2, ("updated", f"{progress.updated:,}", "of the exported, which had changed"))
    return "\n".join(f"  {name:<13} {value:>11}  {note}".rstrip() for name, value, note in rows)


def closing(result: Result, command_line: Sequence[str]) -> str:
    """Say how the export ended and what to do next."""
    summary = result.summary
    if summary is None:
        return "Ended early. Run the same command again to resume."
    match summary.ending:
        case Ending.FINISHED:
            return _finished(summary, command_line)
        case Ending.STOPPED:
            return "Stopped. Run the same command again to resume."
        case Ending.LIMITED:
            return "Stopped at --limit. Run the same command again to go on."
        case Ending.UNREACHABLE:
            return (
                f"Stopped: no usable responses from the server: {summary.error}\n"
                "Run the same command again later to resume."
            )
        case _:  # BLOCKED
            advice = [text for kind, text in _ADVICE.items() if isinstance(summary.error, kind)]
            return (
                f"Stopped: every further request would fail: {summary.error}\n"
                f"{(*advice, 'Fix the cause above')[0]}, then run the same command again to resume."
            )


def summary_record(result: Result) -> dict[str, object]:
    """Return everything as values for JSON; times in seconds, rates per second."""
    progress, summary, pace = result.progress, result.summary, result.last.pace
    counts = progress.counts
    error = result.error or (summary.error if summary else None)
    return {
        "event": "summary",
        "ending": summary.ending.value if summary else Ending.STOPPED.value,
        "exit_code": int(code_of(result)),
        "asked": progress.asked,
        "exported": progress.exported,
        "already_there": progress.already_there,
        "updated": progress.updated,
        "unchanged": counts.unchanged,
        "failed": counts.failed,
        "retryable": counts.retryable if summary else None,
        "duplicates": counts.duplicates,
        "invalid": counts.invalid,
        "bytes_written": progress.bytes_written,
        "elapsed": round(progress.elapsed, 3),
        "requests": result.requests,
        "retries": result.last.retries,
        "refused": pace.throttled,
        "waited": round(pace.waited, 3),
        "learned_limit": pace.ceiling,
        "output": str(summary.output) if summary else None,
        "dead_letters": str(summary.dead_letters) if summary and _lost(summary) else None,
        "error": error_record(error) if error else None,
    }


def report_error(error: SiteAssistError, console: Console, *, json: bool) -> ExitCode:
    """Report what ended a command, to programs too with `json`; returns the exit code."""
    is_usage = isinstance(error, ConfigurationError | InvalidIdError)
    code = ExitCode.WRONG_USAGE if is_usage else exit_code(error)
    if json:
        event = {"event": "error", "exit_code": int(code), "error": error_record(error)}
        console.result(dumps(event))
    console.error(redact_words(str(error)) if is_usage else str(error))
    return code


def error_record(error: Exception) -> dict[str, str]:
    """Return an error as values for JSON; only our own have a message that is safe to print."""
    message = redact(str(error))
    if not isinstance(error, SiteAssistError):
        message = printable(message)
    return {"type": type(error).__name__, "message": message}


def seconds(value: float) -> str:
    """Format a time, with a fraction while it is short."""
    return f"{value:.1f} s" if value < 99.95 else duration(value)


def size(count: float) -> str:
    """Format a number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _finished(summary: Summary, command_line: Sequence[str]) -> str:
    output = printable(str(summary.output), 1000)
    lost = _lost(summary)
    if not lost:
        return f"Done: every conversation is in {output}"
    said = (
        f"Finished: the conversations are in {output}\n"
        f"Failed: {lost:,}, each with its reason in {printable(str(summary.dead_letters), 1000)}"
    )
    if not summary.retryable:
        return said  # a conversation that does not exist will not exist next time either
    words = iter(command_line)
    # What is to be refreshed would be fetched once more: the option goes with its value.
    again = [w for w in words if w not in _ONCE and not (w == "--refresh" and next(words, w))]
    command = printable(redact(shlex.join((*again, "--retry-failed"))), 1000)
    return f"{said}\nTo retry: {command}"


def _lost(summary: Summary) -> int:
    return summary.failed + summary.counts.invalid

"""Progress of an export: a bar on a terminal, lines in a log, JSON lines for programs, or none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from siteassist_async.cli.console import Console
from siteassist_async.errors import printable

if TYPE_CHECKING:
    from siteassist_async.cli.status import Status

_BETWEEN_LINES = 10.0
_WIDEST_BAR, _NARROWEST_WITH_BAR = 30, 60
_GAP = "  "
_BLOCKS = " ▏▎▍▌▋▊▉█"


class Reporter(Protocol):
    """Reports the progress of an export."""

    @property
    def interval(self) -> float:
        """Seconds between two calls of `show`."""
        ...

    def show(self, status: Status) -> None:
        """Report a status, or ignore it."""
        ...


def reporter_for(console: Console, *, quiet: bool, json: bool) -> Reporter:
    """Choose a reporter by the options and by what standard error is."""
    if quiet:
        return Silent()
    if json:
        return JsonLines(console)
    return Bar(console) if console.redraws else LogLines(console)


@frozen
class Silent:
    """Reports nothing."""

    interval: float = 60.0

    def show(self, status: Status) -> None:
        """Ignore it."""


@frozen
class JsonLines:
    """One JSON object per second, for programs."""

    console: Console
    interval: float = 1.0

    def show(self, status: Status) -> None:
        """Write every status."""
        self.console.result(json.dumps(progress_record(status)))


@frozen
class Bar:
    """A line on a terminal that is redrawn in place."""

    console: Console
    interval: float = 0.1

    def show(self, status: Status) -> None:
        """Redraw the line."""
        console = self.console
        console.redraw(bar_line(status, console.columns, blocks=console.has_blocks))


@define
class LogLines:
    """One line every ten seconds, and one at once when the export begins to wait."""

    console: Console
    interval: float = 0.5
    _written: float = field(default=0.0, init=False)
    _waiting: bool = field(default=False, init=False)

    def show(self, status: Status) -> None:
        """Write a line if one is due."""
        elapsed = status.progress.elapsed
        is_waiting = waiting(status) is not None
        began_to_wait = is_waiting and not self._waiting
        if began_to_wait or elapsed - self._written >= _BETWEEN_LINES:
            self._written = elapsed
            self._waiting = is_waiting
            self.console.info(log_line(status))


def bar_line(status: Status, columns: int, *, blocks: bool) -> str:
    """Format what fits into one line of a terminal, the most important first."""
    room = columns - 1
    text = _counts(status)
    if status.share is not None and columns >= _NARROWEST_WITH_BAR:
        width = min(_WIDEST_BAR, columns // 4) - 2  # without its ends
        if blocks:
            full, eighths = divmod(int(status.share * width * 8), 8)
            bar = f"▕{'█' * full + _BLOCKS[eighths].strip():<{width}}▏"
        else:
            bar = f"[{'#' * int(status.share * width):<{width}}]"
        text = f"{bar} {text}"
    if reason := waiting(status):
        text += _GAP + reason
    for part in _parts(status):
        if len(text) + len(_GAP) + len(part) <= room:
            text += _GAP + part
    return text[:room]


def log_line(status: Status) -> str:
    """Format everything."""
    parts = (_counts(status), waiting(status), *_parts(status))
    return ", ".join(part for part in parts if part)


def waiting(status: Status) -> str | None:
    """Say what a stalled export waits for; None if it is not stalled."""
    progress = status.progress
    if progress.outage_error:
        why = printable(str(progress.outage_error), 100)
        return f"outage for {duration(progress.outage)}, waiting: {why}"
    if status.pace.gate >= 1:
        return f"waiting {duration(status.pace.gate)} as requested by the API"
    if status.trouble and status.troubled >= 1:
        why = printable(str(status.trouble.error), 100)
        return f"no usable response for {duration(status.troubled)}, retrying: {why}"
    return None


def progress_record(status: Status) -> dict[str, object]:
    """Return everything as values for JSON; times in seconds, rates per second."""
    progress, pace = status.progress, status.pace
    counts = progress.counts
    return {
        "event": "progress",
        "asked": progress.asked,
        "total": progress.total,
        "listed": progress.listed,
        "exported": progress.exported,
        "already_there": progress.already_there,
        "failed": counts.failed,
        "duplicates": counts.duplicates,
        "invalid": counts.invalid,
        "in_flight": progress.in_flight,
        "bytes_written": progress.bytes_written,
        "elapsed": round(progress.elapsed, 3),
        "rate": _rounded(status.rate),
        "left": _rounded(status.left),
        "retries": status.retries,
        "refused": pace.throttled,
        "learned_limit": _rounded(pace.ceiling),
        "gate": _rounded(pace.gate),
        "waited": _rounded(pace.waited),
        "trouble": str(status.trouble.error) if status.trouble else None,
        "outage": _rounded(progress.outage) if progress.outage_error else None,
        "stopping": status.stopping,
    }


def duration(seconds: float) -> str:
    """Format seconds as 42 s, 3:05 or 2:00:00."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _counts(status: Status) -> str:
    progress = status.progress
    if progress.total is None:
        so_far = f", {progress.listed:,} so far" if progress.listed else ""
        return "reading the IDs" if progress.listed is None else f"listing{so_far}"
    counts = f"{progress.asked:,}/{progress.total:,}"
    return counts if status.share is None else f"{status.share:3.0%} {counts}"


def _parts(status: Status) -> list[str]:
    progress, pace = status.progress, status.pace
    failed = progress.counts.failed + progress.counts.invalid
    parts = [
        f"stopping, {progress.in_flight} in flight" if status.stopping else None,
        f"{status.rate:,.0f}/s" if status.rate else None,
        f"{duration(status.left)} left" if status.left is not None else None,
        f"{failed:,} failed" if failed else None,
        f"{pace.throttled:,} throttled" if pace.throttled else None,
        f"{status.retries:,} retried" if status.retries else None,
    ]
    return [part for part in parts if part]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

"""How the progress of an export is told: a bar, a line now and then, JSON lines, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from siteassist_async.cli.console import Console
from siteassist_async.cli.progress import bar_line, log_line, progress_record, waiting

if TYPE_CHECKING:
    from siteassist_async.cli.status import Status

_BETWEEN_LINES = 10.0


class Reporter(Protocol):
    """Tells a status, where it is worth telling."""

    @property
    def interval(self) -> float:
        """Seconds from one status to the next."""
        ...

    def show(self, status: Status) -> None:
        """Tell it, or pass it over."""
        ...


def reporter_for(console: Console, *, quiet: bool, json: bool) -> Reporter:
    """Choose by what was asked for and by where the lines go."""
    if quiet:
        return Silent()
    if json:
        return JsonLines(console)
    return Bar(console) if console.redraws else LogLines(console)


@frozen
class Silent:
    """Tells nothing."""

    interval: float = 60.0

    def show(self, status: Status) -> None:
        """Pass it over."""


@frozen
class JsonLines:
    """A JSON object a second, for programs."""

    console: Console
    interval: float = 1.0

    def show(self, status: Status) -> None:
        """Write every status."""
        self.console.result(json.dumps(progress_record(status)))


@frozen
class Bar:
    """A line on a terminal that is drawn again and again."""

    console: Console
    interval: float = 0.1

    def show(self, status: Status) -> None:
        """Draw over the status before."""
        console = self.console
        console.redraw(bar_line(status, console.columns, blocks=console.has_blocks))


@define
class LogLines:
    """A line every ten seconds, and at once when the export begins to stand still."""

    console: Console
    interval: float = 0.5
    _told: float = field(default=0.0, init=False)
    _waiting: bool = field(default=False, init=False)

    def show(self, status: Status) -> None:
        """Write it if it is time, or news."""
        elapsed = status.progress.elapsed
        stands_still = waiting(status) is not None
        news = stands_still and not self._waiting
        if news or elapsed - self._told >= _BETWEEN_LINES:
            self._told = elapsed
            self._waiting = stands_still
            self.console.info(log_line(status))

"""The status of a running export: the numbers that progress and summary are made of."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import define, frozen

from siteassist_async.clock import Clock
from siteassist_async.errors import (
    APIError,
    ServerError,
    SiteAssistError,
    TransportError,
    UnusableResponseError,
)
from siteassist_async.events import AttemptEnded, CallEnded, Event, RetryScheduled
from siteassist_async.export import Progress
from siteassist_async.pacing import PaceSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW = 10.0


@frozen
class Trouble:
    """No usable response since `since`; `error` is the most recent failure."""

    since: float
    error: SiteAssistError


@define
class Attempts:
    """Counts attempts and retries, and notes for how long the server has been failing.

    It listens to the client's events.
    """

    clock: Clock
    ended: int = 0
    retries: int = 0
    trouble: Trouble | None = None

    def __call__(self, event: Event) -> None:
        """Note what an event says."""
        match event:
            case AttemptEnded():
                self.ended += 1
            case RetryScheduled():
                self.retries += 1
                self._note(event.error)
            case CallEnded():
                self._note(event.error)
            case _:
                pass

    def _note(self, error: BaseException | None) -> None:
        if isinstance(error, TransportError | ServerError):
            since = self.trouble.since if self.trouble else self.clock.now()
            self.trouble = Trouble(since, error)
        elif error is None or isinstance(error, APIError | UnusableResponseError):
            self.trouble = None  # a 404, like a 429, comes from a server that works


@frozen
class Status:
    """How far an export is, how fast it goes and what it waits for.

    Attributes:
        rate: IDs per second over the last ten seconds; None until it can be measured.
        retries: Attempts beyond the first one for an ID.
        trouble: Why the server has given no usable response for `troubled` seconds.
        stopping: The export was asked to stop.
    """

    progress: Progress
    pace: PaceSnapshot
    rate: float | None = None
    retries: int = 0
    trouble: Trouble | None = None
    troubled: float = 0.0
    stopping: bool = False

    @property
    def left(self) -> float | None:
        """The estimated seconds to the end; never less than the wait that the API asked for."""
        total = self.progress.total
        if total is None or not self.rate:
            return None
        return max(0.0, total - self.progress.asked) / self.rate + self.pace.gate

    @property
    def share(self) -> float | None:
        """The fraction of the input that is done, from 0 to 1."""
        total = self.progress.total
        return min(1.0, self.progress.asked / total) if total else None


class Meter:
    """Reads the status of a running export, and measures its rate from one reading to the next."""

    def __init__(
        self,
        progress: Callable[[], Progress],
        pace: Callable[[], PaceSnapshot],
        attempts: Attempts,
    ) -> None:
        self._progress = progress
        self._pace = pace
        self._attempts = attempts
        self._readings: deque[tuple[float, int]] = deque()

    def read(self, *, stopping: bool = False) -> Status:
        """Return the current status."""
        progress = self._progress()
        trouble = self._attempts.trouble
        rate = None
        # While IDs are read, the work of earlier runs that is counted must not look like speed.
        if progress.total is not None:
            readings = self._readings
            readings.append((progress.elapsed, progress.asked))
            while readings[-1][0] - readings[0][0] > _WINDOW:
                readings.popleft()
            (start, before), (end, after) = readings[0], readings[-1]
            if end > start and after > before:
                rate = (after - before) / (end - start)
        return Status(
            progress=progress,
            pace=self._pace(),
            rate=rate,
            retries=self._attempts.retries,
            trouble=trouble,
            troubled=self._attempts.clock.now() - trouble.since if trouble else 0.0,
            stopping=stopping,
        )

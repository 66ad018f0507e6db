"""One moment of an export: the numbers that its progress is told with."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from attrs import frozen

from siteassist_async.cli.attempts import Attempts, Trouble
from siteassist_async.export import Progress
from siteassist_async.pacing import PaceSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW = 10.0


@frozen
class Moment:
    """Where an export is, how fast it goes and what it waits for.

    Attributes:
        rate: Ids a second over the last ten seconds; None until there is something to tell.
        retries: Attempts beyond the first of an id.
        trouble: Why nothing of use comes from the server, for `troubled` seconds now.
        stopping: It was asked to stop.
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
        """Seconds that the rest will take at this rate, and at least what the gate is closed."""
        total = self.progress.total
        if total is None or not self.rate:
            return None
        return max(0.0, total - self.progress.asked) / self.rate + self.pace.gate

    @property
    def share(self) -> float | None:
        """How much of the input has its outcome, from 0 to 1."""
        total = self.progress.total
        return min(1.0, self.progress.asked / total) if total else None


class Meter:
    """Looks at a running export, and knows from the looks before how fast it goes."""

    def __init__(
        self,
        progress: Callable[[], Progress],
        pace: Callable[[], PaceSnapshot],
        attempts: Attempts,
    ) -> None:
        self._progress = progress
        self._pace = pace
        self._attempts = attempts
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, *, stopping: bool = False) -> Moment:
        """Tell where it is now."""
        progress = self._progress()
        trouble = self._attempts.trouble
        return Moment(
            progress=progress,
            pace=self._pace(),
            rate=self._rate(progress),
            retries=self._attempts.retries,
            trouble=trouble,
            troubled=self._attempts.clock.now() - trouble.since if trouble else 0.0,
            stopping=stopping,
        )

    def _rate(self, progress: Progress) -> float | None:
        if progress.total is None:
            return None  # what earlier runs did is not counted yet, and is no speed of this one
        looks = self._looks
        looks.append((progress.elapsed, progress.asked))
        while looks[-1][0] - looks[0][0] > _WINDOW:
            looks.popleft()
        (start, before), (end, after) = looks[0], looks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

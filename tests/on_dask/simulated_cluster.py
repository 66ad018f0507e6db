"""A run on a cluster in virtual time, whose events are those of partitions and not of IDs.

What decides is real: the pacer's simulation says what workers reach together under the limit, the
number of failures that Dask allows when a partition is given up, the wait of an outage when a run
ends, and the report how it ended.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from siteassist_async.distributed import Partition, PartitionLostError, Report
from siteassist_async.distributed.local import ALLOWED_FAILURES
from siteassist_async.distributed.planning import AT_ONCE, SPLITTING, simulate_limit
from siteassist_async.errors import AuthenticationError, ServiceUnavailableError, SiteAssistError
from siteassist_async.export import Counts, Ending, Progress
from siteassist_async.outage import WAIT

IN_FLIGHT = 32
RESTART = 15.0
"""Seconds until a worker that died is back."""

DAY = 86_400.0


@frozen
class Trouble:
    """What happens in a run; times are in seconds of its own.

    Attributes:
        deaths: Seconds between two deaths of a worker, on average.
        killed: When all processes are killed.
        outage: When the API fails, and for how long.
        revoked: When the token is.
        deadly: A partition with which each worker dies.
    """

    deaths: float = 30 * DAY
    killed: float | None = None
    outage: tuple[float, float] | None = None
    revoked: float | None = None
    deadly: int | None = None


@define(eq=False)
class SimulatedPart:
    """A partition: its number, the IDs that are left, and the workers that died with it."""

    number: int
    ids: int
    left: float
    deaths: int = 0
    ending: Ending | None = None
    error: SiteAssistError | None = None


@define
class SimulatedCluster:
    """A job on a cluster, of which several runs may be made.

    Attributes:
        now: Seconds since the first run began.
        again: IDs that were in flight when their worker died.
        lost: Seconds in which workers were gone, or the API was.
    """

    ids: int
    rate: float
    workers: int
    partitions: int
    random: Random = field(factory=lambda: Random(5))
    now: float = 0.0
    again: int = 0
    runs: int = 0
    parts: list[SimulatedPart] = field(init=False)
    _queue: deque[SimulatedPart] = field(factory=deque[SimulatedPart], init=False)
    _slots: list[list[SimulatedPart]] = field(init=False)
    _back: list[float] = field(init=False)
    _rates: list[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # By hash: the sizes of partitions differ by chance.
        mean = self.ids / self.partitions
        sizes = [round(self.random.gauss(mean, mean**0.5)) for _ in range(self.partitions - 1)]
        sizes.append(self.ids - sum(sizes))
        self.parts = [SimulatedPart(n, size, size) for n, size in enumerate(sizes)]
        self._rates = [0.0] + [
            simulate_limit(self.rate, workers).rate for workers in range(1, self.workers + 1)
        ]

    def run(self, trouble: Trouble) -> Report:
        """Run the command once."""
        began = self.now
        if not self.runs:
            self.now += self.ids * SPLITTING
        self.runs += 1
        self._queue = deque(part for part in self.parts if part.left)
        self._slots = [[] for _ in range(self.workers)]
        self._back = [0.0] * self.workers
        for part in self._queue:
            part.ending, part.error, part.deaths = None, None, 0
        dies = self._next_death(trouble)
        ends = min(
            (
                (began + at, ending, error)
                for at, ending, error in (
                    (trouble.killed, None, None),
                    (trouble.revoked, Ending.BLOCKED, AuthenticationError("revoked")),
                    self._unreachable(trouble),
                )
                if at is not None
            ),
            default=None,
            key=lambda found: found[0],
        )
        while self._queue or any(self._slots):
            self._fill()
            step = self._step()
            until = min(self.now + step, dies, ends[0] if ends else dies)
            until = min([until, *(back for back in self._back if back > self.now)])
            self._progress(until - self.now, trouble, began)
            self.now = until
            if ends and self.now >= ends[0]:
                self._end(*ends[1:])
                break
            if self.now >= dies:
                self._die(self.random.randrange(self.workers))
                dies = self._next_death(trouble)
            for worker, slots in enumerate(self._slots):
                if any(part.number == trouble.deadly for part in slots):
                    self._die(worker)
        return self.report()

    def report(self) -> Report:
        """Return the report of the last run."""
        output = Path("out")
        partitions = tuple(
            Partition(
                "",
                part.number,
                output,
                output,
                Counts(exported=part.ids - round(part.left)),
                part.ending,
                part.error,
            )
            for part in self.parts
        )
        exported = sum(partition.counts.exported for partition in partitions)
        return Report(output, Progress(Counts(exported=exported), 0), partitions)

    def _next_death(self, trouble: Trouble) -> float:
        return self.now + self.random.expovariate(self.workers / trouble.deaths)

    def _unreachable(
        self, trouble: Trouble
    ) -> tuple[float | None, Ending | None, SiteAssistError | None]:
        """When an outage ends the run, if it lasts too long."""
        if trouble.outage is None or trouble.outage[1] <= WAIT:
            return None, None, None
        return trouble.outage[0] + WAIT, Ending.UNREACHABLE, ServiceUnavailableError("down")

    def _fill(self) -> None:
        for worker, slots in enumerate(self._slots):
            while self._queue and len(slots) < AT_ONCE and self._back[worker] <= self.now:
                slots.append(self._queue.popleft())

    def _share(self) -> dict[int, float]:
        """The IDs per second of each partition that is exported."""
        busy = [slots for slots in self._slots if slots]
        rate = self._rates[len(busy)] / max(1, len(busy))
        return {part.number: rate / len(slots) for slots in busy for part in slots}

    def _step(self) -> float:
        share = self._share()
        lefts = [part.left / share[part.number] for slots in self._slots for part in slots]
        return min(lefts, default=RESTART)

    def _progress(self, seconds: float, trouble: Trouble, began: float) -> None:
        if trouble.outage is not None:
            start, lasts = began + trouble.outage[0], trouble.outage[1]
            down = min(self.now + seconds, start + lasts) - max(self.now, start)
            seconds -= max(0.0, down)
        share = self._share()
        for slots in self._slots:
            for part in list(slots):
                part.left = max(0.0, part.left - seconds * share[part.number])
                if part.left < 1e-6:
                    part.left, part.ending = 0.0, Ending.FINISHED
                    slots.remove(part)

    def _die(self, worker: int) -> None:
        """Its partitions go on elsewhere, unless too many workers have died with one."""
        for part in self._slots[worker]:
            part.deaths += 1
            part.left = min(part.ids, part.left)
            self.again += IN_FLIGHT // AT_ONCE
            if part.deaths > ALLOWED_FAILURES:
                part.error = PartitionLostError("its workers died")
            else:
                self._queue.appendleft(part)
        self._slots[worker] = []
        self._back[worker] = self.now + RESTART

    def _end(self, ending: Ending | None, error: SiteAssistError | None) -> None:
        """All that is not finished ends: by the first of them, and the others are stopped."""
        running = [part for slots in self._slots for part in slots]
        self.again += len(running) * IN_FLIGHT // AT_ONCE if ending is None else 0
        for part in running[:1]:
            part.ending, part.error = ending, error or PartitionLostError("killed")
        for part in [*running[1:], *self._queue]:
            part.ending = Ending.STOPPED
        self._queue.clear()

"""Planning: how long an export takes, what it needs, and what stops it as it grows.

The rate is that of a simulation with the pacer's own decisions; the other figures are measured.
"""

from __future__ import annotations

import math
from functools import cache
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field, frozen
from attrs.validators import gt, optional

from siteassist_async.distributed.folder import A_WORKER, LEAST, MOST
from siteassist_async.emulator.limits import TokenBucket
from siteassist_async.pacing import Pace

if TYPE_CHECKING:
    from siteassist_async.pacing import Permit

FASTEST = 5000.0
"""Records per second that one process can fetch and write."""

PROCESS, WORKER, PARTITION = 60 << 20, 150 << 20, 9 << 10
"""Bytes of memory: of an export, of each process of Dask, and of a partition in the scheduler."""

LINE, INDEX = 37, 40
"""Bytes of disk for each ID: its line in a list, and its place in the state."""

FILES = 8
"""Inodes of a partition: records, dead letters, list, mark, and the state with its folder."""

SPLITTING = 10e-6
"""Seconds to sort an ID into its partition, before the first request."""

AT_ONCE = 2
"""Partitions that a worker exports at a time."""

USUAL, LONGEST = 600.0, 3600.0
"""Seconds of a worker for a partition: those that are aimed at, and those that are too many."""


@frozen
class Job:
    """What is to be planned.

    Attributes:
        ids: Their number.
        rate: The rate limit of the project, in requests per second.
        workers: Processes that share the limit. One without `partitions` is an export without Dask.
        size: Bytes of a record.
        partitions: Their number; by default one for ten minutes of a worker.
        deadline: Seconds within which it must be done.
        disk: Free bytes where the records are written.
        files: Free inodes there.
        memory: Bytes of memory of the machine that has all processes.
    """

    ids: int = field(validator=gt(0))
    rate: float = field(validator=gt(0.0))
    workers: int = field(default=1, validator=gt(0))
    size: int = field(default=5000, validator=gt(0))
    partitions: int | None = field(default=None, validator=optional(gt(0)))
    deadline: float | None = field(default=None, validator=optional(gt(0.0)))
    disk: float = math.inf
    files: float = math.inf
    memory: float = math.inf

    @property
    def on_dask(self) -> bool:
        """Whether it has partitions."""
        return self.workers > 1 or self.partitions is not None


@frozen
class Bound:
    """Something that stops a job of more IDs.

    Attributes:
        ids: The number of IDs up to which it does not.
        remedy: What to do about it.
    """

    name: str
    ids: float
    remedy: str


@frozen
class Plan:
    """What a job takes.

    Attributes:
        seconds: The time without outages, from the start of the command.
        splitting: Of these, those before the first request.
        rate: Records per second.
        refused: Refused requests, as a share of the IDs.
        partitions: Their number; 0 without Dask.
        tokens: How many projects, each with its own limit and token, would keep the deadline.
        memory: Bytes of memory of all processes.
        records: Bytes of disk for the records.
        lists: Bytes of disk for the lists of the partitions.
        state: Bytes of disk for what resuming needs.
        files: Inodes.
        bounds: What stops a larger job, the first first.
    """

    job: Job
    seconds: float
    splitting: float
    rate: float
    refused: float
    partitions: int
    tokens: int
    memory: int
    records: int
    lists: int
    state: int
    files: int
    bounds: tuple[Bound, ...]

    @property
    def disk(self) -> int:
        """Bytes of disk in all."""
        return self.records + self.lists + self.state

    @property
    def broken(self) -> tuple[Bound, ...]:
        """What stops this job, the first first."""
        return tuple(bound for bound in self.bounds if bound.ids < self.job.ids)


def plan(job: Job) -> Plan:
    """Plan a job; the simulation takes about a second."""
    found = simulate_limit(job.rate, job.workers)
    rate = min(found.rate, FASTEST * job.workers)
    fetching = job.ids / rate
    partitions, splitting, lists, memory = 0, 0.0, 0, PROCESS
    if job.on_dask:
        usual = max(LEAST, A_WORKER * job.workers, math.ceil(fetching * job.workers / USUAL))
        partitions = job.partitions or min(usual, MOST)
        splitting, lists = job.ids * SPLITTING, job.ids * LINE
        memory = (job.workers + 2) * WORKER + partitions * PARTITION
    seconds = splitting + fetching
    return Plan(
        job=job,
        seconds=seconds,
        splitting=splitting,
        rate=rate,
        refused=found.refused,
        partitions=partitions,
        tokens=math.ceil(seconds / job.deadline) if job.deadline else 1,
        memory=memory,
        records=job.ids * job.size,
        lists=lists,
        state=job.ids * INDEX,
        files=max(1, partitions) * FILES,
        bounds=tuple(sorted(_bounds(job, rate), key=lambda bound: bound.ids)),
    )


def _bounds(job: Job, rate: float) -> list[Bound]:
    each = job.size + INDEX + (LINE if job.on_dask else 0)
    deadline = math.inf
    if job.deadline is not None:
        deadline = job.deadline / (1 / rate + (SPLITTING if job.on_dask else 0))
    if job.rate > FASTEST * job.workers:
        faster = "more workers: one process exports 5,000 records a second"
    else:
        faster = (
            f"a higher limit, or several projects, each with its own; "
            f"not more workers: they share the limit of {job.rate:,g} a second"
        )
    bounds = [
        Bound("the deadline", deadline, faster),
        Bound(
            "free disk space",
            job.disk / each,
            "compressed records, an object store, or a larger disk",
        ),
    ]
    if not job.on_dask:
        # Beyond it, most IDs cost a read of the disk: they are looked up in a random order.
        index = "partitions keep each index small: --dask local"
        return [*bounds, Bound("the index of IDs in memory", job.memory / INDEX, index)]
    # What follows from the number of partitions, which grows with that of the IDs if it is not set.
    a_partition = USUAL * rate / job.workers
    most = job.partitions or MOST

    def bound(name: str, partitions: float, remedy: str) -> Bound:
        if partitions >= most:
            return Bound(name, math.inf, remedy)
        return Bound(name, 0.0 if job.partitions else partitions * a_partition, remedy)

    room = (job.memory - (job.workers + 2) * WORKER) / PARTITION
    open_index = job.memory / (INDEX * AT_ONCE * job.workers) * most
    return [
        *bounds,
        bound("free inodes", job.files / FILES, "fewer --partitions"),
        bound("memory for the partitions", max(room, 0.0), "fewer --partitions, or more machines"),
        Bound("the index of a partition in memory", open_index, "more --partitions"),
        Bound(
            "an hour for each partition",
            most * LONGEST * rate / job.workers,
            "more --partitions; with an object store, a lost machine costs that time",
        ),
    ]


@frozen
class Paced:
    """What processes reach under a limit.

    Attributes:
        rate: Answered requests per second, of all of them.
        refused: Refused requests, as a share of the answered ones.
    """

    rate: float
    refused: float


_ANSWER, _REFUSAL, _SPREAD = 0.08, 0.025, 0.3  # seconds: medians; and the sigma of both
_ENOUGH, _SECONDS, _WARM = 10_000, 300.0, 0.25
_FASTEST = 1000.0  # simulated; a higher limit is as easy to keep to as this


@cache
def simulate_limit(rate: float, workers: int, *, burst: float | None = None) -> Paced:
    """Simulate processes that share a limit without knowing of each other, once they have found it.

    They do not run out of work. The limit allows a burst of a second, unless another is given.
    """
    scale = min(1.0, _FASTEST / rate)
    simulation = _Simulation(TokenBucket(rate * scale, burst or max(1.0, rate * scale)))
    until = min(_SECONDS, _ENOUGH / (rate * scale))
    found = simulation.run([Pace(random=simulation.random.random) for _ in range(workers)], until)
    return Paced(min(rate, found.rate / scale), found.refused)


_Event: TypeAlias = "tuple[float, int, Pace, Permit | None, float | None]"


@define
class _Simulation:
    """Events are (time, number, process, request, whether it was refused).

    Without a request, the process may start one; with None for an outcome, it reaches the server.
    """

    limit: TokenBucket
    random: Random = field(factory=lambda: Random(0))  # noqa: S311 - not a secret
    _events: list[_Event] = field(factory=list["_Event"], init=False)
    _looks: dict[int, float] = field(factory=dict[int, float], init=False)
    _count: int = field(default=0, init=False)

    def run(self, paces: list[Pace], until: float) -> Paced:
        answered = refused = 0
        for pace in paces:
            self._plan(0.0, pace)
        while True:
            now, _, pace, permit, wait = heappop(self._events)
            if now >= until:
                return Paced(answered / (until * (1 - _WARM)), refused / max(1, answered))
            if permit is None:
                if now == self._looks[id(pace)]:  # else a later one was planned since
                    self._start(now, pace)
            elif wait is None:
                wait = self.limit.take(now)
                if now >= _WARM * until:
                    answered, refused = answered + (not wait), refused + bool(wait)
                self._at(now + self._lasts(_REFUSAL if wait else _ANSWER), pace, permit, wait)
            else:
                if wait:
                    pace.throttled(permit, now, wait, limited=True)
                else:
                    pace.succeeded(permit, now)
                self._start(now, pace)

    def _start(self, now: float, pace: Pace) -> None:
        while (at := pace.start_at(now, bulk=True)) <= now:
            self._at(now + self._lasts(_REFUSAL), pace, pace.start(now, bulk=True))
        if at < math.inf:
            self._plan(at, pace)

    def _plan(self, at: float, pace: Pace) -> None:
        self._looks[id(pace)] = at
        self._at(at, pace)

    def _lasts(self, median: float) -> float:
        return median / 2 * self.random.lognormvariate(0.0, _SPREAD)

    def _at(
        self, time: float, pace: Pace, permit: Permit | None = None, wait: float | None = None
    ) -> None:
        self._count += 1
        heappush(self._events, (time, self._count, pace, permit, wait))

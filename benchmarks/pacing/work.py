"""What clients have to do: an export, which asks for as much as it can, or a service."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from pacing.clients import Paced
from pacing.engine import USUAL, Client, Endpoint, Item, Network, Timeline
from siteassist_async.bulk import MOST_PARKED
from siteassist_async.middleware.retry_policy import Retry
from siteassist_async.outage import Guard, Held, Job, probe_delays
from siteassist_async.parking import SHORT

if TYPE_CHECKING:
    from pacing.servers import Server
    from siteassist_async.errors import SiteAssistError


@frozen
class Work:
    """What each client has to do: `items`, `slots` at a time, or all it can `until` a time."""

    items: int
    slots: int = 64
    until: float = math.inf
    seed: int = 0
    network: Network = USUAL


@define
class Result:
    """What came of one client's work; `good` and `bad` are when its requests were sent.

    Attributes:
        granted: Items.
        failed: Items whose outcome is a failure.
        lost: Of these, those that are not bad by themselves.
    """

    granted: int = 0
    failed: int = 0
    lost: int = 0
    finished: float = math.inf
    most_attempts: int = 0
    good: list[float] = field(factory=list[float])
    bad: list[float] = field(factory=list[float])

    @property
    def refused(self) -> int:
        """Requests."""
        return len(self.bad)

    def sent(self, begin: float, end: float) -> int:
        """Requests sent in a time."""
        return sum(begin <= one < end for some in (self.good, self.bad) for one in some)

    def longest_silence(self) -> float:
        """The longest time in which nothing was sent."""
        starts = sorted([*self.good, *self.bad])
        return max(after - before for before, after in pairwise(starts))


@define(eq=False)
class Export:
    """As many at a time as there are slots; one that waits before its next attempt keeps its slot.

    As a loop with a semaphore around a client that tries again.
    """

    endpoint: Endpoint
    work: Work
    done: list[Export]
    result: Result = field(factory=Result)
    _taken: int = field(default=0, init=False)
    _active: int = field(default=0, init=False)

    def fill(self) -> None:
        """Begin as many items as there is room for."""
        while (job := self.take()) is not None:
            self._active += 1
            self.endpoint.enter(Item(job, self))

    def take(self) -> Job[int] | None:
        """The next, if there is room and there is one."""
        if self._active >= self.work.slots or self._taken >= self.work.items:
            return None
        self._taken += 1
        return Job(self._taken - 1, self._taken - 1)

    def granted(self, item: Item) -> None:
        """As of an owner."""
        self._active -= 1
        self.result.granted += 1
        self.result.most_attempts = max(self.result.most_attempts, item.attempts)
        self._settled()

    def refused(self, item: Item, then: Retry | SiteAssistError) -> None:
        """As of an owner."""
        if isinstance(then, Retry):
            self.endpoint.again(item, then.delay)
            return
        self._active -= 1
        self.fail(item.job)

    def fail(self, job: Job[int]) -> None:
        """Count a failure that is the outcome."""
        self.result.failed += 1
        self.result.lost += job.key not in self.endpoint.server.bad
        self._settled()

    def dropped(self, item: Item) -> None:
        """It has all the time there is."""
        raise AssertionError(item)

    def _settled(self) -> None:
        if self.result.granted + self.result.failed == self.work.items:
            self.result.finished = self.endpoint.timeline.now
            self.done.append(self)
        self.fill()


@define(eq=False)
class Bulk(Export):
    """As `bulk.Pool` of this package: what waits for its own sake makes room for others.

    A failure that may be everyone's is held until another item is answered (`Guard`); after
    several, one that was answered is asked for until it is again.
    """

    _parked: int = field(default=0, init=False)
    _again: deque[Job[int]] = field(factory=deque[Job[int]], init=False)
    _guard: Guard[int] = field(factory=Guard[int], init=False)
    _checks: Check | None = field(default=None, init=False)

    def take(self) -> Job[int] | None:
        """As of any export."""
        if self._checks or self._active >= self.work.slots:
            return None
        if self._again:
            return self._again.popleft()
        return super().take() if self._parked < MOST_PARKED else None

    def granted(self, item: Item) -> None:
        """As of an owner."""
        self.let_go(self._guard.succeeded(item.job))
        super().granted(item)

    def refused(self, item: Item, then: Retry | SiteAssistError) -> None:
        """As of an owner."""
        if not isinstance(then, Retry):
            self._active -= 1
            now = self.endpoint.timeline.now
            if self._guard.hold(item.job, then, self._taken, now) and self._checks is None:
                self._check()
        elif then.spends_attempt or then.delay < SHORT:
            self.endpoint.again(item, then.delay)
            return
        else:
            self._active -= 1
            self._parked += 1
            now = self.endpoint.timeline.now
            self.endpoint.timeline.at(now + then.delay, partial(self._unpark, item))
        self.fill()
        if self._guard.held and not (self._active or self._parked or self._checks):
            self._check()

    def let_go(self, released: list[Held[int]]) -> None:
        """Settle what failed while others are answered, or ask for it once more."""
        for held in released:
            if held.is_settled():
                self.fail(held.job)
            else:
                held.job.strikes += 1
                self._again.append(held.job)

    def checked(self, before: list[Held[int]]) -> None:
        """Go on: something is answered that was asked for after what failed `before`."""
        self._checks = None
        self.let_go(self._guard.release(before))
        self.fill()

    def _check(self) -> None:
        known = self._guard.held[-1].job.key if self._guard.proven is None else self._guard.proven
        self._checks = Check(self, known, self._guard)
        self._checks.ask()

    def _unpark(self, item: Item) -> None:
        self._parked -= 1
        self._active += 1
        self.endpoint.enter(item)


@define(eq=False)
class Check:
    """Asks for one item until it is answered."""

    bulk: Bulk
    key: int
    guard: Guard[int]
    before: list[Held[int]] = field(factory=list[Held[int]])
    delays: Iterator[float] = field(factory=probe_delays)

    def ask(self) -> None:
        """Ask."""
        self.before = list(self.guard.held)
        self.bulk.endpoint.enter(Item(Job(self.key, -1), self))

    def granted(self, item: Item) -> None:
        """As of an owner."""
        del item
        self.bulk.checked(self.before)

    def refused(self, item: Item, then: Retry | SiteAssistError) -> None:
        """As of an owner."""
        if isinstance(then, Retry):
            self.bulk.endpoint.again(item, then.delay)
        else:
            timeline = self.bulk.endpoint.timeline
            timeline.at(timeline.now + next(self.delays), self.ask)

    def dropped(self, item: Item) -> None:
        """It has all the time there is."""
        raise AssertionError(item)


@define(eq=False)
class Service:
    """Calls that come by chance, `rate` a second, each of which is of use within `patience`.

    Attributes:
        took: Seconds of each call that was answered.
        calls: All whose end is known.
    """

    endpoint: Endpoint
    rate: float
    random: Random
    patience: float = 2.0
    took: list[float] = field(factory=list[float])
    calls: int = 0
    _come: int = 0

    def begin(self) -> None:
        """Let the first call come."""
        timeline = self.endpoint.timeline
        timeline.at(timeline.now + self.random.expovariate(self.rate), self._comes)

    def granted(self, item: Item) -> None:
        """As of an owner."""
        self.took.append(self.endpoint.timeline.now - item.born)
        self.dropped(item)

    def refused(self, item: Item, then: Retry | SiteAssistError) -> None:
        """As of an owner."""
        if isinstance(then, Retry):
            self.endpoint.again(item, then.delay)
        else:
            self.dropped(item)

    def dropped(self, item: Item) -> None:
        """As of an owner."""
        item.over = True
        self.calls += 1

    def _comes(self) -> None:
        self._come += 1
        now = self.endpoint.timeline.now
        # Its ids are others than those of an export beside it.
        item = Item(Job(-self._come, self._come), self, now, now + self.patience, bulk=False)
        self.endpoint.timeline.at(item.deadline, partial(self._expire, item))
        self.endpoint.enter(item)
        self.begin()

    def _expire(self, item: Item) -> None:
        if not item.over:
            self.calls += 1
            self.endpoint.give_up(item)


def simulate(clients: list[Client], server: Server, work: Work) -> list[Result]:
    """Run until each client has had all its items granted, or until the time is over."""
    timeline, random = Timeline(), Random(work.seed)
    done: list[Export] = []
    exports = [
        export_of(Endpoint(client, server, work.network, timeline, random), work, done)
        for client in clients
    ]
    for export in exports:
        export.fill()
    timeline.run(work.until)
    return [result_of(export) for export in exports]


def export_of(endpoint: Endpoint, work: Work, done: list[Export]) -> Export:
    """An export by this client, as its package would make it."""
    kind = Bulk if isinstance(endpoint.client, Paced) else Export
    return kind(endpoint, work, done)


def result_of(export: Export) -> Result:
    """What came of it."""
    return evolve(export.result, good=export.endpoint.good, bad=export.endpoint.bad)

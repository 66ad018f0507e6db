"""A discrete-event simulation of clients with many requests in flight at one server."""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from random import Random
from typing import Protocol

from attrs import define, field, frozen

from pacing.servers import Refusal, Server


class Client(Protocol):
    """The decisions of one client; its items queue, first come, first served.

    One that `spares` attempts does not count those that were refused with a time.
    """

    @property
    def spares(self) -> bool:
        """Whether it does."""
        ...

    def start_at(self, now: float) -> float:
        """When the first in the queue may start; infinite until something comes back."""
        ...

    def start(self, now: float) -> None:
        """The first in the queue starts."""
        ...

    def granted(self, sent: float, now: float) -> None:
        """A request started at `sent` was granted."""
        ...

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """A request was refused; the seconds after which its item queues again."""
        ...


@frozen
class Network:
    """Seconds: medians and the sigmas of their lognormal distributions.

    A request takes half of `refusal` to the server and a refusal the other half back; an answer
    takes `answer` in all.
    """

    answer: float = 0.080
    spread: float = 0.5
    refusal: float = 0.025
    jitter: float = 0.2


@frozen
class Work:
    """What each client has to do: `items`, `slots` at a time, or all it can `until` a time."""

    items: int
    slots: int = 64
    until: float = math.inf
    seed: int = 0
    network: Network = Network()


@define
class Result:
    """What came of one client's work; `good` and `bad` are when its requests were sent."""

    granted: int = 0
    refused: int = 0
    finished: float = math.inf
    most_attempts: int = 0
    lost: int = 0
    good: list[float] = field(factory=list[float])
    bad: list[float] = field(factory=list[float])


@define(eq=False)
class Item:
    """Attempts so far, and of these those that were counted."""

    attempts: int = 0
    spent: int = 0
    sent: float = 0.0


ATTEMPTS = 5
ARRIVES, RETURNS, QUEUES, LOOKS = range(4)


@define(eq=False)
class Lane:
    """One client, its queue and what came of it."""

    client: Client
    fresh: int
    queue: deque[Item] = field(factory=deque[Item])
    looks: float = math.inf
    result: Result = field(factory=Result)

    def done(self, item: Item, now: float, items: int) -> bool:
        """Count a granted item; whether it was the last."""
        self.client.granted(item.sent, now)
        result = self.result
        result.granted += 1
        result.good.append(item.sent)
        result.most_attempts = max(result.most_attempts, item.attempts)
        result.lost += item.spent >= ATTEMPTS
        if self.fresh:
            self.fresh -= 1
            self.queue.append(Item())
        if result.granted < items:
            return False
        result.finished = now
        return True

    def again(self, item: Item, now: float, refusal: Refusal) -> float:
        """Count a refused attempt; the seconds until the item queues again."""
        self.result.refused += 1
        self.result.bad.append(item.sent)
        item.spent += not (self.client.spares and refusal.retry_after)
        return self.client.refused(item.sent, now, refusal, item.attempts)


Event = tuple[float, int, int, Lane, Item | None, Refusal | None]


@define(eq=False)
class Simulation:
    """The events to come, in the order of their times."""

    server: Server
    work: Work
    lanes: list[Lane]
    _random: Random
    _heap: list[Event] = field(init=False, factory=list[Event])
    _events: int = field(init=False, default=0)

    def run(self) -> None:
        """Let time pass until all is done."""
        unfinished = len(self.lanes)
        for lane in self.lanes:
            self._start(lane, 0.0)
        while unfinished and self._heap:
            now, _, kind, lane, item, refusal = heappop(self._heap)
            if now > self.work.until:
                return
            if kind == ARRIVES:
                self._answer(lane, item, now)
                continue
            if kind == LOOKS:
                if now != lane.looks:
                    continue  # an earlier look was planned since
                lane.looks = math.inf
            elif item is not None:
                unfinished -= self._take_back(kind, lane, item, now, refusal)
            self._start(lane, now)

    def _start(self, lane: Lane, now: float) -> None:
        network, client = self.work.network, lane.client
        while lane.queue:
            start = client.start_at(now)
            if start > now:
                if start < lane.looks:
                    lane.looks = start
                    self._plan(start, LOOKS, lane)
                return
            client.start(now)
            item = lane.queue.popleft()
            item.sent = now
            item.attempts += 1
            hop = self._random.lognormvariate(math.log(network.refusal / 2), network.jitter)
            self._plan(now + hop, ARRIVES, lane, item)

    def _answer(self, lane: Lane, item: Item | None, now: float) -> None:
        network, refusal = self.work.network, self.server.answer(now)
        if refusal:
            back = self._random.lognormvariate(math.log(network.refusal / 2), network.jitter)
        else:
            answer = self._random.lognormvariate(math.log(network.answer), network.spread)
            back = max(0.001, answer - network.refusal / 2)
        self._plan(now + back, RETURNS, lane, item, refusal)

    def _take_back(
        self, kind: int, lane: Lane, item: Item, now: float, refusal: Refusal | None
    ) -> bool:
        if kind == RETURNS and refusal is None:
            return lane.done(item, now, self.work.items)
        delay = lane.again(item, now, refusal) if kind == RETURNS and refusal else 0.0
        if delay > 0:
            self._plan(now + delay, QUEUES, lane, item)
        else:
            lane.queue.append(item)
        return False

    def _plan(
        self,
        when: float,
        kind: int,
        lane: Lane,
        item: Item | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        self._events += 1
        heappush(self._heap, (when, self._events, kind, lane, item, refusal))


def simulate(clients: list[Client], server: Server, work: Work) -> list[Result]:
    """Run until each client has had all its items granted, or until the time is over."""
    first = min(work.slots, work.items)
    lanes = [
        Lane(client, work.items - first, deque(Item() for _ in range(first))) for client in clients
    ]
    Simulation(server, work, lanes, Random(work.seed)).run()
    return [lane.result for lane in lanes]

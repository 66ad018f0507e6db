"""A discrete-event simulation of clients with many requests in flight against one server."""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Protocol

from attrs import define, field

if TYPE_CHECKING:
    from pacing.servers import Refusal, Server


class Client(Protocol):
    """The decisions of one client; an item that it sends is at most in one place at a time."""

    def start_at(self, now: float) -> float:
        """When the item at the head of the queue may start; infinite until something comes back."""
        ...

    def start(self, now: float) -> None:
        """The item at the head starts."""
        ...

    def granted(self, sent: float, now: float) -> None:
        """A request started at `sent` was granted."""
        ...

    def refused(self, sent: float, now: float, refusal: Refusal, attempt: int) -> float:
        """A request was refused; returns the seconds after which its item queues again."""
        ...


@define
class Result:
    """What one client did."""

    items: int
    finished: float = 0.0
    granted: int = 0
    refused: int = 0
    most_attempts: int = 0
    over_five: int = 0
    starts: list[float] = field(factory=list)


@define
class _Lane:
    client: Client
    result: Result
    ready: deque[int]
    fresh: int
    wake: float = math.inf


ARRIVE, ANSWER, QUEUE, WAKE = range(4)


def simulate(
    clients: list[Client],
    server: Server,
    *,
    items: int,
    until: float = math.inf,
    slots: int = 64,
    seed: int = 0,
    median: float = 0.080,
    sigma: float = 0.5,
    refusal: float = 0.025,
    jitter: float = 0.2,
    spends_attempts: bool = True,
    trace: bool = False,
) -> list[Result]:
    """Run until each client has had `items` granted, or until a time.

    A request arrives at the server after half of `refusal`, with the same jitter as the answer.
    An item counts as attempted each time it is sent, or (`spends_attempts=False`, rule 9) only
    where its refusal named no time.
    """
    random = Random(seed)
    lognormal, mu = random.lognormvariate, math.log(median)
    hop = math.log(refusal / 2)
    lanes = [
        _Lane(client, Result(items), deque([1] * min(slots, items)), items - min(slots, items))
        for client in clients
    ]
    heap: list[tuple[float, int, int, _Lane, int, float, Refusal | None]] = []
    sequence = 0

    def pump(lane: _Lane, now: float) -> None:
        nonlocal sequence
        client, ready = lane.client, lane.ready
        while ready:
            start = client.start_at(now)
            if start > now:
                if start < lane.wake:
                    lane.wake = start
                    sequence += 1
                    heappush(heap, (start, sequence, WAKE, lane, 0, 0.0, None))
                return
            client.start(now)
            if trace:
                lane.result.starts.append(now)
            sequence += 1
            arrival = now + lognormal(hop, jitter)
            heappush(heap, (arrival, sequence, ARRIVE, lane, ready.popleft(), now, None))

    now = 0.0
    for lane in lanes:
        pump(lane, now)
    unfinished = len(lanes)
    while heap and unfinished:
        now, _, kind, lane, attempt, sent, verdict = heappop(heap)
        if now > until:
            break
        result = lane.result
        if kind == ARRIVE:
            verdict = server.answer(now)
            # The rest of an answer's time: a granted one works, a refused one only travels back.
            back = lognormal(hop, jitter) if verdict else max(
                0.001, lognormal(mu, sigma) - refusal / 2
            )
            sequence += 1
            heappush(heap, (now + back, sequence, ANSWER, lane, attempt, sent, verdict))
            continue
        if kind == WAKE:
            lane.wake = math.inf
        elif kind == QUEUE:
            lane.ready.append(attempt)
        elif verdict is None:
            lane.client.granted(sent, now)
            result.granted += 1
            if attempt > result.most_attempts:
                result.most_attempts = attempt
            if attempt > 5:
                result.over_five += 1
            if result.granted == result.items:
                result.finished = now
                unfinished -= 1
            if lane.fresh:
                lane.fresh -= 1
                lane.ready.append(1)
        else:
            result.refused += 1
            delay = lane.client.refused(sent, now, verdict, attempt)
            if spends_attempts or verdict.retry_after is None:
                attempt += 1
            if delay > 0:
                sequence += 1
                heappush(heap, (now + delay, sequence, QUEUE, lane, attempt, 0.0, None))
            else:
                lane.ready.append(attempt)
        pump(lane, now)
    return [lane.result for lane in lanes]

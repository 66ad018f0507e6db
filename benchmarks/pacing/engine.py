"""A discrete-event simulation: the time, the network, and what a client has to decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

from pacing.servers import Refusal, Server
from siteassist_async.middleware.retry_policy import Retry, RetryState
from siteassist_async.outage import Job
from siteassist_async.pacing import Permit, Waiter

if TYPE_CHECKING:
    from siteassist_async.errors import SiteAssistError


class Owner(Protocol):
    """Whose item it is."""

    def granted(self, item: Item) -> None:
        """It was answered."""
        ...

    def refused(self, item: Item, then: Retry | SiteAssistError) -> None:
        """It was not; it is asked for again, or that is its outcome."""
        ...

    def dropped(self, item: Item) -> None:
        """The client sends it not at all, for it would be too late."""
        ...


@define(eq=False)
class Item:
    """One id to ask for.

    Attributes:
        job: Its key and place.
        born: When somebody began to want it.
        deadline: When nobody wants it any more.
        bulk: Whether it is one of many, as opposed to a call that somebody waits for.
        sent: When it was sent last.
        in_flight: Whether it is on its way.
        over: Whether nobody waits for it any more.
        waiter: What a paced client knows of it, as are `permit` and `progress`.
    """

    job: Job[int]
    owner: Owner
    born: float = 0.0
    deadline: float = math.inf
    bulk: bool = True
    attempts: int = 0
    sent: float = 0.0
    in_flight: bool = False
    over: bool = False
    waiter: Waiter | None = None
    permit: Permit | None = None
    progress: RetryState = field(factory=lambda: RetryState(math.inf))


class Client(Protocol):
    """The decisions of one client, and the queue of its items.

    Attributes:
        started: Items that are to be sent now.
        dropped: Items that it will not send.
    """

    started: list[Item]
    dropped: list[Item]

    def enter(self, item: Item, now: float) -> None:
        """Let an item wait for its start."""
        ...

    def advance(self, now: float) -> float:
        """Start what may start; when to look again."""
        ...

    def granted(self, item: Item, now: float) -> None:
        """An answer came."""
        ...

    def refused(self, item: Item, now: float, refusal: Refusal) -> Retry | SiteAssistError:
        """A refusal came: what follows."""
        ...

    def abandon(self, item: Item) -> None:
        """Nobody waits for an item any more, that waits for its start or is in flight."""
        ...


@frozen
class Network:
    """Seconds: medians and the sigmas of their lognormal distributions.

    A request takes half of `refusal` to the server and a refusal the other half back; an answer
    takes `answer` in all, and so many of them are `slow`: those take `slowly`.
    """

    answer: float = 0.080
    spread: float = 0.5
    refusal: float = 0.025
    jitter: float = 0.2
    slow: float = 0.0
    slowly: float = 20.0

    def hop(self, random: Random) -> float:
        """Seconds to the server, or a refusal's back."""
        return 0.5 * self.refusal * random.lognormvariate(0.0, self.jitter)

    def back(self, random: Random) -> float:
        """Seconds from the server to the answer's end."""
        if self.slow and random.random() < self.slow:
            return self.slowly
        answer = self.answer * random.lognormvariate(0.0, self.spread)
        return max(0.001, answer - self.refusal / 2)


USUAL = Network()


@define
class Timeline:
    """What happens, in the order of its time."""

    now: float = 0.0
    stopped: bool = False
    _events: list[tuple[float, int, Callable[[], None]]] = field(
        init=False, factory=list[tuple[float, int, Callable[[], None]]]
    )
    _count: int = field(init=False, default=0)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Let something happen then."""
        self._count += 1
        heappush(self._events, (when, self._count, action))

    def run(self, until: float) -> None:
        """Let time pass until then, or until somebody stops it."""
        while self._events and not self.stopped:
            when, _, action = heappop(self._events)
            if when > until:
                return
            self.now = when
            action()


@define(eq=False)
class Endpoint:
    """One client on its way to the server.

    Attributes:
        answered: Requests that the server granted.
        vainly: Of these, those that nobody waited for any more.
        good: When the requests were sent that were granted, as those that were refused are `bad`.
    """

    client: Client
    server: Server
    network: Network
    timeline: Timeline
    random: Random
    answered: int = 0
    vainly: int = 0
    good: list[float] = field(factory=list[float])
    bad: list[float] = field(factory=list[float])
    _looks: float = math.inf
    _returning: bool = False

    def enter(self, item: Item) -> None:
        """Let an item wait for its start."""
        if item.over:
            return
        self.client.enter(item, self.timeline.now)
        if not self._returning:
            self.look()

    def again(self, item: Item, delay: float) -> None:
        """Let an item wait for its start after some seconds."""
        self.timeline.at(self.timeline.now + delay, partial(self.enter, item))

    def give_up(self, item: Item) -> None:
        """Nobody waits for an item any more, wherever it is."""
        item.over = True
        self.client.abandon(item)
        self.look()

    def look(self) -> None:
        """Send what may be sent, and plan the next look."""
        client, now = self.client, self.timeline.now
        at = client.advance(now)
        started, client.started = client.started, []
        dropped, client.dropped = client.dropped, []
        for item in started:
            item.sent, item.in_flight = now, True
            item.attempts += 1
            self.timeline.at(now + self.network.hop(self.random), partial(self._arrive, item))
        if at < self._looks:
            self._looks = max(at, math.nextafter(now, math.inf))
            self.timeline.at(self._looks, partial(self._planned, self._looks))
        for item in dropped:
            item.owner.dropped(item)

    def _planned(self, at: float) -> None:
        if at == self._looks:  # else an earlier look was planned since
            self._looks = math.inf
            self.look()

    def _arrive(self, item: Item) -> None:
        refusal = self.server.answer(self.timeline.now, item.job.key)
        way = self.network.back if refusal is None else self.network.hop
        self.timeline.at(self.timeline.now + way(self.random), partial(self._return, item, refusal))

    def _return(self, item: Item, refusal: Refusal | None) -> None:
        now = self.timeline.now
        self.answered += refusal is None
        self.vainly += refusal is None and item.over
        (self.good if refusal is None else self.bad).append(item.sent)
        if item.over:
            return
        item.in_flight = False
        self._returning = True  # what enters meanwhile is looked at once
        if refusal is None:
            self.client.granted(item, now)
            item.owner.granted(item)
        else:
            item.owner.refused(item, self.client.refused(item, now, refusal))
        self._returning = False
        self.look()

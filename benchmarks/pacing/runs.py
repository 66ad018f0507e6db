"""The runs: every client on every scenario, with several seeds."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

from pacing.clients import Adaptive, Aimd, Paced, RetryAfter, Unpaced
from pacing.scenarios import ANSWER, SECONDS, SLOTS, TOLD, Scenario
from pacing.servers import Says, Server, Unlimited
from pacing.work import Result, Work, simulate
from siteassist_async.emulator.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacing.engine import Client

CLIENTS: dict[str, Callable[[int, float | None], Client]] = {
    "this pacer": lambda seed, max_rate: Paced(seed, max_rate=max_rate),
    "backoff": lambda seed, _: Unpaced(seed),
    "Retry-After": lambda seed, _: RetryAfter(seed),
    "botocore adaptive": lambda seed, _: Adaptive(seed),
    "AIMD in flight": lambda seed, _: Aimd(seed),
}

CROWD = 8
CROWD_RATE = 50
SMALL = (20, 50, 100, 200)


@frozen
class Cell:
    """One client on one scenario: medians over the seeds, and the worst of them."""

    time: float
    refused: float
    attempts: int
    lost: int
    worst_time: float
    worst_refused: float


def cell(scenario: Scenario, client: str, seeds: range) -> Cell:
    """Run one client on one scenario."""
    make = CLIENTS[client]
    results = [
        simulate([make(seed, scenario.max_rate)], scenario.server(), scenario.work(seed))[0]
        for seed in seeds
    ]
    times = [took(scenario, result) / scenario.ideal for result in results]
    refused = [result.refused / scenario.items for result in results]
    return Cell(
        time=median(times),
        refused=median(refused),
        attempts=max(result.most_attempts for result in results),
        lost=sum(result.lost for result in results),
        worst_time=max(times),
        worst_refused=max(refused),
    )


def took(scenario: Scenario, result: Result) -> float:
    """The seconds; those of a run that was given up are projected from what it got done."""
    until = scenario.work(0).until
    return min(result.finished, until * scenario.items / max(1, result.granted))


@frozen
class Crowd:
    """Clients at one limit that know nothing of each other, each with its share of the work.

    `fairness` is Jain's index of what each was granted while all had something to do.
    """

    name: str
    time: float
    refused: float
    fairness: float


def crowd(says: Says, seeds: range) -> Crowd:
    """Eight clients at 50/s."""
    items = CROWD_RATE * SECONDS // CROWD
    ideal = (items * CROWD - CROWD_RATE) / CROWD_RATE + ANSWER
    finished: list[float] = []
    refused: list[float] = []
    fairness: list[float] = []
    for seed in seeds:
        results = _together(says, Work(items, SLOTS, until=10 * ideal, seed=seed))
        finished.append(max(result.finished for result in results) / ideal)
        refused.append(sum(result.refused for result in results) / (items * CROWD))
        endless = _together(says, Work(10**9, SLOTS, until=SECONDS, seed=seed))
        fairness.append(jain([result.granted for result in endless]))
    return Crowd(TOLD[says], median(finished), median(refused), median(fairness))


def _together(says: Says, work: Work) -> list[Result]:
    clients: list[Client] = [Paced(1000 * work.seed + number) for number in range(CROWD)]
    return simulate(clients, Server(TokenBucket(CROWD_RATE, CROWD_RATE), says), work)


def jain(shares: list[int]) -> float:
    """1 where all are alike, 1/n where one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def small(items: int, seeds: range) -> float:
    """The time of a small job under no limit, as a multiple of an unpaced client's."""

    def mean_time(make: Callable[[int], Client]) -> float:
        works = [Work(items, SLOTS, seed=seed) for seed in seeds]
        return sum(
            simulate([make(work.seed)], Server(Unlimited()), work)[0].finished for work in works
        )

    return mean_time(Paced) / mean_time(Unpaced)

"""Calls that somebody waits for: more of them than the limit allows, and beside an export."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from pacing.clients import Paced, RetryAfter, Unpaced
from pacing.engine import Client, Endpoint, Network, Timeline
from pacing.report import COLUMN, WIDTH, Target
from pacing.scenarios import SLOTS, TOLD
from pacing.servers import Says, Server, exact, rounded
from pacing.work import Service, Work, export_of
from siteassist_async.emulator.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

RATE, SECONDS, QUICK_SECONDS = 50, 300.0, 120.0
PATIENCE = 2.0
LOADS, QUICK_LOADS = (0.5, 1.0, 1.2, 2.0, 10.0), (1.2,)
OVERLOADS = (1.2, 2.0, 10.0)
BURSTS, QUICK_BURSTS = (50, 10), (50,)
# Each refusal costs a second in which a bucket of so few tokens runs over; five find the limit.
HARD = 0.94
SAYS = (exact, rounded)
BESIDE, QUICK_BESIDE = (10, 50, 500), (50,)
ATTEMPTS = 5

MAKERS: dict[str, Callable[[], Client]] = {
    "this pacer": lambda: Paced(1),
    "backoff": lambda: Unpaced(1, ATTEMPTS),
    "Retry-After": lambda: RetryAfter(1, ATTEMPTS),
}


@frozen
class Served:
    """What came of a service: `good` is its goodput, the others are shares of its calls' number.

    Attributes:
        slowest: Seconds within which 99 of 100 answered calls were, as `slow` for 95.
        vain: Requests answered for callers who had given up.
        refused: Requests.
    """

    good: float
    answered: float
    slow: float
    slowest: float
    vain: float
    refused: float

    def told(self) -> str:
        """One cell of the table."""
        shares = f"{100 * self.vain:.1f} % / {100 * self.refused:.0f} %"
        return f"{self.good:.2f} / {self.slowest:.2f} / {shares}"


def measure(*, quick: bool) -> list[Target]:
    """Print both tables; the targets, measured."""
    makers = list(MAKERS.values())[: 1 if quick else None]
    return [*overload(makers, quick=quick), *beside(makers, quick=quick)]


def overload(makers: list[Callable[[], Client]], *, quick: bool) -> list[Target]:
    """A service that is offered more than the limit."""
    seconds = QUICK_SECONDS if quick else SECONDS
    head("\ngoodput / p99, s / answered in vain, of calls / refusals, of calls", makers)
    targets: list[Target] = []
    for burst in QUICK_BURSTS if quick else BURSTS:
        for says in SAYS:
            for load in QUICK_LOADS if quick else LOADS:
                name = f"{load:g} times {RATE}/s, burst {burst}, {TOLD[says]}"
                served = [serve(make(), load, burst, says, seconds) for make in makers]
                line(name, [one.told() for one in served])
                targets += [Target(f"{name}: p99", served[0].slowest, PATIENCE)]
                if load in OVERLOADS:
                    least = HARD if burst < RATE and says is rounded else 0.95
                    targets += [Target(f"{name}: goodput", served[0].good, least=least)]
    return targets


def serve(client: Client, load: float, burst: int, says: Says, seconds: float) -> Served:
    """A service alone."""
    endpoint = new_endpoint(client, RATE, burst, says)
    service = Service(endpoint, load * RATE, Random(1), PATIENCE)
    service.begin()
    endpoint.timeline.run(seconds)
    return served(service, RATE * seconds + burst)


def beside(makers: list[Callable[[], Client]], *, quick: bool) -> list[Target]:
    """A service at a tenth of the limit, and an export that takes all it can."""
    seconds = QUICK_SECONDS if quick else SECONDS
    head("\ncalls answered / their p95 ÷ alone / the export's share of the limit", makers)
    targets: list[Target] = []
    for rate in QUICK_BESIDE if quick else BESIDE:
        for says in SAYS:
            name = f"service {rate / 10:g}/s and export, {rate}/s, {TOLD[says]}"
            both = [shared(make, rate, says, seconds) for make in makers]
            line(name, [f"{100 * a:.1f} % / {b:.2f} / {c:.2f}" for a, b, c in both])
            answered, slower, share = both[0]
            targets += [
                Target(f"{name}: calls answered", answered, least=0.99),
                Target(f"{name}: p95 ÷ alone", slower, 3.0),
                Target(f"{name}: export ÷ limit", share, least=0.85),
            ]
    return targets


def shared(
    make: Callable[[], Client], rate: int, says: Says, seconds: float
) -> tuple[float, float, float]:
    """Of the calls those answered, their p95 by that alone, and the export by the limit."""
    seconds = min(seconds, 50_000 / rate)
    alone = new_endpoint(make(), rate, rate, says)
    service = Service(alone, rate / 10, Random(1), PATIENCE)
    service.begin()
    alone.timeline.run(seconds)
    usual = served(service, rate * seconds)

    endpoint = new_endpoint(make(), rate, rate, says)
    export = export_of(endpoint, Work(10**9, SLOTS), [])
    service = Service(endpoint, rate / 10, Random(1), PATIENCE)
    service.begin()
    export.fill()
    endpoint.timeline.run(seconds)
    found = served(service, rate * seconds)
    return found.answered, found.slow / usual.slow, export.result.granted / (rate * seconds + rate)


def served(service: Service, grantable: float) -> Served:
    """What came of it, where the limit could grant so many."""
    took, endpoint = sorted(service.took), service.endpoint
    calls = max(1, service.calls)
    return Served(
        good=len(took) / min(grantable, calls),
        answered=len(took) / calls,
        slow=took[int(0.95 * len(took))],
        slowest=took[int(0.99 * len(took))],
        vain=endpoint.vainly / calls,
        refused=len(endpoint.bad) / calls,
    )


def new_endpoint(client: Client, rate: int, burst: int, says: Says) -> Endpoint:
    """A client before a bucket."""
    return Endpoint(
        client, Server(TokenBucket(rate, burst), says), Network(), Timeline(), Random(1)
    )


def head(title: str, makers: list[Callable[[], Client]]) -> None:
    """Print the first lines of a table."""
    print(title)
    print(" " * WIDTH + "".join(name.rjust(COLUMN) for name in list(MAKERS)[: len(makers)]))


def line(name: str, cells: list[str]) -> None:
    """Print a row."""
    print(name.ljust(WIDTH) + "".join(cell.rjust(COLUMN + 4) for cell in cells), flush=True)

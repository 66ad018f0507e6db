"""Ids that are refused by themselves, in a long list of good ones."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from attrs import frozen

from pacing.clients import POLICY, Paced, RetryAfter, Unpaced
from pacing.report import COLUMN, WIDTH, Target
from pacing.servers import Kind, Refusal, Server
from pacing.work import Result, Work, simulate
from siteassist_async.emulator.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from pacing.engine import Client

ITEMS, QUICK_ITEMS, RATE = 60_000, 15_000, 50
SHARES, QUICK_SHARES = (0.001, 0.01, 0.05), (0.01,)
WAIT = 30.0
SLOWER = 1.05
ATTEMPTS = 5

MAKERS: dict[str, Callable[[], Client]] = {
    "this pacer": lambda: Paced(1),
    "backoff": lambda: Unpaced(1, ATTEMPTS),
    "Retry-After": lambda: RetryAfter(1, ATTEMPTS),
}


@frozen
class Run:
    """One client on one list: of the `bad` ids, each was asked for `each` times."""

    result: Result
    bad: int
    each: float

    def time(self, without: float) -> float:
        """Without what the last bad id has to wait, as a multiple of the time without bad ids."""
        waits = (POLICY.refusals - 1) * WAIT * 1.1
        return (self.result.finished - waits) / without

    def told(self, without: float) -> str:
        """One cell of the table."""
        return f"{self.result.finished / without:.2f} / {self.result.lost} / {self.each:.1f}"


def measure(*, quick: bool) -> list[Target]:
    """Print a table; the targets, measured."""
    items = QUICK_ITEMS if quick else ITEMS
    makers = list(MAKERS.values())[: 1 if quick else None]
    print("\ntime ÷ without bad ids / good ids lost / requests for a bad id")
    print(" " * WIDTH + "".join(name.rjust(COLUMN) for name in list(MAKERS)[: len(makers)]))
    without = run(Paced(1), items, 0.0, Kind.LIMITED).result.finished
    targets: list[Target] = []
    # That 429s are an id's own takes a minute to find out, too much of a short job.
    for kind in (Kind.UNAVAILABLE,) if quick else (Kind.UNAVAILABLE, Kind.LIMITED):
        for share in QUICK_SHARES if quick else SHARES:
            name = f"{100 * share:g} % of ids always {kind.value}"
            ours, *others = [run(make(), items, share, kind) for make in makers]
            cells = [one.told(without) for one in (ours, *others)]
            print(name.ljust(WIDTH) + "".join(cell.rjust(COLUMN) for cell in cells), flush=True)
            targets += [
                Target(f"{name}: time ÷ without", ours.time(without), SLOWER),
                Target(f"{name}: good ids lost", ours.result.lost, 0),
            ]
    return targets


def run(client: Client, items: int, share: float, kind: Kind) -> Run:
    """One client on one list."""
    bad = frozenset(Random(1).sample(range(items), int(items * share)))
    server = Server(TokenBucket(RATE, RATE), bad=bad, badly=Refusal(WAIT, kind))
    result = simulate([client], server, Work(items, until=10.0 * items / RATE))[0]
    return Run(result, len(bad), server.vainly / max(1, len(bad)))

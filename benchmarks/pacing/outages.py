"""Times in which nothing is answered, and answers that are slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from pacing.clients import Paced, RetryAfter, Unpaced
from pacing.engine import Client, Network
from pacing.report import COLUMN, WIDTH, Target
from pacing.scenarios import ANSWER, SLOTS
from pacing.servers import Kind, Server, Spell
from pacing.work import Result, Work, simulate
from siteassist_async.emulator.limits import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

RATE, BEGIN, AFTER = 50, 60.0, 60.0
LENGTHS, QUICK_LENGTHS = (3, 60, 600), (3, 60)
KINDS = (
    ("503, 5 s", Kind.UNAVAILABLE, 5.0),
    ("503, 30 s", Kind.UNAVAILABLE, 30.0),
    ("503, no time", Kind.UNAVAILABLE, None),
    ("429, 5 s", Kind.LIMITED, 5.0),
    ("no connection", Kind.BROKEN, None),
)
# What an outage may cost beyond itself: the wait that was named last or a pause of our own, and
# starting anew after it.
PAUSE, ANEW = 15.0, 4.0

MAKERS: dict[str, Callable[[], Client]] = {
    "this pacer": lambda: Paced(1),
    "backoff": lambda: Unpaced(1),
    "Retry-After": lambda: RetryAfter(1),
}

SLOW, SLOW_SLOTS, SLOW_ITEMS = Network(slow=0.01), 32, 15_000


@frozen
class Cost:
    """Seconds lost beyond the outage, requests sent into it, and items lost."""

    seconds: float
    sent: int
    lost: int

    def told(self) -> str:
        """One cell of the table."""
        return f"{self.seconds:.1f} / {self.sent} / {self.lost}"


def measure(*, quick: bool) -> list[Target]:
    """Print both tables; the targets, measured."""
    makers = list(MAKERS.values())[: 1 if quick else None]
    names = "".join(name.rjust(COLUMN) for name in list(MAKERS)[: len(makers)])
    print("\nseconds lost beyond an outage / requests sent into it / items lost")
    print(" " * WIDTH + names)
    targets: list[Target] = []
    for length in QUICK_LENGTHS if quick else LENGTHS:
        for told, kind, retry_after in KINDS:
            name = f"{length} s of {told}"
            costs = [cost(make(), length, kind, retry_after) for make in makers]
            print(
                name.ljust(WIDTH) + "".join(one.told().rjust(COLUMN) for one in costs), flush=True
            )
            targets += [
                Target(f"{name}: s lost", costs[0].seconds, (retry_after or PAUSE) + ANEW),
                Target(f"{name}: items lost", costs[0].lost, 0),
            ]
    return [*targets, *slow_tail(quick=quick)]


def cost(client: Client, length: int, kind: Kind, retry_after: float | None) -> Cost:
    """One client, with the outage in the middle of its job."""
    items = int(RATE * (BEGIN + AFTER))
    spell = Spell(BEGIN, BEGIN + length, kind, retry_after)
    work = Work(items, SLOTS, until=10 * (BEGIN + AFTER + length))
    result = simulate([client], Server(TokenBucket(RATE, RATE), spell=spell), work)[0]
    # The bucket is full again at the outage's end.
    ideal = (items - 2 * RATE) / RATE + ANSWER + length
    return Cost(result.finished - ideal, result.sent(spell.begin, spell.end), result.lost)


def slow_tail(*, quick: bool) -> list[Target]:
    """One answer in a hundred takes 20 s."""
    items = SLOW_ITEMS // 3 if quick else SLOW_ITEMS
    makers: list[Client] = [Paced(1, slots=SLOW_SLOTS)]
    makers += [] if quick else [Unpaced(1, slots=SLOW_SLOTS), RetryAfter(1, slots=SLOW_SLOTS)]
    results = [tail(client, items) for client in makers]
    # The last that is slow may have been sent last.
    ideal = (items - RATE) / RATE + SLOW.slowly
    print("\ntime ÷ ideal / longest time in which nothing was sent, s")
    cells = [f"{one.finished / ideal:.2f} / {one.longest_silence():.2f}" for one in results]
    print("1 % of answers take 20 s".ljust(WIDTH) + "".join(cell.rjust(COLUMN) for cell in cells))
    return [
        Target("slow tail: time ÷ ideal", results[0].finished / ideal, 1.05),
        Target("slow tail: longest silence, s", results[0].longest_silence(), 2.5),
    ]


def tail(client: Client, items: int) -> Result:
    """One client where some answers are slow."""
    work = Work(items, SLOW_SLOTS, until=items, network=SLOW)
    return simulate([client], Server(TokenBucket(RATE, RATE)), work)[0]

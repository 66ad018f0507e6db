"""The real client against the emulator over real sockets, beside the simulation of the same.

`python benchmarks/pacing_on_the_wire.py` takes about a minute and a half, most of it waiting.
"""

from __future__ import annotations

import asyncio
import sys
import time
from random import Random
from typing import TYPE_CHECKING

from attrs import frozen
from pacing.clients import Paced
from pacing.engine import Network
from pacing.scenarios import ANSWER, SLOTS, TOLD
from pacing.servers import Says, Server, absent, exact, rounded
from pacing.work import Work, simulate

from siteassist_async import Fetched, SiteAssist
from siteassist_async.emulator import Emulator, TokenBucket, conversation_ids

if TYPE_CHECKING:
    from siteassist_async.emulator.limits import RetryAfter

RATE, BURST, ITEMS = 50, 50, 1250
IDEAL = (ITEMS - BURST) / RATE + ANSWER
# How far apart the two may be: the machine's own noise in 24 seconds, and a refusal in fifty.
CLOSE, CLOSE_REFUSED = 0.10, 0.02

SPOKEN: dict[Says, RetryAfter] = {exact: "exact", rounded: "ceil", absent: None}


@frozen
class Run:
    """Time by the least time, and refusals by items."""

    time: float
    refused: float


def simulated(says: Says) -> Run:
    """The pacer's decisions in virtual time."""
    work = Work(ITEMS, SLOTS, until=10 * IDEAL, seed=1)
    result = simulate([Paced(1, max_rate=None)], Server(TokenBucket(RATE, BURST), says), work)[0]
    return Run(result.finished / IDEAL, result.refused / ITEMS)


async def real(says: Says) -> Run:
    """`get_many` of the client as it is."""
    random = Random(1)
    network = Network()
    async with Emulator(
        limit=TokenBucket(RATE, BURST),
        retry_after=SPOKEN[says],
        latency=lambda: network.answer * random.lognormvariate(0, network.spread),
        messages=0,
    ) as api:
        started = time.perf_counter()
        async with SiteAssist(api.token, base_url=api.url, concurrency=SLOTS) as client:
            outcomes = client.conversations.get_many(conversation_ids(ITEMS))
            had = [isinstance(outcome, Fetched) async for outcome in outcomes]
        took = time.perf_counter() - started
    if not all(had) or len(had) != ITEMS:
        raise RuntimeError(f"{had.count(False)} of {len(had)} items were lost")
    return Run(took / IDEAL, api.counters.refused / ITEMS)


def main() -> int:
    """Print a row a server; 1 where the two disagree."""
    print(f"{RATE}/s, burst {BURST}, {ITEMS} items; time ÷ ideal / refused ÷ items")
    agree = True
    for says in SPOKEN:
        virtual, wire = simulated(says), asyncio.run(real(says))
        close = abs(virtual.time - wire.time) <= CLOSE
        close = close and abs(virtual.refused - wire.refused) <= CLOSE_REFUSED
        agree = agree and close
        print(
            f"{TOLD[says]:12} simulated {virtual.time:.3f} / {virtual.refused:.1%}"
            f"   real {wire.time:.3f} / {wire.refused:.1%}   {'agrees' if close else 'DIFFERS'}"
        )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())

"""The scenarios: a server, the work, and the time that who knew the limit would need."""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import frozen

from pacing.engine import Network
from pacing.servers import Changing, Says, Server, Spell, absent, always_60, exact, rounded
from pacing.work import Work
from siteassist_async.emulator.limits import FixedWindow, TokenBucket

SECONDS = 300
SLOTS = 64
ANSWER = Network().answer
MEAN_ANSWER = ANSWER * math.exp(Network().spread ** 2 / 2)
RATES = (5, 50, 500)
SAYS = (exact, rounded, absent)
CHANGES = ((100.0, 10.0), (200.0, 100.0))
SPELL = Spell(100.0, 160.0, truly=True)


TOLD: dict[Says, str] = {
    exact: "exact",
    rounded: "rounded up",
    absent: "absent",
    always_60: "always 60",
}


@frozen
class Scenario:
    """A name, a fresh server for each run, the items, and the seconds that they take at best.

    The targets hold where a second's worth of requests is granted at once (`aimed`).
    """

    name: str
    server: Callable[[], Server]
    items: int
    ideal: float
    aimed: bool = True
    max_rate: float | None = None

    def work(self, seed: int) -> Work:
        """The work of one run, given up where it takes too long."""
        return Work(self.items, SLOTS, until=max(60.0, 12 * self.ideal), seed=seed)


def bucket(rate: int, burst: int, says: Says) -> Scenario:
    """A token bucket for a constant rate."""
    items = rate * SECONDS
    return Scenario(
        f"bucket {rate}/s, burst {burst}, {TOLD[says]}",
        lambda: Server(TokenBucket(rate, burst), says),
        items,
        max((items - burst) / rate + ANSWER, items * MEAN_ANSWER / SLOTS),
        aimed=burst >= rate and says is not always_60,
    )


def window(count: int, length: int, says: Says) -> Scenario:
    """A quota for each window."""
    items = count * SECONDS // length
    return Scenario(
        f"window {count} in {length} s, {TOLD[says]}",
        lambda: Server(FixedWindow(count, length), says),
        items,
        SECONDS - length + max(ANSWER, count * MEAN_ANSWER / SLOTS),
        # Nothing tells that the pause is a minute, and there are 250 items: probes are 8 % of them.
        aimed=not (count / length < 1 and says is absent),
    )


def changing(says: Says) -> Scenario:
    """A token bucket of 50/s that falls to 10/s and rises to 100/s."""
    return Scenario(
        f"bucket 50/s, then 10/s, then 100/s, {TOLD[says]}",
        lambda: Server(Changing(TokenBucket(50, 50), CHANGES), says),
        16_000,
        300 - 0.5 + ANSWER,
    )


def spell(says: Says) -> Scenario:
    """A token bucket of 50/s, and a minute of 503s, in which it fills."""
    plain = bucket(50, 50, says)
    return Scenario(
        f"bucket 50/s, and 60 s of 503s, {TOLD[says]}",
        lambda: Server(TokenBucket(50, 50), says, SPELL),
        plain.items,
        plain.ideal + SPELL.end - SPELL.begin - 1,
    )


def bursts(rate: int) -> list[int]:
    """From one request to a second's worth."""
    return sorted({1, rate // 5, rate})


def single(saying: tuple[Says, ...] = SAYS, rates: tuple[int, ...] = RATES) -> list[Scenario]:
    """Those of one client that finds the limit."""
    found = [
        bucket(rate, burst, says) for rate in rates for burst in bursts(rate) for says in saying
    ]
    found += [window(*kind, says) for kind in ((50, 1), (50, 60), (3000, 60)) for says in saying]
    found += [changing(says) for says in saying]
    found += [spell(says) for says in saying]
    return found


def constant(rates: tuple[int, ...] = RATES) -> list[Scenario]:
    """Those where every refusal asks for a minute, on a job of five."""
    return [bucket(rate, rate, always_60) for rate in rates]


def known(rates: tuple[int, ...] = RATES) -> list[Scenario]:
    """The same, for a user who knows the limit."""
    return [
        Scenario(f"{one.name}, max_rate", one.server, one.items, one.ideal, max_rate=rate)
        for one, rate in zip(constant(rates), rates, strict=True)
    ]

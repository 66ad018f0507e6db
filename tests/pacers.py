"""What the tests of the pacer share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from siteassist_async.pacing import AdaptivePacer, Pace, Start
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fakes import FakeClock

    from siteassist_async.pacing import Permit


def pacer_of(clock: FakeClock, concurrency: int = 1) -> AdaptivePacer:
    """A pacer whose jitter is always the same."""
    return AdaptivePacer(Pace(concurrency=concurrency, random=lambda: 0.5), clock=clock)


async def acquire(
    pacer: AdaptivePacer,
    subject: Hashable = None,
    *,
    slots: Slots | None = None,
    bulk: bool = False,
    deadline: float = math.inf,
    latest: float = math.inf,
) -> Permit:
    """Wait for a start, with slots enough unless some are given."""
    slots = slots or Slots(64)
    return await pacer.acquire(Start(subject, slots, bulk, deadline, latest))


async def refuse(
    pacer: AdaptivePacer,
    retry_after: float | None,
    *,
    limited: bool = True,
    subject: Hashable = None,
) -> bool:
    """Refuse a request; whether that is its subject's alone."""
    return (await acquire(pacer, subject)).throttled(retry_after, limited=limited)


async def outage(pacer: AdaptivePacer, retry_after: float | None) -> None:
    """Answer five requests, each for another id, by a 503: the gate closes."""
    permits = [await acquire(pacer) for _ in range(5)]
    for permit in permits:
        permit.throttled(retry_after, limited=False)

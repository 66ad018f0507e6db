"""One pacer for each project of a process."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from siteassist_async.clock import SYSTEM_CLOCK, Clock
from siteassist_async.pacing.adaptive import AdaptivePacer
from siteassist_async.pacing.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

_PACERS: WeakValueDictionary[Hashable, AdaptivePacer] = WeakValueDictionary()
_LOCK = threading.Lock()


def pacer_for(
    base_url: str,
    token: str | Callable[[], object],
    *,
    concurrency: int,
    max_rate: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> AdaptivePacer:
    """The pacer of one (base URL, token), shared by all who hold it in this process.

    The window may grow to the largest `concurrency` asked for; the last `max_rate` given holds.
    Two callables are two tokens, unless they are equal. What was learned goes with the last
    holder.
    """
    key = (base_url, _fingerprint(token), id(clock))
    with _LOCK:
        pacer = _PACERS.get(key)
        if pacer is None:
            pace = Pace(concurrency=concurrency, max_rate=max_rate)
            pacer = _PACERS[key] = AdaptivePacer(pace, clock=clock)
        else:
            pacer.adjust(concurrency=concurrency, max_rate=max_rate)
    return pacer


def _fingerprint(token: object) -> Hashable:
    if isinstance(token, str):
        # The token itself must not stand in a table that a debugger or a dump shows.
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass")).digest()
    return token if isinstance(token, Hashable) else id(token)

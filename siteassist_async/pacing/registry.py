"""The registry of pacers: one for each project within a process."""

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
    """Return the pacer for a base URL and token, shared by all clients of this process.

    The maximum window is the largest `concurrency` given, and the last `max_rate` given applies.
    Two token callables count as the same token if they are equal. The pacer, and what it has
    learned, lives as long as a client refers to it.
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
        # A hash, so that debuggers and dumps of this table do not show the token.
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass")).digest()
    return token if isinstance(token, Hashable) else id(token)

"""Parking: an ID of bulk work that waits for its own Retry-After lets another take its place.

Its place is among those that the pool of the bulk work (`bulk.py`) fetches at once. It holds no
slot of the client (`slots.py`) in any case: no call does while it waits between attempts.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator


class Host(Protocol):
    """A runner of bulk work, which is notified when one of its keys starts and ends such a wait."""

    def park(self) -> None:
        """A key starts to wait: another may take its place in the pool."""
        ...

    def unpark(self) -> None:
        """The wait of a key ended."""
        ...


HOST: ContextVar[Host | None] = ContextVar("siteassist_async_bulk", default=None)
"""The runner of the current task; None outside of bulk work."""

SHORT = 0.05
"""Seconds: a key keeps its place in the pool during a shorter wait."""


@contextmanager
def parking(seconds: float) -> Generator[None]:
    """A context to wait in for about `seconds`, because of the current ID alone."""
    host = HOST.get()
    if host is None or seconds < SHORT:
        yield
        return
    host.park()
    try:
        yield
    finally:
        host.unpark()

"""Parking: an id of bulk work that waits for its own Retry-After gives up its slot meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator


class Host(Protocol):
    """A runner of bulk work, which is notified when one of its keys starts and ends such a wait."""

    def park(self) -> None:
        """A key starts to wait, without holding a slot."""
        ...

    def unpark(self) -> None:
        """The wait of a key ended."""
        ...


HOST: ContextVar[Host | None] = ContextVar("siteassist_async_bulk", default=None)
"""The runner of the current task; None outside of bulk work."""

SHORT = 0.05
"""Seconds: a shorter wait keeps its slot."""


@contextmanager
def parking(seconds: float) -> Generator[None]:
    """A context to wait in for about `seconds`, because of the current id alone."""
    host = HOST.get()
    if host is None or seconds < SHORT:
        yield
        return
    host.park()
    try:
        yield
    finally:
        host.unpark()

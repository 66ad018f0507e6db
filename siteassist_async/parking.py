"""Long waits of single ids within bulk work: whoever runs many makes room for another meanwhile."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator


class Host(Protocol):
    """What runs many: it hears when one of them begins and ends a wait of its own."""

    def park(self) -> None:
        """One more waits, holding nothing."""
        ...

    def unpark(self) -> None:
        """It goes on."""
        ...


HOST: ContextVar[Host | None] = ContextVar("siteassist_async_bulk", default=None)
"""What runs the current task; None outside of bulk work."""

SHORT = 0.05
"""Seconds: a wait for which nobody makes room."""


@contextmanager
def parking(seconds: float) -> Generator[None]:
    """Wait in this context for so long, because of one id alone."""
    host = HOST.get()
    if host is None or seconds < SHORT:
        yield
        return
    host.park()
    try:
        yield
    finally:
        host.unpark()

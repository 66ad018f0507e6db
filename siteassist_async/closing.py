"""Closing a client: the calls that wait are interrupted."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from siteassist_async.errors import ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Generator


class Closing:
    """Interrupts every wait of a client's calls when the client is closed.

    It cancels the tasks that wait, as `asyncio.timeout` does, and turns that cancellation into a
    ClientClosedError. A cancellation from outside passes as it is.
    """

    def __init__(self) -> None:
        self._closed = False
        # For each waiting task: `task.cancelling()` when its wait started.
        self._waiting: dict[asyncio.Task[object], int] = {}
        self._ended: set[asyncio.Task[object]] = set()

    @contextmanager
    def interrupting(self) -> Generator[None]:
        """A context to wait in; it may be nested.

        Raises:
            ClientClosedError: The client was closed before or during the wait.
        """
        if self._closed:
            raise ClientClosedError("the client is closed")
        task = asyncio.current_task()
        if task is None or task in self._waiting:
            yield
            return
        self._waiting[task] = task.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            if task in self._ended and task.uncancel() <= self._waiting[task]:
                raise ClientClosedError(
                    "the client was closed while the call was waiting"
                ) from None
            raise
        finally:
            del self._waiting[task]
            self._ended.discard(task)

    def close(self) -> None:
        """Interrupt all current waits, and refuse later ones."""
        self._closed = True
        for task in self._waiting:
            self._ended.add(task)
            task.cancel()

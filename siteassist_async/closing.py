"""The end of a client, for the calls that wait."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from siteassist_async.errors import ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Generator


class Closing:
    """Ends every wait of a client's calls at once when the client is closed."""

    def __init__(self) -> None:
        self._closed = False
        # By task: how often it was cancelled before it began to wait.
        self._waiting: dict[asyncio.Task[object], int] = {}
        self._ended: set[asyncio.Task[object]] = set()

    @contextmanager
    def interrupting(self) -> Generator[None]:
        """Wait in this context; a wait in a wait counts once.

        Raises:
            ClientClosedError: The client was closed, before or meanwhile.
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
        """End all that wait, and all that will."""
        self._closed = True
        for task in self._waiting:
            self._ended.add(task)
            task.cancel()

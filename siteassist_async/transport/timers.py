"""Timeouts of many requests by few timers: making and cancelling one costs as much as a read."""

from __future__ import annotations

import asyncio

from aiohttp.client_proto import ResponseHandler


class AttemptTimer:
    """Ends attempts that last too long, by one timer for all that are in flight."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, attempt: asyncio.Timeout, seconds: float) -> None:
        """Let an attempt last for `seconds` from now."""
        loop = asyncio.get_running_loop()
        end = self._ends[attempt] = loop.time() + seconds
        if self._timer is None or end < self._timer.when():
            self.stop()
            self._timer = loop.call_at(end, self._look, loop)

    def end(self, attempt: asyncio.Timeout) -> None:
        """Forget an attempt."""
        self._ends.pop(attempt, None)

    def stop(self) -> None:
        """Leave nothing behind in the event loop; attempts in flight last as they will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for attempt in [one for one, end in self._ends.items() if end <= now]:
            del self._ends[attempt]
            attempt.reschedule(now)
        if self._ends:
            self._timer = loop.call_at(min(self._ends.values()), self._look, loop)


class OneTimerHandler(ResponseHandler):
    """A connection that times the silence of its server by a timer of its own.

    aiohttp makes two for each request. A release of it that calls these by other names times the
    silence as it does without this class.
    """

    _silent_since: float | None = None

    def _reschedule_timeout(self) -> None:
        if not self._read_timeout:
            self._drop_timeout()
            return
        self._silent_since = self._loop.time()
        handle = self._read_timeout_handle
        due = self._silent_since + self._read_timeout
        if handle is None or due < handle.when():
            self._arm(due)

    def _drop_timeout(self) -> None:
        self._silent_since = None
        if self.transport is None:
            super()._drop_timeout()

    def _on_read_timeout(self) -> None:
        self._read_timeout_handle = None
        if self._silent_since is None or not self._read_timeout:
            return
        due = self._silent_since + self._read_timeout
        if due > self._loop.time():
            self._arm(due)
        else:
            super()._on_read_timeout()

    def _arm(self, due: float) -> None:
        super()._drop_timeout()
        self._read_timeout_handle = self._loop.call_at(due, self._on_read_timeout)

"""Timeouts of many requests by few timers: making and cancelling one costs as much as a read."""

from __future__ import annotations

import asyncio
import math

from aiohttp.client_proto import ResponseHandler

READ_SIZE = 2**16
"""Bytes that asyncio makes room for at each read of a connection without TLS.

Its own 256 KiB are mapped and unmapped by the C library each time, at the cost of two page faults
and up to a fifth of the time of a small request, until something has freed a block as large.
"""


class AttemptTimer:
    """Ends attempts that last too long, by one timer for all that are in flight.

    It cancels as `asyncio.timeout` does, at a third of its cost where an attempt ends in time.
    """

    def __init__(self) -> None:
        # By task: when what it does has lasted too long, and how often it was cancelled before.
        self._attempts: dict[asyncio.Task[object], tuple[float, int]] = {}
        self._overdue: dict[asyncio.Task[object], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> asyncio.Task[object]:
        """Let what the current task does now last for `seconds`; `end` must follow."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("requests are sent from tasks only")
        ends = loop.time() + seconds
        self._attempts[task] = ends, task.cancelling()
        if self._timer is None or ends < self._timer.when():
            self.stop()
            self._timer = loop.call_at(ends, self._look, loop)
        return task

    def end(self, task: asyncio.Task[object]) -> bool:
        """Let it be; whether it was cancelled, by the timer and by nobody else."""
        self._attempts.pop(task, None)
        cancelled_before = self._overdue.pop(task, None)
        return cancelled_before is not None and task.uncancel() <= cancelled_before

    def stop(self) -> None:
        """Leave nothing behind in the event loop; attempts in flight last as they will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for task in [task for task, (ends, _) in self._attempts.items() if ends <= now]:
            _, self._overdue[task] = self._attempts.pop(task)
            task.cancel()
        if self._attempts:
            first, _ = min(self._attempts.values())
            self._timer = loop.call_at(first, self._look, loop)


class OneTimerHandler(ResponseHandler):
    """A connection that times the silence of its server by a timer of its own.

    aiohttp makes two for each request. A release of it that calls these by other names times the
    silence as it does without this class.
    """

    _silent_since: float | None = None
    _due: float = math.inf  # when the timer looks, if there is one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As its parent, with smaller blocks to read into."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own without TLS: the others need no help
            setattr(transport, "max_size", READ_SIZE)  # noqa: B010 - nothing public sets it

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        if not timeout:
            self._drop_timeout()
            return
        now = self._silent_since = self._loop.time()
        if now + timeout < self._due:
            self._arm(now + timeout)

    def _drop_timeout(self) -> None:
        self._silent_since = None
        if self.transport is None:
            self._disarm()

    def _on_read_timeout(self) -> None:
        self._disarm()
        if self._silent_since is None or not self._read_timeout:
            return
        due = self._silent_since + self._read_timeout
        if due > self._loop.time():
            self._arm(due)
        else:
            super()._on_read_timeout()

    def _arm(self, due: float) -> None:
        self._disarm()
        self._due = due
        self._read_timeout_handle = self._loop.call_at(due, self._on_read_timeout)

    def _disarm(self) -> None:
        super()._drop_timeout()
        self._due = math.inf

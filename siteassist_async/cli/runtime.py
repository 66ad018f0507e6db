"""The event loop of a command, uvloop where it is installed, and the signals that stop it."""

from __future__ import annotations

import asyncio
import signal
import socket
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end, which a hanging name lookup does not delay."""
    base: type[asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop
    with suppress(ImportError):
        base = import_module("uvloop").Loop
    loop = type("Loop", (_DaemonLookups, base), {})
    with asyncio.Runner(loop_factory=cast("type[asyncio.AbstractEventLoop]", loop)) as runner:
        return runner.run(main)


class _DaemonLookups:
    """Resolves host names in daemon threads.

    asyncio does so in the loop's executor. A lookup cannot be cancelled, and both the loop and the
    process wait for the executor's threads when they end.
    """

    async def getaddrinfo(self, *arguments: Any, **options: Any) -> list[Any]:  # noqa: ANN401 - the system's
        """As `socket.getaddrinfo`."""
        found: Future[list[Any]] = Future()

        def look_up() -> None:
            found.set_running_or_notify_cancel()
            try:
                found.set_result(socket.getaddrinfo(*arguments, **options))
            except Exception as error:  # noqa: BLE001 - raised where the lookup is awaited
                found.set_exception(error)

        Thread(target=look_up, name="lookup", daemon=True).start()
        return await asyncio.wrap_future(found)


class Interrupts:
    """Counts signals: the first calls `stop`, each further one `abort`."""

    def __init__(self, stop: Callable[[], object], abort: Callable[[], object]) -> None:
        self._stop = stop
        self._abort = abort
        self.count = 0

    def __call__(self) -> None:
        """Handle one signal."""
        self.count += 1
        if self.count == 1:
            self._stop()
        else:
            self._abort()


@contextmanager
def interrupts(stop: Callable[[], object], abort: Callable[[], object]) -> Generator[Interrupts]:
    """Handle SIGINT, SIGTERM and SIGHUP in the running loop while in the context."""
    loop = asyncio.get_running_loop()
    received = Interrupts(stop, abort)
    # An ignored signal stays ignored: nohup and a shell's background jobs rely on it.
    numbers = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, received)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

"""The event loop of a command: uvloop's where it is installed."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end; a lookup of a name that hangs does not delay it."""
    with asyncio.Runner(loop_factory=_factory(_fastest())) as runner:
        return runner.run(main)


class _Lookups:
    """Looks names up in threads that nobody waits for.

    asyncio's own does so in the loop's executor, whose threads the end of the loop and that of the
    process wait for; and no lookup can be cut short.
    """

    async def getaddrinfo(self, *arguments: Any, **options: Any) -> list[Any]:  # noqa: ANN401 - the system's
        """As `socket.getaddrinfo`."""
        found: Future[list[Any]] = Future()
        look_up = partial(socket.getaddrinfo, *arguments, **options)
        Thread(target=_settle, args=(found, look_up), name="lookup", daemon=True).start()
        return await asyncio.wrap_future(found)


def _settle(found: Future[T], look_up: Callable[[], T]) -> None:
    found.set_running_or_notify_cancel()
    try:
        found.set_result(look_up())
    except Exception as error:  # noqa: BLE001 - it is raised where the name was asked for
        found.set_exception(error)


def _factory(base: type[asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
    loop: type[asyncio.AbstractEventLoop] = type("Loop", (_Lookups, base), {})
    return loop


def _fastest() -> type[asyncio.AbstractEventLoop]:
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return asyncio.SelectorEventLoop
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop

"""Calls that block, made in a thread that is never left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(call: Callable[[], T], *, on_cancel: Callable[[], None] | None = None) -> T:
    """Call in a thread; being cancelled waits for its end, for it uses what is closed then.

    `on_cancel` may make that end come sooner.
    """
    task = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        await outlast(task)
        raise


async def outlast(task: asyncio.Future[T]) -> None:
    """Wait for the end of a task, however it ends and however often the waiting is cancelled."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # seen, so that asyncio does not report it

"""Calls in threads, which are waited for however often the waiting is cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from siteassist_async.export.checkpointer import outlast, run_in_thread


async def test_a_cancelled_call_is_waited_for() -> None:
    """The files that it uses are closed only when it is over."""
    begun, go_on, over = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()
        over.set()
        raise OSError

    waiting = asyncio.create_task(run_in_thread(call))
    await begun.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert over.is_set()


async def test_a_call_can_be_told_that_it_is_cancelled() -> None:
    """So that it need not go on to its natural end."""
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait()

    waiting = asyncio.create_task(run_in_thread(call, on_cancel=go_on.set))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_task_that_is_cancelled_itself_is_over() -> None:
    """There is nothing to wait for then, and no error to see."""
    task = asyncio.ensure_future(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    await outlast(task)
    assert task.cancelled()

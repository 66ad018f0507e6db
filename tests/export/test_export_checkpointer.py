"""The checkpointer: when it saves, what it waits for, and its calls in threads."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, cast

import pytest
from fakes import FakeClock, settle

from siteassist_async.export.checkpoint import Checkpoint
from siteassist_async.export.checkpointer import INTERVAL, Checkpointer, outlast, run_in_thread
from siteassist_async.export.errors import OutputError

if TYPE_CHECKING:
    from siteassist_async.export.ledger import Ledger


class FakeLedger:
    """Notes what is done to it; a sync waits until it may go on, and fails once if told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: OutputError | None = None

    def snapshot(self, *, clean: bool = False, finished: bool = False) -> Checkpoint:
        """As `Ledger.snapshot`."""
        self.done.append("snapshot")
        return Checkpoint(clean=clean, finished=finished)

    def sync(self) -> None:
        """As `Ledger.sync`."""
        self.may_go_on.wait()
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.done.append("sync")

    def commit(self, checkpoint: Checkpoint) -> None:
        """As `Ledger.commit`."""
        self.done.append("clean" if checkpoint.clean else "commit")


@pytest.fixture
def ledger() -> FakeLedger:
    """One on which nothing was done."""
    return FakeLedger()


@pytest.fixture
def checkpointer(ledger: FakeLedger, clock: FakeClock) -> Checkpointer:
    """One that has made no checkpoint."""
    return Checkpointer(cast("Ledger", ledger), clock)


SAVED = ["snapshot", "sync", "commit"]


async def test_a_checkpoint_is_due_an_interval_after_the_end_of_the_last(
    checkpointer: Checkpointer, ledger: FakeLedger, clock: FakeClock
) -> None:
    """Not after its beginning: a slow disk gets a rest."""
    for passed, expected in ((0.9, 0), (0.1, 1), (5, 1), (0.9, 1), (0.1, 2)):
        clock.time += passed * INTERVAL
        checkpointer.tick()
        await checkpointer.close()
        assert ledger.done == SAVED * expected


async def test_what_was_begun_is_waited_for(
    checkpointer: Checkpointer, ledger: FakeLedger, clock: FakeClock
) -> None:
    """However often that is cancelled: the files are closed next."""
    ledger.may_go_on.clear()
    clock.time += INTERVAL
    checkpointer.tick()
    closing = asyncio.create_task(checkpointer.close())
    await settle()
    closing.cancel()
    await settle()
    ended_early = closing.done()
    ledger.may_go_on.set()
    await closing
    assert not ended_early
    assert ledger.done == SAVED


async def test_the_last_checkpoint_comes_after_what_was_begun(
    checkpointer: Checkpointer, ledger: FakeLedger, clock: FakeClock
) -> None:
    """Else an older moment would be committed after it."""
    clock.time += INTERVAL
    checkpointer.tick()
    await checkpointer.save(clean=True)
    assert ledger.done == [*SAVED, "snapshot", "sync", "clean"]


@pytest.mark.parametrize("last", [False, True])
async def test_a_checkpoint_that_failed_ends_the_run(
    checkpointer: Checkpointer,
    ledger: FakeLedger,
    clock: FakeClock,
    last: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    """Once is enough: after a sync that failed, one that succeeds may have synced nothing."""
    ledger.error = OutputError("is full")
    clock.time += INTERVAL
    checkpointer.tick()
    await checkpointer.close()
    with pytest.raises(OutputError, match="is full"):
        await checkpointer.save() if last else checkpointer.tick()
    assert ledger.done == ["snapshot"]


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

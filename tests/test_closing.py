"""The end of a client ends what waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fakes import ID, OTHER_ID, TOKEN, FakeSend, Silence, StuckClock, new_request, settle
from retries import refused, retrying

from siteassist_async import SiteAssist, SiteAssistError
from siteassist_async.closing import Closing
from siteassist_async.errors import ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.emulator import Emulator


async def wait(closing: Closing, *, swallow: bool = False) -> str:
    """Wait for as long as nobody ends it."""
    try:
        with closing.interrupting():
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        if not swallow:
            raise
        return "cancelled"
    return "never"


async def test_a_wait_ends_when_the_client_is_closed() -> None:
    """By an error, and the task is not left as one that is cancelled."""
    closing = Closing()

    async def call() -> int:
        with pytest.raises(ClientClosedError, match="was closed while the call was waiting"):
            await wait(closing)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    calls = [asyncio.create_task(call()) for _ in range(3)]
    await settle()
    closing.close()
    await settle()
    assert all(call.done() for call in calls)
    assert await asyncio.gather(*calls) == [0, 0, 0]


async def test_no_wait_begins_after_the_end() -> None:
    """The error comes at once; to close again does nothing."""
    closing = Closing()
    closing.close()
    closing.close()
    with pytest.raises(ClientClosedError, match=r"^the client is closed$"):
        await wait(closing)


async def test_who_is_cancelled_as_well_stays_cancelled() -> None:
    """Before or after the end: the caller that cancelled it is waiting for that."""
    for first in ("cancel", "close"):
        closing = Closing()
        task = asyncio.create_task(wait(closing))
        await settle()
        ends: list[Callable[[], object]] = [task.cancel, closing.close]
        for end in ends if first == "cancel" else reversed(ends):
            end()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_who_is_cancelled_alone_is_not_told_of_an_end() -> None:
    """Nobody closed anything."""
    task = asyncio.create_task(wait(Closing(), swallow=True))
    await settle()
    task.cancel()
    assert await task == "cancelled"


async def test_a_task_that_was_cancelled_before_can_wait_and_be_ended() -> None:
    """It goes on although somebody has asked it to end: as a clean-up does."""
    closing, ended = Closing(), list[bool]()

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with pytest.raises(ClientClosedError):
                await wait(closing)
            ended.append(True)
            raise

    task = asyncio.create_task(clean_up())
    await settle()
    task.cancel()
    await settle()
    closing.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_a_wait_within_a_wait_ends_once() -> None:
    """And the outer one is over when it is."""
    closing = Closing()

    async def call() -> None:
        with closing.interrupting():
            await wait(closing)

    task = asyncio.create_task(call())
    await settle()
    closing.close()
    with pytest.raises(ClientClosedError):
        await task


async def test_what_does_not_wait_any_more_is_left_alone() -> None:
    """A call that has its turn goes on."""
    closing = Closing()
    with closing.interrupting():
        pass
    closing.close()
    await asyncio.sleep(0)


async def test_outside_of_a_task_nothing_can_be_ended() -> None:
    """A callback of the loop does not wait."""
    closing = Closing()
    entered = asyncio.get_running_loop().create_future()

    def callback() -> None:
        with closing.interrupting():
            closing.close()
        entered.set_result(None)

    asyncio.get_running_loop().call_soon(callback)
    await entered


async def test_a_retry_s_wait_ends_when_the_client_is_closed() -> None:
    """It need not be waited out, and no attempt is made any more."""
    closing, send = Closing(), FakeSend(refused(60.0))
    link = retrying(clock=StuckClock(), closing=closing)
    call = asyncio.create_task(link(new_request(), send))
    await settle()
    closing.close()
    with pytest.raises(ClientClosedError) as caught:
        await call
    assert caught.value.attempts == len(send.requests) == 1


async def test_a_client_that_is_closed_ends_all_its_calls(emulator: Emulator) -> None:
    """The one in flight, those that wait for a slot, and one that waits to try again."""
    silence = Silence()
    emulator.script(ID, silence)
    client = SiteAssist(TOKEN, base_url=emulator.url, concurrency=1)
    calls: list[asyncio.Task[object]] = [asyncio.create_task(client.conversations.get(ID))]
    await silence.met.wait()
    calls += [asyncio.create_task(client.conversations.get(OTHER_ID)) for _ in range(3)]
    calls.append(asyncio.create_task(client.conversations.get_record(OTHER_ID)))
    await settle()
    await client.close()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, SiteAssistError) for outcome in outcomes)
    assert [type(outcome) for outcome in outcomes[1:]] == [ClientClosedError] * 4
    await settle()
    assert len(asyncio.all_tasks()) == 1
    assert emulator.counters.requests == 1

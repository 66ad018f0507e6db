"""The few timers of many requests, with the event loop's time in the test's hand."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING
from unittest.mock import Mock

import aiohttp
import pytest
from fakes import ID, OTHER_ID, Silence, client_of, settle
from yarl import URL

from siteassist_async import ClientClosedError, TimedOutError, Timeout
from siteassist_async.transport.aiohttp_internals import READ_SIZE, OneTimerHandler
from siteassist_async.transport.timers import AttemptTimer

if TYPE_CHECKING:
    from fakes import FakeClock

    from siteassist_async.emulator import Emulator


class LoopTime:
    """The running loop's time, which goes on by itself and by what is passed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passed = 0.0
        self.loop = asyncio.get_running_loop()
        real = self.loop.time
        monkeypatch.setattr(self.loop, "time", lambda: real() + self._passed)

    async def go_on(self, seconds: float) -> None:
        """Let time pass, and the timers that are due run."""
        self._passed += seconds
        await settle()


@pytest.fixture
async def time(monkeypatch: pytest.MonkeyPatch) -> LoopTime:
    """The time of the test's loop."""
    return LoopTime(monkeypatch)


async def test_each_attempt_ends_at_its_own_time(time: LoopTime) -> None:
    """One timer serves long and short ones, in whatever order they began."""
    timer = AttemptTimer()
    ended: list[float] = []

    async def attempt(seconds: float) -> None:
        attempt = timer.begin(seconds)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        assert timer.end(attempt)
        ended.append(seconds)

    tasks = [asyncio.create_task(attempt(seconds)) for seconds in (2000.0, 1000.0, 3000.0)]
    await settle()
    seen: list[list[float]] = []
    for _ in range(4):
        await time.go_on(900.0)
        seen.append(list(ended))
    assert seen == [[], [1000.0], [1000.0, 2000.0], [1000.0, 2000.0, 3000.0]]
    await asyncio.gather(*tasks)


async def test_an_attempt_that_is_over_is_left_alone(time: LoopTime) -> None:
    """The timer may outlive it: what its task does next is not its business."""
    timer = AttemptTimer()
    assert not timer.end(timer.begin(1000.0))
    await time.go_on(2000.0)


async def test_a_stopped_timer_does_nothing(time: LoopTime) -> None:
    """A closed client leaves nothing in the loop."""
    timer = AttemptTimer()
    attempt = timer.begin(1000.0)
    timer.stop()
    await time.go_on(2000.0)
    assert not timer.end(attempt)


async def test_a_cancellation_beside_the_timers_is_not_taken_for_its(time: LoopTime) -> None:
    """Whoever cancels a task wants it to end, not to be told of a timeout."""
    timer = AttemptTimer()
    ended: list[bool] = []

    async def work() -> None:
        attempt = timer.begin(1000.0)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(timer.end(attempt))

    task = asyncio.create_task(work())
    await settle()
    time.loop.call_at(time.loop.time() + 1000.0, task.cancel)
    await time.go_on(1100.0)
    assert task.cancelled()
    assert ended == [False]
    assert task.cancelling() == 1  # the timer has taken back its own, and no more


async def test_what_goes_wrong_as_the_time_ends_leaves_the_task_uncancelled(
    time: LoopTime,
) -> None:
    """The cancellation is taken back once, whatever came of the attempt."""
    timer = AttemptTimer()

    async def work() -> bool:
        attempt = timer.begin(1000.0)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return timer.end(attempt) and not timer.end(attempt)

    task = asyncio.create_task(work())
    await settle()
    await time.go_on(1100.0)
    assert await task
    assert task.cancelling() == 0


def test_without_a_task_nothing_is_timed() -> None:
    """Nothing could be cancelled."""
    loop = asyncio.new_event_loop()
    said: list[str] = []

    def begin() -> None:
        try:
            AttemptTimer().begin(1.0)
        except RuntimeError as error:
            said.append(str(error))

    loop.call_soon(begin)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert said == ["requests must be sent from a task"]


def handler_of(time: LoopTime, seconds: float | None) -> OneTimerHandler:
    """A connected one, waiting for its server."""
    handler = OneTimerHandler(time.loop)
    handler.connection_made(Mock(spec=asyncio.Transport))
    handler.read_timeout = seconds
    handler.start_timeout()
    return handler


async def assert_ends_at_1000(time: LoopTime, handler: OneTimerHandler) -> None:
    """Silence from now on ends the connection when it has lasted for 1,000 s, and not before."""
    await time.go_on(900.0)
    assert handler.exception() is None
    await time.go_on(200.0)
    assert isinstance(handler.exception(), aiohttp.SocketTimeoutError)


async def test_silence_counts_from_the_last_word(time: LoopTime) -> None:
    """Each piece of an answer begins it anew."""
    handler = handler_of(time, 1000.0)
    await time.go_on(900.0)
    handler.start_timeout()  # as aiohttp does with each piece
    await assert_ends_at_1000(time, handler)


async def test_silence_between_requests_does_not_count(time: LoopTime) -> None:
    """An idle connection stays, and times its next request from its own beginning."""
    handler = handler_of(time, 1000.0)
    handler.set_parser(None, None)  # ends the timing, as an answer's end does
    await time.go_on(1100.0)
    assert handler.exception() is None
    handler.start_timeout()
    await assert_ends_at_1000(time, handler)


async def test_a_shorter_timeout_is_kept_too(time: LoopTime) -> None:
    """Views of one client share its connections, and may differ in their timeouts."""
    handler = handler_of(time, 1000.0)
    handler.read_timeout = 100.0
    handler.start_timeout()
    await time.go_on(150.0)
    assert isinstance(handler.exception(), aiohttp.SocketTimeoutError)


async def test_a_request_without_a_timeout_may_wait(time: LoopTime) -> None:
    """What was timed before does not end it."""
    handler = handler_of(time, 1000.0)
    handler.read_timeout = None
    handler.start_timeout()
    await time.go_on(5000.0)
    assert handler.exception() is None


async def test_a_closed_connection_leaves_no_timer(time: LoopTime) -> None:
    """It would keep the connection's memory until it runs."""
    handler = handler_of(time, 1000.0)
    left = weakref.ref(handler)
    handler.close()
    del handler
    gc.collect()
    assert left() is None


async def test_a_connection_makes_room_for_little_at_each_read(emulator: Emulator) -> None:
    """As asyncio's own transport can be told, by this name."""
    loop, url = asyncio.get_running_loop(), URL(emulator.url)
    transport, _ = await loop.create_connection(
        lambda: OneTimerHandler(loop), url.host or "", url.port or 0
    )
    # Nothing public has it.
    assert getattr(type(transport), "max_size") > getattr(transport, "max_size") == READ_SIZE  # noqa: B009
    transport.close()


async def test_a_closed_client_leaves_a_total_to_what_is_in_flight(
    time: LoopTime, emulator: Emulator, clock: FakeClock
) -> None:
    """A session of the user's stays open, and so does what is sent over it: not for ever."""
    silence = Silence()
    emulator.script(ID, silence)
    async with aiohttp.ClientSession() as session:
        client = client_of(emulator, clock, session=session)
        view = client.with_options(timeout=Timeout(read=9000.0, total=1000.0))
        call = asyncio.create_task(view.conversations.get(ID))
        await silence.met.wait()
        await client.close()
        await time.go_on(1100.0)
        assert call.done()
        with pytest.raises(TimedOutError, match="no complete response within 1000 s"):
            await call


async def test_a_closed_client_leaves_no_timer(emulator: Emulator, clock: FakeClock) -> None:
    """Neither of an attempt that ended in time, nor of one that was in flight."""
    loop = asyncio.get_running_loop()
    emulator.script(OTHER_ID, silence := Silence())

    def timers() -> set[asyncio.TimerHandle]:
        handles: list[asyncio.TimerHandle] = getattr(loop, "_scheduled")  # noqa: B009 - asyncio's own
        return {handle for handle in handles if not handle.cancelled()}

    before = timers()
    client = client_of(emulator, clock)
    await client.conversations.get(ID)
    call = asyncio.create_task(client.conversations.get(OTHER_ID))
    await silence.met.wait()
    assert timers() > before
    await client.close()
    with pytest.raises(ClientClosedError):
        await call
    ours = {handle for handle in timers() - before if "Timer._look" in repr(handle)}
    silences = {handle for handle in timers() - before if "_on_read_timeout" in repr(handle)}
    assert ours | silences == set()

"""The waits of a pacer: the task that looks again, several loops, threads and processes."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, StuckClock, settle
from pacers import acquire, outage, pacer_of, refuse

from siteassist_async.pacing import AdaptivePacer, Pace, Start, StartTooLateError
from siteassist_async.pacing.pace import URGENT_FOR
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from siteassist_async.pacing import Permit


class Alarm(FakeClock):
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._sleeping: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Sleep until it is time."""
        self.slept.append(seconds)
        woken = asyncio.Event()
        self._sleeping.append((self.time + seconds, woken))
        await woken.wait()

    async def go_on(self, seconds: float) -> None:
        """Let time pass, and wake whose time it is."""
        self.time += seconds
        for at, woken in self._sleeping:
            if at <= self.time:
                woken.set()
        await settle()


@pytest.fixture
def alarm() -> Alarm:
    """A clock that goes on when it is told to."""
    return Alarm()


def lookers() -> int:
    """The tasks besides the test and the calls that it made."""
    return sum("_look_later" in repr(task.get_coro()) for task in asyncio.all_tasks())


def queues(pacer: AdaptivePacer) -> int:
    """The event loops in which somebody waits."""
    return len(pacer._queues)  # pyright: ignore[reportPrivateUsage] # nothing else tells


def lock_of(pacer: AdaptivePacer) -> threading.RLock:
    """What a thread may hold that is not in a forked process."""
    return pacer._lock  # pyright: ignore[reportPrivateUsage] # nobody else holds it for long


async def test_one_task_looks_for_all_who_wait(alarm: Alarm) -> None:
    """And it is gone when nobody does."""
    pacer = pacer_of(alarm, 9)
    await refuse(pacer, 10.0)
    calls = [asyncio.create_task(acquire(pacer, bulk=True)) for _ in range(5)]
    await settle()
    assert lookers() == 1
    while not all(call.done() for call in calls):
        await alarm.go_on(1.0)
    assert lookers() == 0
    assert not queues(pacer)
    assert len(asyncio.all_tasks()) == 1


async def test_no_task_looks_where_only_an_answer_can_change_anything(alarm: Alarm) -> None:
    """Bulk work may wait for a slot without end."""
    pacer = pacer_of(alarm)
    permit = await acquire(pacer)
    call = asyncio.create_task(acquire(pacer, bulk=True))
    await settle()
    assert lookers() == 0
    permit.succeeded()
    await call
    assert alarm.slept == []


async def test_who_may_start_earlier_is_looked_after_earlier(alarm: Alarm) -> None:
    """The task that sleeps for longer is replaced, and leaves nothing behind."""
    pacer = pacer_of(alarm)
    permit = await acquire(pacer)
    calls = [asyncio.create_task(acquire(pacer, latest=alarm.now() + t)) for t in (9.0, 5.0, 7.0)]
    await settle()
    assert lookers() == 1
    await alarm.go_on(5.1)
    assert [call.done() for call in calls] == [False, True, False]
    permit.succeeded()
    await settle()
    assert calls[2].done()
    assert lookers() == 1
    calls[0].cancel()
    await settle()
    assert lookers() == 0
    with pytest.raises(StartTooLateError):
        await calls[1]
    (await calls[2]).abandoned()


async def test_a_look_that_became_needless_is_made_all_the_same(alarm: Alarm) -> None:
    """Who must have started by then has started; who waits without end is not concerned."""
    pacer = pacer_of(alarm)
    permit = await acquire(pacer)
    hasty = asyncio.create_task(acquire(pacer, latest=alarm.now() + 5.0))
    patient = asyncio.create_task(acquire(pacer))
    await settle()
    permit.succeeded()
    await settle()
    assert hasty.done()
    await alarm.go_on(6.0)
    assert not patient.done()
    assert lookers() == 0
    (await hasty).succeeded()
    await patient


async def test_a_stranger_that_cancels_the_task_ends_nobody_s_wait(alarm: Alarm) -> None:
    """Another looks instead."""
    pacer = pacer_of(alarm, 9)
    await refuse(pacer, 10.0)
    call = asyncio.create_task(acquire(pacer))
    await settle()
    for task in asyncio.all_tasks() - {call}:
        if task is not asyncio.current_task():
            task.cancel()
    await settle()
    await alarm.go_on(20.0)
    assert call.done()
    assert (await call).sent == alarm.now()
    assert lookers() == 0


def test_a_loop_that_ends_amid_waits_leaves_nothing(alarm: Alarm) -> None:
    """Neither the calls nor the task that looks for them, and nobody is told of one lost."""
    pacer = pacer_of(alarm, 9)

    async def leave() -> None:
        await refuse(pacer, 10.0)
        for latest in (100.0, 50.0, math.inf):
            asyncio.get_running_loop().create_task(acquire(pacer, latest=alarm.now() + latest))
        await settle()
        assert lookers() == 1

    asyncio.run(leave())
    assert not queues(pacer)
    assert pacer.snapshot().in_flight == 0


async def test_a_call_waits_for_its_own_id_outside_of_the_queue(alarm: Alarm) -> None:
    """It holds no slot, nobody waits behind it, and its turn comes when its time is over."""
    pacer, slots = pacer_of(alarm, 9), Slots(9)
    await refuse(pacer, 60.0, limited=False, subject="bad")
    call = asyncio.create_task(acquire(pacer, "bad", slots=slots))
    await settle()
    assert slots.free == 9
    assert not queues(pacer)
    assert pacer.acquire_nowait("bad", slots, bulk=False) is None
    assert pacer.acquire_nowait("good", slots, bulk=False) is not None
    await alarm.go_on(59.0)
    assert not call.done()
    await alarm.go_on(1.0)
    assert (await call).sent == alarm.now()


async def test_a_call_that_would_wait_too_long_for_its_own_id_is_refused_at_once(
    clock: FakeClock,
) -> None:
    """It says that it is the id's pause."""
    pacer = pacer_of(clock, 9)
    await refuse(pacer, 60.0, limited=False, subject="bad")
    with pytest.raises(StartTooLateError) as caught:
        await acquire(pacer, "bad", latest=clock.now() + 59.0)
    assert (caught.value.wait, caught.value.reason) == (60.0, "retry_after")
    assert clock.slept == []


async def test_an_id_that_is_refused_while_another_call_for_it_waits_is_not_asked(
    alarm: Alarm,
) -> None:
    """The other waits for the same time, and holds nothing meanwhile."""
    pacer, slots = pacer_of(alarm), Slots(9)
    permit = await acquire(pacer, "bad")
    call = asyncio.create_task(acquire(pacer, "bad", slots=slots))
    await settle()
    permit.throttled(60.0, limited=False)
    await settle()
    assert not call.done()
    assert slots.free == 9
    await alarm.go_on(60.0)
    assert (await call).sent == 1060.0


async def test_a_call_for_an_id_that_is_refused_meanwhile_may_be_too_late(clock: FakeClock) -> None:
    """As on arrival."""
    pacer = pacer_of(clock)
    permit = await acquire(pacer, "bad")
    call = asyncio.create_task(acquire(pacer, "bad", bulk=True, latest=clock.now() + 30.0))
    await asyncio.sleep(0)
    permit.throttled(60.0, limited=False)
    with pytest.raises(StartTooLateError) as caught:
        await call
    assert caught.value.reason == "retry_after"


async def test_bulk_work_that_starts_at_once_leaves_slots_free(clock: FakeClock) -> None:
    """A quarter, for ten seconds after a call that somebody waits for."""
    pacer, slots = pacer_of(clock, 14), Slots(4)
    assert pacer.acquire_nowait("a", slots, bulk=False)
    assert pacer.acquire_nowait("b", slots, bulk=True)
    assert pacer.acquire_nowait("c", slots, bulk=True)
    assert pacer.acquire_nowait("d", slots, bulk=True) is None
    assert pacer.acquire_nowait("e", slots, bulk=False)
    slots.release()
    clock.time += URGENT_FOR
    assert pacer.acquire_nowait("d", slots, bulk=True)


async def test_nobody_starts_at_once_before_those_who_wait(alarm: Alarm) -> None:
    """Nor without a slot, nor before the gate opens."""
    pacer, slots = pacer_of(alarm, 9), Slots(9)
    assert pacer.acquire_nowait("a", Slots(0), bulk=False) is None
    call = asyncio.create_task(acquire(pacer, slots=Slots(0)))
    await settle()
    assert pacer.acquire_nowait("a", slots, bulk=False) is None
    call.cancel()
    await settle()
    permit = pacer.acquire_nowait("a", slots, bulk=False)
    assert permit is not None
    permit.throttled(60.0, limited=True)
    assert pacer.acquire_nowait("b", slots, bulk=False) is None
    assert slots.free == 8


async def test_no_more_than_half_of_a_deadline_is_kept_for_the_answer(clock: FakeClock) -> None:
    """Else, once answers took too long, none would be sent to find out that they no longer do."""
    pacer = pacer_of(clock)
    permit = await acquire(pacer)
    clock.time += 100.0
    permit.succeeded()
    assert (await acquire(pacer, deadline=clock.now() + 10.0)).sent == clock.now()


async def test_a_deadline_that_has_passed_is_too_late(clock: FakeClock) -> None:
    """Whatever answers take."""
    pacer = pacer_of(clock)
    for took in (0.0, 5.0):
        with pytest.raises(StartTooLateError):
            await acquire(pacer, deadline=clock.now() - 1.0)
        permit = await acquire(pacer)
        clock.time += took
        permit.succeeded()


async def test_who_must_wait_hears_why_and_for_how_long(clock: FakeClock) -> None:
    """For each reason that follows another, once."""
    pacer = pacer_of(clock, 9)
    waits: list[tuple[str, float]] = []

    async def wait(subject: str) -> None:
        start = Start(subject, Slots(64), on_wait=lambda why, long: waits.append((why, long)))
        (await pacer.acquire(start)).succeeded()

    await wait("free")
    await refuse(pacer, 60.0, limited=False, subject="bad")
    await wait("bad")
    await outage(pacer, 5.0)
    await wait("one")
    assert [(reason, round(expected)) for reason, expected in waits] == [
        ("retry_after", 60),
        ("gate", 5),
    ]


@pytest.mark.parametrize("end", ["succeeded", "throttled", "abandoned"])
async def test_a_permit_is_settled_once(clock: FakeClock, end: str) -> None:
    """A second time is a mistake of the caller's, and counts nothing."""
    pacer = pacer_of(clock)
    permit = await acquire(pacer)
    ends: dict[str, Callable[[], object]] = {
        "succeeded": permit.succeeded,
        "throttled": lambda: permit.throttled(1.0, limited=False),
        "abandoned": permit.abandoned,
    }
    ends[end]()
    for again in ends.values():
        with pytest.raises(RuntimeError, match="already settled"):
            again()
    assert pacer.snapshot().in_flight == 0


def test_a_slot_that_one_thread_s_loop_frees_starts_another_s() -> None:
    """Its call is told in its own loop, though nothing else happens there."""
    pacer = AdaptivePacer(Pace(concurrency=1))
    waits, ended = threading.Event(), threading.Event()

    async def hold() -> None:
        permit = await acquire(pacer)
        held.set()
        await asyncio.to_thread(waits.wait)
        permit.succeeded()
        await asyncio.to_thread(ended.wait)

    async def wait() -> Permit:
        await asyncio.to_thread(held.wait)
        call = asyncio.create_task(acquire(pacer, bulk=True))
        await settle()
        assert not call.done()
        waits.set()
        try:
            async with asyncio.timeout(60):
                return await call
        finally:
            ended.set()

    held = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(asyncio.run, hold())
        threads.submit(asyncio.run, wait()).result().succeeded()
        holding.result()
    assert pacer.snapshot().succeeded == 2


async def test_waits_are_counted(clock: FakeClock) -> None:
    """Those that go on, and those that were not sent."""
    pacer, slots = pacer_of(clock, 1), Slots(4)
    permit = await acquire(pacer, slots=slots)
    waiting = [asyncio.create_task(acquire(pacer, slots=slots)) for _ in range(2)]
    await settle()
    assert (pacer.snapshot().waiting, pacer.snapshot().not_sent) == (2, 0)
    permit.throttled(60.0, limited=True)
    with pytest.raises(StartTooLateError):
        await acquire(pacer, slots=slots, deadline=clock.now() + 5.0)
    for task in waiting:
        task.cancel()
    await settle()
    assert (pacer.snapshot().waiting, pacer.snapshot().not_sent) == (0, 1)


async def test_a_refusal_that_comes_to_a_cancelled_call_changes_nothing(alarm: Alarm) -> None:
    """It was the last that waited: its queue is gone, and another call has one of its own."""
    pacer, slots = pacer_of(alarm, 2), Slots(9)
    permits = [await acquire(pacer) for _ in range(2)]
    call = asyncio.create_task(acquire(pacer, latest=alarm.now() + 9.0, slots=slots))
    await settle()
    permits[0].throttled(60.0, limited=True)
    call.cancel()
    other = asyncio.create_task(acquire(pacer))
    await settle()
    assert call.cancelled()
    assert slots.free == 9
    await alarm.go_on(90.0)
    assert (await other).sent == alarm.now()


def test_what_a_fork_does_to_a_pacer(clock: FakeClock) -> None:
    """Nothing is in flight, its lock is free, and the parent's permits change nothing."""
    pacer = pacer_of(clock, 2)
    permit = pacer.acquire_nowait("a", Slots(2), bulk=False)
    assert permit is not None
    lock = lock_of(pacer)
    pacer.renew()
    assert pacer.snapshot().in_flight == 0
    assert lock_of(pacer) is not lock
    permit.abandoned()
    assert pacer.snapshot().in_flight == 0


def in_child(look: Callable[[], object]) -> bool:
    """Whether this holds in a process that was forked now."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if look() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def test_a_forked_process_has_no_requests_in_flight(clock: FakeClock) -> None:
    """The pace does not count the parent's, which go on there; the client renews its slots."""
    pacer, slots = pacer_of(clock, 2), Slots(2)
    permits = [await acquire(pacer, slots=slots) for _ in range(2)]
    waiting = asyncio.create_task(acquire(pacer, slots=slots))
    await settle()

    def child() -> bool:
        at_once = pacer.acquire_nowait("a", Slots(2), bulk=False)
        assert at_once is not None
        for permit in permits:  # as when the parent's calls are collected there
            permit.abandoned()
        counted = pacer.snapshot().in_flight
        at_once.succeeded()
        return counted == 1 and pacer.snapshot().in_flight == 0

    with lock_of(pacer):  # as by a thread that is not in the child
        assert in_child(child)
    assert (pacer.snapshot().in_flight, slots.free) == (2, 0)
    slots.release()
    permits[0].succeeded()
    await waiting


async def test_a_forked_process_goes_ahead_where_the_parent_s_request_was_alone(
    clock: FakeClock,
) -> None:
    """The answer to that will not come to it."""
    pacer = pacer_of(clock, 4)
    for _ in range(2):
        await refuse(pacer, 1.0)
    await acquire(pacer)
    assert pacer.acquire_nowait("a", Slots(1), bulk=False) is None

    def child() -> bool:
        clock.time += 100.0
        return pacer.acquire_nowait("a", Slots(1), bulk=False) is not None

    assert in_child(child)


async def test_a_clock_that_never_wakes_keeps_nobody_who_need_not_wait() -> None:
    """An answer is enough."""
    pacer = pacer_of(StuckClock())
    permit = await acquire(pacer)
    call = asyncio.create_task(acquire(pacer, latest=9999.0))
    await settle()
    permit.succeeded()
    await call
    await settle()
    assert len(asyncio.all_tasks()) == 1

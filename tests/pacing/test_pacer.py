"""The waiting: who starts next, who gives up, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, VirtualClock, settle
from hypothesis import given, settings
from hypothesis import strategies as st
from pacers import acquire, outage, pacer_of, refuse

from siteassist_async import forks
from siteassist_async.events import GateClosed, PaceEvent, RateChanged, WindowChanged
from siteassist_async.pacing import (
    AdaptivePacer,
    LearnedRate,
    Pace,
    Permit,
    RateLimitHint,
    StartTooLateError,
)
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable


async def test_a_free_slot_is_given_at_once(clock: FakeClock) -> None:
    """The first request does not wait, and gets the time of its start."""
    assert (await acquire(AdaptivePacer(clock=clock))).sent == clock.now()
    assert clock.slept == []


async def test_a_permit_is_settled_once(clock: FakeClock) -> None:
    """Else what is in flight would be counted wrong, for good."""
    permit = await acquire(pacer_of(clock))
    permit.succeeded()
    with pytest.raises(RuntimeError, match="already settled"):
        permit.abandoned()


async def test_bulk_work_without_room_does_not_start_at_once(clock: FakeClock) -> None:
    """It leaves a slot in four to calls that somebody waits for, while such come."""
    pacer, slots = pacer_of(clock, 64), Slots(4)
    starts = [pacer.acquire_nowait(None, slots, bulk=bulk) for bulk in (False, True, True, True)]
    assert [permit is not None for permit in starts] == [True, True, True, False]
    assert slots.free == 1


async def test_first_come_first_served(clock: FakeClock) -> None:
    """Slots go out in the order of asking, and nobody overtakes."""
    pacer = pacer_of(clock)
    first = await acquire(pacer)
    order: list[int] = []

    async def call(number: int) -> None:
        permit = await acquire(pacer)
        order.append(number)
        await settle()
        permit.succeeded()

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await settle()
    assert order == []
    first.succeeded()
    await asyncio.gather(call(5), *tasks)
    assert order == [0, 1, 2, 3, 4, 5]
    assert pacer.snapshot().in_flight == 0


async def test_no_request_starts_before_the_gate(clock: FakeClock) -> None:
    """One request's refusal spares all the others theirs."""
    pacer = pacer_of(clock, 8)
    await refuse(pacer, 7.0)
    opens = clock.now() + 7.0
    assert pacer.snapshot().gate == 7.0
    permits = await asyncio.gather(*(acquire(pacer) for _ in range(4)))
    assert min(permit.sent for permit in permits) >= opens
    assert pacer.snapshot().gate == 0.0


async def test_a_start_past_the_deadline_is_refused_at_once(clock: FakeClock) -> None:
    """The caller hears how long the wait would be and what for, and does not wait it."""
    pacer = pacer_of(clock)
    await refuse(pacer, 60.0)
    for deadline, latest in ((clock.now() + 59.0, math.inf), (math.inf, clock.now() + 59.0)):
        with pytest.raises(StartTooLateError, match="which is too late") as caught:
            await acquire(pacer, deadline=deadline, latest=latest)
        assert caught.value.wait >= 60.0
        assert caught.value.reason == "gate"
    assert clock.slept == []
    assert (await acquire(pacer, deadline=clock.now() + 61.0)).sent >= 1060.0


async def test_a_gate_that_closes_past_the_deadline_ends_a_wait(clock: FakeClock) -> None:
    """Those in the queue that cannot make it are told at once, the others stay."""
    pacer = pacer_of(clock)
    first = await acquire(pacer)
    deadlines = (math.inf, clock.now() + 10.0, clock.now() + 99.0, clock.now() + 20.0)
    tasks = [asyncio.create_task(acquire(pacer, deadline=deadline)) for deadline in deadlines]
    await asyncio.sleep(0)
    first.throttled(60.0, limited=True)
    for task in (tasks[1], tasks[3]):
        with pytest.raises(StartTooLateError) as caught:
            await task
        assert caught.value.wait >= 60.0
    permit = await tasks[2]
    assert permit.sent >= 1060.0
    permit.abandoned()
    assert (await tasks[0]).sent >= 1060.0


async def test_a_cancelled_call_holds_nothing(clock: FakeClock) -> None:
    """The next one gets the slot that a cancelled one was about to get."""
    pacer = pacer_of(clock)
    slots = Slots(9)
    permit = await acquire(pacer)
    first, second = (asyncio.create_task(acquire(pacer, slots=slots)) for _ in range(2))
    await settle()
    permit.abandoned()
    first.cancel()
    (await second).abandoned()
    assert first.cancelled()
    assert slots.free == 8
    assert pacer.snapshot().in_flight == 0


async def test_all_who_may_start_do_so_at_once(clock: FakeClock) -> None:
    """A queue empties when there is room: it is no reason to start the others one by one."""
    pacer = pacer_of(clock, 4)
    permits = [await acquire(pacer) for _ in range(4)]
    tasks = [asyncio.create_task(acquire(pacer)) for _ in range(3)]
    await settle()
    for permit in permits:
        permit.succeeded()
    assert pacer.snapshot().in_flight == 3
    permits = await asyncio.gather(*tasks)
    assert [permit.sent for permit in permits] == [clock.now()] * 3
    assert clock.slept == []


async def test_a_start_that_comes_to_a_cancelled_call_is_given_back(clock: FakeClock) -> None:
    """Cancelled before and after it came; neither its slot nor its start is lost."""
    pacer, slots = pacer_of(clock, 2), Slots(2)
    permits = [await acquire(pacer, slots=slots) for _ in range(2)]
    before, after = (asyncio.create_task(acquire(pacer, slots=slots)) for _ in range(2))
    await settle()
    before.cancel()
    for permit in permits:
        slots.release()
        permit.succeeded()
    after.cancel()
    await settle()
    assert before.cancelled()
    assert after.cancelled()
    assert pacer.snapshot().in_flight == 0
    assert slots.free == 2


async def test_a_call_whose_deadline_has_passed_is_not_started(clock: FakeClock) -> None:
    """It is told so as soon as it has, and those around it start all the same."""
    pacer = pacer_of(clock, 3)
    permits = [await acquire(pacer) for _ in range(3)]
    deadlines = (math.inf, clock.now() + 1.0, math.inf)
    first, late, last = (
        asyncio.create_task(acquire(pacer, deadline=deadline)) for deadline in deadlines
    )
    with pytest.raises(StartTooLateError) as caught:
        await late
    assert caught.value.reason == "slots"
    assert clock.now() == pytest.approx(1001.0)
    assert not first.done()
    for permit in permits:
        permit.succeeded()
    assert (await first).sent == (await last).sent == clock.now()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_call_is_forgotten(seed: int, concurrency: int) -> None:
    """Whoever is cancelled and whatever is answered, all the others start, and none is left."""
    asyncio.run(_many_calls(random.Random(seed), concurrency))


async def _many_calls(chance: random.Random, concurrency: int) -> None:
    clock = FakeClock()
    pace = CarefulPace(concurrency=concurrency, random=chance.random)
    pacer = AdaptivePacer(pace, clock=clock)
    clients = [Slots(1), Slots(4)]
    tasks = [asyncio.create_task(_call(pacer, chance, clock, clients)) for _ in range(20)]
    for _ in range(2000):
        if chance.random() < 0.2:
            chance.choice(tasks[::2]).cancel()
        await asyncio.sleep(0)
        if all(task.done() for task in tasks):
            break
    assert all(task.done() for task in tasks)
    await asyncio.gather(*tasks[1::2])
    await asyncio.gather(*tasks[::2], return_exceptions=True)
    assert all(task.cancelled() or not task.exception() for task in tasks)
    await settle()
    assert pacer.snapshot().in_flight == 0
    assert all(slots.free == slots.count for slots in clients)
    assert len(asyncio.all_tasks()) == 1


class CarefulPace(Pace):
    """A pace that looks at each start."""

    def start(self, now: float, subject: Hashable = None, *, bulk: bool = False) -> Permit:
        """Start what may be started."""
        assert self.start_at(now, bulk=bulk) <= now
        assert self.parked_until(subject) <= now
        return super().start(now, subject, bulk=bulk)


async def _call(
    pacer: AdaptivePacer, chance: random.Random, clock: FakeClock, clients: list[Slots]
) -> None:
    deadline = clock.now() + 0.5 if chance.random() < 0.2 else math.inf
    slots, subject = chance.choice(clients), chance.choice("abcdefgh")
    bulk = chance.random() < 0.4
    try:
        permit = pacer.acquire_nowait(subject, slots, bulk=bulk)
        if permit is None:
            permit = await acquire(pacer, subject, slots=slots, bulk=bulk, deadline=deadline)
            assert permit.sent <= deadline
    except StartTooLateError:
        return
    try:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        slots.release()
        permit.abandoned()
        raise
    slots.release()
    ends: list[Callable[[], object]] = [
        permit.succeeded,
        lambda: permit.throttled(chance.choice([None, 0.1, 2.0]), limited=True),
        lambda: permit.throttled(chance.choice([None, 0.1, 2.0, 99.0]), limited=False),
        permit.abandoned,
    ]
    chance.choice(ends)()


async def _series(pacer: AdaptivePacer, calls: int, at_once: int) -> None:
    async def worker() -> None:
        for _ in range(calls):
            permit = await acquire(pacer)
            await asyncio.sleep(0)
            permit.succeeded()

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(at_once)))


def test_what_was_learned_outlives_an_event_loop(clock: FakeClock) -> None:
    """One loop after another goes on at the same rate."""
    pacer = pacer_of(clock, 2)
    pacer.restore(LearnedRate(50.0, 10.0, time.time()))
    for run in range(1, 4):
        asyncio.run(_series(pacer, 5, 4))
        assert pacer.snapshot().succeeded == 20 * run
    learned = pacer.learned()
    assert learned is not None
    assert learned.rate == 50.0


class SharedClock(FakeClock):
    """A fake clock that several threads may advance."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    async def sleep(self, seconds: float) -> None:
        """Advance the time for everybody."""
        with self._lock:
            self.time += max(0.0, seconds)
        await asyncio.sleep(0)


def test_two_threads_share_a_pacer() -> None:
    """A slot that one loop frees wakes the other loop's first."""
    pacer = pacer_of(SharedClock())
    with ThreadPoolExecutor(2) as threads:
        runs: list[Coroutine[object, object, None]] = [_series(pacer, 50, 3) for _ in range(2)]
        for done in [threads.submit(asyncio.run, run) for run in runs]:
            done.result()
    assert pacer.snapshot().succeeded == 300
    assert pacer.snapshot().in_flight == 0


@pytest.mark.parametrize("waiting", [1, 3])
def test_a_loop_that_was_closed_holds_up_no_other(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, waiting: int
) -> None:
    """Who waited in it will never come; the next loop goes on, and starts at once where it may."""
    pacer = pacer_of(clock)
    closed = asyncio.new_event_loop()
    permit = closed.run_until_complete(acquire(pacer))
    abandoned = [closed.create_task(acquire(pacer)) for _ in range(waiting)]
    closed.run_until_complete(settle())
    closed.close()
    permit.succeeded()
    at_once = pacer.acquire_nowait(None, Slots(1), bulk=False)
    assert at_once is not None
    at_once.succeeded()
    asyncio.run(_series(pacer, 3, 2))
    assert pacer.snapshot().succeeded == 8
    caplog.set_level(logging.CRITICAL, "asyncio")
    del abandoned
    gc.collect()  # what its end raises would be a warning, and so an error
    assert pacer.snapshot().in_flight == 0


def test_a_start_that_a_closed_loop_s_call_had_got_is_given_back(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """When the call is collected."""
    pacer, slots = pacer_of(clock), Slots(1)
    closed = asyncio.new_event_loop()
    permit = closed.run_until_complete(acquire(pacer))
    abandoned = closed.create_task(acquire(pacer, slots=slots))
    closed.run_until_complete(settle())
    closed.call_soon(permit.succeeded)
    closed.call_soon(closed.stop)
    closed.run_forever()
    assert (pacer.snapshot().in_flight, slots.free) == (1, 0)
    closed.close()
    caplog.set_level(logging.CRITICAL, "asyncio")
    del abandoned
    gc.collect()
    assert (pacer.snapshot().in_flight, slots.free) == (0, 1)


async def test_who_cancels_all_tasks_but_a_call_does_not_keep_it_waiting() -> None:
    """The task that looks again when it is time is made anew while somebody waits."""
    pacer = pacer_of(VirtualClock())
    pacer.adjust(concurrency=1, max_rate=0.1)
    for _ in range(2):
        (await acquire(pacer)).succeeded()
    others = asyncio.all_tasks()
    waiting = asyncio.create_task(acquire(pacer))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    lookers = [
        task
        for task in asyncio.all_tasks() - others - {waiting}
        if "_look_later" in repr(task.get_coro())
    ]
    assert len(lookers) == 1
    lookers[0].cancel()
    (await waiting).succeeded()
    assert lookers[0].cancelled()
    assert pacer.snapshot().succeeded == 3


async def test_a_process_that_was_forked_has_no_requests_yet(clock: FakeClock) -> None:
    """What is in flight, who waits and who holds the lock is the parent's; the rate is kept."""
    pacer = pacer_of(clock)
    pacer.restore(LearnedRate(50.0, 10.0, time.time()))
    parents = await acquire(pacer)
    waiting = asyncio.create_task(acquire(pacer))
    await settle()
    lock: threading.Lock = getattr(pacer, "_lock")  # noqa: B009 - nothing else shows it
    held = threading.Thread(target=lock.acquire)
    held.start()
    held.join()
    getattr(forks, "_renew")()  # noqa: B009 - as Python calls it in the child
    assert pacer.snapshot().in_flight == 0
    permit = pacer.acquire_nowait(None, Slots(1), bulk=False)
    assert permit is not None
    parents.abandoned()
    assert pacer.snapshot().in_flight == 1
    permit.succeeded()
    assert (pacer.snapshot().in_flight, pacer.snapshot().ceiling) == (0, 50.0)
    waiting.cancel()


async def test_a_listener_hears_of_each_change(clock: FakeClock) -> None:
    """The gate, the rate and the window are told until the listener has had enough."""
    pacer = pacer_of(clock, 4)
    heard: list[PaceEvent] = []
    others: list[PaceEvent] = []
    unsubscribe = pacer.subscribe(heard.append)
    pacer.subscribe(others.append)
    (await acquire(pacer)).succeeded()
    assert heard == []
    await refuse(pacer, 3.0)
    rate = pacer.snapshot().rate
    assert rate is not None
    assert heard == [GateClosed(3.0), RateChanged(rate)]
    await refuse(pacer, None)
    assert heard[-1] == WindowChanged(1)
    assert any(isinstance(event, GateClosed) and not event.asked for event in heard)
    unsubscribe()
    unsubscribe()
    before = len(heard)
    (await acquire(pacer)).succeeded()
    assert len(heard) == before
    assert others[-1] == WindowChanged(4)


async def test_a_listener_s_fault_is_logged(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs neither the request nor the other listeners their call."""
    pacer = pacer_of(clock, 8)
    heard: list[PaceEvent] = []

    def fail(event: PaceEvent) -> None:
        raise ValueError(event)

    pacer.subscribe(fail)
    pacer.subscribe(heard.append)
    await outage(pacer, 3.0)
    assert heard == [GateClosed(3.0)]
    assert [record.name for record in caplog.records] == ["siteassist_async.events"]
    assert "GateClosed" in caplog.text


async def test_a_wider_window_wakes_those_who_wait(clock: FakeClock) -> None:
    """A second client with a larger concurrency need not wait for the first one's requests."""
    pacer = pacer_of(clock)
    permit = await acquire(pacer)
    pacer.adjust(concurrency=2)
    waiting = asyncio.create_task(acquire(pacer))
    await settle()
    permit.succeeded()
    await waiting
    await acquire(pacer)
    assert pacer.snapshot().in_flight == 2


async def test_a_known_limit_paces_from_the_start(clock: FakeClock) -> None:
    """With `max_rate` nothing has to be discovered."""
    pacer = pacer_of(clock, 64)
    pacer.adjust(concurrency=64, max_rate=10.0)
    starts = [(await acquire(pacer)).sent for _ in range(21)]
    assert starts[-1] - starts[0] == pytest.approx(2.0, abs=0.1)
    assert pacer.snapshot().rate == 10.0


async def test_what_was_learned_is_saved_and_restored(clock: FakeClock) -> None:
    """A resumed job starts where it was; its own knowledge is better than an old one."""
    pacer, next_run = pacer_of(clock, 4), pacer_of(clock, 4)
    assert pacer.learned() is None
    for _ in range(5):
        (await acquire(pacer)).succeeded()
    (await acquire(pacer)).throttled(3.0, limited=True, hint=RateLimitHint(remaining=0))
    learned = pacer.learned()
    assert learned is not None
    assert abs(learned.at - time.time()) < 100
    heard: list[PaceEvent] = []
    next_run.subscribe(heard.append)
    next_run.restore(learned)
    assert next_run.snapshot().ceiling == learned.rate
    assert [type(event) for event in heard] == [RateChanged]
    next_run.restore(LearnedRate(1.0, 5.0, time.time()))
    assert next_run.snapshot().ceiling == learned.rate

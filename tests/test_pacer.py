"""The waiting: who starts next, who gives up, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from siteassist_async.pacing import (
    AdaptivePacer,
    GateClosed,
    LearnedRate,
    Pace,
    PaceEvent,
    RateChanged,
    RateLimitHint,
    StartTooLateError,
    WindowChanged,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine


def pacer_of(clock: FakeClock, concurrency: int = 1) -> AdaptivePacer:
    """A pacer whose jitter is always the same."""
    return AdaptivePacer(Pace(concurrency=concurrency, random=lambda: 0.5), clock=clock)


async def test_a_free_slot_is_given_at_once(clock: FakeClock) -> None:
    """The first request does not wait, and gets the time of its start."""
    assert await AdaptivePacer(clock=clock).acquire() == clock.now()
    assert clock.slept == []


async def test_first_come_first_served(clock: FakeClock) -> None:
    """Slots go out in the order of asking, and nobody overtakes."""
    pacer = pacer_of(clock)
    sent = await pacer.acquire()
    order: list[int] = []

    async def call(number: int) -> None:
        mine = await pacer.acquire()
        order.append(number)
        await settle()
        pacer.granted(mine)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await settle()
    assert order == []
    pacer.granted(sent)
    await asyncio.gather(call(5), *tasks)
    assert order == [0, 1, 2, 3, 4, 5]
    assert pacer.snapshot().in_flight == 0


async def test_no_request_starts_before_the_gate(clock: FakeClock) -> None:
    """One request's refusal spares all the others theirs."""
    pacer = pacer_of(clock, 8)
    sent = await pacer.acquire()
    pacer.refused(sent, 7.0, limited=True)
    opens = clock.now() + 7.0
    assert pacer.snapshot().gate == pacer.opens_in() == 7.0
    assert min(await asyncio.gather(*(pacer.acquire() for _ in range(4)))) >= opens
    assert pacer.opens_in() == 0.0


async def test_a_start_past_the_deadline_is_refused_at_once(clock: FakeClock) -> None:
    """The caller hears how long the wait would be, and does not wait it."""
    pacer = pacer_of(clock)
    pacer.refused(await pacer.acquire(), 60.0, limited=False)
    with pytest.raises(StartTooLateError, match="past the deadline") as caught:
        await pacer.acquire(clock.now() + 59.0)
    assert caught.value.retry_after >= 60.0
    assert clock.slept == []
    assert await pacer.acquire(clock.now() + 61.0) >= 1060.0


async def test_a_gate_that_closes_past_the_deadline_ends_a_wait(clock: FakeClock) -> None:
    """Those in the queue that cannot make it are told at once, the others stay."""
    pacer = pacer_of(clock)
    sent = await pacer.acquire()
    deadlines = (None, clock.now() + 10.0, clock.now() + 99.0, clock.now() + 20.0)
    tasks = [asyncio.create_task(pacer.acquire(deadline)) for deadline in deadlines]
    await settle()
    pacer.refused(sent, 60.0, limited=True)
    late = [tasks[1], tasks[3]]
    for task in late:
        with pytest.raises(StartTooLateError):
            await task
    assert clock.now() <= 1060.0 + 10.0
    pacer.released(await tasks[0])
    assert await tasks[2] >= 1060.0


async def test_a_cancelled_call_holds_nothing(clock: FakeClock) -> None:
    """The next one gets the slot that a cancelled one was about to get."""
    pacer = pacer_of(clock)
    sent = await pacer.acquire()
    first, second = (asyncio.create_task(pacer.acquire()) for _ in range(2))
    await settle()
    pacer.released(sent)
    first.cancel()
    pacer.released(await second)
    assert first.cancelled()
    assert pacer.snapshot().in_flight == 0


async def test_all_who_may_start_do_so_at_once(clock: FakeClock) -> None:
    """A queue empties when there is room: it is no reason to start the others one by one."""
    pacer = pacer_of(clock, 4)
    sent = [await pacer.acquire() for _ in range(4)]
    tasks = [asyncio.create_task(pacer.acquire()) for _ in range(3)]
    await settle()
    for one in sent:
        pacer.granted(one)
    await asyncio.sleep(0)  # the first has looked, and nobody else yet
    assert pacer.snapshot().in_flight == 3
    assert await asyncio.gather(*tasks) == [clock.now()] * 3
    assert clock.slept == []


async def test_a_start_that_comes_to_a_cancelled_call_is_given_back(clock: FakeClock) -> None:
    """The first of the queue starts those behind it, and one of them may be leaving."""
    pacer = pacer_of(clock, 2)
    sent = [await pacer.acquire() for _ in range(2)]
    first, second = (asyncio.create_task(pacer.acquire()) for _ in range(2))
    await settle()
    for one in sent:
        pacer.granted(one)
    second.cancel()
    await settle()
    assert first.done()
    assert second.cancelled()
    assert pacer.snapshot().in_flight == 1
    assert await pacer.acquire() == clock.now()


async def test_a_call_whose_deadline_has_passed_is_not_started_by_others(clock: FakeClock) -> None:
    """It is told so, and those behind it start all the same."""
    pacer = pacer_of(clock, 3)
    sent = [await pacer.acquire() for _ in range(3)]
    deadlines = (None, clock.now() + 1.0, None)
    tasks = [asyncio.create_task(pacer.acquire(deadline)) for deadline in deadlines]
    await settle()
    await clock.sleep(2.0)
    for one in sent:
        pacer.granted(one)
    first, late, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(late, StartTooLateError)
    assert first == last == clock.now()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_no_call_is_forgotten(seed: int, concurrency: int) -> None:
    """Whoever is cancelled and whatever is answered, all the others start, and none is left."""
    asyncio.run(_many_calls(random.Random(seed), concurrency))


async def _many_calls(chance: random.Random, concurrency: int) -> None:
    clock = FakeClock()
    pacer = pacer_of(clock, concurrency)
    tasks = [asyncio.create_task(_call(pacer, chance, clock)) for _ in range(20)]
    for _ in range(2000):
        if chance.random() < 0.2:
            chance.choice(tasks[::2]).cancel()
        await asyncio.sleep(0)
        if all(task.done() for task in tasks):
            break
    assert all(task.done() for task in tasks)
    assert not any(task.cancelled() for task in tasks[1::2])
    assert pacer.snapshot().in_flight == 0


async def _call(pacer: AdaptivePacer, chance: random.Random, clock: FakeClock) -> None:
    deadline = clock.now() + 0.5 if chance.random() < 0.2 else None
    try:
        sent = await pacer.acquire(deadline)
    except StartTooLateError:
        return
    try:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        pacer.released(sent)
        raise
    ends = [
        lambda: pacer.granted(sent),
        lambda: pacer.refused(sent, chance.choice([None, 0.1, 2.0]), limited=True),
        lambda: pacer.released(sent),
    ]
    chance.choice(ends)()


async def _series(pacer: AdaptivePacer, calls: int, at_once: int) -> None:
    async def worker() -> None:
        for _ in range(calls):
            sent = await pacer.acquire()
            await asyncio.sleep(0)
            pacer.granted(sent)

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(at_once)))


def test_what_was_learned_outlives_an_event_loop(clock: FakeClock) -> None:
    """One loop after another goes on at the same rate."""
    pacer = pacer_of(clock, 2)
    pacer.restore(LearnedRate(50.0, 10.0))
    for run in range(1, 4):
        asyncio.run(_series(pacer, 5, 4))
        assert pacer.snapshot().granted == 20 * run
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
    assert pacer.snapshot().granted == 300
    assert pacer.snapshot().in_flight == 0


@pytest.mark.parametrize("waiting", [1, 3])
def test_a_loop_that_was_closed_holds_up_no_other(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, waiting: int
) -> None:
    """Who waited in it will never come; the next loop goes on."""
    pacer = pacer_of(clock)
    closed = asyncio.new_event_loop()
    sent = closed.run_until_complete(pacer.acquire())
    abandoned = [closed.create_task(pacer.acquire()) for _ in range(waiting)]
    closed.run_until_complete(settle())
    closed.close()
    pacer.granted(sent)
    asyncio.run(_series(pacer, 3, 2))
    assert pacer.snapshot().granted == 7
    caplog.set_level(logging.CRITICAL, "asyncio")
    del abandoned
    gc.collect()  # what its end raises would be a warning, and so an error


async def test_a_listener_hears_of_each_change(clock: FakeClock) -> None:
    """The gate, the rate and the window are told until the listener has had enough."""
    pacer = pacer_of(clock, 4)
    heard: list[PaceEvent] = []
    others: list[PaceEvent] = []
    unsubscribe = pacer.subscribe(heard.append)
    pacer.subscribe(others.append)
    pacer.granted(await pacer.acquire())
    assert heard == []
    pacer.refused(await pacer.acquire(), 3.0, limited=True)
    rate = pacer.snapshot().rate
    assert rate is not None
    assert heard == [GateClosed(3.0), RateChanged(rate)]
    pacer.refused(await pacer.acquire(), None, limited=False)
    assert heard[-1] == WindowChanged(1)
    assert any(isinstance(event, GateClosed) and not event.asked for event in heard)
    unsubscribe()
    unsubscribe()
    before = len(heard)
    pacer.granted(await pacer.acquire())
    assert len(heard) == before
    assert others[-1] == WindowChanged(4)


async def test_a_listener_s_fault_is_logged(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs neither the request nor the other listeners their call."""
    pacer = pacer_of(clock)
    heard: list[PaceEvent] = []

    def fail(event: PaceEvent) -> None:
        raise ValueError(event)

    pacer.subscribe(fail)
    pacer.subscribe(heard.append)
    pacer.refused(await pacer.acquire(), 3.0, limited=False)
    assert heard == [GateClosed(3.0)]
    assert [record.name for record in caplog.records] == ["siteassist_async"]
    assert "GateClosed" in caplog.text


async def test_a_wider_window_wakes_those_who_wait(clock: FakeClock) -> None:
    """A second client with a larger concurrency need not wait for the first one's requests."""
    pacer = pacer_of(clock)
    sent = await pacer.acquire()
    pacer.adjust(concurrency=2)
    waiting = asyncio.create_task(pacer.acquire())
    await settle()
    pacer.granted(sent)
    await waiting
    await pacer.acquire()
    assert pacer.snapshot().in_flight == 2


async def test_a_known_limit_paces_from_the_start(clock: FakeClock) -> None:
    """With `max_rate` nothing has to be discovered."""
    pacer = pacer_of(clock, 64)
    pacer.adjust(concurrency=64, max_rate=10.0)
    starts = [await pacer.acquire() for _ in range(21)]
    assert starts[-1] - starts[0] == pytest.approx(2.0, abs=0.1)
    assert pacer.snapshot().rate == 10.0


async def test_what_was_learned_is_saved_and_restored(clock: FakeClock) -> None:
    """A resumed job starts where it was; its own knowledge is better than an old one."""
    pacer, next_run = pacer_of(clock, 4), pacer_of(clock, 4)
    assert pacer.learned() is None
    for _ in range(5):
        pacer.granted(await pacer.acquire())
    pacer.refused(await pacer.acquire(), 3.0, limited=True, hint=RateLimitHint(remaining=0))
    learned = pacer.learned()
    assert learned is not None
    heard: list[PaceEvent] = []
    next_run.subscribe(heard.append)
    next_run.restore(learned)
    assert next_run.snapshot().ceiling == learned.rate
    assert [type(event) for event in heard] == [RateChanged]
    next_run.restore(LearnedRate(1.0, 5.0))
    assert next_run.snapshot().ceiling == learned.rate

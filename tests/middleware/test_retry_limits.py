"""Where retrying ends: by its policy, by the deadline, by cancellation."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, FakeSend, StuckClock, documented, new_request, settle
from hypothesis import given
from hypothesis import strategies as st
from retries import (
    errors,
    is_refusal,
    names_a_time,
    refused,
    retrying,
    seconds,
)

from siteassist_async import (
    DeadlineExceededError,
    DisconnectedError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    SiteAssistError,
    TimedOutError,
)

if TYPE_CHECKING:
    from siteassist_async import Request, Response


@given(st.lists(errors, min_size=1, max_size=30), st.integers(1, 6), st.floats(0, 1e4), seconds)
def test_a_call_ends_within_its_policy(
    failures: list[SiteAssistError], attempts: int, patience: float, first_delay: float
) -> None:
    """Whatever the failures: the attempts are bounded, and so is what the API may ask for."""
    policy = RetryPolicy(attempts=attempts, first_delay=first_delay, patience=patience)
    clock, send = FakeClock(), FakeSend(*failures, NotFoundError())
    with pytest.raises(SiteAssistError) as caught:
        asyncio.run(retrying(policy, clock)(new_request(patience=patience), send))
    assert caught.value.attempts == len(send.requests) == len(clock.slept) + 1
    assert caught.value.elapsed == pytest.approx(sum(clock.slept))
    met = list(zip(failures, clock.slept, strict=False))
    asked = sum(slept for error, slept in met if names_a_time(error))
    refusals = [error for error, _ in met if names_a_time(error) and is_refusal(error)]
    assert asked <= patience + attempts * policy.longest_delay
    assert len(met) - len(refusals) < attempts


async def test_a_wait_past_the_deadline_is_not_begun(clock: FakeClock) -> None:
    """The error comes at once: the caller can do something else with the time."""
    link = retrying(clock=clock)
    request = new_request(deadline=clock.now() + 9.9, patience=math.inf)
    with pytest.raises(RateLimitError) as caught:
        await link(request, FakeSend(refused(10.0)))
    assert clock.slept == []
    assert caught.value.retry_after == 10.0
    with pytest.raises(InternalServerError):
        await link(new_request(deadline=clock.now() + 0.5), FakeSend(InternalServerError()))
    assert clock.slept == []


@given(st.lists(errors, max_size=20), st.floats(0.1, 1e4))
def test_no_call_sleeps_past_its_deadline(failures: list[SiteAssistError], allowed: float) -> None:
    """For all failures: no sleep is begun that would end at the deadline or after it."""
    clock = FakeClock()
    request = new_request(deadline=clock.now() + allowed, patience=math.inf)
    with pytest.raises(SiteAssistError):
        asyncio.run(retrying(clock=clock)(request, FakeSend(*failures, NotFoundError())))
    assert sum(clock.slept) <= allowed


async def test_a_wait_before_the_deadline_is_waited(clock: FakeClock) -> None:
    """A deadline that leaves time changes nothing."""
    send = FakeSend(InternalServerError(), documented())
    await retrying(clock=clock)(new_request(deadline=clock.now() + 60), send)
    assert clock.slept == [0.5]


async def forever(request: Request) -> Response:
    """Never answer."""
    request.tally.sent += 1
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_deadline_ends_an_attempt_under_way(clock: FakeClock) -> None:
    """What is in flight is cancelled, and the error says how long was waited."""
    with pytest.raises(
        DeadlineExceededError, match=r"no response within 0.01 s \(1 attempt"
    ) as caught:
        await retrying(clock=clock)(new_request(deadline=clock.now() + 0.01), forever)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_the_deadline_tells_what_was_tried_before(clock: FakeClock) -> None:
    """The cause is the failure that led to the attempt which took too long."""
    calls = 0
    first = DisconnectedError("gone")

    async def send(request: Request) -> Response:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise first
        return await forever(request)

    with pytest.raises(DeadlineExceededError) as caught:
        await retrying(clock=clock)(new_request(deadline=clock.now() + 0.01), send)
    assert caught.value.__cause__ is first


async def test_a_timeout_error_that_is_not_the_deadlines_passes_unchanged(clock: FakeClock) -> None:
    """A TimeoutError of a user's link is no DeadlineExceededError."""
    fault = TimeoutError("the user's own")
    with pytest.raises(TimeoutError) as caught:
        await retrying(clock=clock)(new_request(deadline=clock.now() + 60), FakeSend(fault))
    assert caught.value is fault


async def test_an_attempt_that_timed_out_is_no_missed_deadline(clock: FakeClock) -> None:
    """A TimedOutError, a TimeoutError too, is retried and comes out as it is."""
    with pytest.raises(TimedOutError) as caught:
        await retrying(clock=clock)(
            new_request(deadline=clock.now() + 60), FakeSend(TimedOutError())
        )
    assert caught.value.attempts == 3


async def test_cancellation_passes_at_once() -> None:
    """In an attempt, in a later attempt and in a wait: nothing is tried again."""
    waiting = retrying(clock=StuckClock())(new_request(), FakeSend(InternalServerError()))
    for call in (retrying()(new_request(), forever), waiting):
        task = asyncio.create_task(call)
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_retried_attempt_can_be_cancelled() -> None:
    """Tenacity keeps no cancellation back."""
    send = FakeSend(TimedOutError(), asyncio.CancelledError(), documented())
    with pytest.raises(asyncio.CancelledError):
        await retrying()(new_request(), send)
    assert len(send.requests) == 2

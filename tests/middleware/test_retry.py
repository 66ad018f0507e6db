"""Retry: the attempts of a call, the waits between them, and what a failure tells of it."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

import pytest
from fakes import FakeClock, FakeSend, documented, new_request
from retries import (
    refused,
    retrying,
    unavailable,
)

from siteassist_async import (
    APIError,
    BadGatewayError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    SiteAssistError,
    TimedOutError,
)
from siteassist_async.errors import ThrottledError
from siteassist_async.events import Event, EventStream, RetryScheduled
from siteassist_async.logs import log_call
from siteassist_async.middleware import retry as retry_module
from siteassist_async.middleware.retry import RetryBudget
from siteassist_async.parking import HOST

if TYPE_CHECKING:
    from siteassist_async import Request, Response, Send


async def test_the_first_answer_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a failure tenacity is not entered: it costs a fifth of a request."""
    monkeypatch.delattr(retry_module, "AsyncRetrying")
    send = FakeSend(documented())
    assert (await retrying()(new_request(), send)).status == 200
    assert len(send.requests) == 1


@pytest.mark.parametrize("deadline", [None, 2000.0])
async def test_an_error_that_is_not_retried_has_a_short_traceback(deadline: float | None) -> None:
    """And does not cost what tenacity costs."""
    with pytest.raises(NotFoundError) as caught:
        await retrying()(new_request(deadline=deadline), FakeSend(NotFoundError("gone")))
    files = {str(entry.path) for entry in caught.traceback}
    assert not any("tenacity" in path for path in files)
    assert caught.value.attempts == 1


async def test_a_failure_is_tried_again_after_its_delay(clock: FakeClock) -> None:
    """The delays are those that `decide` chose, and the answer that came in the end counts."""
    send = FakeSend(InternalServerError(), TimedOutError(), documented())
    events = EventStream[Event](log_call)
    scheduled: list[RetryScheduled] = []

    def listen(event: Event) -> None:
        if isinstance(event, RetryScheduled):
            scheduled.append(event)

    events.subscribe(listen)
    response = await retrying(clock=clock, events=events)(new_request(), send)
    assert response.status == 200
    assert clock.slept == [0.5, 1.0]
    assert [(one.attempt, one.delay, type(one.error)) for one in scheduled] == [
        (1, 0.5, InternalServerError),
        (2, 1.0, TimedOutError),
    ]


async def test_the_last_error_comes_out_with_attempts_and_elapsed(clock: FakeClock) -> None:
    """The error of the last attempt, and what the call has cost."""
    send = FakeSend(InternalServerError("1"), InternalServerError("2"), BadGatewayError("3"))
    with pytest.raises(BadGatewayError) as caught:
        await retrying(clock=clock)(new_request(), send)
    assert (caught.value.attempts, caught.value.elapsed) == (3, 1.5)
    assert str(caught.value) == "502: 3 (3 attempts in 1.50 s)"


async def test_an_error_that_is_not_retried_has_attempts_and_elapsed_too() -> None:
    """A call that failed at once says so."""
    with pytest.raises(NotFoundError) as caught:
        await retrying()(new_request(), FakeSend(NotFoundError("no")))
    assert str(caught.value) == "404: no (1 attempt in 0.00 s)"


async def test_a_refusal_that_names_a_time_spends_patience_and_no_attempts(
    clock: FakeClock,
) -> None:
    """Refusals are waited for, at one attempt, until the next wait would be too long."""
    policy = RetryPolicy(attempts=1)
    with pytest.raises(RateLimitError) as caught:
        await retrying(policy, clock)(new_request(patience=104.0), FakeSend(refused(10.0)))
    assert clock.slept == [10.5] * 9
    assert caught.value.attempts == 10


async def test_the_request_says_how_much_patience_is_left(clock: FakeClock) -> None:
    """The request's own patience counts, and the links below see what remains of it."""
    send = FakeSend(refused(10.0), BadGatewayError(retry_after=20.0), TimedOutError(), documented())
    await retrying(clock=clock)(new_request(patience=200.0), send)
    assert [request.patience for request in send.requests] == [200.0, 189.5, 169.5, 169.5]
    assert clock.slept == [10.5, 20.0, 1.0]


async def test_a_call_without_end_of_patience_waits_as_long_as_it_is_told(
    clock: FakeClock,
) -> None:
    """The request's patience, not the policy's: a job asks for an endless one."""
    send = FakeSend(*[refused(3600.0)] * 50, documented())
    await retrying(clock=clock)(new_request(patience=math.inf), send)
    assert clock.slept == [3780.0] * 50


async def test_the_budget_bounds_the_retries_of_all_calls(clock: FakeClock) -> None:
    """An outage is not answered by many times the load; each success earns a fifth of a retry."""
    link = retrying(clock=clock, budget=3.0)
    send = FakeSend(InternalServerError())
    for attempts in (3, 2, 1, 1):
        with pytest.raises(InternalServerError) as caught:
            await link(new_request(), send)
        assert caught.value.attempts == attempts
    for _ in range(5):
        await link(new_request(), FakeSend(documented()))
    with pytest.raises(InternalServerError) as caught:
        await link(new_request(), send)
    assert caught.value.attempts == 2
    assert caught.value.budget_spent
    assert "not retried: the retry budget is spent" in str(caught.value)


async def test_a_refusal_that_names_a_time_costs_no_budget(clock: FakeClock) -> None:
    """To wait as asked is no load."""
    send = FakeSend(refused(1.0), refused(1.0), documented())
    await retrying(clock=clock, budget=0.0)(new_request(patience=10.0), send)
    assert len(send.requests) == 3


def test_the_budget_never_grows_beyond_its_size() -> None:
    """A quiet day does not save retries for an outage."""
    budget = RetryBudget(1.0)
    for _ in range(100):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_without_a_budget_there_is_always_a_retry() -> None:
    """A job retries as its policy says."""
    budget = RetryBudget(None)
    assert all(budget.spend() for _ in range(1000))


async def test_bulk_calls_spend_no_budget(clock: FakeClock) -> None:
    """It spares callers who wait; bulk work's attempts are bounded all the same."""
    link = retrying(clock=clock, budget=1.0)
    for _ in range(3):
        with pytest.raises(InternalServerError) as caught:
            await link(new_request(bulk=True), FakeSend(InternalServerError()))
        assert caught.value.attempts == 3
    with pytest.raises(InternalServerError) as caught:
        await link(new_request(), FakeSend(InternalServerError()))
    assert caught.value.attempts == 2


def refusing(error: APIError, *, alone_from: float = math.inf) -> Send:
    """Refuse for ever, from that time on as alone."""

    async def send(request: Request) -> Response:
        request.tally.sent += 1
        request.tally.throttled_alone += request.tally.sent >= alone_from
        raise error

    return send


@pytest.mark.parametrize("error", [refused(1.0), unavailable(1.0)], ids=repr)
async def test_an_error_says_whether_it_is_the_id_s_own(clock: FakeClock, error: APIError) -> None:
    """After three refusals, the second and third while others were answered."""
    link = retrying(RetryPolicy(), clock)
    with pytest.raises(type(error)) as caught:
        await link(new_request(), refusing(error, alone_from=2))
    assert (caught.value.attempts, caught.value.isolated) == (3, True)
    caught.value.isolated = False
    with pytest.raises(type(error)) as caught:
        await link(new_request(patience=20.0), refusing(error))
    assert caught.value.attempts > 8
    assert not caught.value.isolated


async def test_one_refusal_alone_among_others_is_not_enough(clock: FakeClock) -> None:
    """A 404 that follows is the answer, and says nothing of that."""
    calls = FakeSend(refused(1.0), NotFoundError())
    request = new_request(patience=20.0)
    request.tally.throttled_alone = 1
    with pytest.raises(NotFoundError) as caught:
        await retrying(RetryPolicy(), clock)(request, calls)
    assert not caught.value.isolated


@pytest.mark.parametrize(("error", "attempts"), [(unavailable(60.0), 3), (refused(60.0), 8)])
async def test_a_bulk_call_ends_where_only_refusals_come(
    clock: FakeClock, error: APIError, attempts: int
) -> None:
    """Though its patience is endless."""
    with pytest.raises(type(error)) as caught:
        await retrying(RetryPolicy(), clock)(
            new_request(patience=math.inf, bulk=True), refusing(error)
        )
    assert caught.value.attempts == attempts
    assert not caught.value.isolated


async def test_503s_among_429s_of_a_bulk_call_count_by_themselves(clock: FakeClock) -> None:
    """A project's limit is no reason to give up at the first 503."""
    send = FakeSend(*[refused(1.0)] * 7, *[unavailable(1.0)] * 2, documented())
    await retrying(RetryPolicy(), clock)(new_request(patience=math.inf, bulk=True), send)
    assert len(send.requests) == 10


class Host:
    """Counts those whose wait holds nothing."""

    def __init__(self) -> None:
        self.parked = 0

    def park(self) -> None:
        """One more."""
        self.parked += 1

    def unpark(self) -> None:
        """It goes on."""


@pytest.mark.parametrize(
    ("failure", "parked"), [(refused(10.0), 1), (unavailable(10.0), 1), (InternalServerError(), 0)]
)
async def test_a_wait_that_the_api_asked_for_makes_room(
    clock: FakeClock, failure: SiteAssistError, parked: int
) -> None:
    """A delay of our own does not: in an outage all would wait."""
    host = Host()
    token = HOST.set(host)
    await retrying(clock=clock)(new_request(), FakeSend(failure, documented()))
    assert host.parked == parked
    HOST.reset(token)


async def test_a_call_that_is_not_sent_is_not_tried_again(clock: FakeClock) -> None:
    """It would come too late."""
    send = FakeSend(ThrottledError(wait=60.0), documented())
    with pytest.raises(ThrottledError):
        await retrying(clock=clock)(new_request(), send)
    assert clock.slept == []


async def test_what_is_none_of_ours_is_never_retried() -> None:
    """A bug in a user's link comes out as it is, from the first attempt and from a later one."""
    for outcomes in ([KeyError("bug")], [TimedOutError(), KeyError("bug")]):
        send = FakeSend(*outcomes, documented())
        with pytest.raises(KeyError, match="bug"):
            await retrying()(new_request(), send)
        assert len(send.requests) == len(outcomes)


async def test_calls_at_once_do_not_mix(clock: FakeClock) -> None:
    """Each call has its own answer and its own count."""
    link = retrying(clock=clock)

    async def call(number: int) -> tuple[str, int]:
        with pytest.raises(NotFoundError) as caught:
            await link(new_request(), FakeSend(TimedOutError(), NotFoundError(str(number))))
        return caught.value.message, caught.value.attempts

    results = await asyncio.gather(*[call(number) for number in range(50)])
    assert results == [(str(number), 2) for number in range(50)]


async def test_a_retry_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line a retry: the id, the delay and the error."""
    caplog.set_level(logging.INFO, "siteassist_async")
    await retrying()(new_request(), FakeSend(InternalServerError("no"), documented()))
    assert caplog.messages == [
        "conversations.get 123e4567-e89b-12d3-a456-426614174000: retrying in 0.50 s after: 500: no"
    ]

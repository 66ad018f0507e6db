"""The pacing link: slots, start times, and what the pacer is told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from fakes import (
    ID,
    OTHER_ID,
    Asked,
    FakeClock,
    FakePacer,
    FakeSend,
    documented,
    new_request,
    settle,
)

from siteassist_async import (
    DisconnectedError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    Response,
    ServiceUnavailableError,
    TimedOutError,
    TokenError,
    WrongConversationError,
)
from siteassist_async.closing import Closing
from siteassist_async.errors import ClientClosedError, ThrottledError
from siteassist_async.events import Event, EventStream
from siteassist_async.logs import log_call
from siteassist_async.middleware.pacing import LONGEST_INTERVAL, Pacing
from siteassist_async.pacing import AdaptivePacer, Pace, RateLimitHint, StartTooLateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siteassist_async import Request
    from siteassist_async.pacing import Pacer
    from siteassist_async.wire import Send


def pacing(
    pacer: Pacer,
    clock: FakeClock | None = None,
    concurrency: int = 1,
    closing: Closing | None = None,
    events: EventStream[Event] | None = None,
) -> Pacing:
    """The link."""
    return Pacing(
        pacer,
        concurrency,
        clock or FakeClock(),
        closing=closing or Closing(),
        events=events or EventStream[Event](log_call),
    )


async def test_an_answer_is_told_as_a_success() -> None:
    """The pacer hears of the start that it gave."""
    pacer = FakePacer()
    link = pacing(pacer)
    for _ in range(2):
        assert (await link(new_request(), FakeSend(documented()))).status == 200
    assert pacer.told == [("succeeded", 1.0), ("succeeded", 2.0)]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (RateLimitError(retry_after=7.0), ("throttled", 1.0, 7.0, True)),
        (RateLimitError(), ("throttled", 1.0, None, True)),
        (ServiceUnavailableError(retry_after=0.5), ("throttled", 1.0, 0.5, False)),
        (NotFoundError(retry_after=7.0), ("succeeded", 1.0)),
        (InternalServerError(), ("succeeded", 1.0)),
        (WrongConversationError(), ("succeeded", 1.0)),
        (DisconnectedError(), ("abandoned", 1.0)),
        (TimedOutError(), ("abandoned", 1.0)),
        (TokenError(), ("abandoned", 1.0)),
        (KeyError("of a user's own"), ("abandoned", 1.0)),
        (asyncio.CancelledError(), ("abandoned", 1.0)),
    ],
    ids=repr,
)
async def test_what_came_of_an_attempt_is_told_once(
    outcome: BaseException, told: tuple[object, ...]
) -> None:
    """429 and 503 are refusals, every other answer is none, no answer teaches nothing."""
    pacer = FakePacer()
    link = pacing(pacer)
    for _ in range(2):  # the slot is free again
        with pytest.raises(type(outcome)):
            await link(new_request(), FakeSend(outcome))
        assert pacer.told == [told]
        pacer.told.clear()
        pacer.asked.clear()


@pytest.mark.parametrize("alone", [True, False])
async def test_refusals_of_an_id_alone_are_counted_in_the_call_s_tally(*, alone: bool) -> None:
    """So that the links above know whose they are."""
    request = new_request()
    link = pacing(FakePacer(alone=alone))
    for error in (RateLimitError(), ServiceUnavailableError(), NotFoundError()):
        with pytest.raises(type(error)):
            await link(request, FakeSend(error))
    assert request.tally.throttled_alone == 2 * alone


@pytest.mark.parametrize(
    ("deadline", "patience", "asked"),
    [
        (None, math.inf, (math.inf, math.inf)),
        (None, 600.0, (math.inf, 1600.0)),
        (1005.0, math.inf, (1005.0, math.inf)),
        (1005.0, 600.0, (1005.0, 1600.0)),
        (1005.0, 1.5, (1005.0, 1001.5)),
        # No patience ends between two starts at a pace.
        (None, 0.0, (math.inf, 1000.0 + LONGEST_INTERVAL)),
    ],
)
async def test_the_pacer_hears_how_late_a_start_may_be(
    clock: FakeClock, deadline: float | None, patience: float, asked: tuple[float, float]
) -> None:
    """The deadline, and the end of the patience, which counts from now."""
    pacer = FakePacer()
    request = new_request(deadline=deadline, patience=patience)
    await pacing(pacer, clock)(request, FakeSend(documented()))
    assert pacer.asked == [Asked(ID, False, *asked)]  # noqa: FBT003 - not bulk


async def test_the_pacer_hears_of_bulk_work() -> None:
    """It makes room for calls that somebody waits for."""
    pacer = FakePacer()
    await pacing(pacer)(new_request(bulk=True), FakeSend(documented()))
    assert [asked.bulk for asked in pacer.asked] == [True]


async def test_a_call_without_patience_waits_for_its_turn_at_a_pace(clock: FakeClock) -> None:
    """A start each half a second is no pause that the API asked for."""
    pace = Pace(max_rate=2.0, random=lambda: 0.5)
    link = pacing(AdaptivePacer(pace, clock=clock), clock, concurrency=9)
    for _ in range(5):
        await link(new_request(patience=0.0), FakeSend(documented()))
    assert 1001.0 < clock.now() < 1003.0


async def test_a_start_that_would_be_too_late_is_an_error_of_its_own() -> None:
    """It says how long the wait would be and for what; nothing was sent, nothing is held."""
    pacer = FakePacer(StartTooLateError(42.0, "gate"))
    link, send = pacing(pacer), FakeSend(documented())
    with pytest.raises(
        ThrottledError, match="the API asked all requests to wait; the wait of 42 s"
    ) as late:
        await link(new_request(), send)
    assert (late.value.wait, late.value.reason) == (42.0, "gate")
    assert send.requests == []
    assert pacer.told == []
    pacer.refusal = None
    await link(new_request(), send)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("pace", "the rate limit is reached; the wait of 2 s would"),
        ("gate", "the API asked all requests to wait; the wait of 2 s"),
        ("slots", "all of the client's connections are in use; the wait of 2 s"),
        ("retry_after", "to retry this conversation later; the wait of 2 s"),
    ],
)
def test_what_a_throttled_call_would_have_waited_for_is_told(reason: str, words: str) -> None:
    """In words, unless there are others."""
    assert words in str(ThrottledError(reason=reason, wait=2.0))
    assert str(ThrottledError("other words", reason=reason)) == "other words"


@pytest.mark.parametrize(
    "pacer", [FakePacer(), AdaptivePacer(clock=FakeClock())], ids=["own", "ours"]
)
async def test_a_slot_is_held_until_the_answer(clock: FakeClock, pacer: Pacer) -> None:
    """At most as many requests are sent at once as there are slots."""
    answered = asyncio.Event()
    flying = most = 0

    async def send(request: Request) -> Response:
        nonlocal flying, most
        del request
        flying += 1
        most = max(most, flying)
        await answered.wait()
        flying -= 1
        return documented()

    link = pacing(pacer, clock, concurrency=3)
    calls = [asyncio.create_task(_sent(link, new_request(), send)) for _ in range(10)]
    await settle()
    assert flying == 3
    answered.set()
    await asyncio.gather(*calls)
    assert most == 3


async def test_a_process_that_was_forked_has_all_slots() -> None:
    """Those that are held are its parent's, and what gives them back is the parent's too."""
    link, at_once = pacing(FakePacer(), concurrency=2), 0
    answered = asyncio.Event()

    async def send(_: Request) -> Response:
        nonlocal at_once
        at_once += 1
        await answered.wait()
        return documented()

    parents = [asyncio.create_task(_sent(link, new_request(), send)) for _ in range(3)]
    await settle()
    assert at_once == 2
    link.renew()
    childs = [asyncio.create_task(_sent(link, new_request(), send)) for _ in range(3)]
    await settle()
    assert at_once == 4
    answered.set()
    await asyncio.gather(*parents, *childs)
    assert at_once == 6


async def test_the_rate_limit_headers_reach_the_pacer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of answers, of refusals and of other errors."""
    hint = RateLimitHint(remaining=3)

    def read(headers: Mapping[str, str], *, epoch: float) -> RateLimitHint | None:
        assert epoch > 1.7e9
        return hint if "RateLimit" in headers else None

    monkeypatch.setattr("siteassist_async.middleware.pacing.RateLimitHint.from_headers", read)
    pacer, headers = FakePacer(), {"RateLimit": "x"}
    link = pacing(pacer)
    await link(new_request(), FakeSend(documented(headers=headers)))
    for error in (RateLimitError(headers=headers), NotFoundError(headers=headers)):
        with pytest.raises(type(error)):
            await link(new_request(), FakeSend(error))
    assert pacer.hints == [hint] * 3


async def test_who_would_queue_behind_a_closed_gate_is_told_at_once(clock: FakeClock) -> None:
    """Whoever holds the slots; a call that has the time waits."""
    pacer = AdaptivePacer(clock=clock)
    link = pacing(pacer, clock)
    with pytest.raises(RateLimitError):
        await link(new_request(), FakeSend(RateLimitError(retry_after=60.0)))
    for request in (new_request(deadline=clock.now() + 59), new_request(patience=59.0)):
        with pytest.raises(ThrottledError) as caught:
            await link(request, FakeSend(documented()))
        assert caught.value.wait >= 60.0
    assert clock.slept == []
    await link(new_request(deadline=clock.now() + 70), FakeSend(documented()))
    assert clock.now() >= 1060.0


async def test_an_answer_in_time_counts_how_long_answers_take(clock: FakeClock) -> None:
    """A request that would start in time, and be answered too late, is not sent."""
    pacer = AdaptivePacer(Pace(random=lambda: 0.0), clock=clock)
    link = pacing(pacer, clock)

    async def slow(_: Request) -> Response:
        clock.time += 4.0
        return documented()

    await link(new_request(), slow)
    other = evolve(new_request(), subject=OTHER_ID)
    with pytest.raises(RateLimitError):
        await link(other, FakeSend(RateLimitError(retry_after=10.0)))
    with pytest.raises(ThrottledError) as caught:
        await link(new_request(deadline=clock.now() + 1), FakeSend(documented()))
    wait = caught.value.wait
    with pytest.raises(ThrottledError):
        await link(new_request(deadline=clock.now() + wait + 3.9), FakeSend(documented()))
    await link(new_request(deadline=clock.now() + wait + 4.1), FakeSend(documented()))


async def test_a_client_that_is_closed_ends_what_waits(clock: FakeClock) -> None:
    """At once, and nothing is held; another client of the same pacer is not concerned."""
    closing = Closing()
    pacer = AdaptivePacer(Pace(concurrency=1, random=lambda: 0.5), clock=clock)
    link, other = pacing(pacer, clock, closing=closing), pacing(pacer, clock)
    answered = asyncio.Event()

    async def send(_: Request) -> Response:
        await answered.wait()
        return documented()

    first = asyncio.create_task(_sent(link, new_request(patience=math.inf), send))
    await settle()
    second, third = (
        asyncio.create_task(_sent(one, new_request(patience=math.inf), send))
        for one in (link, other)
    )
    await settle()
    closing.close()
    with pytest.raises(ClientClosedError, match="while the call was waiting"):
        await second
    assert not first.done()
    assert not third.done()
    answered.set()
    assert (await first).status == (await third).status == 200
    assert pacer.snapshot().in_flight == 0


async def _sent(link: Pacing, request: Request, send: Send) -> Response:
    return await link(request, send)

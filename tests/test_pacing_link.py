"""The pacing link: slots, start times, and what the pacer is told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from fakes import (
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
from siteassist_async.middleware.pacing import Pacing
from siteassist_async.pacing import RateLimitHint, StartTooLateError
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siteassist_async import Request


def pacing(pacer: FakePacer, clock: FakeClock | None = None, concurrency: int = 1) -> Pacing:
    """The link."""
    return Pacing(pacer, concurrency, clock or FakeClock())


async def test_an_answer_is_told_as_granted() -> None:
    """The pacer hears the start time that it gave."""
    pacer = FakePacer()
    link = pacing(pacer)
    for _ in range(2):
        assert (await link(new_request(), FakeSend(documented()))).status == 200
    assert pacer.told == [("granted", 1.0), ("granted", 2.0)]


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (RateLimitError(retry_after=7.0), ("refused", 1.0, 7.0, True)),
        (RateLimitError(), ("refused", 1.0, None, True)),
        (ServiceUnavailableError(retry_after=0.5), ("refused", 1.0, 0.5, False)),
        (NotFoundError(retry_after=7.0), ("granted", 1.0)),
        (InternalServerError(), ("granted", 1.0)),
        (WrongConversationError(), ("granted", 1.0)),
        (DisconnectedError(), ("released", 1.0)),
        (TimedOutError(), ("released", 1.0)),
        (TokenError(), ("released", 1.0)),
        (KeyError("of a user's own"), ("released", 1.0)),
        (asyncio.CancelledError(), ("released", 1.0)),
    ],
    ids=repr,
)
async def test_what_came_of_an_attempt_is_told_once(
    outcome: BaseException, told: tuple[object, ...]
) -> None:
    """429 and 503 are refusals, every other answer is granted, no answer teaches nothing."""
    pacer = FakePacer()
    with pytest.raises(type(outcome)):
        await pacing(pacer)(new_request(), FakeSend(outcome))
    assert pacer.told == [told]


@pytest.mark.parametrize(
    ("deadline", "patience", "latest"),
    [
        (None, math.inf, None),
        (None, 600.0, 1600.0),
        (1005.0, math.inf, 1005.0),
        (1005.0, 600.0, 1005.0),
        (1005.0, 1.0, 1001.0),
    ],
)
async def test_the_pacer_hears_how_late_a_start_may_be(
    clock: FakeClock, deadline: float | None, patience: float, latest: float | None
) -> None:
    """The deadline or the end of the patience, whichever comes first."""
    pacer = FakePacer()
    request = new_request(deadline=deadline, patience=patience)
    await pacing(pacer, clock)(request, FakeSend(documented()))
    assert pacer.deadlines == [latest]


async def test_a_start_that_would_be_too_late_is_a_rate_limit_error() -> None:
    """It says how long to wait, nothing was sent, and the slot is free again."""
    pacer = FakePacer(StartTooLateError(42.0))
    link, send = pacing(pacer), FakeSend(documented())
    with pytest.raises(RateLimitError, match="wait longer than this call may") as caught:
        await link(new_request(), send)
    assert caught.value.retry_after == 42.0
    assert send.requests == []
    assert pacer.told == []
    pacer.refusal = None
    await link(new_request(), send)


async def test_a_slot_is_held_until_the_answer(clock: FakeClock) -> None:
    """At most as many requests are sent at once as there are slots; the pacer is asked in turn."""
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

    pacer = FakePacer()
    link = pacing(pacer, clock, concurrency=3)
    calls = [asyncio.create_task(link(new_request(), send)) for _ in range(10)]
    await settle()
    assert len(pacer.deadlines) == 3
    answered.set()
    await asyncio.gather(*calls)
    assert most == 3


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


async def test_who_would_queue_behind_a_closed_gate_is_told_at_once() -> None:
    """Those who wait for the gate hold the slots; a later call need not wait out its deadline."""
    clock = FakeClock()
    pacer = FakePacer()
    link = pacing(pacer, clock)
    held = asyncio.Event()
    first = asyncio.create_task(_holding(link, held))
    await settle()
    pacer.closed_for = 60.0
    with pytest.raises(RateLimitError) as caught:
        await link(new_request(deadline=clock.now() + 59), FakeSend(documented()))
    assert caught.value.retry_after == 60.0
    second = asyncio.create_task(
        _sent(link, new_request(deadline=clock.now() + 61), FakeSend(documented()))
    )
    await settle()
    assert not second.done()
    held.set()
    assert (await second).status == (await first).status == 200


async def test_a_call_without_a_deadline_queues_as_long_as_its_patience() -> None:
    """It is not refused where the gate opens before its patience ends."""
    pacer = FakePacer()
    link = pacing(pacer)
    held = asyncio.Event()
    first = asyncio.create_task(_holding(link, held))
    await settle()
    pacer.closed_for = 60.0
    second = asyncio.create_task(_sent(link, new_request(patience=61.0), FakeSend(documented())))
    await settle()
    assert not second.done()
    held.set()
    assert (await second).status == (await first).status == 200


async def test_a_slot_that_comes_to_a_cancelled_call_goes_on() -> None:
    """Whoever waits behind it gets it, and nobody else holds it."""
    slots = Slots(0)
    first, second = (asyncio.create_task(slots.wait()) for _ in range(2))
    await settle()
    slots.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert slots.free == 0


async def _holding(link: Pacing, held: asyncio.Event) -> Response:
    async def send(_: Request) -> Response:
        await held.wait()
        return documented()

    return await link(new_request(), send)


async def _sent(link: Pacing, request: Request, send: FakeSend) -> Response:
    return await link(request, send)

"""The pacing link: slots, start times, and what the pacer is told."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest
from fakes import (
    ID,
    ONCE,
    OTHER_ID,
    TOKEN,
    FakeClock,
    FakePacer,
    FakeSend,
    Silence,
    documented,
    new_request,
    settle,
)

from siteassist_async import (
    DeadlineExceededError,
    DisconnectedError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
    Response,
    ServiceUnavailableError,
    SiteAssist,
    SiteAssistError,
    TimedOutError,
    Timeout,
    TokenError,
    WrongConversationError,
)
from siteassist_async.emulator import Delay, Emulator, Status, conversation_ids
from siteassist_async.middleware.pacing import Pacing
from siteassist_async.pacing import RateLimitHint, StartTooLateError

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


async def test_one_refusal_closes_the_gate_for_all_calls(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """The next call, for another id, starts only when the pause is over."""
    emulator.script(ID, Status(429, retry_after=60))
    started = clock.now()
    with pytest.raises(RateLimitError):
        await client.with_options(retry=ONCE).conversations.get(ID)
    assert clock.now() == started
    await client.conversations.get(OTHER_ID)
    assert clock.now() >= started + 60
    assert emulator.counters.requests == 2


async def test_a_refusal_closes_the_gate_for_other_clients_of_the_project(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """A client with the same base URL and token waits too; one with another token does not."""
    emulator.script(ID, Status(503, retry_after=60))
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock) as sibling:
        with pytest.raises(ServiceUnavailableError):
            await client.with_options(retry=ONCE).conversations.get(ID)
        started = clock.now()
        async with SiteAssist("sk_other", base_url=emulator.url, clock=clock) as other:
            with pytest.raises(SiteAssistError):
                await other.conversations.get(ID)
        assert clock.now() == started
        await sibling.conversations.get(OTHER_ID)
        assert clock.now() >= started + 60


async def test_a_gate_that_opens_past_the_deadline_is_told_at_once(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """The call waits for nothing, sends nothing, and says for how long the API wants to rest."""
    emulator.script(ID, Status(429, retry_after=60))
    with pytest.raises(RateLimitError):
        await client.with_options(retry=ONCE).conversations.get(ID)
    started = clock.now()
    with pytest.raises(RateLimitError) as caught:
        await client.with_options(deadline=10).conversations.get(OTHER_ID)
    assert clock.now() == started
    assert caught.value.attempts == 0
    assert caught.value.retry_after == pytest.approx(60, abs=1)
    assert emulator.counters.requests == 1


async def test_at_most_concurrency_requests_and_connections(clock: FakeClock) -> None:
    """The server never sees more of either, whatever the number of calls."""
    async with Emulator(token=TOKEN, latency=0.002) as emulator:
        client = SiteAssist(TOKEN, base_url=emulator.url, clock=clock, concurrency=4)
        async with client:
            ids = conversation_ids(40)
            await asyncio.gather(*[client.conversations.get(id_) for id_ in ids])
        assert emulator.counters.most_in_flight == 4
        assert emulator.counters.connections == emulator.counters.most_connections == 4


async def test_a_cancelled_call_gives_its_slot_back(emulator: Emulator) -> None:
    """At concurrency 1 the next call goes ahead."""
    silence = Silence()
    emulator.script(ID, silence)
    async with SiteAssist(TOKEN, base_url=emulator.url, concurrency=1) as client:
        call = asyncio.create_task(client.conversations.get(ID))
        await silence.met.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await client.conversations.get(OTHER_ID)


async def test_an_attempt_that_times_out_gives_its_slot_back(emulator: Emulator) -> None:
    """As above; the attempt's connection is closed."""
    emulator.script(ID, Delay(3600))
    client = SiteAssist(TOKEN, base_url=emulator.url, concurrency=1, retry=ONCE)
    async with client:
        with pytest.raises(TimedOutError, match=r"silent for 0\.01 s"):
            await client.with_options(timeout=Timeout(read=0.01)).conversations.get(ID)
        await client.conversations.get(OTHER_ID)
    assert emulator.counters.connections == 2


async def test_a_call_that_waits_for_a_slot_past_its_deadline_has_sent_nothing(
    emulator: Emulator, clock: FakeClock
) -> None:
    """The deadline counts the wait for a slot, and the error tells that there was no attempt."""
    silence = Silence()
    emulator.script(ID, silence)
    client = SiteAssist(TOKEN, base_url=emulator.url, concurrency=1, clock=clock)
    async with client:
        slow = asyncio.create_task(client.conversations.get(ID))
        await silence.met.wait()
        with pytest.raises(DeadlineExceededError, match=r"no answer within 0.01 s$") as caught:
            await client.with_options(deadline=0.01).conversations.get(OTHER_ID)
        assert caught.value.attempts == 0
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow

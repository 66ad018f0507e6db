"""A client under a limit: one gate for all calls, and slots that come back."""

from __future__ import annotations

import asyncio

import pytest
from fakes import (
    ID,
    ONCE,
    OTHER_ID,
    TOKEN,
    FakeClock,
    Silence,
)

from siteassist_async import (
    RateLimitError,
    ServiceUnavailableError,
    SiteAssist,
    SiteAssistError,
    TimedOutError,
    Timeout,
)
from siteassist_async.emulator import Delay, Emulator, Status, conversation_ids
from siteassist_async.errors import ThrottledError


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
    emulator.script(ID, Status(429, retry_after=60))
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock) as sibling:
        with pytest.raises(RateLimitError):
            await client.with_options(retry=ONCE).conversations.get(ID)
        started = clock.now()
        async with SiteAssist("sk_test_other", base_url=emulator.url, clock=clock) as other:
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
    with pytest.raises(ThrottledError, match="the API asked all requests to wait") as caught:
        await client.with_options(deadline=10).conversations.get(OTHER_ID)
    assert clock.now() == started
    assert caught.value.attempts == 0
    assert caught.value.reason == "gate"
    assert 60 <= caught.value.wait < 90  # starts after a pause are spread
    assert emulator.counters.requests == 1


async def test_a_503_holds_up_its_own_conversation_only(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """Another is fetched at once; the same waits for the time that was asked, holding nothing."""
    emulator.script(ID, Status(503, retry_after=60))
    started = clock.now()
    with pytest.raises(ServiceUnavailableError):
        await client.with_options(retry=ONCE).conversations.get(ID)
    await client.conversations.get(OTHER_ID)
    assert clock.now() == started
    with pytest.raises(ThrottledError, match="retry this conversation later") as caught:
        await client.with_options(deadline=59).conversations.get(ID)
    assert (caught.value.reason, caught.value.wait) == ("retry_after", 60.0)
    assert clock.now() == started
    await client.conversations.get(ID)
    assert clock.now() >= started + 60


async def test_an_id_that_is_refused_while_others_are_answered_is_told_apart(
    client: SiteAssist, emulator: Emulator, clock: FakeClock
) -> None:
    """After three refusals that is its outcome, and the error says that it is the id's own."""
    emulator.script(ID, *[Status(503, retry_after=60)] * 9)
    bad = asyncio.create_task(client.conversations.get(ID))
    while not bad.done():
        await client.conversations.get(OTHER_ID)
    with pytest.raises(ServiceUnavailableError) as caught:
        await bad
    assert (caught.value.attempts, caught.value.isolated) == (3, True)
    assert clock.now() >= 1000 + 120


async def test_an_id_that_nobody_is_answered_beside_is_tried_on(
    client: SiteAssist, emulator: Emulator
) -> None:
    """As long as the patience lasts; the error does not say that it is the id's own."""
    emulator.script(ID, *[Status(503, retry_after=60)] * 20)
    with pytest.raises(ServiceUnavailableError) as caught:
        await client.conversations.get(ID)
    assert caught.value.attempts > 3
    assert not caught.value.isolated


async def test_at_most_concurrency_requests_and_connections() -> None:
    """The server never sees more of either, whatever the number of calls."""
    async with Emulator(token=TOKEN, latency=0.002) as emulator:
        async with SiteAssist(TOKEN, base_url=emulator.url, concurrency=4) as client:
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
        with pytest.raises(TimedOutError, match=r"no data received for 0\.01 s"):
            await client.with_options(timeout=Timeout(read=0.01)).conversations.get(ID)
        await client.conversations.get(OTHER_ID)
    assert emulator.counters.connections == 2


async def test_a_call_that_waits_for_a_slot_past_its_deadline_has_sent_nothing(
    emulator: Emulator, clock: FakeClock
) -> None:
    """It is told so when the deadline comes, and what it waited for."""
    silence = Silence()
    emulator.script(ID, silence)
    client = SiteAssist(TOKEN, base_url=emulator.url, concurrency=1, clock=clock)
    async with client:
        slow = asyncio.create_task(client.conversations.get(ID))
        await silence.met.wait()
        with pytest.raises(ThrottledError, match="connections are in use") as caught:
            await client.with_options(deadline=60).conversations.get(OTHER_ID)
        assert (caught.value.attempts, caught.value.reason) == (0, "slots")
        assert clock.now() == pytest.approx(1060)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow

"""Views of a client: what they have of their own, and what they share."""

from __future__ import annotations

import asyncio

import pytest
from fakes import (
    ID,
    ONCE,
    OTHER_ID,
    TOKEN,
    FakeClock,
    Recorder,
)

from siteassist_async import (
    InternalServerError,
    RateLimitError,
    RetryPolicy,
    SiteAssist,
    SiteAssistError,
    Timeout,
)
from siteassist_async.emulator import Emulator, Status, conversation_ids
from siteassist_async.errors import ThrottledError
from siteassist_async.events import Event, RetryScheduled


async def test_a_view_has_its_own_options(clock: FakeClock) -> None:
    """What is given replaces the client's, what is not stays, and the client is unchanged."""
    record, other = Recorder(), Recorder()
    timeout = Timeout(read=9)
    client = SiteAssist(TOKEN, middleware=[record], deadline=5, clock=clock)
    await client.with_options(timeout=timeout).conversations.get(ID)
    await client.with_options(deadline=8).conversations.get(ID)
    await client.with_options(deadline=None).conversations.get(ID)
    await client.with_options(retry=RetryPolicy(patience=1)).conversations.get(ID)
    await client.with_options(middleware=[other, record]).with_options().conversations.get(ID)
    await client.with_options(middleware=[record]).conversations.get(ID)
    await client.conversations.get(ID)
    asked = [(r.timeout, r.deadline, r.patience) for r in record.requests]
    assert asked == [
        (timeout, 1005.0, 600),
        (Timeout(), 1008.0, 600),
        (Timeout(), None, 600),
        (Timeout(), 1005.0, 1),
        (Timeout(), 1005.0, 600),
        (Timeout(), 1005.0, 600),
    ]
    assert len(other.requests) == 1


async def test_a_view_of_a_view_keeps_both_options(clock: FakeClock) -> None:
    """Options add up."""
    record = Recorder()
    client = SiteAssist(TOKEN, clock=clock)
    view = client.with_options(middleware=[record]).with_options(deadline=5)
    await view.conversations.get(ID)
    assert record.requests[0].deadline == 1005.0


async def test_a_view_shares_the_connections(client: SiteAssist, emulator: Emulator) -> None:
    """A view opens none of its own; closing it closes them for all."""
    await client.conversations.get(ID)
    view = client.with_options(deadline=5)
    await view.conversations.get(ID)
    assert emulator.counters.connections == 1
    await view.close()
    with pytest.raises(SiteAssistError, match="the client is closed"):
        await client.conversations.get(ID)


async def test_a_view_shares_the_slots(emulator: Emulator) -> None:
    """The concurrency is that of the client and its views together."""
    emulator.latency = 0.002
    async with SiteAssist(TOKEN, base_url=emulator.url, concurrency=3) as client:
        views = [client.with_options(retry=ONCE) for _ in range(4)]
        calls = [view.conversations.get(id_) for view in views for id_ in conversation_ids(4)]
        await asyncio.gather(*calls)
    assert emulator.counters.most_in_flight == 3


async def test_a_view_shares_the_pace(client: SiteAssist, emulator: Emulator) -> None:
    """The gate that one refusal closes is closed for the views too."""
    emulator.script(ID, Status(429, retry_after=60))
    with pytest.raises(RateLimitError):
        await client.with_options(retry=ONCE).conversations.get(ID)
    with pytest.raises(ThrottledError) as caught:
        await client.with_options(deadline=1).conversations.get(OTHER_ID)
    assert (caught.value.attempts, caught.value.reason) == (0, "gate")


async def test_a_view_shares_the_budget_unless_it_has_another(emulator: Emulator) -> None:
    """A view with a budget of another size has its own; the same size is the same budget."""
    emulator.outage = Status(500)
    retry = RetryPolicy(attempts=4, budget=3)
    attempts: list[int] = []
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=FakeClock(), retry=retry) as client:
        same = client.with_options(retry=RetryPolicy(attempts=5, budget=3))
        job = client.with_options(retry=RetryPolicy(attempts=5, budget=None))
        for view in (client, same, job, client):
            with pytest.raises(InternalServerError) as caught:
                await view.conversations.get(ID)
            attempts.append(caught.value.attempts)
    assert attempts == [4, 1, 5, 1]


async def test_the_events_of_all_views_are_the_clients(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Whoever listens to the client hears each view's retries."""
    delays: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, RetryScheduled):
            delays.append(event.delay)

    client.events.subscribe(listen)
    emulator.script(ID, Status(500), Status(503, retry_after=7))
    await client.with_options(deadline=100).conversations.get(ID)
    assert len(delays) == 2
    assert 7 <= delays[1] <= 7.7

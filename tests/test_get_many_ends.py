"""How fetching many ends: by an error, by the input, by the caller."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from inspect import signature
from typing import TYPE_CHECKING

import pytest
from fakes import (
    ID,
    FakeClock,
    Silence,
    get_all,
    settle,
)

from siteassist_async import (
    AuthenticationError,
    Conversations,
    DeadlineExceededError,
    Failed,
    PaymentRequiredError,
    Request,
    Response,
    RetryPolicy,
    Send,
    SiteAssist,
)
from siteassist_async.bulk import Options
from siteassist_async.emulator import Emulator, Status, conversation_ids
from siteassist_async.outage import WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from siteassist_async.emulator import StubResponse


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_token_that_is_not_accepted_stops_at_once(
    emulator: Emulator, clock: FakeClock, *, ordered: bool
) -> None:
    """With one error, after no more requests than were in flight."""
    async with SiteAssist(
        "sk_test_wrong", base_url=emulator.url, clock=clock, concurrency=4
    ) as client:
        with pytest.raises(AuthenticationError):
            await get_all(client, conversation_ids(1000), ordered=ordered)
    assert emulator.counters.requests <= 5
    assert emulator.counters.statuses == {401: emulator.counters.requests}


async def test_a_plan_that_does_not_include_it_stops_at_once(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Once the id was refused again; what else is in flight is cancelled."""
    ids = list(conversation_ids(3))
    silence = Silence()

    def refuse(answer: StubResponse) -> StubResponse:
        return silence(answer) if answer.conversation_id in ids else Status(402)(answer)

    emulator.outage = refuse
    with pytest.raises(PaymentRequiredError):
        await get_all(client, [*ids, ID, *conversation_ids(1000, seed=1)])
    await settle()
    assert emulator.counters.in_flight == 0


async def test_leaving_early_leaves_no_request_behind(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Once the generator is closed nothing is in flight, and the client is usable."""
    tasks = asyncio.all_tasks()
    async with aclosing(client.conversations.get_many(conversation_ids(1000))) as outcomes:
        async for _ in outcomes:
            break
    await settle()
    assert emulator.counters.in_flight == 0
    assert len(asyncio.all_tasks()) <= len(tasks) + emulator.connections_open
    await client.conversations.get(ID)


async def test_a_cancelled_loop_leaves_no_request_behind(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Neither for an id that was asked for twice."""
    silence = Silence()
    emulator.outage = silence
    caller = asyncio.create_task(get_all(client, [ID, ID, *conversation_ids(50)]))
    await silence.met.wait()
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await settle()
    assert emulator.counters.in_flight == 0
    emulator.outage = None
    await client.conversations.get(ID)


async def test_a_deadline_is_each_ids_own(client: SiteAssist, emulator: Emulator) -> None:
    """One that takes too long fails; the others come."""
    emulator.script(ID, Silence())
    view = client.with_options(deadline=0.05, retry=RetryPolicy(attempts=1))
    outcomes = await get_all(view, [ID])
    assert isinstance(outcomes[0], Failed)
    assert isinstance(outcomes[0].error, DeadlineExceededError)


async def test_a_bug_in_a_users_link_is_raised_at_once(
    client: SiteAssist, emulator: Emulator
) -> None:
    """It is no outcome, for an id that was asked for twice neither."""

    async def stumble(request: Request, send: Send) -> Response:
        await send(request)
        raise KeyError(request.subject)

    with pytest.raises(KeyError, match=ID):
        await get_all(client.with_options(middleware=[stumble]), [ID, ID, ID])
    assert emulator.counters.requests == 1


async def test_what_the_input_raises_comes_last(client: SiteAssist) -> None:
    """The ids before it have their outcomes."""

    def ids() -> Iterator[str]:
        yield from conversation_ids(10)
        raise OSError("the disk is gone")

    outcomes = client.conversations.get_many(ids())
    assert len({(await anext(outcomes)).id for _ in range(10)}) == 10
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(outcomes)


def test_the_wait_through_an_outage_is_the_same_everywhere() -> None:
    """In the signature it is a number, so that the module of outages is imported when needed."""
    wait = signature(Conversations.get_many).parameters["wait"]
    assert wait.default == Options().wait == WAIT

"""Many conversations by id: one outcome an id, bounded, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from fakes import (
    CONVERSATION_URL,
    ID,
    TOKEN,
    FakeClock,
    VirtualClock,
    get_all,
    settle,
    virtual_client,
)

from siteassist_async import (
    ConfigurationError,
    Conversation,
    Failed,
    Fetched,
    InternalServerError,
    InvalidIdError,
    NotFoundError,
    OutageError,
    SiteAssist,
    SiteAssistError,
    bulk,
    conversations,
)
from siteassist_async.contract import documented_body
from siteassist_async.emulator import Emulator, Service, Status, conversation_ids
from siteassist_async.events import CallStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fakes import Mocked

    from siteassist_async.emulator import StubResponse
    from siteassist_async.wire import MakeRequest


async def test_every_id_has_one_outcome(client: SiteAssist, emulator: Emulator) -> None:
    """Conversations and failures, each with the id as it was given."""
    ids = [id_.upper() for id_ in conversation_ids(100)]
    missing = ids[::10]
    emulator.missing(*missing)
    outcomes = {outcome.id: outcome for outcome in await get_all(client, [*ids, "no id"])}
    assert set(outcomes) == {*ids, "no id"}
    for id_, outcome in outcomes.items():
        match outcome:
            case Fetched(id=id, conversation=Conversation() as conversation):
                assert conversation.id == id.lower()
                assert id_ not in missing
            case Failed(error=NotFoundError()):
                assert id_ in missing
            case Failed(error=error):
                assert isinstance(error, InvalidIdError)
                assert id_ == "no id"
    assert set(emulator.counters.ids.values()) == {1}


async def test_no_ids_have_no_outcomes(client: SiteAssist, emulator: Emulator) -> None:
    """Nothing is sent, and the loop ends."""
    assert await get_all(client, []) == []
    assert emulator.counters.connections == 0


async def test_ordered_outcomes_come_in_the_ids_order(
    client: SiteAssist, emulator: Emulator
) -> None:
    """Whatever comes back first."""
    latencies = itertools.cycle([0.003, 0.002, 0.001])
    emulator.latency = lambda: next(latencies)
    ids: list[object] = [*conversation_ids(50), "no id", ID]
    outcomes = await get_all(client, ids, ordered=True)
    assert [outcome.id for outcome in outcomes] == ids


async def test_ids_are_read_as_they_are_needed(emulator: Emulator, clock: FakeClock) -> None:
    """Of an endless input no more than twice the concurrency ahead of the caller."""
    for asynchronous in (False, True):
        read = 0

        def ids() -> Iterator[str]:
            nonlocal read
            for id_ in conversation_ids(10**9):
                read += 1
                yield id_

        async def ids_one_by_one() -> AsyncIterator[str]:
            for id_ in ids():
                yield id_

        async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock, concurrency=4) as client:
            given = ids_one_by_one() if asynchronous else ids()
            taken = 0
            async with aclosing(client.conversations.get_many(given)) as outcomes:
                async for _ in outcomes:
                    taken += 1
                    assert read <= taken + 8
                    if taken == 50:
                        break


async def test_an_id_in_flight_is_asked_for_once(client: SiteAssist, emulator: Emulator) -> None:
    """Each time it was given has its outcome, all of one request, written in any way."""
    outcomes = await get_all(client, [ID, ID.upper(), UUID(ID), ID])
    assert Counter(outcome.id for outcome in outcomes) == {ID: 3, ID.upper(): 1}
    conversations = {
        id(outcome.conversation) for outcome in outcomes if isinstance(outcome, Fetched)
    }
    assert len(conversations) == emulator.counters.requests == 1


async def test_an_id_that_fails_in_flight_fails_for_all_who_asked(
    client: SiteAssist, emulator: Emulator
) -> None:
    """One request, one error, an outcome each."""
    emulator.missing(ID)
    outcomes = await get_all(client, [ID] * 5)
    errors = {id(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)}
    assert len(outcomes) == 5
    assert len(errors) == emulator.counters.requests == 1


async def test_a_caller_that_leaves_a_shared_request_harms_nobody() -> None:
    """Neither its success nor its failure is lost or reported as an error of asyncio."""
    loop, reported = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    sent: list[asyncio.Future[object]] = []

    def send(operation: object, subject: str, *, bulk: bool = False) -> asyncio.Future[object]:
        del operation, subject
        assert bulk
        sent.append(loop.create_future())
        return sent[-1]

    new_flights = conversations._Flights  # pyright: ignore[reportPrivateUsage] # what is tested
    flights = new_flights(cast("MakeRequest", send))
    for outcome in ("a conversation", NotFoundError("gone", status=404)):
        first, left, stayed = (asyncio.create_task(flights.fetch(ID)) for _ in range(3))
        await settle()
        left.cancel()
        await settle()
        future = sent.pop()
        if isinstance(outcome, SiteAssistError):
            joined: Any = flights._flying[ID]  # pyright: ignore[reportPrivateUsage] # as above
            stayed.cancel()
            await settle()
            future.set_exception(outcome)
            with pytest.raises(NotFoundError):
                await first
            assert not joined._log_traceback, "asyncio would report that nobody retrieved it"
        else:
            future.set_result(outcome)
            assert {id(await first), id(await stayed)} == {id(outcome)}
    del outcome, future, first, left, stayed, flights  # and with them the traceback
    gc.collect()
    assert sent == reported == []


async def test_the_caller_says_how_long_to_wait_through_an_outage() -> None:
    """Not at all, or for some time."""
    for wait in (0.0, 100.0):
        service, clock = Service(), VirtualClock()
        service.outage = Status(500)
        async with virtual_client(service, clock) as client:
            began = clock.now()
            outcomes = client.conversations.get_many(conversation_ids(300), wait=wait)
            with pytest.raises(OutageError):
                await anext(outcomes)
        assert wait <= clock.now() - began < wait + 30


async def test_interactive_calls_and_bulk_work_are_told_apart(
    client: SiteAssist,
) -> None:
    """By what they ask of the pacer."""
    heard: list[bool] = []
    client.events.subscribe(
        lambda event: heard.append(event.bulk) if isinstance(event, CallStarted) else None
    )
    await client.conversations.get(ID)
    await client.conversations.get_raw(ID)
    await client.conversations.get_record(ID)
    await get_all(client, [ID])
    assert heard == [False, False, True, True]


async def test_an_id_that_has_landed_is_asked_for_again(
    emulator: Emulator, clock: FakeClock
) -> None:
    """Nothing is kept: memory does not grow with the ids."""
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock, concurrency=1) as client:
        assert len(await get_all(client, [ID, ID, ID])) == 3
    assert emulator.counters.requests == 3


async def test_one_bad_id_costs_that_id(client: SiteAssist, emulator: Emulator) -> None:
    """What fails while others are answered, and once more, is an outcome with its attempts."""
    ids = list(conversation_ids(20))
    emulator.script(ids[7], *[Status(500)] * 10)
    outcomes = {outcome.id: outcome for outcome in await get_all(client, ids)}
    failed = [outcome for outcome in outcomes.values() if isinstance(outcome, Failed)]
    assert len(outcomes) == 20
    assert [outcome.id for outcome in failed] == [ids[7]]
    assert isinstance(failed[0].error, InternalServerError)
    assert failed[0].error.attempts == 5


async def test_a_refusal_loses_no_id(emulator: Emulator, clock: FakeClock) -> None:
    """Ids that were refused come after the pause, however often they were refused."""
    ids = list(conversation_ids(10))
    for id_ in ids[:3]:
        emulator.script(id_, *[Status(429, retry_after=5)] * 6)
    async with SiteAssist(TOKEN, base_url=emulator.url, clock=clock) as client:
        outcomes = await get_all(client, ids)
    assert {type(outcome) for outcome in outcomes} == {Fetched}
    assert len(outcomes) == 10


async def test_get_many_works_with_aioresponses(mocked: Mocked) -> None:
    """As users test their own code."""
    mocked.get(CONVERSATION_URL, body=documented_body(200))
    async with SiteAssist(TOKEN) as client:
        (outcome,) = await get_all(client, [ID])
    assert isinstance(outcome, Fetched)


@pytest.mark.parametrize("single", [ID, ID.encode(), UUID(ID)])
async def test_a_single_id_is_not_many(client: SiteAssist, single: object) -> None:
    """Its 36 characters are no ids: the call says what to do instead."""
    with pytest.raises(ConfigurationError, match="use get, or pass a list"):
        client.conversations.get_many(single)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the point


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("ordered", [False, True])
async def test_ids_that_are_always_refused_end_as_failures(status: int, *, ordered: bool) -> None:
    """Three refusals of 30 s among good answers are an outcome, and the others do not wait."""
    service, clock = Service(), VirtualClock()
    ids = list(conversation_ids(1000))
    bad = {ids[10], ids[500], ids[999]}

    def refuse(answer: StubResponse) -> StubResponse:
        return Status(status, retry_after=30)(answer) if answer.conversation_id in bad else answer

    service.outage = refuse
    began = clock.now()
    async with virtual_client(service, clock) as client:
        outcomes = await get_all(client, ids, ordered=ordered)
    assert not ordered or [outcome.id for outcome in outcomes] == ids
    failed = {outcome.id: outcome.error for outcome in outcomes if isinstance(outcome, Failed)}
    assert failed.keys() == bad
    assert len(outcomes) == 1000
    # Of three, each waits for two pauses of 30 to 33 s; in order, one after the other.
    assert clock.now() - began < (300 if ordered else 200)
    assert failed[ids[10]].isolated


@pytest.mark.parametrize("status", [500, 502, 503, 522, 302])
async def test_an_outage_loses_no_id(status: int) -> None:
    """Not even with a client whose retries are those of an interactive one."""
    service, clock = Service(), VirtualClock()
    until = clock.now() + 20

    def go_down(answer: StubResponse) -> StubResponse:
        down = service.counters.requests > 200 and clock.now() < until
        return Status(status)(answer) if down else answer

    service.outage = go_down
    async with virtual_client(service, clock) as client:
        outcomes = await get_all(client, conversation_ids(500))
    assert {type(outcome) for outcome in outcomes} == {Fetched}
    assert len(outcomes) == 500


async def test_a_refusal_longer_than_the_deadline_fails_no_other_id() -> None:
    """They wait until the pause that the API asked of all is over."""
    service, clock = Service(), VirtualClock()
    ids = list(conversation_ids(100))
    service.script(ids[20], Status(429, retry_after=30))
    async with virtual_client(service, clock, deadline=10) as client:
        outcomes = await get_all(client, ids)
    assert {type(outcome) for outcome in outcomes} == {Fetched}
    assert len(outcomes) == 100


async def test_ids_that_wait_for_another_s_refusal_make_room() -> None:
    """The same bad id a hundred times does not hold up the good ones behind it."""
    service, clock = Service(), VirtualClock()
    ids = list(conversation_ids(200))

    def refuse(answer: StubResponse) -> StubResponse:
        bad = answer.conversation_id == ids[0]
        return Status(503, retry_after=30)(answer) if bad else answer

    service.outage = refuse
    began = clock.now()
    async with virtual_client(service, clock) as client:
        good = 0
        async for outcome in client.conversations.get_many([ids[0]] * 100 + ids[1:]):
            good += isinstance(outcome, Fetched)
            if good == 199:
                assert clock.now() - began < 10
                break
    assert good == 199


async def test_large_conversations_wait_in_a_bounded_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller that takes its time holds back the fetching by the size of what waits for it."""
    service, clock = Service(messages=40), VirtualClock()
    monkeypatch.setattr(bulk, "MOST_BYTES", 50_000)
    async with (
        virtual_client(service, clock) as client,
        aclosing(client.conversations.get_many(conversation_ids(1000))) as outcomes,
    ):
        await anext(outcomes)
        for _ in range(20):
            await settle()
        assert service.counters.requests <= 40
        async for _ in outcomes:
            pass
    assert service.counters.requests == 1000

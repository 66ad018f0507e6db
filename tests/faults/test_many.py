"""One bad id costs that id: of many, the others come, once each."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakes import get_all

from siteassist_async import (
    AuthenticationError,
    Failed,
    Fetched,
    InvalidIdError,
    PaymentRequiredError,
    RetryPolicy,
    SiteAssist,
)
from siteassist_async.emulator import conversation_ids
from siteassist_async.pacing import AdaptivePacer

from . import connection_faults, documented_errors, encodings, error_bodies, framing, redirects
from .raw_server import Again, Drip
from .rows import TOKEN
from .wire import ID, answer, conversation, error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fakes import FakeClock

    from .raw_server import Play, RawServer, Step
    from .rows import Row

FAULTS = [
    row
    for module in (
        connection_faults,
        documented_errors,
        encodings,
        error_bodies,
        framing,
        redirects,
    )
    for row in module.ROWS
    if row.error is not None
    and not issubclass(row.error, AuthenticationError | PaymentRequiredError)
    and row.retry == RetryPolicy()
]
"""All that the table has of a policy that all share, but for what ends the whole job."""

GOOD = 200


def about(conversation_id: str, play: Play) -> Play:
    """A row's play, about another id than the table's."""

    def of(data: bytes) -> bytes:
        return data.replace(ID.encode(), conversation_id.encode())

    def step(said: Step) -> Step:
        match said:
            case bytes():
                return of(said)
            case Drip():
                return Drip(of(said.data), said.size, said.every)
            case Again():
                return Again(of(said.data), said.times)
            case _:
                return said

    return [step(said) for said in play]


def new_client(server: RawServer, clock: FakeClock) -> SiteAssist:
    """A client whose retries do not run out."""
    return SiteAssist(
        TOKEN,
        base_url=server.url,
        retry=RetryPolicy(budget=None),
        concurrency=16,
        clock=clock,
        pacer=AdaptivePacer(clock=clock),
    )


@pytest.mark.parametrize("ordered", [False, True])
async def test_each_kind_of_fault_costs_its_own_id(
    server: RawServer, clock: FakeClock, *, ordered: bool
) -> None:
    """Among 200 good ids: each of these fails as its row says, and each of those comes."""
    good, bad = (ids := list(conversation_ids(GOOD + len(FAULTS))))[:GOOD], ids[GOOD:]
    rows = dict(zip(bad, FAULTS, strict=True))
    for conversation_id, row in rows.items():
        server.script[conversation_id].extend(about(conversation_id, p) for p in row.plays)
    server.forever = True
    given = sorted([*good, *bad, "no id"])
    tasks = asyncio.all_tasks()
    async with new_client(server, clock) as client:
        outcomes = await get_all(client, given, ordered=ordered)
    judge(outcomes, rows, good)
    if ordered:
        assert [outcome.id for outcome in outcomes] == given
    asked = Counter(request.conversation_id for request in server.requests)
    # What may be everyone's is asked for once more; where a window fails, one that was answered is.
    assert all(row.requests <= asked[id_] <= 2 * row.requests for id_, row in rows.items())
    assert asked.keys() == {*good, *rows}
    assert sum(asked[id_] for id_ in good) <= GOOD + 20
    await server.until(lambda: not server.open)
    assert asyncio.all_tasks() == tasks


def judge(outcomes: Sequence[Fetched | Failed], rows: dict[str, Row], good: Sequence[str]) -> None:
    """One outcome an id, the right one."""
    fetched = [outcome for outcome in outcomes if isinstance(outcome, Fetched)]
    assert sorted(outcome.id for outcome in fetched) == sorted(good)
    assert all(outcome.conversation.id == outcome.id for outcome in fetched)
    failed = {
        outcome.id: type(outcome.error) for outcome in outcomes if isinstance(outcome, Failed)
    }
    assert len(failed) == len(outcomes) - len(fetched)
    assert failed == {id_: row.error for id_, row in rows.items()} | {"no id": InvalidIdError}


@pytest.mark.parametrize("status", [401, 402])
async def test_what_every_further_id_would_meet_ends_it_all(
    server: RawServer, clock: FakeClock, status: int
) -> None:
    """With one error, once an id that was answered is refused too, and with no request after it."""
    ids = list(conversation_ids(200))
    refusal = [answer(error(), status)]
    for id_ in ids[:50]:
        server.script[id_].extend([[answer(conversation(id_))], refusal])
    for id_ in ids[50:]:
        server.script[id_].append(refusal)
    server.forever = True
    async with new_client(server, clock) as client:
        with pytest.raises((AuthenticationError, PaymentRequiredError)):
            await get_all(client, ids)
    assert len(server.requests) <= 50 + 16 + 1
    await server.until(lambda: not server.open)


@pytest.mark.parametrize("status", [401, 402])
async def test_one_refusal_of_the_token_is_asked_about_again(
    server: RawServer, clock: FakeClock, status: int
) -> None:
    """Among 200 good answers it was a moment of the server's: every id comes."""
    ids = list(conversation_ids(200))
    server.script[ids[50]].append([answer(error(), status)])
    async with new_client(server, clock) as client:
        outcomes = await get_all(client, ids)
    assert {type(outcome) for outcome in outcomes} == {Fetched}
    assert len(server.requests) == 202

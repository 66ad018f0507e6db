"""Many awaits at once: bounded, lazy, one outcome a key."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from fakes import settle
from hypothesis import given
from hypothesis import strategies as st
from many import MISSING, Fetch, Input, collect, expected

from siteassist_async.bulk import MOST_BYTES, each

if TYPE_CHECKING:
    from siteassist_async import (
        SiteAssistError,
    )

    Outcome = tuple[int, int | SiteAssistError]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_every_key_has_one_outcome(limit: int, *, ordered: bool) -> None:
    """Of a plain and of an async iterable, whatever the limit; failures are outcomes too."""
    for keys in (Input(range(50)).plain(), Input(range(50)).asynchronous(), list(range(50))):
        outcomes = await collect(keys, Fetch(), limit=limit, ordered=ordered)
        assert sorted(outcomes, key=lambda outcome: outcome[0]) == expected(range(50))


@pytest.mark.parametrize("ordered", [False, True])
async def test_an_empty_input_has_no_outcome(*, ordered: bool) -> None:
    """Nothing is fetched, and the loop ends."""
    fetch = Fetch()
    for keys in (Input([]).plain(), Input([]).asynchronous(), set[int]()):
        assert await collect(keys, fetch, ordered=ordered) == []
    assert fetch.keys == []


async def test_outcomes_come_as_they_are_ready() -> None:
    """A slow key holds nobody back."""
    outcomes = await collect(range(4), Fetch(lambda key: 50 - 10 * key))
    assert [key for key, _ in outcomes] == [3, 2, 1, 0]


async def test_ordered_outcomes_come_in_the_order_of_the_keys() -> None:
    """A slow key holds back those behind it, and they are fetched meanwhile."""
    fetch = Fetch(lambda key: 50 if key == 0 else 1)
    outcomes = await collect(range(30), fetch, ordered=True)
    assert outcomes == expected(range(30))
    assert fetch.most == 4


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_at_most_limit_are_fetched_at_once(limit: int) -> None:
    """And no fewer, as long as there are keys."""
    fetch = Fetch(lambda key: 1 + key % 3)
    await collect(range(50), fetch, limit=limit)
    assert fetch.most == limit


async def test_one_at_a_time_is_one_after_the_other() -> None:
    """At limit 1 the keys are fetched, and come, in their order."""
    fetch = Fetch(lambda key: key % 5)
    outcomes = await collect(range(20), fetch, limit=1)
    assert fetch.keys == [key for key, _ in outcomes] == list(range(20))


@pytest.mark.parametrize("ordered", [False, True])
async def test_the_input_is_read_no_further_than_twice_the_limit_ahead(*, ordered: bool) -> None:
    """A caller that takes its time slows the reading: memory is bounded, whatever the input.

    Of an async input one more may be read: outcomes may take its room meanwhile.
    """
    for form, further in ((Input.plain, 0), (Input.asynchronous, 1)):
        keys = Input(itertools.count())
        taken = 0
        async with aclosing(each(form(keys), Fetch(), limit=4, ordered=ordered)) as outcomes:
            async for _ in outcomes:
                taken += 1
                await settle()
                await settle()
                assert taken + 8 <= keys.read <= taken + 8 + further
                if taken == 20:
                    break


async def test_a_slow_key_in_order_bounds_the_reading_too() -> None:
    """What waits behind the first key is as bounded as what waits for the caller."""
    keys = Input(itertools.count())
    first = asyncio.Event()

    async def fetch(key: int) -> int:
        if key == 0:
            await first.wait()
        return key

    async with aclosing(each(keys.plain(), fetch, limit=4, ordered=True)) as outcomes:
        head = asyncio.create_task(anext(outcomes))
        await settle()
        assert keys.read == 8
        first.set()
        assert await head == (0, 0)


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_waits_for_a_slow_caller_is_bounded_in_bytes(*, ordered: bool) -> None:
    """Two that weigh as much as may wait: nothing more is read until the caller takes one."""
    keys = Input(itertools.count())
    outcomes = each(
        keys.plain(), Fetch(), limit=1, ordered=ordered, weigh=lambda _: MOST_BYTES // 2 + 1
    )
    async with aclosing(outcomes):
        await anext(outcomes)
        for _ in range(3):
            await settle()
            read = keys.read
            await settle()
            assert keys.read == read
            await anext(outcomes)
        assert keys.read <= 4 + 2


async def test_nothing_is_read_before_the_first_outcome_is_asked_for() -> None:
    """A generator that nobody iterates has no task and has read nothing."""
    keys = Input(range(5))
    outcomes = each(keys.plain(), Fetch(), limit=2)
    await settle()
    assert keys.read == 0
    await outcomes.aclose()


@given(
    plan=st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 4)), max_size=40),
    limit=st.integers(1, 8),
    ordered=st.booleans(),
    asynchronous=st.booleans(),
)
def test_exactly_one_outcome_a_key(
    *, plan: list[tuple[int, bool, int]], limit: int, ordered: bool, asynchronous: bool
) -> None:
    """For any keys, repeated ones too, any outcome and any pace of each, in order or not."""
    outcomes_planned: dict[int, list[tuple[bool, int]]] = {}
    for key, fails, turns in plan:
        outcomes_planned.setdefault(key, []).append((fails, turns))

    async def fetch(key: int) -> int:
        fails, turns = outcomes_planned[key].pop(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        if fails:
            raise MISSING
        return key

    keys = Input([key for key, _, _ in plan])
    form = keys.asynchronous() if asynchronous else keys.plain()
    outcomes = asyncio.run(collect(form, fetch, limit=limit, ordered=ordered))
    planned = [(key, MISSING if fails else key) for key, fails, _ in plan]
    if ordered and limit == 1:
        assert outcomes == planned
    if ordered:
        assert [key for key, _ in outcomes] == [key for key, _, _ in plan]
    assert sorted(map(repr, outcomes)) == sorted(map(repr, planned))

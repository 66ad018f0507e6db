"""How bulk fetching ends: by an error, by the input, by the caller."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from fakes import settle
from many import Fetch, Input, collect, expected

from siteassist_async import (
    AuthenticationError,
    ClientClosedError,
    PaymentRequiredError,
    SiteAssistError,
)
from siteassist_async.bulk import each

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    Outcome = tuple[int, int | SiteAssistError]


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("error", [AuthenticationError("401"), PaymentRequiredError("402")])
async def test_an_error_that_ends_all_is_raised_at_once(
    error: SiteAssistError, *, ordered: bool
) -> None:
    """Once the same key is refused again; what is in flight is cancelled, nothing more is read."""
    keys = Input(itertools.count())
    fetch = Fetch(lambda _: 10_000)
    refused = 0

    async def fail_at_three(key: int) -> int:
        nonlocal refused
        if key == 3:
            refused += 1
            raise error
        return await fetch(key)

    with pytest.raises(type(error)) as caught:
        await collect(keys.plain(), fail_at_three, limit=6, ordered=ordered)
    assert caught.value is error
    assert fetch.flying == 0
    assert fetch.cancelled == len(fetch.keys)
    assert keys.read <= 7
    assert refused == 2
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_comes_after_an_error_that_ends_all_is_not_given(*, ordered: bool) -> None:
    """Not even where it came while the caller was busy with an outcome before it."""
    late, closed = asyncio.Event(), asyncio.Event()

    async def fetch(key: int) -> int:
        if key == 1:
            closed.set()
            raise ClientClosedError
        if key == 2:
            await late.wait()
        return key

    async with aclosing(each([0, 1, 2], fetch, limit=3, ordered=ordered)) as outcomes:
        assert await anext(outcomes) == (0, 0)
        await settle()
        late.set()
        await settle()
        assert closed.is_set()
        with pytest.raises(ClientClosedError):
            await anext(outcomes)


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_waits_for_the_caller_at_an_error_that_ends_all_is_not_given(
    *, ordered: bool
) -> None:
    """And of two such errors the first is raised."""
    closed, late = asyncio.Event(), asyncio.Event()

    async def fetch(key: int) -> int:
        if key == 2:
            await closed.wait()
            raise ClientClosedError
        if key == 3:
            try:
                await late.wait()
            finally:
                raise KeyError(key)
        return key

    async with aclosing(each(range(4), fetch, limit=4, ordered=ordered)) as outcomes:
        assert await anext(outcomes) == (0, 0)
        await settle()
        closed.set()
        await settle()
        late.set()
        await settle()
        with pytest.raises(ClientClosedError):
            await anext(outcomes)


async def test_nothing_is_begun_after_an_error_that_ends_all() -> None:
    """Not even where the caller does not know of it yet."""
    keys, closed, late = Input(range(9)), asyncio.Event(), asyncio.Event()

    async def fetch(key: int) -> int:
        if key == 1:
            await closed.wait()
            raise ClientClosedError
        if key == 2:
            await late.wait()
        return key

    async with aclosing(each(keys.plain(), fetch, limit=2)) as outcomes:
        assert await anext(outcomes) == (0, 0)
        await settle()
        closed.set()
        await settle()
        late.set()
        await settle()
        assert keys.read == 3


async def test_what_is_none_of_ours_is_raised_at_once() -> None:
    """A bug in what fetches is no outcome of a key."""
    fetch = Fetch(lambda _: 10_000)

    async def stumble(key: int) -> int:
        if key == 2:
            raise KeyError("bug")
        return await fetch(key)

    with pytest.raises(KeyError, match="bug"):
        await collect(range(100), stumble)
    assert fetch.cancelled == len(fetch.keys)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("ordered", [False, True])
async def test_what_the_input_raises_comes_after_the_outcomes_before_it(*, ordered: bool) -> None:
    """No key that was read is lost."""
    fault = OSError("the disk is gone")
    for form in (Input.plain, Input.asynchronous):
        keys = form(Input(range(20), fault))
        outcomes = each(keys, Fetch(lambda _: 9), limit=4, ordered=ordered)
        seen = [await anext(outcomes) for _ in range(20)]
        with pytest.raises(OSError, match="the disk is gone"):
            await anext(outcomes)
        assert sorted(seen, key=lambda outcome: outcome[0]) == expected(range(20))
        assert len(asyncio.all_tasks()) == 1


async def test_an_input_that_is_none_is_a_type_error() -> None:
    """As `for` says it."""
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        await collect(7, Fetch())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # the point


async def test_leaving_early_cancels_what_is_in_flight() -> None:
    """Once the generator is closed no task is left."""
    fetch = Fetch(lambda key: 10_000 if key > 3 else 1)
    async with aclosing(each(range(100), fetch, limit=8)) as outcomes:
        async for _ in outcomes:
            break
        assert len(asyncio.all_tasks()) > 1
    assert len(asyncio.all_tasks()) == 1
    assert fetch.flying == 0


async def test_a_cancelled_caller_leaves_no_task() -> None:
    """The cancellation passes, and waits only for what it cancels."""
    fetch = Fetch(lambda _: 10_000)
    caller = asyncio.create_task(collect(range(100), fetch))
    await settle()
    assert fetch.flying == 4
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert fetch.cancelled == 4
    assert len(asyncio.all_tasks()) == 1


async def test_an_async_input_that_is_waited_for_is_cancelled_too() -> None:
    """The input's own clean-up runs before the generator is closed."""
    cleaned = False

    async def keys() -> AsyncIterator[int]:
        nonlocal cleaned
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            cleaned = True

    async with aclosing(each(keys(), Fetch(), limit=2)) as outcomes:
        assert await anext(outcomes) == (1, 1)
        await settle()
    assert cleaned
    assert len(asyncio.all_tasks()) == 1


async def test_a_fetch_that_swallows_its_cancellation_is_waited_for_and_not_repeated() -> None:
    """It ends in its own time; no further key is fetched."""
    fetched = 0

    async def stubborn(key: int) -> int:
        nonlocal fetched
        fetched += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return key

    caller = asyncio.create_task(collect(itertools.count(), stubborn))
    await settle()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert fetched == 4
    assert len(asyncio.all_tasks()) == 1


async def test_a_fetch_that_is_cancelled_by_itself_ends_all() -> None:
    """A cancellation is no outcome."""

    async def fetch(key: int) -> int:
        raise asyncio.CancelledError(key)

    with pytest.raises(asyncio.CancelledError):
        await collect(range(3), fetch)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("form", [Input.plain, Input.asynchronous])
async def test_an_input_that_is_cancelled_by_itself_ends_all(
    form: Callable[[Input], Iterable[int] | AsyncIterable[int]],
) -> None:
    """What it waited for was cancelled, say: nobody waits for keys that will not come."""
    keys = Input(raise_at(3, asyncio.CancelledError("the input's")))
    fetch = Fetch(lambda _: 10_000)
    caller = asyncio.create_task(collect(form(keys), fetch, limit=8))
    await settle()
    await settle()
    assert caller.cancelled()
    assert fetch.cancelled == len(fetch.keys)
    assert len(asyncio.all_tasks()) == 1


def raise_at(count: int, error: BaseException) -> Iterator[int]:
    """So many keys, then an error."""
    yield from range(count)
    raise error

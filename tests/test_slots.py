"""The slots of a client."""

from __future__ import annotations

import asyncio

import pytest
from fakes import settle

from siteassist_async.slots import Slots


async def test_slots_go_to_those_who_wait_in_turn() -> None:
    """And are free when nobody does."""
    slots = Slots(1)
    slots.free -= 1
    order: list[int] = []

    async def call(number: int) -> None:
        await slots.acquire()
        order.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(3)]
    await settle()
    for done in range(3):
        assert order == list(range(done))
        slots.release()
        await settle()
    await asyncio.gather(*calls)
    assert slots.free == 0
    slots.release()
    assert slots.free == 1


async def test_a_slot_that_comes_to_a_cancelled_call_goes_on() -> None:
    """Whoever waits behind it gets it, and nobody else holds it."""
    slots = Slots(0)
    first, second = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await settle()
    slots.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert slots.free == 0


async def test_a_call_that_is_cancelled_before_is_passed_over() -> None:
    """It holds no slot, and no slot is lost."""
    slots = Slots(0)
    first, second = (asyncio.create_task(slots.acquire()) for _ in range(2))
    await settle()
    first.cancel()
    slots.release()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert slots.free == 0

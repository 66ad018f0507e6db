"""A pacer of the user's own: one subclass, and one method that must be there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fakes import ID, OTHER_ID, TOKEN, FakeClock, settle

from siteassist_async import RetryPolicy, SiteAssist
from siteassist_async.emulator import Emulator, Status
from siteassist_async.events import AttemptEnded, Event, GateClosed, PaceEvent
from siteassist_async.pacing import Pacer, PaceSnapshot, Permit, Start
from siteassist_async.slots import Slots

if TYPE_CHECKING:
    from siteassist_async.pacing import RateLimitHint


class OneAtATime(Pacer):
    """The least that a pacer needs."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = 0

    async def acquire(self, start: Start) -> Permit:
        """Start as soon as there is a slot."""
        await start.slots.acquire()
        self.starts += 1
        return Permit(float(self.starts), start.subject, start.bulk, self.starts, self)


class Reporting(OneAtATime):
    """One that tells those who listen of each refusal."""

    def throttled(
        self,
        permit: Permit,
        retry_after: float | None,
        *,
        limited: bool,
        hint: RateLimitHint | None,
    ) -> bool:
        """Report it."""
        self.events.emit(GateClosed(retry_after or 0.0, asked=limited))
        return super().throttled(permit, retry_after, limited=limited, hint=hint)


async def test_one_method_is_enough(emulator: Emulator, clock: FakeClock) -> None:
    """Every way in which a request may end has a default."""
    pacer = OneAtATime()
    emulator.script(ID, Status(429, retry_after=3), Status(503, retry_after=3), Status(500))
    async with SiteAssist(
        TOKEN, base_url=emulator.url, clock=clock, pacer=pacer, retry=RetryPolicy(), concurrency=1
    ) as client:
        await client.conversations.get(ID)
        cancelled = asyncio.create_task(client.conversations.get(OTHER_ID))
        await settle()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await client.conversations.get(OTHER_ID)
    assert pacer.starts == 6
    assert client.pacer.snapshot() == PaceSnapshot()


async def test_what_it_reports_is_heard(emulator: Emulator, clock: FakeClock) -> None:
    """By those who subscribe to it, and by those of a client."""
    pacer = Reporting()
    by_pacer: list[PaceEvent] = []
    by_client: list[Event] = []
    end = pacer.subscribe(by_pacer.append)
    emulator.script(ID, Status(429, retry_after=3), Status(429, retry_after=4))
    async with SiteAssist(
        TOKEN, base_url=emulator.url, clock=clock, pacer=pacer, on_event=by_client.append
    ) as client:
        await client.conversations.get(ID)
    assert by_pacer == [GateClosed(3.0), GateClosed(4.0)]
    assert [one for one in by_client if isinstance(one, GateClosed)] == by_pacer
    assert [one.status for one in by_client if isinstance(one, AttemptEnded)] == [429, 429, 200]
    end()
    (await pacer.acquire(Start(ID, Slots(1)))).throttled(5.0, limited=True)
    assert len(by_pacer) == 2


def test_it_must_say_when_to_start() -> None:
    """A class without the one method is no pacer."""
    with pytest.raises(TypeError, match="acquire"):
        Pacer()  # type: ignore[abstract] # pyright: ignore[reportAbstractUsage]


async def test_a_permit_is_settled_once() -> None:
    """A second time is a mistake of whoever holds it."""
    permit = await OneAtATime().acquire(Start(ID, Slots(1)))
    permit.abandoned()
    for settle_again in (permit.succeeded, permit.abandoned):
        with pytest.raises(RuntimeError, match="already settled"):
            settle_again()
    with pytest.raises(RuntimeError, match="already settled"):
        permit.throttled(1.0, limited=True)

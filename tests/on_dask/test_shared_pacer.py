"""The example of a pacer that processes share."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from export.export_fakes import new_ids

from siteassist_async import ConnectionFailedError, Fetched, RetryPolicy, SiteAssist
from siteassist_async.distributed import Project
from siteassist_async.emulator import Emulator, TokenBucket
from siteassist_async.pacing import Pace, Permit, Start, StartTooLateError
from siteassist_async.slots import Slots

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))

import shared_pacer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def permits() -> shared_pacer.Permits:
    """The decisions."""
    return shared_pacer.Permits(Pace(concurrency=8))


@pytest.fixture
async def port(permits: shared_pacer.Permits) -> AsyncIterator[int]:
    """Where they are served."""
    async with await shared_pacer.serve(permits, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_clients_share_a_pacer(permits: shared_pacer.Permits, port: int) -> None:
    """All is fetched, the limit is learned once, and nothing stays in flight."""
    ids = new_ids(120, seed=2)
    async with Emulator(limit=TokenBucket(80, 5), latency=0.01, retry_after="exact") as api:

        async def fetch(some: list[str]) -> int:
            pacer = shared_pacer.SharedPacer("127.0.0.1", port)
            async with SiteAssist(api.token, base_url=api.url, pacer=pacer) as client:
                outcomes = [outcome async for outcome in client.conversations.get_many(some)]
            pacer.close()
            return sum(isinstance(outcome, Fetched) for outcome in outcomes)

        assert sum(await asyncio.gather(fetch(ids[:60]), fetch(ids[60:]))) == 120
        assert api.counters.most_in_flight <= 8
        seen = permits.pace.snapshot(permits.clock())
        assert (seen.succeeded, seen.throttled) == (120, api.counters.refused)
        assert api.counters.refused > 0
        assert seen.ceiling is not None


async def test_permits_of_a_process_that_is_gone(permits: shared_pacer.Permits, port: int) -> None:
    """They are given up: at once if its connection ends, and after a while in any case."""
    pacer, slots = shared_pacer.SharedPacer("127.0.0.1", port), Slots(100)
    held = [await pacer.acquire(Start(str(number), slots)) for number in range(8)]
    with pytest.raises(StartTooLateError):
        await pacer.acquire(Start("late", slots, latest=0.0))
    assert slots.free == 92
    held[0].abandoned()
    pacer.close()
    while permits.leases:  # noqa: ASYNC110 - the server sees the end of the connection
        await asyncio.sleep(0)
    now = 0.0
    alone = shared_pacer.Permits(Pace(concurrency=1), clock=lambda: now)
    assert isinstance(alone.start("1"), Permit)
    assert alone.start("2") == shared_pacer.LATER
    now = shared_pacer.LEASE + 1
    assert isinstance(alone.start("2"), Permit)
    # What came too late changes nothing.
    alone.succeeded(1)
    alone.throttled(1, 5.0, limited=True)
    assert alone.pace.snapshot(now).in_flight == 1


async def test_a_pacer_that_is_down(permits: shared_pacer.Permits, port: int) -> None:
    """It is as if the API were down; nonsense ends a connection only."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b'["succeeded", 1]\n')
    assert await reader.read() == b""
    writer.close()
    assert not permits.leases
    project = Project("ids.txt", pacer=shared_pacer.shared)
    client, pacer = project.access().client("sk_test_shared")
    assert isinstance(pacer, shared_pacer.SharedPacer)
    async with client.with_options(retry=RetryPolicy(attempts=1)) as alone:
        with pytest.raises(ConnectionFailedError, match="no permit from the shared pacer"):
            await alone.conversations.get(new_ids(1, seed=2)[0])

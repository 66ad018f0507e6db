"""A mixed load with faults, for long: what the client holds must not grow.

`python benchmarks/soak.py [MINUTES] [SPEED]` runs so many minutes (60) of the client's clock, which
goes so many times as fast as the machine's (30), against the emulator in a process of its own. It
prints memory, tasks, file descriptors and connections now and then, between two rounds, and ends
with 1 if any of them has grown.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import math
import random
import subprocess
import sys
import time
from contextlib import aclosing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import soak_server
from attrs import fields, frozen

from siteassist_async import RetryPolicy, SiteAssist, SiteAssistError, Timeout
from siteassist_async.emulator import conversation_ids

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CONCURRENCY = 32
ALLOWED = {"mebibytes": 4.0, "tasks": 0.0, "descriptors": 0.0}
"""How much more the last quarter of the samples may have than the second."""


@frozen
class QuickClock:
    """The machine's clock, some times as fast."""

    speed: float

    def now(self) -> float:
        """As `Clock.now`."""
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        """As `Clock.sleep`."""
        await asyncio.sleep(max(0.0, seconds) / self.speed)


@frozen
class Sample:
    """What the process holds while nothing is in flight; the pool's connections are idle."""

    mebibytes: float
    tasks: float
    descriptors: float
    connections: float


def sample() -> Sample:
    """Count, once all garbage is collected and what is free is given back."""
    gc.collect()
    # The C library keeps the room of a large body for as long as anything stands behind it.
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    links: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    sockets = sum(link.startswith("socket:") for link in links)
    return Sample(pages * 4096 / 2**20, len(asyncio.all_tasks()), len(links) - sockets, sockets)


async def fetch_many(client: SiteAssist, ids: Iterator[str]) -> int:
    """A thousand conversations at once, and another hundred of which only some are waited for."""
    fetched = 0
    async for _ in client.conversations.get_many(islice(ids, 1000)):
        fetched += 1
    async with aclosing(client.conversations.get_many(islice(ids, 100), ordered=True)) as outcomes:
        async for _ in outcomes:
            fetched += 1
            if fetched % 7 == 0:
                break
    return fetched


async def fetch_some(client: SiteAssist, ids: Iterator[str]) -> int:
    """Single calls of every kind: raw, as records, with a deadline, cancelled."""
    hurried = client.with_options(deadline=0.05, retry=RetryPolicy(attempts=2))
    calls: list[asyncio.Task[object]] = []
    for conversation_id in islice(ids, 40):
        calls.append(asyncio.create_task(client.conversations.get_raw(conversation_id)))
        calls.append(asyncio.create_task(client.conversations.get_record(conversation_id)))
        calls.append(asyncio.create_task(hurried.conversations.get(conversation_id)))
        calls.append(asyncio.create_task(client.conversations.get(f"no id {conversation_id}")))
    await asyncio.sleep(0.01)
    for call in random.sample(calls, 40):
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    strangers = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, BaseException)
        and not isinstance(outcome, SiteAssistError | asyncio.CancelledError)
    ]
    assert not strangers, strangers
    return len(calls)


async def come_and_go(url: str, clock: QuickClock, ids: Iterator[str]) -> int:
    """Clients for one call each, with tokens of their own that the API refuses."""
    for number, conversation_id in enumerate(islice(ids, 10)):
        token = f"sk_soak_{random.random()}_{number}"
        async with SiteAssist(token, base_url=url, clock=clock) as client:
            with suppress(SiteAssistError):
                await client.conversations.get(conversation_id)
    return 10


async def soak(url: str, minutes: float, clock: QuickClock) -> list[Sample]:
    """Load until the time is over; a sample after each sixtieth part of it."""
    started, samples, calls = clock.now(), list[Sample](), 0
    async with SiteAssist(
        soak_server.TOKEN,
        base_url=url,
        concurrency=CONCURRENCY,
        timeout=Timeout(read=0.25, total=0.5),
        clock=clock,
    ) as client:
        ids = conversation_ids(10**9)
        while (elapsed := (clock.now() - started) / 60) < minutes:
            calls += await fetch_many(client, ids)
            calls += await fetch_some(client, ids)
            calls += await come_and_go(url, clock, ids)
            if elapsed >= minutes * len(samples) / 60:
                await asyncio.sleep(0.05)
                samples.append(sample())
                print(f"{elapsed:6.1f} min  {calls:9,} calls  {told(samples[-1])}", flush=True)
    return samples


def told(held: Sample) -> str:
    """A sample on one line."""
    return "  ".join(f"{getattr(held, part.name):6.1f} {part.name}" for part in fields(Sample))


def growth(samples: list[Sample]) -> dict[str, float]:
    """By how much the last quarter exceeds the second, of each thing that is held."""
    quarter = math.ceil(len(samples) / 4)
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        name: median(getattr(s, name) for s in last) - median(getattr(s, name) for s in second)
        for name in ALLOWED
    }


@contextmanager
def server(speed: float) -> Generator[str]:
    """The emulator in a process of its own; gives its base URL."""
    command = [sys.executable, soak_server.__file__, str(speed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main(minutes: float = 60.0, speed: float = 30.0) -> int:
    """Run, print, judge."""
    with server(speed) as url:
        samples = asyncio.run(soak(url, minutes, QuickClock(speed)))
    grown = growth(samples)
    most = max(held.connections for held in samples)
    print("grown by", "  ".join(f"{value:.1f} {name}" for name, value in grown.items()))
    failed = [name for name, value in grown.items() if value > ALLOWED[name]]
    if most > CONCURRENCY + 2:  # the loop itself has a pair of sockets
        failed.append(f"{most:.0f} connections")
    print("FAILED: " + ", ".join(failed) if failed else "nothing has grown")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))

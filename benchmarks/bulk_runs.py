"""One bulk run in a process of its own: `bulk_runs.py WAY IDS BASE_URL`; prints what it took."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import aiohttp
import machine
import msgspec
from attrs import frozen
from bodies import ids
from clients import AUTH
from rounds import Spent, Stopwatch
from server import TOKEN

from siteassist_async import Failed, SiteAssist
from siteassist_async.export import Ending, ExportJob, Source

AT_ONCE = 32
WARM = 2 * AT_ONCE

Way = Callable[[str, int, Path], Coroutine[object, object, Spent]]


@frozen
class Taken:
    """What a run took, as a whole."""

    spent: Spent
    peak_memory: int


async def get_many(base_url: str, count: int, _: Path) -> Spent:
    """Objects, one after another, dropped."""
    async with _client(base_url) as client:
        with Stopwatch() as watch:
            async for outcome in client.conversations.get_many(ids(count)):
                if isinstance(outcome, Failed):
                    raise outcome.error
        return watch.spent


async def export(base_url: str, count: int, folder: Path) -> Spent:
    """The file of an export, its checkpoints and fsyncs included."""
    async with _client(base_url) as client:
        job = ExportJob(
            Source(_ids_file(folder, count)),
            folder / "conversations.jsonl",
            fetch=client.conversations.get_record,
            limit=AT_ONCE,
        )
        with Stopwatch() as watch:
            summary = await job.run()
        if summary.ending is not Ending.FINISHED or summary.progress.exported != count:
            raise RuntimeError(f"not a whole export: {summary}")
        return watch.spent


async def plain_lines(base_url: str, count: int, folder: Path) -> Spent:
    """A plain aiohttp loop that writes what it reads: no check, no retry, no fsync, no resume."""

    async def line(response: aiohttp.ClientResponse) -> bytes:
        return await response.read()

    return await _plain(base_url, count, folder, line)


async def plain_json_lines(base_url: str, count: int, folder: Path) -> Spent:
    """The same by way of dicts, which at least finds a body that is no JSON."""

    async def line(response: aiohttp.ClientResponse) -> bytes:
        return msgspec.json.encode(await response.json())

    return await _plain(base_url, count, folder, line)


WAYS: dict[str, Way] = {
    way.__name__: way for way in (plain_lines, plain_json_lines, get_many, export)
}


async def _plain(
    base_url: str,
    count: int,
    folder: Path,
    line: Callable[[aiohttp.ClientResponse], Awaitable[bytes]],
) -> Spent:
    source = _ids_file(folder, count)
    async with aiohttp.ClientSession(headers=AUTH) as session:

        async def work(left: list[str]) -> None:
            while left:
                url = f"{base_url}/conversations/{left.pop()}"
                async with session.get(url) as response:
                    response.raise_for_status()
                    out.write(await line(response) + b"\n")

        await asyncio.gather(*[_warm(session, base_url, one) for one in ids(WARM)])
        with Stopwatch() as watch, (folder / "plain.jsonl").open("wb") as out:
            left = source.read_text().split()
            await asyncio.gather(*[work(left) for _ in range(AT_ONCE)])
        return watch.spent


async def _warm(session: aiohttp.ClientSession, base_url: str, conversation_id: str) -> None:
    async with session.get(f"{base_url}/conversations/{conversation_id}") as response:
        await response.read()


@asynccontextmanager
async def _client(base_url: str) -> AsyncGenerator[SiteAssist]:
    async with SiteAssist(TOKEN, base_url=base_url, concurrency=AT_ONCE) as client:
        await asyncio.gather(*map(client.conversations.get, ids(WARM)))
        yield client


def _ids_file(folder: Path, count: int) -> Path:
    path = folder / "ids.txt"
    with path.open("w") as file:
        all_ids = ids(count)
        while some := list(islice(all_ids, 4096)):
            file.write("\n".join(some) + "\n")
    return path


def main(way: str, count: str, base_url: str) -> None:
    """Run one way."""
    # As the command does: uvloop where it is installed, below all ways alike.
    factory = import_module("uvloop").new_event_loop if find_spec("uvloop") else None
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=factory) as runner:
        spent = runner.run(WAYS[way](base_url, int(count), Path(folder)))
    taken = Taken(spent, machine.peak_memory())
    os.write(1, msgspec.json.encode(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
